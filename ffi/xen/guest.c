// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices of guests: where they are seen, and what Xen itself has to know of them.
 */
#include <xen/param.h>
#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/xvmalloc.h>

#include <asm/msi.h>

#include "physical.h"

struct vpci_placement *vpci_placement(const struct vpci_domain *vd,
                                      pci_sbdf_t machine)
{
    struct vpci_placement *place;

    list_for_each_entry ( place, &vd->placements, list )
        if ( place->machine.sbdf == machine.sbdf )
            return place;

    return NULL;
}

/*
 * While no device is at an address that the toolstack chose, the address is hidden: it reads as if nothing were there,
 * and is not free.
 */
static int reserve(struct vpci_domain *vd, const struct vpci_placement *place)
{
    return place->chosen
           ? vpci_set_owner(vd, place->guest, RVPCI_OWNER_HIDDEN) : 0;
}

static void unreserve(struct vpci_domain *vd,
                      const struct vpci_placement *place)
{
    if ( place->chosen )
        vpci_set_owner(vd, place->guest, RVPCI_OWNER_DEFAULT);
}

static int find_free(const struct vpci_domain *vd, uint32_t *guest)
{
    *guest = rvpci_find_free(vd->core);

    return *guest == VPCI_FIRST_FREE ? -ENOSPC : 0;
}

int vpci_add_placement(struct vpci_domain *vd, struct vpci_placement *place,
                       struct vpci_placement *old)
{
    struct rvpci_device *core;
    int rc = 0;

    if ( old )
        unreserve(vd, old);

    if ( place->guest == VPCI_FIRST_FREE )
        rc = find_free(vd, &place->guest);
    else if ( rvpci_find(vd->core, place->guest, &core) != RVPCI_OWNER_DEFAULT )
        rc = -EEXIST;
    if ( !rc )
        rc = reserve(vd, place);
    if ( rc )
    {
        /* It was so before. */
        if ( old )
            reserve(vd, old);
        return rc;
    }

    if ( old )
    {
        place->prepared = old->prepared;
        list_del(&old->list);
        vpci_free_placement(old);
    }
    list_add_tail(&place->list, &vd->placements);

    return 0;
}

void vpci_drop_placement(struct vpci_domain *vd, struct vpci_placement *place)
{
    unreserve(vd, place);
    list_del(&place->list);
    vpci_free_placement(place);
}

void vpci_free_placement(struct vpci_placement *place)
{
    xvfree(place->vpd);
    xfree(place);
}

/*
 * Tells Xen where the MSI-X table is while the device is only the host's: when the guest asks for interrupts, Xen reads
 * nothing of that from the device any more, and believes only the hardware domain.
 */
static int prepare_msix(struct pci_dev *pdev, struct vpci_placement *place)
{
    struct rvpci_msix msix;
    int rc = 0;

    if ( !pdev->msix || place->prepared ||
         !rvpci_msix_state(vpci_core(vpci_device(pdev)), &msix) )
        return 0;

    /* Whoever assigns a device has this lock, which comes before the domain's: it must not be waited for. */
    if ( !pcidevs_trylock() )
        return -EBUSY;

    /* A PV hardware domain may have done it; then it will undo it. */
    if ( !pdev->msix->table.first )
    {
        rc = pci_prepare_msix(pdev->seg, pdev->bus, pdev->devfn, false);
        place->prepared = !rc;
    }

    pcidevs_unlock();

    return rc;
}

static void release_msix(struct pci_dev *pdev, struct vpci_placement *place,
                         bool withdrawn)
{
    unsigned int control;

    if ( !pdev->msix )
        return;

    /* The next owner is not to find what the guest left: Xen refuses to assign a device that is masked as a whole. */
    control = msix_control_reg(pdev->msix_pos);
    pdev->msix->host_maskall = false;
    pdev->msix->guest_maskall = false;
    /* While it is reset, it is not to be looked at, and has none of these. */
    if ( !withdrawn )
        pci_conf_write16(pdev->sbdf, control,
                         pci_conf_read16(pdev->sbdf, control) &
                         ~(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL));

    if ( !place->prepared || !pcidevs_trylock() )
        return;

    if ( pci_prepare_msix(pdev->seg, pdev->bus, pdev->devfn, true) )
        printk(XENLOG_WARNING "%pp: its MSI-X table stays in use\n",
               &pdev->sbdf);
    else
        place->prepared = false;

    pcidevs_unlock();
}

/* The placement of a device that is assigned without. */
static struct vpci_placement *place_anywhere(struct vpci_domain *vd,
                                             const struct pci_dev *pdev)
{
    struct vpci_placement *place = xzalloc(struct vpci_placement);
    unsigned int i;

    if ( !place )
        return NULL;

    place->machine = pdev->sbdf;
    place->guest = VPCI_FIRST_FREE;
    place->flags = VPCI_PLACE_FIRMWARE_BARS;
    for ( i = 0; i < ARRAY_SIZE(place->bar); i++ )
        place->bar[i] = RVPCI_NO_ADDRESS;
    list_add_tail(&place->list, &vd->placements);

    return place;
}

/* How a guest gets a device. @vf is filled in if it is a virtual function's. */
static int describe(const struct pci_dev *pdev,
                    const struct vpci_placement *place,
                    struct rvpci_virtual_function *vf,
                    struct rvpci_device_info *info)
{
    int rc;

    *info = (struct rvpci_device_info){
        .sbdf = pdev->sbdf.sbdf,
        .guest = place->guest,
        .view = RVPCI_VIEW_GUEST,
        .flags = (place->flags & VPCI_PLACE_FIRMWARE_BARS
                  ? RVPCI_BARS_BY_FIRMWARE : 0) |
                 (place->flags & VPCI_PLACE_TRUSTED ? RVPCI_TRUSTED : 0) |
                 (place->vpd ? RVPCI_VPD : 0),
        .registers = RVPCI_REGISTERS,
        .rule_count = place->nr_rules,
        .rules = place->nr_rules ? place->rules : NULL,
        .physical = vpci_known(pdev->sbdf),
    };

    /* Of one that is not known, no way around configuration space is, nor whether it is to be kept from guests. */
    if ( !info->physical && !(place->flags & VPCI_PLACE_TRUSTED) )
        return -EPERM;

    BUILD_BUG_ON(sizeof(info->bar) != sizeof(place->bar));
    memcpy(info->bar, place->bar, sizeof(info->bar));

    if ( pdev->info.is_virtfn )
    {
        rc = vpci_virtual_function(pdev, vf);
        if ( rc )
            return rc;
        info->vf = vf;
    }

    return 0;
}

static int take(struct vpci_domain *vd, struct pci_dev *pdev,
                struct vpci_placement *place)
{
    struct rvpci_virtual_function vf;
    struct rvpci_device_info info;
    int rc = describe(pdev, place, &vf, &info);

    if ( rc )
        return rc;

    if ( place->guest == VPCI_FIRST_FREE )
    {
        rc = find_free(vd, &place->guest);
        if ( rc )
            return rc;
    }

    info.guest = place->guest;
    rc = vpci_take(vd, pdev, &info);
    if ( rc == -EEXIST && !place->chosen )
    {
        /* Somebody else got the place while the device was away. */
        rc = find_free(vd, &place->guest);
        if ( rc )
            return rc;
        info.guest = place->guest;
        rc = vpci_take(vd, pdev, &info);
    }
    if ( rc < 0 )
        return rc;

    /* Decoding is off in what a guest sees at first. */
    ASSERT(rc == RVPCI_DONE);
    vpci_device(pdev)->place = place;

    rc = prepare_msix(pdev, place);
    if ( rc )
        vpci_let_go(pdev);

    return rc;
}

int vpci_reattach_guest(struct vpci_domain *vd, struct pci_dev *pdev)
{
    struct vpci_device *dev = vpci_device(pdev);
    struct rvpci_virtual_function vf;
    struct rvpci_device_info info;
    int rc = describe(pdev, dev->place, &vf, &info);

    info.device = dev;

    return rc ?: rvpci_device_reattach(vd->core, vpci_core(dev), &info);
}

/* Whether a domain without vPCI may have a device that cannot be reset. */
static bool opt_unreset;
boolean_param("vpci-unreset", opt_unreset);

int vpci_prepare_assign(struct domain *d, struct pci_dev *pdev)
{
    struct vpci_physical *physical;
    const struct vpci_placement *place = NULL;
    bool may_be_refused;
    int rc;

    /* A broken device Xen refuses itself. */
    if ( is_hardware_domain(d) || (pdev->broken && d != dom_io) )
        return 0;

    physical = vpci_physical(pdev->sbdf, true);
    if ( !physical )
        return -ENOMEM;

    if ( d == dom_io )
    {
        if ( vpci_reset_state(physical) == VPCI_FUNCTION_RESETTING )
            return -EBUSY;
        /* One that cannot be learnt will not be reset. */
        if ( vpci_is_credible(physical, pdev) && vpci_resets() )
            vpci_learn(physical, pdev);
        return 0;
    }

    may_be_refused = opt_unreset && !has_vpci(d);
    if ( has_vpci(d) )
    {
        read_lock(&d->pci_lock);
        if ( vpci_domain(d) )
            place = vpci_placement(vpci_domain(d), pdev->sbdf);
        may_be_refused = place && (place->flags & VPCI_PLACE_UNRESET);
        read_unlock(&d->pci_lock);
    }

    /* Under a PV hardware domain, domains without vPCI are not the library's business. */
    if ( !vpci_resets() )
        return may_be_refused || !has_vpci(d) ? 0 : -EOPNOTSUPP;

    rc = vpci_reset_unless_clean(physical, may_be_refused);
    /* The toolstack may know more of it by now. */
    if ( !rc && physical->learnt )
        vpci_look_up(physical);

    return rc;
}

int vpci_attach_guest(struct domain *d, struct pci_dev *pdev)
{
    const unsigned long *ro_map = pci_get_ro_map(pdev->sbdf.seg);
    struct vpci_domain *vd = vpci_domain(d);
    struct vpci_placement *place;
    int rc;

    if ( pdev->ignore_bars || (ro_map && test_bit(pdev->sbdf.bdf, ro_map)) )
        return -EOPNOTSUPP;

    if ( !vd )
        return -ENODEV;

    /* Its vCPUs look at the list of handlers, which may be about to grow. */
    if ( d->creation_finished && !vd->watches_pages )
        return -EBUSY;
    vpci_watch_pages(vd);

    place = vpci_placement(vd, pdev->sbdf) ?: place_anywhere(vd, pdev);
    if ( !place )
        return -ENOMEM;

    unreserve(vd, place);
    rc = take(vd, pdev, place);
    if ( rc )
        /* There was room for it. */
        reserve(vd, place);

    return rc;
}

void vpci_detach_guest(struct vpci_domain *vd, struct pci_dev *pdev)
{
    struct vpci_placement *place = vpci_placement(vd, pdev->sbdf);
    bool withdrawn = false;

    if ( pdev->vpci )
    {
        withdrawn = vpci_device(pdev)->withdrawn;
        vpci_let_go(pdev);
        if ( place )
            reserve(vd, place);
    }

    /* Also of a device that did not survive its reset. */
    if ( place )
        release_msix(pdev, place, withdrawn);
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
