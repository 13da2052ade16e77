// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices come and go.
 */
#include <xen/init.h>
#include <xen/param.h>
#include <xen/softirq.h>
#include <xen/vmap.h>

#include <asm/msi.h>

#include "glue.h"
#include "hooks.h"

/* Places for owners that a domain has at first: a quarter can be used. Doubled when that is not enough. */
#define FIRST_SLOTS 128

/* vpci-hide=[<seg>:]<bus>:<dev>.<func>[,...]: functions that the hardware domain does not see. */
static pci_sbdf_t __ro_after_init hidden[32];
static unsigned int __ro_after_init nr_hidden;

static int __init cf_check parse_vpci_hide(const char *s)
{
    while ( *s )
    {
        unsigned int seg, bus, dev, func;

        s = parse_pci(s, &seg, &bus, &dev, &func);
        if ( !s || (*s && *s != ',') )
            return -EINVAL;
        if ( nr_hidden == ARRAY_SIZE(hidden) )
            return -E2BIG;
        hidden[nr_hidden++] = PCI_SBDF(seg, bus, dev, func);
        if ( *s == ',' )
            s++;
    }

    return 0;
}
custom_param("vpci-hide", parse_vpci_hide);

static bool is_hidden(pci_sbdf_t sbdf)
{
    unsigned int i;

    for ( i = 0; i < nr_hidden; i++ )
        if ( hidden[i].sbdf == sbdf.sbdf )
            return true;

    return false;
}

int vpci_grow(struct vpci_domain *vd)
{
    uint32_t slots = vd->core ? vd->slots * 2 : FIRST_SLOTS;
    size_t size = rvpci_domain_size(slots);
    struct rvpci_domain *core;
    int rc;

    if ( !size )
        return -ENOSPC;

    core = _xmalloc(size, sizeof(uint64_t));
    if ( !core )
        return -ENOMEM;

    rc = rvpci_domain_init(core, size, slots, vd->d, vd->core);
    if ( rc )
    {
        xfree(core);
        return rc;
    }

    xfree(vd->core);
    vd->core = core;
    vd->slots = slots;

    return 0;
}

int vpci_set_owner(struct vpci_domain *vd, uint32_t sbdf, uint32_t owner)
{
    int rc = rvpci_set_owner(vd->core, sbdf, owner);

    if ( rc == -ENOSPC )
        rc = vpci_grow(vd) ?: rvpci_set_owner(vd->core, sbdf, owner);

    return rc;
}

static void free_domain(struct vpci_domain *vd)
{
    while ( !list_empty(&vd->placements) )
        vpci_drop_placement(vd, list_first_entry(&vd->placements,
                                                 struct vpci_placement, list));
    xfree(vd->mch);
    xfree(vd->core);
    xfree(vd);
}

static int init(struct vpci_domain *vd)
{
    unsigned int i;
    int rc = vpci_grow(vd);

    for ( i = 0; i < nr_hidden && is_hardware_domain(vd->d) && !rc; i++ )
        rc = vpci_set_owner(vd, hidden[i].sbdf, RVPCI_OWNER_HIDDEN);

    /* The toolstack says where the ECAM window is. Without it there is none at first. */
    if ( !rc && has_mch(vd->d) )
        rc = vpci_set_owner(vd, 0, RVPCI_OWNER_MCH) ?: vpci_mch_make(vd, 0, 0, 0);

    return rc;
}

int vpci_domain_init(struct domain *d)
{
    struct vpci_domain *vd;
    int rc;

    if ( !has_vpci(d) && !has_mch(d) )
        return 0;

    if ( rvpci_abi_version() != RVPCI_ABI_VERSION )
    {
        printk(XENLOG_ERR "vPCI: the library has ABI %u, not %u\n",
               rvpci_abi_version(), RVPCI_ABI_VERSION);
        return -EOPNOTSUPP;
    }

    vd = xzalloc(struct vpci_domain);
    if ( !vd )
        return -ENOMEM;

    vd->d = d;
    INIT_LIST_HEAD(&vd->placements);
    spin_lock_init(&vd->mch_lock);
    rc = init(vd);
    if ( rc )
    {
        free_domain(vd);
        return rc;
    }

    list_add(&vd->anchor, &d->arch.hvm.msix_tables);
    vpci_register_config_handlers(d);

    return 0;
}

void vpci_domain_destroy(struct domain *d)
{
    struct vpci_domain *vd;

    /* It may be looked at by others than the domain. */
    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd )
        list_del(&vd->anchor);
    write_unlock(&d->pci_lock);

    if ( vd )
        free_domain(vd);
}

/* Does the domain's deferred work here and now: there is no vCPU to wait for it. The exclusive lock is held. */
static void finish(struct vpci_domain *vd)
{
    while ( rvpci_step(vd->core) == RVPCI_AGAIN )
    {
        if ( system_state >= SYS_STATE_active )
            continue;

        /* Devices do not go away while the system boots. */
        write_unlock(&vd->d->pci_lock);
        process_pending_softirqs();
        write_lock(&vd->d->pci_lock);
    }
}

/*
 * Whose view of a device it is: a device hidden from all (DomXEN's) is seen by the hardware domain, which does not own
 * it. The callers hold the lock of the owner; that of the viewer is taken here if it is another.
 */
static struct domain *viewer(const struct pci_dev *pdev)
{
    ASSERT(rw_is_write_locked(&pdev->domain->pci_lock));

    return pdev->domain == dom_xen ? hardware_domain : pdev->domain;
}

static void lock_viewer(struct domain *d, const struct pci_dev *pdev)
{
    if ( d != pdev->domain )
        write_lock(&d->pci_lock);
}

static void unlock_viewer(struct domain *d, const struct pci_dev *pdev)
{
    if ( d != pdev->domain )
        write_unlock(&d->pci_lock);
}

int vpci_take(struct vpci_domain *vd, struct pci_dev *pdev,
              struct rvpci_device_info *info)
{
    size_t size = rvpci_device_size(info->sbdf, info->registers);
    struct vpci_device *dev = _xzalloc(sizeof(*dev) + size, sizeof(uint64_t));
    int rc;

    if ( !dev )
        return -ENOMEM;

    spin_lock_init(&dev->vpci.lock);
    dev->owner = vd;
    dev->pdev = pdev;
    info->device = dev;

    rc = rvpci_device_attach(vd->core, dev->core, size, info);
    if ( rc == -ENOSPC )
        rc = vpci_grow(vd) ?: rvpci_device_attach(vd->core, dev->core, size, info);
    if ( rc < 0 )
        xfree(dev);
    else
        pdev->vpci = &dev->vpci;

    return rc;
}

void vpci_let_go(struct pci_dev *pdev)
{
    struct vpci_device *dev = vpci_device(pdev);
    unsigned int i;

    rvpci_device_detach(dev->owner->core, vpci_core(dev));
    pdev->vpci = NULL;

    for ( i = 0; i < ARRAY_SIZE(dev->page); i++ )
        if ( dev->page[i].va )
            iounmap(dev->page[i].va);

    xfree(dev);
}

static void describe_hardware(const struct pci_dev *pdev,
                              struct rvpci_device_info *info)
{
    *info = (struct rvpci_device_info){
        .sbdf = pdev->sbdf.sbdf,
        .guest = pdev->sbdf.sbdf,
        .view = RVPCI_VIEW_HARDWARE,
        .flags = pdev->ignore_bars ? RVPCI_IGNORE_BARS : 0,
        .registers = RVPCI_REGISTERS,
    };
}

/* RVPCI_DONE, RVPCI_PENDING, or an error. */
static int take_hardware(struct domain *d, struct pci_dev *pdev)
{
    const unsigned long *ro_map = pci_get_ro_map(pdev->sbdf.seg);
    struct vpci_domain *vd = vpci_domain(d);
    struct rvpci_device_info info;
    bool hide;

    if ( !vd )
        return -ENODEV;

    vpci_watch_pages(vd);
    hide = vpci_hide_until_reset(pdev);

    if ( is_hidden(pdev->sbdf) )
        return RVPCI_DONE;

    if ( ro_map && test_bit(pdev->sbdf.bdf, ro_map) )
        return vpci_set_owner(vd, pdev->sbdf.sbdf, RVPCI_OWNER_READ_ONLY);

    if ( hide )
        return vpci_set_owner(vd, pdev->sbdf.sbdf, RVPCI_OWNER_HIDDEN);

    vpci_meet(pdev->sbdf);

    describe_hardware(pdev, &info);

    return vpci_take(vd, pdev, &info);
}

static int attach_hardware(struct domain *d, struct pci_dev *pdev)
{
    int rc = take_hardware(d, pdev);

    if ( rc == RVPCI_PENDING )
    {
        if ( system_state >= SYS_STATE_active && current->domain == d )
            vpci_defer(pdev);
        else
            finish(vpci_domain(d));
    }

    return min(rc, 0);
}

int vpci_assign_device(struct pci_dev *pdev)
{
    struct domain *d = viewer(pdev);
    int rc;

    if ( !d || !has_vpci(d) )
        return 0;

    ASSERT(!pdev->vpci);

    lock_viewer(d, pdev);
    rc = is_hardware_domain(d) ? attach_hardware(d, pdev)
                               : vpci_attach_guest(d, pdev);
    unlock_viewer(d, pdev);

    return rc;
}

void vpci_deassign_device(struct pci_dev *pdev)
{
    struct domain *d = viewer(pdev);
    struct vpci_domain *vd;

    if ( d && d != dom_io && !is_hardware_domain(d) && vpci_resets() )
        vpci_reset_left(pdev->sbdf);

    if ( !d || !has_vpci(d) )
        return;

    lock_viewer(d, pdev);
    vd = vpci_domain(d);
    if ( vd && !is_hardware_domain(d) )
        vpci_detach_guest(vd, pdev);
    /* A device that is hidden or read-only stays so: what it is does not depend on whether Xen knows it. */
    else if ( pdev->vpci )
        vpci_let_go(pdev);
    else if ( vd && vpci_stop_hiding(pdev->sbdf) )
        vpci_set_owner(vd, pdev->sbdf.sbdf, RVPCI_OWNER_DEFAULT);
    unlock_viewer(d, pdev);
}

/* Who sees a device, locked as its owner is; NULL if nobody does. */
static struct vpci_domain *lock_both(const struct pci_dev *pdev)
{
    struct domain *d;

    write_lock(&pdev->domain->pci_lock);
    d = viewer(pdev);
    if ( d )
        lock_viewer(d, pdev);

    return d && has_vpci(d) ? vpci_domain(d) : NULL;
}

static void unlock_both(const struct pci_dev *pdev)
{
    struct domain *d = viewer(pdev);

    if ( d )
        unlock_viewer(d, pdev);
    write_unlock(&pdev->domain->pci_lock);
}

int32_t vpci_withdraw(struct pci_dev *pdev)
{
    struct vpci_domain *vd = lock_both(pdev);
    int32_t rc = RVPCI_DONE;

    if ( vd && pdev->vpci )
    {
        rc = rvpci_device_withdraw(vd->core, vpci_core(vpci_device(pdev)));
        vpci_device(pdev)->withdrawn = true;
    }
    unlock_both(pdev);

    return rc;
}

static int32_t reattach_hardware(struct vpci_domain *vd, struct pci_dev *pdev)
{
    struct rvpci_device_info info;

    describe_hardware(pdev, &info);
    info.device = vpci_device(pdev);

    return rvpci_device_reattach(vd->core, vpci_core(vpci_device(pdev)), &info);
}

int32_t vpci_give_back(struct pci_dev *pdev, bool hidden)
{
    struct vpci_domain *vd = lock_both(pdev);
    int32_t rc = RVPCI_DONE;

    if ( vd && hidden )
    {
        vpci_set_owner(vd, pdev->sbdf.sbdf, RVPCI_OWNER_DEFAULT);
        rc = take_hardware(vd->d, pdev);
    }
    else if ( vd && pdev->vpci && vpci_device(pdev)->withdrawn )
    {
        /* If it came to no reset, it may still be on its way out. */
        rc = rvpci_device_withdraw(vd->core, vpci_core(vpci_device(pdev)));
        if ( rc == RVPCI_DONE )
        {
            rc = is_hardware_domain(vd->d) ? reattach_hardware(vd, pdev)
                                           : vpci_reattach_guest(vd, pdev);
            vpci_device(pdev)->withdrawn = rc < 0;
            if ( pdev->msix )
            {
                /* All of its interrupts were given up, and so are their masks. */
                pdev->msix->host_maskall = false;
                pdev->msix->guest_maskall = false;
            }
        }
    }
    unlock_both(pdev);

    return rc;
}

bool vpci_map_pending(struct domain *d)
{
    const struct vpci_domain *vd;
    int32_t rc = RVPCI_DONE;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd )
        rc = rvpci_step(vd->core);
    write_unlock(&d->pci_lock);

    return rc == RVPCI_AGAIN;
}

void vpci_freeze(uint32_t bridge, bool frozen)
{
    const struct pci_dev *pdev = pci_get_pdev(NULL,
                                              (pci_sbdf_t){ .sbdf = bridge });

    if ( !pdev || !pdev->domain )
        return;

    if ( lock_both(pdev) && pdev->vpci )
        vpci_device(pdev)->frozen = frozen;
    unlock_both(pdev);
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
