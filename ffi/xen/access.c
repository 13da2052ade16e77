// SPDX-License-Identifier: GPL-2.0-only
/*
 * Accesses of domains, to configuration space and to pages of BARs that trap, and the work that follows them.
 */
#include <xen/sched.h>
#include <xen/softirq.h>

#include <asm/hvm/io.h>
#include <asm/p2m.h>

#include "glue.h"

bool vpci_access_allowed(unsigned int reg, unsigned int len)
{
    return rvpci_access_allowed(reg, len);
}

/*
 * The owner of @sbdf in @d, and its device if that is what it is. The domain's lock is held.
 */
static uint32_t find(const struct domain *d, pci_sbdf_t sbdf,
                     struct vpci_device **dev)
{
    const struct vpci_domain *vd = vpci_domain(d);
    struct rvpci_device *core;
    uint32_t owner = RVPCI_OWNER_DEFAULT;

    if ( vd )
        owner = rvpci_find(vd->core, sbdf.sbdf, &core);
    if ( owner == RVPCI_OWNER_DEVICE )
        *dev = vpci_from_core(core);

    return owner;
}

/*
 * Any access but one of 8 bytes that are aligned, which is two. False if a server is to be asked: no lock is held then.
 * What nobody answers reads as all ones, and is dropped when written.
 */
static bool read_dword(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                       unsigned int size, uint32_t *data)
{
    struct vpci_domain *vd;
    struct vpci_device *dev;
    uint32_t owner;
    bool allowed = size <= 4 && rvpci_access_allowed(reg, size), done = true;

    *data = ~0U;

    read_lock(&d->pci_lock);
    vd = vpci_domain(d);
    owner = find(d, sbdf, &dev);
    if ( owner == RVPCI_OWNER_DEVICE && allowed )
    {
        spin_lock(&dev->vpci.lock);
        *data = rvpci_read(vpci_core(dev), reg, size);
        spin_unlock(&dev->vpci.lock);
    }
    else if ( owner == RVPCI_OWNER_MCH )
    {
        spin_lock(&vd->mch_lock);
        *data = rvpci_mch_read(vd->mch, reg, size);
        spin_unlock(&vd->mch_lock);
    }
    else if ( owner >= RVPCI_OWNER_SERVER )
        done = !rvpci_may_forward(vd->core, owner, reg, size);
    read_unlock(&d->pci_lock);

    if ( (owner == RVPCI_OWNER_DEFAULT || owner == RVPCI_OWNER_READ_ONLY) &&
         is_hardware_domain(d) && allowed && !vpci_is_being_reset(sbdf) )
        *data = rvpci_host_config_read(sbdf.sbdf, reg, size);

    return done;
}

/* The guest asks for a reset of its function: from now on it does not see it. The engine does the rest. */
static void leave_for_reset(struct domain *d, pci_sbdf_t sbdf)
{
    struct vpci_device *dev;

    write_lock(&d->pci_lock);
    if ( find(d, sbdf, &dev) == RVPCI_OWNER_DEVICE && !dev->withdrawn )
    {
        rvpci_device_withdraw(dev->owner->core, vpci_core(dev));
        dev->withdrawn = true;
        vpci_reset_by_guest(dev->pdev->sbdf);
    }
    write_unlock(&d->pci_lock);
}

static bool write_dword(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                        unsigned int size, uint32_t data)
{
    struct vpci_domain *vd;
    struct vpci_device *dev;
    struct pci_dev *pdev = NULL;
    uint32_t owner;
    int32_t rc = RVPCI_DONE;
    bool allowed = size <= 4 && rvpci_access_allowed(reg, size), done = true;

    read_lock(&d->pci_lock);
    vd = vpci_domain(d);
    owner = find(d, sbdf, &dev);
    if ( owner == RVPCI_OWNER_DEVICE && allowed && !dev->frozen )
    {
        pdev = dev->pdev;
        spin_lock(&dev->vpci.lock);
        rc = rvpci_write(vpci_core(dev), reg, size, data, RVPCI_SHARED);
        spin_unlock(&dev->vpci.lock);
    }
    else if ( owner == RVPCI_OWNER_MCH )
    {
        spin_lock(&vd->mch_lock);
        rvpci_mch_write(vd->mch, reg, size, data);
        spin_unlock(&vd->mch_lock);
    }
    else if ( owner >= RVPCI_OWNER_SERVER )
        done = !rvpci_may_forward(vd->core, owner, reg, size);
    read_unlock(&d->pci_lock);

    if ( rc == RVPCI_NEEDS_EXCLUSIVE )
    {
        /* Nothing was done yet, and the device may have gone since. */
        write_lock(&d->pci_lock);
        owner = find(d, sbdf, &dev);
        if ( owner == RVPCI_OWNER_DEVICE && !dev->frozen )
        {
            pdev = dev->pdev;
            rc = rvpci_write(vpci_core(dev), reg, size, data, RVPCI_EXCLUSIVE);
        }
        write_unlock(&d->pci_lock);
    }

    if ( rc == RVPCI_PENDING )
        vpci_defer(pdev);
    else if ( rc == RVPCI_RESET )
        leave_for_reset(d, sbdf);

    if ( owner == RVPCI_OWNER_DEFAULT && is_hardware_domain(d) && allowed &&
         !vpci_is_being_reset(sbdf) )
        rvpci_host_config_write(sbdf.sbdf, reg, size, data);

    return done;
}

bool vpci_config_read(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                      unsigned int len, uint64_t *data)
{
    uint32_t low, high;

    if ( len != 8 || !rvpci_access_allowed(reg, len) )
    {
        bool done = read_dword(d, sbdf, reg, len, &low);

        *data = len > 4 ? ~0UL : low;

        return done;
    }

    /* Two accesses, the lower first. A server cannot be asked for two. */
    read_dword(d, sbdf, reg, 4, &low);
    read_dword(d, sbdf, reg + 4, 4, &high);
    *data = (uint64_t)high << 32 | low;

    return true;
}

bool vpci_config_write(struct domain *d, pci_sbdf_t sbdf, unsigned int reg,
                       unsigned int len, uint64_t data)
{
    if ( len != 8 || !rvpci_access_allowed(reg, len) )
        return write_dword(d, sbdf, reg, len, data);

    write_dword(d, sbdf, reg, 4, data);
    write_dword(d, sbdf, reg + 4, 4, data >> 32);

    return true;
}

uint32_t vpci_read(pci_sbdf_t sbdf, unsigned int reg, unsigned int size)
{
    uint32_t data;

    read_dword(current->domain, sbdf, reg, size, &data);

    return data;
}

void vpci_write(pci_sbdf_t sbdf, unsigned int reg, unsigned int size,
                uint32_t data)
{
    write_dword(current->domain, sbdf, reg, size, data);
}

bool vpci_ecam_read(pci_sbdf_t sbdf, unsigned int reg, unsigned int len,
                    unsigned long *data)
{
    vpci_config_read(current->domain, sbdf, reg, len, data);

    return true;
}

bool vpci_ecam_write(pci_sbdf_t sbdf, unsigned int reg, unsigned int len,
                     unsigned long data)
{
    vpci_config_write(current->domain, sbdf, reg, len, data);

    return true;
}

void vpci_defer(struct pci_dev *pdev)
{
    /* Only a mark: the device may be gone by the time it is looked at. */
    current->vpci.pdev = pdev;
    raise_softirq(SCHEDULE_SOFTIRQ);
}

bool vpci_process_pending(struct vcpu *v)
{
    struct domain *d = v->domain;
    struct vpci_domain *vd;
    int32_t rc = RVPCI_DONE;

    if ( !v->vpci.pdev )
        return false;

    write_lock(&d->pci_lock);
    vd = vpci_domain(d);
    if ( vd )
        rc = rvpci_step(vd->core);
    write_unlock(&d->pci_lock);

    if ( rc == RVPCI_AGAIN )
        return true;

    v->vpci.pdev = NULL;

    return false;
}

bool vpci_p2m_is_locked(const struct domain *d)
{
    return p2m_get_hostp2m(d)->lock.locker == smp_processor_id();
}

/* The device that a trapped page belongs to. The domain's lock is held. */
static struct vpci_device *find_page(const struct domain *d,
                                     unsigned long addr)
{
    const struct vpci_domain *vd = vpci_domain(d);
    struct rvpci_device *core = vd ? rvpci_find_window(vd->core, addr) : NULL;

    return core ? vpci_from_core(core) : NULL;
}

/*
 * Whether a page that was not there when a guest reached for it has been mapped since, as by another vCPU that turns on
 * decoding. Xen crashes a domain for a fault on such a page; but when it was reached for, the BAR did not decode.
 */
static bool is_mapped_since(struct domain *d, unsigned long addr)
{
    p2m_type_t t;

    if ( is_hardware_domain(d) || d->max_vcpus == 1 )
        return false;

    get_gfn_query_unlocked(d, PFN_DOWN(addr), &t);

    return t == p2m_mmio_direct;
}

static int cf_check msix_check(struct vcpu *v, unsigned long addr)
{
    struct domain *d = v->domain;
    bool found;

    if ( vpci_p2m_is_locked(d) )
        return false;

    read_lock(&d->pci_lock);
    found = find_page(d, addr);
    read_unlock(&d->pci_lock);

    return found || is_mapped_since(d, addr);
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

    /* If the page is nobody's, or not any more, this is a BAR that does not decode. */
    return X86EMUL_OKAY;
}

static int cf_check msix_write(struct vcpu *v, unsigned long addr,
                               unsigned int len, unsigned long data)
{
    struct domain *d = v->domain;
    struct vpci_device *dev;
    struct pci_dev *pdev = NULL;
    pci_sbdf_t sbdf = {};
    int32_t rc = RVPCI_DONE;

    read_lock(&d->pci_lock);
    dev = find_page(d, addr);
    if ( dev )
    {
        pdev = dev->pdev;
        sbdf.sbdf = dev->place ? dev->place->guest : pdev->sbdf.sbdf;
        spin_lock(&dev->vpci.lock);
        rc = rvpci_mmio_write(vpci_core(dev), addr, len, data, RVPCI_SHARED);
        spin_unlock(&dev->vpci.lock);
    }
    read_unlock(&d->pci_lock);

    /* The page may show configuration space: what comes of a write is as in write_dword(). */
    if ( rc == RVPCI_NEEDS_EXCLUSIVE )
    {
        write_lock(&d->pci_lock);
        dev = find_page(d, addr);
        if ( dev )
        {
            pdev = dev->pdev;
            sbdf.sbdf = dev->place ? dev->place->guest : pdev->sbdf.sbdf;
            rc = rvpci_mmio_write(vpci_core(dev), addr, len, data,
                                  RVPCI_EXCLUSIVE);
        }
        write_unlock(&d->pci_lock);
    }

    if ( rc == RVPCI_PENDING )
        vpci_defer(pdev);
    else if ( rc == RVPCI_RESET )
        leave_for_reset(d, sbdf);

    return X86EMUL_OKAY;
}

static const struct hvm_mmio_ops msix_ops = {
    .check = msix_check,
    .read = msix_read,
    .write = msix_write,
};

void vpci_watch_pages(struct vpci_domain *vd)
{
    if ( !vd->watches_pages )
        register_mmio_handler(vd->d, &msix_ops);
    vd->watches_pages = true;
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
