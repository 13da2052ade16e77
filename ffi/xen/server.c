// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device-model servers (ioreq servers) claim functions. Whoever calls here holds the lock for servers of the domain,
 * inside which pci_lock is taken.
 */
#include <xen/ioreq.h>
#include <xen/rangeset.h>
#include <xen/sched.h>

#include <public/hvm/dm_op.h>

#include "glue.h"
#include "hooks.h"

/* A domain without vPCI and without the MCH has no owners: Xen takes the first server that has the range. */
static int claim(struct domain *d, unsigned int id, uint64_t start,
                 uint64_t end)
{
    struct vpci_domain *vd;
    int rc = 0;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd && end > UINT32_MAX )
        rc = -EINVAL;
    else if ( vd )
        while ( (rc = rvpci_claim(vd->core, start, end, id)) == -ENOSPC &&
                !(rc = vpci_grow(vd)) )
            continue;
    write_unlock(&d->pci_lock);

    return rc;
}

static void release(struct domain *d, unsigned int id, uint64_t start,
                    uint64_t end)
{
    struct vpci_domain *vd;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd )
        rvpci_release(vd->core, start, end, id);
    write_unlock(&d->pci_lock);
}

int vpci_add_range(struct domain *d, unsigned int id, unsigned int type,
                   struct rangeset *r, uint64_t start, uint64_t end)
{
    int rc = type == XEN_DMOP_IO_RANGE_PCI ? claim(d, id, start, end) : 0;

    if ( rc )
        return rc;

    rc = rangeset_add_range(r, start, end);
    if ( rc && type == XEN_DMOP_IO_RANGE_PCI )
        release(d, id, start, end);

    return rc;
}

int vpci_remove_range(struct domain *d, unsigned int id, unsigned int type,
                      struct rangeset *r, uint64_t start, uint64_t end)
{
    int rc = rangeset_remove_range(r, start, end);

    if ( !rc && type == XEN_DMOP_IO_RANGE_PCI )
        release(d, id, start, end);

    return rc;
}

void vpci_remove_server(struct domain *d, unsigned int id)
{
    struct vpci_domain *vd;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd )
    {
        rvpci_release(vd->core, 0, UINT32_MAX, id);
        /* The next one with this number may know less. */
        rvpci_set_extended(vd->core, id, false);
    }
    write_unlock(&d->pci_lock);
}

bool vpci_may_forward(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                      unsigned int len)
{
    const struct vpci_domain *vd;
    struct rvpci_device *core;
    bool may;

    read_lock(&d->pci_lock);
    vd = vpci_domain(d);
    may = vd && rvpci_may_forward(vd->core,
                                  rvpci_find(vd->core, sbdf.sbdf, &core),
                                  reg, len);
    read_unlock(&d->pci_lock);

    return may;
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
