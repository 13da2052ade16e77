// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the library asks of the hypervisor, interrupts aside.
 */
#include <xen/iocap.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/vmap.h>

#include <xsm/xsm.h>

#include <asm/e820.h>
#include <asm/event.h>
#include <asm/io.h>
#include <asm/p2m.h>

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

/* What the p2m has at a frame, compared with what a BAR would have there. */
enum found { FOUND_HOLE, FOUND_SAME, FOUND_OTHER };

/*
 * Looks at up to @count frames from @gfn on and returns how many from the front are like the first, which @what gets.
 * The work is bounded, so there may be more of them.
 */
static uint64_t look(struct domain *d, uint64_t gfn, uint64_t mfn,
                     uint64_t count, enum found *what)
{
    uint64_t done = 0;
    unsigned int i;

    for ( i = 0; i < 64 && done < count; i++ )
    {
        unsigned int order = 0;
        p2m_type_t t;
        p2m_access_t a;
        mfn_t found = get_gfn_type_access(p2m_get_hostp2m(d), gfn + done, &t,
                                          &a, 0, &order);
        enum found this;

        put_gfn(d, gfn + done);

        if ( t == p2m_mmio_dm || t == p2m_invalid )
            this = FOUND_HOLE;
        else if ( t == p2m_mmio_direct && mfn_x(found) == mfn + done )
            this = FOUND_SAME;
        else
            this = FOUND_OTHER;

        if ( !i )
            *what = this;
        else if ( this != *what )
            break;

        /* On to the next entry of the p2m. */
        done = ((gfn + done) | ((1UL << order) - 1)) + 1 - gfn;
    }

    return min(done, count);
}

int64_t rvpci_host_map(void *domain, uint64_t gfn, uint64_t mfn,
                       uint64_t count)
{
    struct domain *d = domain;
    enum found what;
    uint64_t nr;
    int rc;

    if ( !iomem_access_permitted(d, mfn, mfn + count - 1) )
    {
        gprintk(XENLOG_WARNING, "%pd may not map MMIO [%"PRIx64", %"PRIx64"]\n",
                d, mfn, mfn + count - 1);
        return -EPERM;
    }

    rc = xsm_iomem_mapping_vpci(XSM_HOOK, d, mfn, mfn + count - 1, true);
    if ( rc )
        return rc;

    /* Mapping over anything else would crash the domain, or take its memory away. */
    nr = look(d, gfn, mfn, count, &what);
    if ( what == FOUND_SAME )
        return nr;
    if ( what == FOUND_OTHER )
    {
        gprintk(XENLOG_WARNING, "%pd: gfn %"PRIx64" is not free for a BAR\n",
                d, gfn);
        return -EEXIST;
    }

    rc = map_mmio_regions(d, _gfn(gfn), nr, _mfn(mfn));

    return rc ?: nr;
}

int64_t rvpci_host_unmap(void *domain, uint64_t gfn, uint64_t mfn,
                         uint64_t count)
{
    struct domain *d = domain;
    enum found what;
    uint64_t nr;
    int rc;

    rc = xsm_iomem_mapping_vpci(XSM_HOOK, d, mfn, mfn + count - 1, false);
    if ( rc )
        return rc;

    /* What is not the BAR's is not touched. */
    nr = look(d, gfn, mfn, count, &what);
    if ( what != FOUND_SAME )
        return nr;

    rc = unmap_mmio_regions(d, _gfn(gfn), nr, _mfn(mfn));

    return rc ?: nr;
}

int32_t rvpci_host_make_hole(void *domain, uint64_t gfn)
{
    struct domain *d = domain;
    p2m_type_t t;
    mfn_t mfn = get_gfn_query(d, gfn, &t);
    int rc = 0;

    if ( t == p2m_mmio_direct && mfn_x(mfn) == gfn )
        rc = p2m_remove_identity_entry(d, gfn);
    else if ( t != p2m_mmio_dm && t != p2m_invalid )
        rc = -EEXIST;

    put_gfn(d, gfn);

    return rc;
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
