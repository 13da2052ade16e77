// SPDX-License-Identifier: GPL-2.0-only
/*
 * Physical functions, and what is known of them.
 */
#include <xen/guest_access.h>
#include <xen/iommu.h>
#include <xen/pci.h>
#include <xen/pci_regs.h>

#include <asm/processor.h>

#include "physical.h"

static DEFINE_SPINLOCK(list_lock);
static LIST_HEAD(physicals);

/* The toolstack's rows. */
static DEFINE_SPINLOCK(rows_lock);
static struct rvpci_quirk rows[VPCI_DOMCTL_QUIRKS];
static unsigned int nr_rows;

struct vpci_physical *vpci_next_physical(const struct vpci_physical *physical)
{
    struct list_head *next;

    spin_lock(&list_lock);
    next = physical ? physical->list.next : physicals.next;
    spin_unlock(&list_lock);

    return next == &physicals ? NULL
                              : list_entry(next, struct vpci_physical, list);
}

static struct vpci_physical *find(pci_sbdf_t sbdf)
{
    struct vpci_physical *physical;

    list_for_each_entry ( physical, &physicals, list )
        if ( physical->sbdf.sbdf == sbdf.sbdf )
            return physical;

    return NULL;
}

struct vpci_physical *vpci_physical(pci_sbdf_t sbdf, bool make)
{
    struct vpci_physical *physical, *made = NULL;

    spin_lock(&list_lock);
    physical = find(sbdf);
    spin_unlock(&list_lock);

    if ( physical || !make )
        return physical;

    made = _xzalloc(sizeof(*made) + rvpci_physical_size(), sizeof(uint64_t));
    if ( !made )
        return NULL;
    rvpci_physical_init(physical_core(made));
    made->sbdf = sbdf;
    made->waiting_domain = DOMID_INVALID;

    spin_lock(&list_lock);
    physical = find(sbdf);
    if ( !physical )
    {
        list_add_tail(&made->list, &physicals);
        physical = made;
        made = NULL;
    }
    spin_unlock(&list_lock);

    xfree(made);

    return physical;
}

struct rvpci_physical *vpci_known(pci_sbdf_t sbdf)
{
    struct vpci_physical *physical = vpci_physical(sbdf, false);

    return physical && physical->learnt ? physical_core(physical) : NULL;
}

static bool is_bridge(pci_sbdf_t sbdf)
{
    return (pci_conf_read8(sbdf, PCI_HEADER_TYPE) & 0x7f) ==
           PCI_HEADER_TYPE_BRIDGE;
}

struct above {
    pci_sbdf_t sbdf;
    uint32_t bridge;
};

static int cf_check is_above(struct pci_dev *pdev, void *arg)
{
    struct above *above = arg;

    /* Nothing that is reset is a bridge. */
    if ( pdev->seg == above->sbdf.seg && !vpci_is_being_reset(pdev->sbdf) &&
         is_bridge(pdev->sbdf) &&
         pci_conf_read8(pdev->sbdf, PCI_SECONDARY_BUS) == above->sbdf.bus )
        above->bridge = pdev->sbdf.sbdf;

    return 0;
}

uint32_t vpci_bridge_above(pci_sbdf_t sbdf)
{
    struct above above = { .sbdf = sbdf, .bridge = RVPCI_NO_SBDF };

    /* A bridge that was never told its buses has 0 there. */
    if ( sbdf.bus )
        pci_iterate_devices(is_above, &above);

    return above.bridge;
}

bool vpci_is_behind(pci_sbdf_t sbdf, uint32_t bridge)
{
    const pci_sbdf_t above = { .sbdf = bridge };

    return sbdf.seg == above.seg &&
           sbdf.bus >= pci_conf_read8(above, PCI_SECONDARY_BUS) &&
           sbdf.bus <= pci_conf_read8(above, PCI_SUBORDINATE_BUS);
}

bool vpci_is_idle(const struct pci_dev *pdev)
{
    return !vpci_is_being_reset(pdev->sbdf) &&
           (pdev->domain == dom_io ||
            (is_hardware_domain(pdev->domain) && has_vpci(pdev->domain) &&
             !(pci_conf_read16(pdev->sbdf, PCI_COMMAND) & PCI_COMMAND_MASTER)));
}

bool vpci_is_credible(const struct vpci_physical *physical,
                      const struct pci_dev *pdev)
{
    return is_hardware_domain(pdev->domain) && !physical->lost &&
           !physical->tainted;
}

int vpci_learn(struct vpci_physical *physical, const struct pci_dev *pdev)
{
    struct rvpci_bar bar[VPCI_DOMCTL_BARS] = {};
    struct rvpci_virtual_function vf;
    struct rvpci_physical_info info = { .sbdf = pdev->sbdf.sbdf };
    uint32_t guest;
    unsigned int i;
    int rc;

    physical->learnt = false;
    physical->pdev = pdev;

    if ( vpci_bridge_above(pdev->sbdf) == RVPCI_NO_SBDF )
        info.traits |= RVPCI_TRAIT_ROOT_BUS;
    if ( iommu_enabled &&
         (boot_cpu_data.x86_vendor & (X86_VENDOR_AMD | X86_VENDOR_HYGON)) )
        info.traits |= RVPCI_TRAIT_AMD_IOMMU;
    if ( pdev->info.is_virtfn )
    {
        rc = vpci_virtual_function(pdev, &vf);
        if ( rc )
            return rc;
        info.traits |= RVPCI_TRAIT_VIRTUAL;
        info.vf = &vf;
    }

    /* A bridge has no snapshot; its BARs are not to be looked at while it is in use. */
    if ( is_bridge(pdev->sbdf) )
        return -EOPNOTSUPP;

    if ( vpci_read_bars(pdev, bar, &guest) )
        vpci_size_bars(pdev, bar);
    for ( i = 0; i < ARRAY_SIZE(bar); i++ )
    {
        bool memory = bar[i].kind == RVPCI_BAR_MEMORY32 ||
                      bar[i].kind == RVPCI_BAR_MEMORY64;

        physical->bar[i] = memory || bar[i].kind == RVPCI_BAR_ROM
                           ? bar[i].address : 0;
        if ( memory && i < ARRAY_SIZE(info.bar) )
        {
            info.bar[i].address = bar[i].address;
            info.bar[i].size = bar[i].size;
        }
    }

    rc = rvpci_physical_learn(physical_core(physical), &info);
    physical->learnt = !rc;

    return rc;
}

bool vpci_was_in_frame(pci_sbdf_t sbdf, uint64_t mfn)
{
    const struct vpci_physical *physical = vpci_physical(sbdf, false);
    unsigned int i;

    for ( i = 0; physical && i < ARRAY_SIZE(physical->bar); i++ )
        if ( physical->bar[i] && PFN_DOWN(physical->bar[i]) == mfn )
            return true;

    return false;
}

/* What some device of the machine needs of all of them. */
static uint32_t d3hot_delay;

void vpci_meet(pci_sbdf_t sbdf)
{
    d3hot_delay = max(d3hot_delay, rvpci_d3hot_delay(sbdf.sbdf));
    rvpci_enable_rrs(sbdf.sbdf);
}

void vpci_look_up(struct vpci_physical *physical)
{
    spin_lock(&rows_lock);
    rvpci_physical_quirks(physical_core(physical), rows, nr_rows,
                          d3hot_delay);
    spin_unlock(&rows_lock);
}

int vpci_set_quirks(uint64_t handle, unsigned int count)
{
    struct rvpci_quirk *given;
    unsigned int i;
    int rc = 0;

    if ( count > VPCI_DOMCTL_QUIRKS )
        return -E2BIG;

    given = xzalloc_array(struct rvpci_quirk, VPCI_DOMCTL_QUIRKS);
    if ( !given )
        return -ENOMEM;

    if ( count && copy_from_guest((uint8_t *)given,
                                  guest_handle_from_ptr(handle, void),
                                  count * sizeof(*given)) )
        rc = -EFAULT;
    for ( i = 0; i < count && !rc; i++ )
        rc = rvpci_quirk_check(&given[i]);

    if ( !rc )
    {
        spin_lock(&rows_lock);
        memcpy(rows, given, sizeof(rows));
        nr_rows = count;
        spin_unlock(&rows_lock);
    }

    xfree(given);

    return rc;
}

uint32_t rvpci_host_memory_read(uint32_t sbdf, uint64_t address)
{
    void __iomem *va = ioremap(address, sizeof(uint32_t));
    uint32_t value = ~0U;

    if ( va )
    {
        value = readl(va);
        iounmap(va);
    }

    return value;
}

void rvpci_host_memory_write(uint32_t sbdf, uint64_t address, uint32_t value)
{
    void __iomem *va = ioremap(address, sizeof(uint32_t));

    if ( va )
    {
        writel(value, va);
        iounmap(va);
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
