/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Glue between Xen and the vPCI library.
 *
 * Locks: the library's "shared" and "exclusive" are the read and write modes of the owning domain's pci_lock, its
 * device lock is the lock in struct vpci. Devices hidden from everybody (DomXEN's) belong to the hardware domain here.
 */
#ifndef VPCI_GLUE_H
#define VPCI_GLUE_H

#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/vpci.h>

/* vpci.h uses it, and Xen has no <stdint.h>. */
#ifndef UINT64_MAX
# define UINT64_MAX (~0UL)
#endif

#include "hooks.h"
#include "vpci.h"

#define has_mch(d) (!!((d)->arch.emulation_flags & X86_EMU_Q35))

/*
 * One for each domain with vPCI or the MCH. It stands alone in the domain's msix_tables, the list that Xen has for vPCI's
 * use, from the domain's creation until its end.
 */
struct vpci_domain {
    struct list_head anchor;
    struct domain *d;
    struct rvpci_domain *core;
    uint32_t slots;
    bool watches_pages;         /* has a handler for the pages of MSI-X tables */
    struct list_head placements;
    spinlock_t mch_lock;        /* for the MCH; nothing is locked inside */
    struct rvpci_mch *mch;      /* NULL if the domain has none */
};

/*
 * Where a guest sees a device, and how. It stays when the device goes, so that one that is reset, or assigned again, is
 * found where it was.
 */
struct vpci_placement {
    struct list_head list;
    pci_sbdf_t machine;
    uint32_t guest;
    bool chosen;                /* by the toolstack: nobody else gets the address */
    bool prepared;              /* Xen was told where the MSI-X table is, and is to be told to forget it */
    uint32_t flags;             /* VPCI_PLACE_* */
    uint64_t bar[7];
    uint8_t *vpd;               /* NULL for none */
    uint32_t vpd_length;
    uint32_t nr_rules;
    struct rvpci_rule rules[];
};

/* Mappings for the neighbours of an MSI-X table and PBA: the first and last page of each. */
#define VPCI_PAGES 4

/* One for each device; pdev->vpci points to its first member, of which only the lock is used. */
struct vpci_device {
    struct vpci vpci;
    struct vpci_domain *owner;
    struct pci_dev *pdev;
    struct vpci_placement *place;   /* NULL for the hardware domain's */
    bool withdrawn;             /* it is being reset, or did not survive that */
    bool frozen;                /* a bridge whose bus is being reset: what the hardware domain writes is dropped */
    struct {
        void __iomem *va;
        uint64_t mfn;
    } page[VPCI_PAGES];
    uint64_t core[];
};

static inline struct vpci_domain *vpci_domain(const struct domain *d)
{
    return list_first_entry_or_null(&d->arch.hvm.msix_tables, struct vpci_domain, anchor);
}

static inline struct vpci_device *vpci_device(const struct pci_dev *pdev)
{
    return container_of(pdev->vpci, struct vpci_device, vpci);
}

static inline struct vpci_device *vpci_from_core(struct rvpci_device *core)
{
    return container_of((uint64_t *)core, struct vpci_device, core[0]);
}

static inline struct rvpci_device *vpci_core(struct vpci_device *dev)
{
    return (struct rvpci_device *)dev->core;
}

/* access.c */

/* Any access of a domain, once decoded. False if a device-model server is to be asked. */
bool vpci_config_read(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                      unsigned int len, uint64_t *data);
bool vpci_config_write(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                       unsigned int len, uint64_t data);

/*
 * Whether this CPU has the domain's p2m locked. A nested page fault asks the handlers first without locks; then, if the
 * page is nobody's, the whole instruction is emulated with the p2m locked, and any of its operands, or what another vCPU
 * has done since, can lead here. Whoever changes a mapping locks the p2m inside pci_lock, so that must not be taken then.
 */
bool vpci_p2m_is_locked(const struct domain *d);

/* Registers the domain's handler for MSI-X pages, unless it has it: handlers cannot be taken back. */
void vpci_watch_pages(struct vpci_domain *vd);

/* The vCPU does not run before the domain's deferred work is done. */
void vpci_defer(struct pci_dev *pdev);

/* device.c; all with the domain's lock held exclusively */

/* Gives the domain room for twice as many owners as it has, or for the first ones. */
int vpci_grow(struct vpci_domain *vd);

/* Names an owner that is no device, RVPCI_OWNER_*. */
int vpci_set_owner(struct vpci_domain *vd, uint32_t sbdf, uint32_t owner);

/* Makes a device of @pdev and attaches it as @info says, whose `device` is filled in here. */
int vpci_take(struct vpci_domain *vd, struct pci_dev *pdev,
              struct rvpci_device_info *info);

/* Undoes it. */
void vpci_let_go(struct pci_dev *pdev);

/* The rest with the list of devices locked, and nothing else. */

/* Takes a function from whoever sees it. RVPCI_DONE, or RVPCI_AGAIN as long as pages are in the p2m. */
int32_t vpci_withdraw(struct pci_dev *pdev);

/*
 * Gives it back, or to a hardware domain that it was @hidden from. RVPCI_DONE, also if nobody is to see it; RVPCI_PENDING if
 * vpci_map_pending has work; RVPCI_AGAIN as long as pages are in the p2m; an error of rvpci_device_attach.
 */
int32_t vpci_give_back(struct pci_dev *pdev, bool hidden);

/* Does a part of a domain's deferred work. Whether there is more. Nothing is locked. */
bool vpci_map_pending(struct domain *d);

/* Whether the hardware domain's writes to a bridge are dropped. */
void vpci_freeze(uint32_t bridge, bool frozen);

/* guest.c; all with the domain's lock held exclusively */

int vpci_attach_guest(struct domain *d, struct pci_dev *pdev);
int vpci_reattach_guest(struct vpci_domain *vd, struct pci_dev *pdev);
void vpci_detach_guest(struct vpci_domain *vd, struct pci_dev *pdev);

/* What the toolstack said of a device, or NULL. */
struct vpci_placement *vpci_placement(const struct vpci_domain *vd,
                                      pci_sbdf_t machine);

/* Puts @place in the place of @old, which may be NULL, and finds its address if it has none. */
int vpci_add_placement(struct vpci_domain *vd, struct vpci_placement *place,
                       struct vpci_placement *old);
void vpci_drop_placement(struct vpci_domain *vd, struct vpci_placement *place);

/* Of a placement that is in no list; needs no lock. */
void vpci_free_placement(struct vpci_placement *place);

/* config.c */

void vpci_register_config_handlers(struct domain *d);

/* mch.c */

/* Makes the domain's MCH, in place of the one that it may have: see rvpci_mch_init. It has not run yet. */
int vpci_mch_make(struct vpci_domain *vd, uint64_t pciexbar,
                  uint64_t low_ram_end, uint64_t high_ram_end);

/* server.c */

/* Whether a server owns the function and can be asked for this. */
bool vpci_may_forward(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                      unsigned int len);

/* bars.c */

/* What its physical function says of the virtual function @pdev. The list of devices is locked. */
int vpci_virtual_function(const struct pci_dev *pdev,
                          struct rvpci_virtual_function *vf);

/* The port that the I/O BAR @number starts at. */
uint64_t vpci_io_address(const struct pci_dev *pdev, unsigned int number);

/* The BARs of a function that nobody uses; it does not decode meanwhile. The list of devices is locked. */
void vpci_size_bars(const struct pci_dev *pdev, struct rvpci_bar bar[7]);

/*
 * What is known of the BARs of @pdev, and where its owner sees it. -EBUSY: nothing, and it may be in use. The list of
 * devices is locked.
 */
int vpci_read_bars(const struct pci_dev *pdev, struct rvpci_bar bar[7],
                   uint32_t *guest);

/* physical.c */

/* Has a look at a function that the hardware domain gets: what it means to the resets of others. */
void vpci_meet(pci_sbdf_t sbdf);

/* What the library knows of a function that left the hardware domain; NULL for nothing. */
struct rvpci_physical *vpci_known(pci_sbdf_t sbdf);

/* reset.c */

/* Whether devices are reset: not where the hardware domain reaches them without the library. */
static inline bool vpci_resets(void)
{
    return hardware_domain && has_vpci(hardware_domain);
}

/*
 * Has the running vCPU wait for the end of a reset of the function, if one goes on: -ERESTART until it is over. -EBUSY:
 * another vCPU waits for it. -EAGAIN: the reset goes on after LONGEST_WAIT. The list of devices is locked.
 */
int vpci_wait_for_reset(pci_sbdf_t sbdf);

/* The function is nobody's now: it is reset when the caller has unlocked the list of devices. */
void vpci_reset_left(pci_sbdf_t sbdf);

/* The guest that has the function asks for a reset, and was taken it away. Its lock is held exclusively. */
void vpci_reset_by_guest(pci_sbdf_t sbdf);

/*
 * Whether a function that the hardware domain gets now is to be hidden from it until a reset is over: vpci_give_back ends
 * that. The list of devices is locked.
 */
bool vpci_hide_until_reset(const struct pci_dev *pdev);

/* Whether the function must not be accessed, as a reset has it. */
bool vpci_is_being_reset(pci_sbdf_t sbdf);

/* Whether a BAR of such a function started in a frame, when it was last read. The list of devices is locked. */
bool vpci_was_in_frame(pci_sbdf_t sbdf, uint64_t mfn);

/* Whether it was hidden; it is not to be any more. The list of devices is locked. */
bool vpci_stop_hiding(pci_sbdf_t sbdf);

#endif
