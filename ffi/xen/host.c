// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the library asks of the hypervisor: the device itself, and what does not concern one.
 */
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/vmap.h>

#include <asm/e820.h>
#include <asm/event.h>
#include <asm/io.h>

#include "glue.h"

uint32_t rvpci_host_config_read(uint32_t sbdf, uint32_t offset, uint32_t bytes)
{
    pci_sbdf_t dev = { .sbdf = sbdf };

    switch ( bytes )
    {
    case 1:
        return pci_conf_read8(dev, offset);

    case 2:
        return pci_conf_read16(dev, offset);

    case 4:
        return pci_conf_read32(dev, offset);
    }

    ASSERT_UNREACHABLE();
    return ~0U;
}

void rvpci_host_config_write(uint32_t sbdf, uint32_t offset, uint32_t bytes,
                             uint32_t value)
{
    pci_sbdf_t dev = { .sbdf = sbdf };

    switch ( bytes )
    {
    case 1:
        pci_conf_write8(dev, offset, value);
        break;

    case 2:
        pci_conf_write16(dev, offset, value);
        break;

    case 4:
        pci_conf_write32(dev, offset, value);
        break;

    default:
        ASSERT_UNREACHABLE();
        break;
    }
}

bool rvpci_host_next_reserved(uint64_t first, uint64_t last,
                              uint64_t *found_first, uint64_t *found_last)
{
    bool found = false;
    unsigned int i;

    for ( i = 0; i < e820.nr_map; i++ )
    {
        const struct e820entry *entry = &e820.map[i];
        uint64_t start = max(PFN_DOWN(entry->addr), first);
        uint64_t end = min(PFN_DOWN(entry->addr + entry->size - 1), last);

        if ( !entry->size || start > end || (found && start >= *found_first) )
            continue;

        *found_first = start;
        *found_last = end;
        found = true;
    }

    return found;
}

uint32_t rvpci_host_vpd_read(void *device, uint32_t address)
{
    const struct vpci_device *dev = device;
    const struct vpci_placement *place = dev->place;
    uint32_t data = 0;

    if ( place && address < place->vpd_length )
        memcpy(&data, place->vpd + address,
               min_t(size_t, place->vpd_length - address, sizeof(data)));

    return data;
}

bool rvpci_host_preempt(void)
{
    return general_preempt_check();
}

/* The mapping of a host frame in one of the device's places for it. The device's lock is held. */
static void __iomem *map_page(struct vpci_device *dev, uint32_t slot,
                              uint64_t mfn)
{
    if ( slot >= ARRAY_SIZE(dev->page) )
    {
        ASSERT_UNREACHABLE();
        return NULL;
    }

    if ( dev->page[slot].va && dev->page[slot].mfn != mfn )
    {
        iounmap(dev->page[slot].va);
        dev->page[slot].va = NULL;
    }

    if ( !dev->page[slot].va )
    {
        dev->page[slot].va = ioremap(mfn << PAGE_SHIFT, PAGE_SIZE);
        dev->page[slot].mfn = mfn;
    }

    return dev->page[slot].va;
}

int32_t rvpci_host_mmio_read(void *device, uint32_t slot, uint64_t mfn,
                             uint32_t offset, uint32_t bytes, uint64_t *value)
{
    const void __iomem *va = map_page(device, slot, mfn);

    if ( !va )
        return -ENOMEM;

    va += offset;
    switch ( bytes )
    {
    case 1:
        *value = readb(va);
        return 0;

    case 2:
        *value = readw(va);
        return 0;

    case 4:
        *value = readl(va);
        return 0;

    case 8:
        *value = readq(va);
        return 0;
    }

    return -EINVAL;
}

void rvpci_host_mmio_write(void *device, uint32_t slot, uint64_t mfn,
                           uint32_t offset, uint32_t bytes, uint64_t value)
{
    void __iomem *va = map_page(device, slot, mfn);

    if ( !va )
        return;

    va += offset;
    switch ( bytes )
    {
    case 1:
        writeb(value, va);
        break;

    case 2:
        writew(value, va);
        break;

    case 4:
        writel(value, va);
        break;

    case 8:
        writeq(value, va);
        break;
    }
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
