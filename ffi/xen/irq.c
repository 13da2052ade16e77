// SPDX-License-Identifier: GPL-2.0-only
/*
 * Message signalled interrupts: PIRQs and their bindings.
 */
#include <xen/iommu.h>
#include <xen/irq.h>
#include <xen/sched.h>

#include <asm/irq.h>
#include <asm/msi.h>

#include <public/domctl.h>

#include "glue.h"

static struct domain *owner(const struct vpci_device *dev)
{
    return dev->owner->d;
}

static int32_t map_pirq(const struct vpci_device *dev, int type,
                        unsigned int nr, uint64_t table)
{
    struct msi_info msi = {
        .sbdf = dev->pdev->sbdf,
        .entry_nr = nr,
        .table_base = table,
    };
    int pirq = -1;
    int rc = allocate_and_map_msi_pirq(owner(dev), -1, &pirq, type, &msi);

    if ( rc )
        gprintk(XENLOG_WARNING, "%pp: no PIRQ: %d\n", &dev->pdev->sbdf, rc);

    return rc ?: pirq;
}

int32_t rvpci_host_map_msi(void *device, uint32_t vectors)
{
    return map_pirq(device, MAP_PIRQ_TYPE_MULTI_MSI, vectors, 0);
}

int32_t rvpci_host_map_msix(void *device, uint32_t entry, uint64_t table)
{
    return map_pirq(device, MAP_PIRQ_TYPE_MSI, entry, table);
}

void rvpci_host_unmap_pirq(void *device, int32_t pirq)
{
    struct domain *d = owner(device);

    write_lock(&d->event_lock);
    unmap_domain_pirq(d, pirq);
    write_unlock(&d->event_lock);
}

/* A message as the flags of a binding: see XEN_DOMCTL_VMSI_X86_* and Intel SDM 3A, 11.11. */
static uint32_t binding_flags(uint64_t address, uint32_t data, bool masked)
{
    uint32_t flags = 0;

    flags |= MASK_INSR(MASK_EXTR(address, MSI_ADDR_DEST_ID_MASK),
                       XEN_DOMCTL_VMSI_X86_DEST_ID_MASK);
    flags |= MASK_INSR(MASK_EXTR(address, MSI_ADDR_REDIRECTION_MASK),
                       XEN_DOMCTL_VMSI_X86_RH_MASK);
    flags |= MASK_INSR(MASK_EXTR(address, MSI_ADDR_DESTMODE_MASK),
                       XEN_DOMCTL_VMSI_X86_DM_MASK);
    flags |= MASK_INSR(MASK_EXTR(data, MSI_DATA_DELIVERY_MODE_MASK),
                       XEN_DOMCTL_VMSI_X86_DELIV_MASK);
    flags |= MASK_INSR(MASK_EXTR(data, MSI_DATA_TRIGGER_MASK),
                       XEN_DOMCTL_VMSI_X86_TRIG_MASK);
    if ( !masked )
        flags |= XEN_DOMCTL_VMSI_X86_UNMASKED;

    return flags;
}

int32_t rvpci_host_bind(void *device, int32_t pirq, uint32_t vectors,
                        uint64_t address, uint32_t data, uint32_t mask)
{
    const struct vpci_device *dev = device;
    /* With several vectors, the device varies the low bits of the data (PCIe 7.7.1.5). */
    uint8_t base = MASK_EXTR(data, MSI_DATA_VECTOR_MASK);
    uint8_t low = (1u << (fls(vectors) - 1)) - 1;
    unsigned int i;

    if ( (address & MSI_ADDR_BASE_MASK) != MSI_ADDR_HEADER )
        return -EOPNOTSUPP;

    for ( i = 0; i < vectors; i++ )
    {
        struct xen_domctl_bind_pt_irq bind = {
            .machine_irq = pirq + i,
            .irq_type = PT_IRQ_TYPE_MSI,
            .u.msi.gvec = (base & ~low) | ((base + i) & low),
            .u.msi.gflags = binding_flags(address, data, (mask >> i) & 1),
        };
        int rc = pt_irq_create_bind(owner(dev), &bind);

        if ( rc )
        {
            gprintk(XENLOG_WARNING, "%pp: PIRQ %d cannot be bound: %d\n",
                    &dev->pdev->sbdf, pirq + i, rc);
            rvpci_host_unbind(device, pirq, i);
            return rc;
        }
    }

    return 0;
}

void rvpci_host_unbind(void *device, int32_t pirq, uint32_t vectors)
{
    const struct vpci_device *dev = device;
    unsigned int i;

    for ( i = 0; i < vectors; i++ )
    {
        struct xen_domctl_bind_pt_irq bind = {
            .machine_irq = pirq + i,
            .irq_type = PT_IRQ_TYPE_MSI,
        };

        /* When a domain dies, Xen unbinds all its PIRQs before its devices go. */
        if ( pt_irq_destroy_bind(owner(dev), &bind) && !owner(dev)->is_dying )
            gprintk(XENLOG_WARNING, "%pp: PIRQ %d was not bound\n",
                    &dev->pdev->sbdf, pirq + i);
    }
}

void rvpci_host_mask(void *device, int32_t pirq, bool masked)
{
    unsigned long flags;
    struct irq_desc *desc = domain_spin_lock_irq_desc(owner(device), pirq,
                                                      &flags);

    if ( !desc )
        return;

    guest_mask_msi_irq(desc, masked);
    spin_unlock_irqrestore(&desc->lock, flags);
}

int32_t rvpci_host_filter_msix_control(void *device, uint32_t offset,
                                       uint32_t value)
{
    const struct vpci_device *dev = device;
    int rc = pci_msi_conf_write_intercept(dev->pdev, offset, 2, &value);

    return rc < 0 ? rc : value;
}

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
