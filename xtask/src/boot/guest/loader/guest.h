// SPDX-License-Identifier: MIT OR Apache-2.0
/* A PVH guest: what it is to be, and how it is laid out. */
#ifndef LOADER_GUEST_H
#define LOADER_GUEST_H

#include "xen.h"

#define MIB (1UL << 20)

/*
 * Guest physical addresses. RAM goes from 0 to the guest's size, but for the hole that PCs have; above it nothing is but BARs.
 */
#define LOW_END 0xa0000UL
#define ACPI_AT 0xe0000UL
#define HIGH_START MIB
#define HOLE_START 0xc0000000UL
#define HOLE_END 0xfec00000UL
#define MAX_MEMORY (HOLE_START / MIB)

#define MAX_DEVICES 8
#define MAX_MAP 4
#define MAX_VCPUS 8
#define MAX_RULES 8

/* The slot is left to Xen. */
#define FIRST_FREE (~0U)

/* A file that is mapped. */
struct file {
    const uint8_t *at;
    size_t size;
};

struct device {
    uint32_t host;          /* its address on the machine */
    uint32_t guest;         /* its address in the guest, or FIRST_FREE until it is placed */
    struct vpci_domctl_bar bar[VPCI_DOMCTL_BARS];
    struct vpci_domctl_rule rules[MAX_RULES];
    unsigned int nr_rules;
    struct file vpd;        /* what the guest gets as its vital product data */
};

struct guest {
    domid_t domain;
    bool exists;
    unsigned long memory;   /* MiB */
    unsigned int vcpus;
    bool vpci;              /* has emulated configuration space */
    bool q35;               /* has the MCH */
    bool hvm;               /* has what HVM domains have emulated */
    uint64_t pciexbar;      /* what its register holds at first */
    bool firmware_bars;     /* BARs are placed by the guest, once */
    bool unreset;           /* devices that have no reset are its as well */
    bool refusals;          /* what Xen must refuse is tried */
    const char *kernel, *initrd, *command_line;
    struct device devices[MAX_DEVICES];
    unsigned int nr_devices;
    uint64_t next_bar;      /* where the hole is still free */
};

/* The ECAM window: none where the size is 0. */
struct ecam {
    uint64_t base, size;
};

/* domain.c */
struct ecam guest_ecam(const struct guest *g);
/* Fills in the guest's memory map, and returns how many entries it has. */
unsigned int guest_memory_map(const struct guest *g, struct hvm_memmap_table_entry map[MAX_MAP]);

/* All of these say what failed, and return false then. */

/* domain.c */
bool guest_create(struct guest *g);
bool guest_populate(struct guest *g);
/* Gives its first vCPU the state to start with. */
bool guest_ready(struct guest *g, uint32_t entry, uint32_t start_info);
bool domain_unpause(domid_t domain);
/* Takes the domain away, and waits until it is gone. */
bool domain_destroy(domid_t domain);
/* Waits for the domain to shut down, as long as so many seconds. */
bool domain_wait(domid_t domain, unsigned int seconds, unsigned int *reason);
/* Likewise until it does nothing for half a second. */
bool domain_idle(domid_t domain, unsigned int seconds);

/* context.c */
struct records {
    uint8_t at[8192];
    size_t used;
};

/* Records for a domain: the first, any other, and, with the last, how they get there. False with errno set. */
void records_start(struct records *all);
void record(struct records *all, uint16_t type, const void *content, size_t size);
bool records_load(domid_t domain, struct records *all);
/* Writes the record of the domain's MCH to a file. */
bool mch_save(domid_t domain, const char *name);
/* Gives a domain that has not run that record; or tries to, spoiled in several ways, each of which Xen has to refuse (`spoiled`). */
bool mch_restore(domid_t domain, const char *name, bool spoil);

/* device.c */
/* Does an operation of vpci_domctl.h on a domain. False with errno set. */
bool vpci_domctl(domid_t domain, struct xen_domctl_vpci *vpci);
/* Prints and stores what a device's BARs are; their guest addresses are those of the domain. */
bool device_query(domid_t domain, uint32_t host, struct vpci_domctl_bar bar[VPCI_DOMCTL_BARS]);
/* Makes the MCH what the options say. */
bool guest_set_q35(struct guest *g);
bool guest_add_device(struct guest *g, struct device *device);
/* Prints `audit SBDF REASON COUNT` lines, and `ring SBDF SEQUENCE REASON OFFSET BYTES VALUE`, the newest first. */
bool device_audit(domid_t domain, uint32_t host);
/* Gives a device that nobody has back to dom0. */
bool device_release(uint32_t host);
/* [SSSS:]BB:DD.F */
bool parse_sbdf(const char *text, uint32_t *sbdf);
const char *show_sbdf(uint32_t sbdf);

/* reset.c */
/*
 * Has Xen reset a device: `kind` is cold, warm, hot, flr, or the number of one. Prints `reset SBDF KIND OUTCOME MS CALLS`, where
 * OUTCOME is `done` or an errno, and CALLS how often Xen was asked. False if it was not done.
 */
bool device_reset(uint32_t host, const char *kind);
/*
 * Likewise, while another processor reads the device's IDs. Prints `watched ones=N back=N away=MS gap=MS used=MS` besides: how often
 * they were all ones, and something else in between; for how long; the longest time in which that processor did not run; and how
 * long the one ran that waited for the reset.
 */
bool device_reset_watched(uint32_t host, const char *kind);
/* Prints what Xen knows of a physical function and its resets, `function SBDF NAME=VALUE...`. */
bool device_function(uint32_t host);
/* Gives Xen these rows about devices, in the place of those that it had. */
bool quirks_set(char *const *rows, unsigned int count);

/* What Xen has to refuse is tried, and told by `expect` in xen.h. */
/* refusals.c: to place a device (`place`), and that nothing is left of it (`unplace`). */
void device_refusals(domid_t domain, uint32_t host);
/* q35_refusals.c: about the MCH and servers (`q35`), before the guest runs and after. */
void q35_refusals(const struct guest *g);
void q35_refusals_after(const struct guest *g);

/* nvme.c: has the NVMe controller with this device file leave queues to virtual functions when it is reset, gives one its own,
 * and has it go online. */
bool nvme_release(const char *path);
bool nvme_assign(const char *path, unsigned int number);
bool nvme_online(const char *path, unsigned int number);

/* image.c */
bool file_open(const char *name, struct file *file);
bool guest_copy(struct guest *g, uint64_t at, const void *from, size_t size);
bool guest_load(struct guest *g, uint32_t *entry, uint32_t *start_info);

/* acpi.c: the tables, as they are at ACPI_AT; how many bytes, or 0 if there is no room. */
size_t acpi_build(uint8_t *at, size_t room, const struct guest *g);

#endif
