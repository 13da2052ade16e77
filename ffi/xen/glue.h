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

#include "vpci.h"

/*
 * One for each domain that has devices, which today is the hardware domain. It stands alone in the domain's
 * msix_tables, the list that Xen has for vPCI's use, and is not freed: the hardware domain does not go.
 */
struct vpci_domain {
    struct list_head anchor;
    struct domain *d;
    struct rvpci_domain *core;
    uint32_t slots;
};

/* Mappings for the neighbours of an MSI-X table and PBA: the first and last page of each. */
#define VPCI_PAGES 4

/* One for each device; pdev->vpci points to its first member, of which only the lock is used. */
struct vpci_device {
    struct vpci vpci;
    struct vpci_domain *owner;
    struct pci_dev *pdev;
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

/* Registers the domain's handler for MSI-X pages. Once for each domain: handlers cannot be taken back. */
void vpci_register_msix_handler(struct domain *d);

/* The vCPU does not run before the domain's deferred work is done. */
void vpci_defer(struct pci_dev *pdev);

#endif
