/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the hypervisor knows of a physical function, whoever has it: how it was before anyone who is not trusted had it,
 * what its kind is known for, and its resets.
 */
#ifndef VPCI_PHYSICAL_H
#define VPCI_PHYSICAL_H

#include "glue.h"
#include "vpci_domctl.h"

/* After that, a hypercall ends with -EAGAIN: a vCPU that is in one for longer gets a kernel's watchdog going. */
#define LONGEST_WAIT SECONDS(10)

/* As many functions as one reset takes care of. */
#define MAX_MEMBERS 8

/* Where a reset is. */
enum vpci_phase {
    IDLE,           /* none goes on */
    ASKED,
    LEARNING,       /* the functions that it takes care of are read */
    RUNNING,
    GIVING_BACK,    /* they return to whoever has them */
    MAPPING,        /* BARs that decoded before are mapped again */
};

/*
 * One for each physical function that ever left the hardware domain, or was reset. It stays until the machine restarts.
 *
 * "owner": changed with the list of devices locked. "engine": changed by the tasklet alone. "lock": changed under the lock
 * of resets, inside which nothing is locked.
 */
struct vpci_physical {
    struct list_head list;
    pci_sbdf_t sbdf;

    const struct pci_dev *pdev; /* owner: what Xen calls it, or called it; not to be looked into */
    uint64_t bar[VPCI_DOMCTL_BARS]; /* owner: where BARs in memory and the ROM are, when it was read; 0 for none */
    bool learnt;                /* owner: there is a snapshot */
    bool hidden;                /* owner: the hardware domain is not to see it before its reset is over */
    bool lost;                  /* lock: it did not survive its last reset */
    bool clean;                 /* lock: it was reset since it last had an owner */
    bool tainted;               /* lock: someone who is not trusted had it, and it was not reset since */
    bool claimed;               /* engine: by a reset of its own or of its bus */
    bool has_bus;               /* engine: its reset has the bus to itself, or had it */
    bool has_released;          /* engine: it has given it back */
    bool maps;                  /* engine: BARs are to be mapped again */
    int error;                  /* engine: it came to no reset */
    unsigned int tries;         /* engine: to give it back */
    bool stays_away;            /* lock: it is about to be assigned, and not given back */
    bool by_guest;              /* lock: its guest asked for the reset */

    enum vpci_phase phase;      /* lock */
    s_time_t due;               /* engine: when the next step is */
    uint32_t methods;           /* lock: RVPCI_METHOD_* that are allowed */
    uint32_t again;             /* lock: those of a reset that was asked for while another one went on; 0 for none */
    uint32_t bridge;            /* engine: above it, or RVPCI_NO_SBDF */
    unsigned int at;            /* engine: the member that is worked on */
    unsigned int nr_members;
    struct vpci_physical *member[MAX_MEMBERS]; /* itself, and what shares its bus */

    /* lock: who waits for the end, and since when; what the end was. */
    domid_t waiting_domain;
    bool left_waiting;          /* told to call again */
    unsigned int waiting_vcpu;
    s_time_t waiting_since;
    s_time_t ended;
    int result;

    uint64_t core[];
};

static inline struct rvpci_physical *physical_core(struct vpci_physical *physical)
{
    return (struct rvpci_physical *)physical->core;
}

/* physical.c */

/* That of a function, made if it is not there yet and @make. NULL if there is none. */
struct vpci_physical *vpci_physical(pci_sbdf_t sbdf, bool make);

/* The next after @physical, the first after NULL; NULL if that was the last. */
struct vpci_physical *vpci_next_physical(const struct vpci_physical *physical);

/* Reads the function as its next owner is to find it: it is in trusted hands. The list of devices is locked. */
int vpci_learn(struct vpci_physical *physical, const struct pci_dev *pdev);

/*
 * Whether what its registers say is to be believed: the hardware domain has it, and nobody else had it since it was last
 * reset.
 */
bool vpci_is_credible(const struct vpci_physical *physical,
                      const struct pci_dev *pdev);

/* Looks up what its kind is known for. The list of devices is locked. */
void vpci_look_up(struct vpci_physical *physical);

/* The bridge that has @bus as its secondary one, or RVPCI_NO_SBDF. The list of devices is locked. */
uint32_t vpci_bridge_above(pci_sbdf_t sbdf);

/* Whether @sbdf is on a bus behind @bridge. */
bool vpci_is_behind(pci_sbdf_t sbdf, uint32_t bridge);

/*
 * Whether nobody would miss what a bus reset takes: no reset has it, and it is in quarantine, or a PVH hardware domain's,
 * which does not have it master the bus. The list of devices is locked.
 */
bool vpci_is_idle(const struct pci_dev *pdev);

/* Puts @count rows in the place of those that the toolstack gave before. */
int vpci_set_quirks(uint64_t handle, unsigned int count);

/* reset.c */

/*
 * Resets by one of @methods, and has the running vCPU wait: -ERESTART until it is over. If one goes on already, waits for
 * that. -EBUSY: another vCPU waits for it. -EAGAIN: LONGEST_WAIT is over, and the reset goes on. Else see rvpci_reset_state.
 */
int vpci_reset_and_wait(struct vpci_physical *physical, uint32_t methods);

/*
 * Likewise by any method for one that is to be assigned, unless it was reset since it last had an owner; it is not given
 * back. @may_be_refused: it can be had although no reset can be.
 */
int vpci_reset_unless_clean(struct vpci_physical *physical, bool may_be_refused);

/* VPCI_FUNCTION_* */
uint32_t vpci_reset_state(const struct vpci_physical *physical);

#endif
