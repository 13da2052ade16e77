// SPDX-License-Identifier: GPL-2.0-only
/*
 * BARs in the p2m of their domain.
 */
#include <xen/iocap.h>
#include <xen/sched.h>

#include <xsm/xsm.h>

#include <asm/e820.h>
#include <asm/p2m.h>
#include <asm/paging.h>

#include "glue.h"

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

/* Whether a domain is behind what is mapped: at the end of a reset Xen maps again what a domain had mapped before. */
static bool is_asked(void)
{
    return !is_idle_vcpu(current);
}

int64_t rvpci_host_map(void *domain, uint64_t gfn, uint64_t mfn,
                       uint64_t count)
{
    struct domain *d = domain;
    enum found what;
    p2m_type_t t;
    int64_t rc;

    if ( !iomem_access_permitted(d, mfn, mfn + count - 1) )
    {
        gprintk(XENLOG_WARNING, "%pd may not map MMIO [%"PRIx64", %"PRIx64"]\n",
                d, mfn, mfn + count - 1);
        return -EPERM;
    }

    rc = is_asked() ? xsm_iomem_mapping_vpci(XSM_HOOK, d, mfn, mfn + count - 1,
                                             true) : 0;
    if ( rc )
        return rc;

    /* The p2m stays locked: a guest could put something there between looking and mapping. */
    get_gfn_query(d, gfn, &t);

    /* Mapping over anything else would crash the domain, or take its memory away. */
    count = look(d, gfn, mfn, count, &what);
    if ( what == FOUND_HOLE )
        rc = map_mmio_regions(d, _gfn(gfn), count, _mfn(mfn)) ?: count;
    else
        rc = what == FOUND_SAME ? count : -EEXIST;

    put_gfn(d, gfn);

    if ( what == FOUND_OTHER )
        gprintk(XENLOG_WARNING, "%pd: gfn %"PRIx64" is not free for a BAR\n",
                d, gfn);

    return rc;
}

int64_t rvpci_host_unmap(void *domain, uint64_t gfn, uint64_t mfn,
                         uint64_t count)
{
    struct domain *d = domain;
    enum found what;
    p2m_type_t t;
    int64_t rc;

    /* A domain that dies is not asked, nor is whoever happens to run. */
    rc = d->is_dying || !is_asked()
         ? 0 : xsm_iomem_mapping_vpci(XSM_HOOK, d, mfn, mfn + count - 1, false);
    if ( rc )
        return rc;

    get_gfn_query(d, gfn, &t);

    /* What is not the BAR's is not touched. */
    count = look(d, gfn, mfn, count, &what);
    rc = what == FOUND_SAME
         ? unmap_mmio_regions(d, _gfn(gfn), count, _mfn(mfn)) ?: count : count;

    put_gfn(d, gfn);

    return rc;
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

/* Places of every x86 machine where Xen, or nobody, answers: in frames, with the last. */
static const struct { unsigned long first, last; } fixed[] = {
    { 0x00000, 0x000ff },   /* below 1 MiB: RAM, video memory and ROMs of a PC */
    { 0xfec00, 0xfecff },   /* I/O APICs */
    { 0xfed00, 0xfed00 },   /* HPET */
    { 0xfee00, 0xfeeff },   /* local APICs, and messages */
};

static bool is_fixed(uint64_t first, uint64_t last)
{
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(fixed); i++ )
        if ( first <= fixed[i].last && last >= fixed[i].first )
            return true;

    return false;
}

/* Whether the memory map that the domain was given says anything of these frames. What it says is not checked by Xen. */
static bool is_in_memory_map(struct domain *d, uint64_t first, uint64_t last)
{
    bool found = false;
    unsigned int i;

    spin_lock(&d->arch.e820_lock);
    for ( i = 0; i < d->arch.nr_e820 && !found; i++ )
    {
        uint64_t start = d->arch.e820[i].addr;
        uint64_t end = start + d->arch.e820[i].size - 1;

        if ( !d->arch.e820[i].size )
            continue;
        if ( end < start )
            end = ~0UL;
        found = PFN_DOWN(start) <= last && PFN_DOWN(end) >= first;
    }
    spin_unlock(&d->arch.e820_lock);

    return found;
}

/* How often a placement is looked at 64 entries of the p2m. A hole that has more than these is none. */
#define MAX_LOOKS 64

static bool is_hole(struct domain *d, uint64_t first, uint64_t last)
{
    enum found what = FOUND_HOLE;
    unsigned int i;

    for ( i = 0; i < MAX_LOOKS && first <= last && what == FOUND_HOLE; i++ )
        first += look(d, first, mfn_x(INVALID_MFN), last - first + 1, &what);

    return first > last && what == FOUND_HOLE;
}

/* A BAR would hide a part of configuration space. If the guest moves the window over a BAR later, it has done that itself. */
static bool is_in_ecam(struct domain *d, uint64_t first, uint64_t last)
{
    struct vpci_domain *vd = vpci_domain(d);
    struct rvpci_mch_window window = {};

    if ( vd && vd->mch )
    {
        spin_lock(&vd->mch_lock);
        rvpci_mch_state(vd->mch, &window);
        spin_unlock(&vd->mch_lock);
    }

    return window.size && PFN_DOWN(window.base) <= last &&
           PFN_DOWN(window.base + window.size - 1) >= first;
}

bool rvpci_host_may_place(void *domain, uint64_t first, uint64_t last)
{
    struct domain *d = domain;

    if ( first > last || !gfn_valid(d, _gfn(last)) || is_fixed(first, last) )
        return false;

    /* Xen 4.20 has regions of ECAM for the hardware domain only, and does not tell where they are. */
    if ( !list_empty(&d->arch.hvm.mmcfg_regions) )
        return false;

    return !is_in_ecam(d, first, last) &&
           !is_in_memory_map(d, first, last) && is_hole(d, first, last);
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
