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

#include "vpci.h"

/*
 * One for each domain that has devices, or is to have some. It stands alone in the domain's msix_tables, the list that
 * Xen has for vPCI's use, and goes with the domain.
 */
struct vpci_domain {
    struct list_head anchor;
    struct domain *d;
    struct rvpci_domain *core;
    uint32_t slots;
    struct list_head placements;
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

/* Registers the domain's handler for MSI-X pages. Once for each domain: handlers cannot be taken back. */
void vpci_register_msix_handler(struct domain *d);

/* The vCPU does not run before the domain's deferred work is done. */
void vpci_defer(struct pci_dev *pdev);

/* device.c; all with the domain's lock held exclusively */

/* The vpci_domain of @d, which is made if there is none. While @d runs there must be one. NULL if there is no memory. */
struct vpci_domain *vpci_domain_get(struct domain *d);

/* Names an owner that is no device, RVPCI_OWNER_*. */
int vpci_set_owner(struct vpci_domain *vd, uint32_t sbdf, uint32_t owner);

/* Makes a device of @pdev and attaches it as @info says, whose `device` is filled in here. */
int vpci_take(struct vpci_domain *vd, struct pci_dev *pdev,
              struct rvpci_device_info *info);

/* Undoes it. */
void vpci_let_go(struct pci_dev *pdev);

/* guest.c; all with the domain's lock held exclusively */

int vpci_attach_guest(struct domain *d, struct pci_dev *pdev);
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

/* bars.c */

/* What its physical function says of the virtual function @pdev. The list of devices is locked. */
int vpci_virtual_function(const struct pci_dev *pdev,
                          struct rvpci_virtual_function *vf);

/* The port that the I/O BAR @number starts at. */
uint64_t vpci_io_address(const struct pci_dev *pdev, unsigned int number);

/* The BARs of a function that nobody uses; it does not decode meanwhile. The list of devices is locked. */
void vpci_size_bars(const struct pci_dev *pdev, struct rvpci_bar bar[7]);

#endif
