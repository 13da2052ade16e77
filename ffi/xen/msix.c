// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses to the pages of MSI-X tables, and what there is to say of interrupts.
 */
#include <xen/lib.h>
#include <xen/sched.h>
#include <xen/softirq.h>

#include <asm/hvm/io.h>
#include <asm/msi.h>
#include <asm/p2m.h>

#include "glue.h"

/* The device that a trapped page belongs to. The domain's lock is held. */
static struct vpci_device *find_page(const struct domain *d,
                                     unsigned long addr)
{
    const struct vpci_domain *vd = vpci_domain(d);
    struct rvpci_device *core = vd ? rvpci_find_window(vd->core, addr) : NULL;

    return core ? vpci_from_core(core) : NULL;
}

static int cf_check msix_check(struct vcpu *v, unsigned long addr)
{
    struct domain *d = v->domain;
    bool found;

    /*
     * A nested page fault asks twice: first without locks, then, having been told that the page is not ours, once more
     * with the p2m locked. Whoever changes a mapping locks the p2m inside pci_lock, so that must not be taken here.
     */
    if ( p2m_get_hostp2m(d)->lock.locker == smp_processor_id() )
        return false;

    read_lock(&d->pci_lock);
    found = find_page(d, addr);
    read_unlock(&d->pci_lock);

    return found;
}

static int cf_check msix_read(struct vcpu *v, unsigned long addr,
                              unsigned int len, unsigned long *data)
{
    struct domain *d = v->domain;
    struct vpci_device *dev;

    *data = ~0UL;

    read_lock(&d->pci_lock);
    dev = find_page(d, addr);
    if ( dev )
    {
        spin_lock(&dev->vpci.lock);
        *data = rvpci_mmio_read(vpci_core(dev), addr, len);
        spin_unlock(&dev->vpci.lock);
    }
    read_unlock(&d->pci_lock);

    /* If the page went away since it was checked, this is a BAR that does not decode. */
    return X86EMUL_OKAY;
}

static int cf_check msix_write(struct vcpu *v, unsigned long addr,
                               unsigned int len, unsigned long data)
{
    struct domain *d = v->domain;
    struct vpci_device *dev;

    read_lock(&d->pci_lock);
    dev = find_page(d, addr);
    if ( dev )
    {
        spin_lock(&dev->vpci.lock);
        rvpci_mmio_write(vpci_core(dev), addr, len, data);
        spin_unlock(&dev->vpci.lock);
    }
    read_unlock(&d->pci_lock);

    return X86EMUL_OKAY;
}

static const struct hvm_mmio_ops msix_ops = {
    .check = msix_check,
    .read = msix_read,
    .write = msix_write,
};

void vpci_register_msix_handler(struct domain *d)
{
    register_mmio_handler(d, &msix_ops);
}

static void dump_message(uint64_t address, uint32_t data, int pirq)
{
    printk("vec=%02x %s %s dest=%x%s pirq=%d\n",
           (unsigned int)MASK_EXTR(data, MSI_DATA_VECTOR_MASK),
           data & MSI_DATA_DELIVERY_LOWPRI ? "lowest" : "fixed",
           data & MSI_DATA_TRIGGER_LEVEL ? "level" : "edge",
           (unsigned int)MASK_EXTR(address, MSI_ADDR_DEST_ID_MASK),
           address & MSI_ADDR_DESTMODE_LOGIC ? " logical" : "", pirq);
}

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
    };
    unsigned int i;

    for ( i = 0; i < ARRAY_SIZE(names); i++ )
        if ( rvpci_refusals(core, i) )
            printk("  refused %s: %u\n", names[i], rvpci_refusals(core, i));
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

void vpci_dump_msi(void)
{
    struct domain *d;

    rcu_read_lock(&domlist_read_lock);
    for_each_domain ( d )
    {
        struct dump at = { .started = false };
        bool more = true;

        if ( !has_vpci(d) )
            continue;

        printk("vPCI devices of %pd\n", d);

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
