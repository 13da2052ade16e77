// SPDX-License-Identifier: GPL-2.0-only
/*
 * XEN_DOMCTL_vpci: what the toolstack says and asks, see vpci_domctl.h; and PHYSDEVOP_pci_device_reset.
 *
 * Xen has checked that the caller may use domctls (xsm_domctl), and the lock for domctls is held. Nothing here does more
 * than domctls can do anyway: who may assign devices may say where they go.
 */
#include <xen/guest_access.h>
#include <xen/hypercall.h>
#include <xen/init.h>
#include <xen/pci.h>
#include <xen/sched.h>
#include <xen/xvmalloc.h>

#include <public/domctl.h>
#include <public/physdev.h>

#include "hooks.h"
#include "physical.h"

/* Records that one call tells. */
#define MAX_ENTRIES 16

#define VPCI_PLACE_FLAGS \
    (VPCI_PLACE_FIRMWARE_BARS | VPCI_PLACE_UNRESET | VPCI_PLACE_TRUSTED)

static void __init __maybe_unused build_assertions(void)
{
    BUILD_BUG_ON(sizeof(struct xen_domctl_vpci) >
                 sizeof_field(struct xen_domctl, u));
    BUILD_BUG_ON(X86_EMU_Q35 != VPCI_EMU_Q35 || (X86_EMU_Q35 & X86_EMU_ALL));
    BUILD_BUG_ON(sizeof_field(struct xen_domctl_vpci, u) !=
                 sizeof_field(struct xen_domctl_vpci, u.room));

#define SAME(theirs, ours)                                          \
    BUILD_BUG_ON(offsetof(struct vpci_domctl_rule, theirs) !=       \
                 offsetof(struct rvpci_rule, ours) ||               \
                 sizeof_field(struct vpci_domctl_rule, theirs) !=   \
                 sizeof_field(struct rvpci_rule, ours))
    BUILD_BUG_ON(sizeof(struct vpci_domctl_rule) != sizeof(struct rvpci_rule));
    SAME(vendor, vendor);
    SAME(device, device);
    SAME(class_mask, class_mask);
    SAME(class_value, class_value);
    SAME(scope, scope);
    SAME(id, id);
    SAME(offset, offset);
    SAME(length, length);
    SAME(key_offset, key_offset);
    SAME(key_mask, key_mask);
    SAME(key_value, key_value);
    SAME(read, read);
    SAME(write, write);
#undef SAME

#define SAME(field)                                                     \
    BUILD_BUG_ON(offsetof(struct vpci_domctl_audit_entry, field) !=     \
                 offsetof(struct rvpci_audit_record, field) ||          \
                 sizeof_field(struct vpci_domctl_audit_entry, field) != \
                 sizeof_field(struct rvpci_audit_record, field))
    BUILD_BUG_ON(sizeof(struct vpci_domctl_audit_entry) !=
                 sizeof(struct rvpci_audit_record));
    SAME(sequence);
    SAME(offset);
    SAME(reason);
    SAME(bytes);
    SAME(value);
#undef SAME
}

/* Whether what stands behind the first @used words of the operation's own part is 0. */
static bool rest_is_zero(const struct xen_domctl_vpci *op, unsigned int used)
{
    unsigned int i;

    for ( i = used; i < ARRAY_SIZE(op->u.room); i++ )
        if ( op->u.room[i] )
            return false;

    return true;
}

static bool is_guest_sbdf(uint32_t sbdf)
{
    return sbdf == VPCI_FIRST_FREE || (sbdf >= PCI_BDF(0, 1, 0) && sbdf < 0x100);
}

/* Stores in the caller's memory, if it named any. */
static int give(uint64_t handle, const void *from, size_t size)
{
    return handle && copy_to_guest(guest_handle_from_ptr(handle, void),
                                   (const uint8_t *)from, size)
           ? -EFAULT : 0;
}

static int read_rules(struct vpci_placement *place, uint64_t handle)
{
    unsigned int i;

    if ( place->nr_rules &&
         copy_from_guest((uint8_t *)place->rules,
                         guest_handle_from_ptr(handle, void),
                         place->nr_rules * sizeof(place->rules[0])) )
        return -EFAULT;

    for ( i = 0; i < place->nr_rules; i++ )
    {
        int rc = rvpci_rule_check(&place->rules[i]);

        if ( rc )
            return rc;
    }

    return 0;
}

static int read_vpd(struct vpci_placement *place, uint64_t handle)
{
    if ( !place->vpd_length )
        return 0;

    place->vpd = xvmalloc_array(uint8_t, place->vpd_length);
    if ( !place->vpd )
        return -ENOMEM;

    return copy_from_guest(place->vpd, guest_handle_from_ptr(handle, void),
                           place->vpd_length) ? -EFAULT : 0;
}

/* The list of devices is locked. */
static int add(struct domain *d, struct vpci_placement *place)
{
    const struct pci_dev *pdev = pci_get_pdev(NULL, place->machine);
    struct vpci_domain *vd;
    int rc;

    if ( !pdev )
        return -ENODEV;
    if ( pdev->domain == d )
        return -EBUSY;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd )
    {
        vpci_watch_pages(vd);
        rc = vpci_add_placement(vd, place, vpci_placement(vd, place->machine));
    }
    else
        rc = -EINVAL;
    write_unlock(&d->pci_lock);

    return rc;
}

static int place(struct domain *d, struct xen_domctl_vpci *op)
{
    /* Its vCPUs look at the list of handlers, which may be about to grow. */
    bool pause = d->creation_finished;
    struct vpci_placement *place;
    int rc;

    if ( is_hardware_domain(d) )
        return -EOPNOTSUPP;
    if ( d->is_dying || d == current->domain || !rest_is_zero(op, 3) ||
         !is_guest_sbdf(op->guest_sbdf) ||
         (op->flags & ~VPCI_PLACE_FLAGS) )
        return -EINVAL;
    if ( op->u.place.nr_rules > VPCI_DOMCTL_RULES ||
         op->u.place.vpd_length > VPCI_DOMCTL_VPD )
        return -E2BIG;

    place = xzalloc_flex_struct(struct vpci_placement, rules,
                                op->u.place.nr_rules);
    if ( !place )
        return -ENOMEM;

    place->machine.sbdf = op->machine_sbdf;
    place->guest = op->guest_sbdf;
    place->chosen = true;
    place->flags = op->flags;
    place->nr_rules = op->u.place.nr_rules;
    place->vpd_length = op->u.place.vpd_length;
    memcpy(place->bar, op->bar, sizeof(place->bar));

    rc = read_rules(place, op->u.place.rules) ?:
         read_vpd(place, op->u.place.vpd);
    if ( !rc )
    {
        if ( pause )
            domain_pause(d);
        pcidevs_lock();
        rc = add(d, place);
        pcidevs_unlock();
        if ( pause )
            domain_unpause(d);
    }

    if ( rc )
        vpci_free_placement(place);
    else
        op->guest_sbdf = place->guest;

    return rc;
}

static int unplace(struct domain *d, const struct xen_domctl_vpci *op)
{
    const pci_sbdf_t machine = { .sbdf = op->machine_sbdf };
    struct vpci_domain *vd;
    struct vpci_placement *place;
    int rc = 0;

    if ( is_hardware_domain(d) )
        return -EOPNOTSUPP;
    if ( op->flags || !rest_is_zero(op, 0) )
        return -EINVAL;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    place = vd ? vpci_placement(vd, machine) : NULL;
    if ( !place )
        rc = -ENOENT;
    else if ( pci_get_pdev(d, machine) )
        rc = -EBUSY;
    else
        vpci_drop_placement(vd, place);
    write_unlock(&d->pci_lock);

    return rc;
}

static uint32_t bar_kind(uint32_t kind)
{
    switch ( kind )
    {
    case RVPCI_BAR_IO:
        return VPCI_BAR_IO;

    case RVPCI_BAR_MEMORY32:
        return VPCI_BAR_MEM32;

    case RVPCI_BAR_MEMORY64:
        return VPCI_BAR_MEM64;

    case RVPCI_BAR_ROM:
        return VPCI_BAR_ROM;
    }

    return VPCI_BAR_NONE;
}

static int query(const struct domain *d, struct xen_domctl_vpci *op)
{
    struct vpci_domctl_bar told[VPCI_DOMCTL_BARS] = {};
    struct rvpci_bar bar[VPCI_DOMCTL_BARS] = {};
    const struct pci_dev *pdev;
    unsigned int i;
    int rc = -ENODEV;

    if ( op->flags || op->u.query.zero || !rest_is_zero(op, 2) )
        return -EINVAL;

    pcidevs_lock();
    pdev = pci_get_pdev(NULL, (pci_sbdf_t){ .sbdf = op->machine_sbdf });
    if ( pdev )
    {
        /* What nobody's view has is read from the device, which a reset may have. */
        rc = pdev->vpci ? 0 : vpci_wait_for_reset(pdev->sbdf);
        if ( !rc )
            rc = vpci_read_bars(pdev, bar, &op->guest_sbdf);
        op->u.query.owner = pdev->domain->domain_id;
    }
    pcidevs_unlock();

    if ( rc )
        return rc;

    if ( op->u.query.owner != d->domain_id )
        op->guest_sbdf = VPCI_NO_SBDF;

    for ( i = 0; i < ARRAY_SIZE(bar); i++ )
    {
        told[i].kind = bar_kind(bar[i].kind);
        told[i].guest = VPCI_NO_ADDRESS;
        if ( told[i].kind != VPCI_BAR_NONE )
        {
            told[i].host = bar[i].address;
            told[i].size = bar[i].size;
            told[i].flags = (bar[i].prefetchable ? VPCI_BAR_PREFETCHABLE : 0) |
                            (bar[i].mapped ? VPCI_BAR_MAPPED : 0);
            if ( op->guest_sbdf != VPCI_NO_SBDF &&
                 bar[i].guest != RVPCI_NO_ADDRESS )
                told[i].guest = bar[i].guest;
        }
        op->bar[i] = told[i].guest;
    }

    return give(op->u.query.bars, told, sizeof(told));
}

static int audit(struct domain *d, struct xen_domctl_vpci *op)
{
    struct rvpci_audit_record record[MAX_ENTRIES] = {};
    uint32_t counter[RVPCI_REFUSED_COUNT];
    const struct pci_dev *pdev;
    unsigned int nr = 0, i;
    bool known;
    int rc;

    if ( op->flags || !rest_is_zero(op, 3) )
        return -EINVAL;

    read_lock(&d->pci_lock);
    pdev = pci_get_pdev(d, (pci_sbdf_t){ .sbdf = op->machine_sbdf });
    known = pdev && pdev->vpci;
    if ( known )
    {
        const struct rvpci_device *core = vpci_core(vpci_device(pdev));

        spin_lock(&pdev->vpci->lock);
        for ( i = 0; i < ARRAY_SIZE(counter); i++ )
            counter[i] = rvpci_refusals(core, i);
        while ( nr < ARRAY_SIZE(record) && rvpci_audit(core, nr, &record[nr]) )
            nr++;
        spin_unlock(&pdev->vpci->lock);
    }
    read_unlock(&d->pci_lock);

    if ( !known )
        return -ENODEV;

    rc = give(op->u.audit.counters, counter,
              min_t(size_t, op->u.audit.nr_counters, ARRAY_SIZE(counter)) *
              sizeof(counter[0])) ?:
         give(op->u.audit.entries, record,
              min_t(size_t, op->u.audit.nr_entries, nr) * sizeof(record[0]));

    op->u.audit.nr_counters = ARRAY_SIZE(counter);
    op->u.audit.nr_entries = nr;

    return rc;
}

static int q35(struct domain *d, const struct xen_domctl_vpci *op)
{
    struct vpci_domain *vd;
    int rc;

    if ( op->flags || !rest_is_zero(op, 3) )
        return -EINVAL;
    /* A guest decides itself where its window is. */
    if ( d->creation_finished )
        return -EBUSY;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    rc = vd ? vpci_mch_make(vd, op->u.q35.pciexbar, op->u.q35.low_ram_end,
                            op->u.q35.high_ram_end) : -EINVAL;
    write_unlock(&d->pci_lock);

    return rc;
}

static int server(struct domain *d, const struct xen_domctl_vpci *op)
{
    struct vpci_domain *vd;
    int rc;

    if ( (op->flags & ~VPCI_SERVER_EXTENDED) || op->u.server.zero ||
         !rest_is_zero(op, 1) )
        return -EINVAL;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    rc = vd ? rvpci_set_extended(vd->core, op->u.server.id,
                                 op->flags & VPCI_SERVER_EXTENDED) : -EINVAL;
    write_unlock(&d->pci_lock);

    return rc;
}

static int function(struct xen_domctl_vpci *op)
{
    const pci_sbdf_t machine = { .sbdf = op->machine_sbdf };
    struct vpci_physical *physical;
    struct rvpci_reset_state state;

    if ( op->flags || !rest_is_zero(op, 0) )
        return -EINVAL;

    pcidevs_lock();
    physical = vpci_physical(machine, false);
    if ( physical )
    {
        const struct rvpci_physical *core = physical_core(physical);

        rvpci_reset_state(core, &state);
        op->u.function.state = vpci_reset_state(physical);
        op->u.function.outcome = state.outcome;
        op->u.function.reason = state.reason;
        op->u.function.method = state.method;
        op->u.function.count = state.count;
        if ( physical->learnt )
        {
            op->u.function.methods = rvpci_physical_methods(core);
            op->u.function.quirks = rvpci_physical_flags(core);
        }
    }
    else if ( !pci_get_pdev(NULL, machine) )
    {
        pcidevs_unlock();
        return -ENODEV;
    }
    pcidevs_unlock();

    return 0;
}

static int quirks(const struct xen_domctl_vpci *op)
{
    if ( op->flags || op->u.quirks.zero || !rest_is_zero(op, 2) )
        return -EINVAL;

    return vpci_set_quirks(op->u.quirks.rows, op->u.quirks.nr_rows);
}

/* PHYSDEVOP_pci_device_reset: see docs/reset.md. The owner's lock is held. */
long vpci_physdev_reset(struct pci_dev *pdev, uint32_t kind,
                        XEN_GUEST_HANDLE_PARAM(void) arg)
{
    struct vpci_physical *physical;
    uint32_t methods;
    int rc;

    switch ( kind & PCI_DEVICE_RESET_MASK )
    {
    case PCI_DEVICE_RESET_FLR:
        methods = RVPCI_METHODS_FUNCTION;
        break;

    case PCI_DEVICE_RESET_HOT:
        methods = RVPCI_METHOD_BUS;
        break;

    default:
        /* Nobody here has the slot's power, or its PERST#. */
        return -EOPNOTSUPP;
    }

    if ( pdev->domain != dom_io && !has_vpci(pdev->domain) )
        return -EOPNOTSUPP;

    physical = vpci_physical(pdev->sbdf, true);
    if ( !physical )
        return -ENOMEM;

    rc = vpci_reset_and_wait(physical, methods);

    return rc == -ERESTART
           ? hypercall_create_continuation(__HYPERVISOR_physdev_op, "ih",
                                           PHYSDEVOP_pci_device_reset, arg)
           : rc;
}

/* Whether the domain has what an operation is about. */
static bool is_supported(const struct domain *d, uint32_t op)
{
    switch ( op )
    {
    case VPCI_DOMCTL_query:
    case VPCI_DOMCTL_function:
    case VPCI_DOMCTL_quirks:
        return true;

    case VPCI_DOMCTL_q35:
        return has_mch(d);

    case VPCI_DOMCTL_server:
        return has_mch(d) || has_vpci(d);
    }

    return has_vpci(d);
}

long vpci_domctl(struct xen_domctl *domctl, struct domain *d,
                 XEN_GUEST_HANDLE_PARAM(void) arg, bool *copyback)
{
    struct xen_domctl_vpci *op = (void *)&domctl->u;
    long rc;

    if ( domctl->cmd != XEN_DOMCTL_vpci )
        return -ENOSYS;
    if ( !is_supported(d, op->op) )
        return -EOPNOTSUPP;

    switch ( op->op )
    {
    case VPCI_DOMCTL_place:
        rc = place(d, op);
        break;

    case VPCI_DOMCTL_query:
        rc = query(d, op);
        break;

    case VPCI_DOMCTL_audit:
        rc = audit(d, op);
        break;

    case VPCI_DOMCTL_unplace:
        rc = unplace(d, op);
        break;

    case VPCI_DOMCTL_q35:
        rc = q35(d, op);
        break;

    case VPCI_DOMCTL_server:
        rc = server(d, op);
        break;

    case VPCI_DOMCTL_function:
        rc = function(op);
        break;

    case VPCI_DOMCTL_quirks:
        rc = quirks(op);
        break;

    default:
        rc = -EOPNOTSUPP;
        break;
    }

    *copyback = !rc;

    return rc == -ERESTART
           ? hypercall_create_continuation(__HYPERVISOR_domctl, "h", arg) : rc;
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
