// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the console key 'M' tells: interrupts, I/O handlers, and what was refused.
 */
#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/softirq.h>

#include <asm/msi.h>

#include "physical.h"

static void dump_message(uint64_t address, uint32_t data, int pirq)
{
    printk("vec=%02x %s %s dest=%x%s pirq=%d\n",
           (unsigned int)MASK_EXTR(data, MSI_DATA_VECTOR_MASK),
           data & MSI_DATA_DELIVERY_LOWPRI ? "lowest" : "fixed",
           data & MSI_DATA_TRIGGER_LEVEL ? "level" : "edge",
           (unsigned int)MASK_EXTR(address, MSI_ADDR_DEST_ID_MASK),
           address & MSI_ADDR_DESTMODE_LOGIC ? " logical" : "", pirq);
}

/* The MCH's register. */
#define PCIEXBAR 0x60

/* Refused accesses that are told in full. */
#define DUMP_RECORDS 16

static void dump_refusals(const struct rvpci_device *core)
{
    static const char *const names[RVPCI_REFUSED_COUNT] = {
        [RVPCI_REFUSED_HIDDEN_WRITE] = "hidden writes",
        [RVPCI_REFUSED_BAR_MAPPED] = "BAR writes",
        [RVPCI_REFUSED_ROM_MAPPED] = "ROM writes",
        [RVPCI_REFUSED_MSIX_ACCESS] = "MSI-X accesses",
        [RVPCI_REFUSED_MAP] = "mappings",
        [RVPCI_REFUSED_UNMAP] = "unmappings",
        [RVPCI_REFUSED_HOLE] = "MSI-X holes",
        [RVPCI_REFUSED_INTERRUPT] = "interrupts",
        [RVPCI_REFUSED_CAPABILITY] = "capabilities",
        [RVPCI_REFUSED_ACCESS] = "accesses",
        [RVPCI_REFUSED_READ_ONLY] = "read-only bits",
        [RVPCI_REFUSED_BAR_MOVED] = "BAR moves",
        [RVPCI_REFUSED_RESET] = "resets",
        [RVPCI_REFUSED_PLACEMENT] = "BAR placements",
        [RVPCI_REFUSED_VPD] = "VPD writes",
        [RVPCI_REFUSED_MIRROR] = "mirror accesses",
    };
    struct rvpci_audit_record record;
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(names); i++ )
        if ( rvpci_refusals(core, i) )
            printk("  refused %s: %u\n", names[i], rvpci_refusals(core, i));

    /* The newest first. */
    for ( i = 0; i < DUMP_RECORDS && rvpci_audit(core, i, &record); i++ )
        printk("  #%u %s: %u bytes at %03x, value %08x\n", record.sequence,
               record.reason < ARRAY_SIZE(names) ? names[record.reason] : "?",
               record.bytes, record.offset, record.value);
}

static void dump_mch(struct domain *d)
{
    struct vpci_domain *vd = vpci_domain(d);
    struct rvpci_mch_window window;
    uint64_t pciexbar;

    if ( !vd || !vd->mch || !spin_trylock(&vd->mch_lock) )
        return;
    rvpci_mch_state(vd->mch, &window);
    pciexbar = (uint64_t)rvpci_mch_read(vd->mch, PCIEXBAR + 4, 4) << 32 |
               rvpci_mch_read(vd->mch, PCIEXBAR, 4);
    spin_unlock(&vd->mch_lock);

    printk("  MCH: PCIEXBAR %"PRIx64", CF8 %08x, windows with overlaps %u\n",
           pciexbar, d->arch.hvm.pci_cf8, window.overlaps);
    if ( window.size )
        printk("  ECAM [%"PRIx64", %"PRIx64"]\n", window.base,
               window.base + window.size - 1);
}

/* How far a dump is: the next thing to print. */
struct dump {
    bool started;
    pci_sbdf_t sbdf;
    unsigned int entry;
};

/* Vectors that are looked at with the locks held. */
#define DUMP_ENTRIES 64

/* A part of a device. Its locks are held. Returns whether there is more. */
static bool dump_device(struct vpci_device *dev, struct dump *at)
{
    const struct rvpci_device *core = vpci_core(dev);
    struct rvpci_msi msi;
    struct rvpci_msix msix;
    struct rvpci_vector vector;
    unsigned int end = at->entry + DUMP_ENTRIES;

    if ( !at->entry )
    {
        if ( dev->place )
            printk("%pp at %pp\n", &dev->pdev->sbdf,
                   &(pci_sbdf_t){ .sbdf = dev->place->guest });
        else
            printk("%pp\n", &dev->pdev->sbdf);
        dump_refusals(core);

        if ( rvpci_msi_state(core, &msi) && msi.enabled )
        {
            printk("  MSI %s-bit, vectors %u of %u, mask %08x: ",
                   msi.address64 ? "64" : "32", msi.vectors, msi.capable,
                   msi.mask);
            dump_message(msi.address, msi.data, msi.pirq);
        }
    }

    if ( !rvpci_msix_state(core, &msix) || !msix.enabled )
        return false;

    if ( !at->entry )
        printk("  MSI-X entries %u%s\n", msix.entries,
               msix.masked ? ", masked" : "");

    for ( ; at->entry < end; at->entry++ )
    {
        if ( !rvpci_msix_vector(core, at->entry, &vector) )
            return false;
        if ( vector.pirq < 0 )
            continue;
        printk("  %5u %s: ", at->entry, vector.masked ? "masked" : "open");
        dump_message(vector.address, vector.data, vector.pirq);
    }

    return true;
}

/* The next part of a domain's devices. Its lock is held. Returns whether there is more. */
static bool dump_next(const struct domain *d, struct dump *at)
{
    const struct pci_dev *pdev;
    bool reached = !at->started;

    for_each_pdev ( d, pdev )
    {
        bool more = false;

        if ( !reached )
        {
            if ( pdev->sbdf.sbdf != at->sbdf.sbdf )
                continue;
            reached = true;
            /* Of this one, only the rest. */
            if ( !at->entry )
                continue;
        }
        else
            at->entry = 0;

        if ( !pdev->vpci || !spin_trylock(&pdev->vpci->lock) )
            continue;
        more = dump_device(vpci_device(pdev), at);
        spin_unlock(&pdev->vpci->lock);

        at->started = true;
        at->sbdf = pdev->sbdf;
        if ( !more )
            at->entry = 0;

        return true;
    }

    return false;
}

/* What became of functions that were reset. Nothing is locked: it is what it was a moment ago. */
static void dump_physicals(void)
{
    static const char *const names[] = {
        [VPCI_FUNCTION_USED] = "used",
        [VPCI_FUNCTION_CLEAN] = "clean",
        [VPCI_FUNCTION_RESETTING] = "being reset",
        [VPCI_FUNCTION_LOST] = "lost",
    };
    struct vpci_physical *physical;

    for ( physical = vpci_next_physical(NULL); physical;
          physical = vpci_next_physical(physical) )
    {
        struct rvpci_reset_state state;

        rvpci_reset_state(physical_core(physical), &state);
        printk("%pp is %s: resets %u, outcome %u, reason %u, method %x\n",
               &physical->sbdf, names[vpci_reset_state(physical)], state.count,
               state.outcome, state.reason, state.method);
    }
}

void vpci_dump_msi(void)
{
    struct domain *d;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
    {
        struct dump at = { .started = false };
        bool more = true;

        if ( !has_vpci(d) && !has_mch(d) )
            continue;

        printk("vPCI devices of %pd\n", d);
        printk("%pd has %u I/O handlers\n", d, d->arch.hvm.io_handler_count);
        if ( read_trylock(&d->pci_lock) )
        {
            dump_mch(d);
            read_unlock(&d->pci_lock);
        }

        while ( more )
        {
            /* A console key must not wait for whoever holds a lock. */
            if ( !read_trylock(&d->pci_lock) )
            {
                printk("  busy\n");
                break;
            }
            more = dump_next(d, &at);
            read_unlock(&d->pci_lock);

            process_pending_softirqs();
        }
    }
    rcu_read_unlock(&domlist_read_lock);

    printk("vPCI resets\n");
    dump_physicals();
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
