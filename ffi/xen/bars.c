// SPDX-License-Identifier: GPL-2.0-only
/*
 * BARs as devices have them: what their registers say, whoever owns the device.
 */
#include <xen/pci.h>
#include <xen/pci_regs.h>

#include "glue.h"
#include "vpci_domctl.h"

/* Where the BARs and the ROM of a function are. */
struct layout {
    unsigned int bars;
    unsigned int rom;   /* 0 if there is none */
};

static struct layout layout(pci_sbdf_t sbdf)
{
    switch ( pci_conf_read8(sbdf, PCI_HEADER_TYPE) & 0x7f )
    {
    case PCI_HEADER_TYPE_NORMAL:
        return (struct layout){ 6, PCI_ROM_ADDRESS };

    case PCI_HEADER_TYPE_BRIDGE:
        return (struct layout){ 2, PCI_ROM_ADDRESS1 };

    case PCI_HEADER_TYPE_CARDBUS:
        return (struct layout){ 1, 0 };
    }

    return (struct layout){ 0, 0 };
}

static bool is_io(uint32_t bar)
{
    return (bar & PCI_BASE_ADDRESS_SPACE) == PCI_BASE_ADDRESS_SPACE_IO;
}

static bool is_64bit(uint32_t bar)
{
    return !is_io(bar) && (bar & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
                          PCI_BASE_ADDRESS_MEM_TYPE_64;
}

struct frame {
    uint32_t sbdf;      /* not this function */
    uint64_t mfn;
};

/* Whether a BAR of @pdev starts in a frame. One that started below it would have all of it, as BARs are aligned. */
static int cf_check is_in_frame(struct pci_dev *pdev, void *arg)
{
    const struct frame *frame = arg;
    struct layout at;
    unsigned int i;

    if ( pdev->sbdf.sbdf == frame->sbdf )
        return 0;
    if ( vpci_is_being_reset(pdev->sbdf) )
        return vpci_was_in_frame(pdev->sbdf, frame->mfn);

    at = layout(pdev->sbdf);
    for ( i = 0; i < at.bars; i++ )
    {
        uint32_t low = pci_conf_read32(pdev->sbdf, PCI_BASE_ADDRESS_0 + i * 4);
        uint64_t address = low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;

        if ( is_io(low) )
            continue;
        if ( is_64bit(low) && ++i < at.bars )
            address |= (uint64_t)pci_conf_read32(pdev->sbdf,
                                                 PCI_BASE_ADDRESS_0 + i * 4)
                       << 32;
        if ( address && PFN_DOWN(address) == frame->mfn )
            return 1;
    }

    if ( at.rom )
    {
        uint64_t address = pci_conf_read32(pdev->sbdf, at.rom) &
                           (uint32_t)PCI_ROM_ADDRESS_MASK;

        if ( address && PFN_DOWN(address) == frame->mfn )
            return 1;
    }

    return 0;
}

bool rvpci_host_is_shared(uint32_t sbdf, uint64_t mfn)
{
    struct frame frame = { .sbdf = sbdf, .mfn = mfn };
    bool shared;

    /*
     * Whoever assigns a device has this lock. Whoever resets one has not, and may not wait for it; but what was shared
     * was found out when the device was assigned.
     */
    if ( !pcidevs_trylock() )
        return false;

    /* Devices that are hidden from all are among these, as are bridges. */
    shared = pci_iterate_devices(is_in_frame, &frame);
    pcidevs_unlock();

    return shared;
}

int vpci_virtual_function(const struct pci_dev *pdev,
                          struct rvpci_virtual_function *vf)
{
    const struct pci_dev *pf = pdev->info.is_virtfn ? pdev->pf_pdev : NULL;
    unsigned int pos, offset, stride, number, i;

    if ( !pf )
        return -EOPNOTSUPP;

    pos = pci_find_ext_capability(pf->sbdf, PCI_EXT_CAP_ID_SRIOV);
    if ( !pos )
        return -EOPNOTSUPP;

    /* Its number: see PCIe 9.2.1.2. */
    offset = pci_conf_read16(pf->sbdf, pos + PCI_SRIOV_VF_OFFSET);
    stride = pci_conf_read16(pf->sbdf, pos + PCI_SRIOV_VF_STRIDE);
    number = (pdev->sbdf.bdf - pf->sbdf.bdf - offset) & 0xffff;
    if ( number && (!stride || number % stride) )
        return -EOPNOTSUPP;
    if ( number )
        number /= stride;
    if ( number >= pci_conf_read16(pf->sbdf, pos + PCI_SRIOV_NUM_VF) )
        return -EOPNOTSUPP;

    *vf = (struct rvpci_virtual_function){
        .ids = pci_conf_read16(pf->sbdf, PCI_VENDOR_ID) |
               (uint32_t)pci_conf_read16(pf->sbdf, pos + PCI_SRIOV_VF_DID)
               << 16,
    };

    for ( i = 0; i < PCI_SRIOV_NUM_BARS; i++ )
    {
        unsigned int at = pos + PCI_SRIOV_BAR + i * 4, low = i;
        uint32_t bar = pci_conf_read32(pf->sbdf, at);
        uint64_t address = bar & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;

        if ( is_io(bar) )
            continue;
        if ( is_64bit(bar) && ++i < PCI_SRIOV_NUM_BARS )
            address |= (uint64_t)pci_conf_read32(pf->sbdf, at + 4) << 32;
        if ( !pf->physfn.vf_rlen[low] )
            continue;

        vf->bar_register[low] = bar & ~(uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
        vf->size[low] = pf->physfn.vf_rlen[low];
        vf->address[low] = address + number * vf->size[low];
    }

    return 0;
}

uint64_t vpci_io_address(const struct pci_dev *pdev, unsigned int number)
{
    return pci_conf_read32(pdev->sbdf, PCI_BASE_ADDRESS_0 + number * 4) &
           (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
}

/* The size of the I/O BAR at @at. */
static uint64_t size_io(pci_sbdf_t sbdf, unsigned int at, uint32_t bar)
{
    uint32_t mask;

    pci_conf_write32(sbdf, at, ~0U);
    mask = pci_conf_read32(sbdf, at) & (uint32_t)PCI_BASE_ADDRESS_IO_MASK;
    pci_conf_write32(sbdf, at, bar);

    return mask & -mask;
}

static void set_kind(struct rvpci_bar *bar, uint32_t value)
{
    bar->kind = is_io(value) ? RVPCI_BAR_IO
                             : is_64bit(value) ? RVPCI_BAR_MEMORY64
                                               : RVPCI_BAR_MEMORY32;
    bar->prefetchable = !is_io(value) &&
                        (value & PCI_BASE_ADDRESS_MEM_PREFETCH);
}

static void size_virtual_function(const struct pci_dev *pdev,
                                  struct rvpci_bar bar[7])
{
    struct rvpci_virtual_function vf;
    unsigned int i;

    if ( vpci_virtual_function(pdev, &vf) )
        return;

    for ( i = 0; i < ARRAY_SIZE(vf.size); i++ )
        if ( vf.size[i] )
        {
            set_kind(&bar[i], vf.bar_register[i]);
            bar[i].address = vf.address[i];
            bar[i].size = vf.size[i];
        }
}

void vpci_size_bars(const struct pci_dev *pdev, struct rvpci_bar bar[7])
{
    const pci_sbdf_t sbdf = pdev->sbdf;
    struct layout at = layout(sbdf);
    uint16_t command;
    unsigned int i;

    for ( i = 0; i < 7; i++ )
        bar[i] = (struct rvpci_bar){ .guest = RVPCI_NO_ADDRESS };

    if ( pdev->info.is_virtfn )
    {
        size_virtual_function(pdev, bar);
        return;
    }

    command = pci_conf_read16(sbdf, PCI_COMMAND);
    pci_conf_write16(sbdf, PCI_COMMAND,
                     command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));

    for ( i = 0; i < at.bars; )
    {
        unsigned int reg = PCI_BASE_ADDRESS_0 + i * 4;
        uint32_t value = pci_conf_read32(sbdf, reg);
        struct rvpci_bar *this = &bar[i];

        if ( is_io(value) )
        {
            this->address = vpci_io_address(pdev, i);
            this->size = size_io(sbdf, reg, value);
            i++;
        }
        else if ( is_64bit(value) && i + 1 == at.bars )
            /* There is no register for its high half. */
            i++;
        else
            i += pci_size_mem_bar(sbdf, reg, &this->address, &this->size, 0);

        if ( this->size )
            set_kind(this, value);
    }

    if ( at.rom )
    {
        struct rvpci_bar *rom = &bar[6];

        pci_size_mem_bar(sbdf, at.rom, &rom->address, &rom->size, PCI_BAR_ROM);
        if ( rom->size )
            rom->kind = RVPCI_BAR_ROM;
    }

    pci_conf_write16(sbdf, PCI_COMMAND, command);
}

int vpci_read_bars(const struct pci_dev *pdev, struct rvpci_bar bar[7],
                   uint32_t *guest)
{
    struct domain *d = pdev->domain == dom_xen ? hardware_domain : pdev->domain;
    bool known = false;
    unsigned int i;

    *guest = VPCI_NO_SBDF;

    if ( d && has_vpci(d) )
    {
        read_lock(&d->pci_lock);
        if ( pdev->vpci )
        {
            struct vpci_device *dev = vpci_device(pdev);

            spin_lock(&pdev->vpci->lock);
            for ( i = 0; i < 7; i++ )
            {
                rvpci_bar_state(vpci_core(dev), i, &bar[i]);
                /* The hardware domain's are left alone. */
                if ( bar[i].kind == RVPCI_BAR_IO && !bar[i].size )
                    bar[i].address = vpci_io_address(pdev, i);
            }
            spin_unlock(&pdev->vpci->lock);
            *guest = dev->place ? dev->place->guest : pdev->sbdf.sbdf;
            /* In the hardware domain's view, a virtual function has none. */
            known = dev->place || !pdev->info.is_virtfn;
        }
        read_unlock(&d->pci_lock);
    }

    if ( known )
        return 0;
    /* Nobody uses what is in quarantine, so that it need not decode for a moment. */
    if ( pdev->domain != dom_io && !pdev->info.is_virtfn )
        return -EBUSY;

    vpci_size_bars(pdev, bar);

    return 0;
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
