// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MCH of a domain, as it begins, is saved and restored.
 */
#include <xen/sched.h>

#include <asm/hvm/save.h>

#include "glue.h"
#include "vpci_domctl.h"

int vpci_mch_make(struct vpci_domain *vd, uint64_t pciexbar,
                  uint64_t low_ram_end, uint64_t high_ram_end)
{
    const struct rvpci_mch_info info = {
        .pciexbar = pciexbar,
        .low_ram_end = low_ram_end,
        .high_ram_end = high_ram_end,
        .address_bits = vd->d->arch.cpuid->extd.maxphysaddr,
    };
    size_t size = rvpci_mch_size();
    struct rvpci_mch *mch = _xzalloc(size, sizeof(uint64_t)), *old;
    int rc;

    if ( !mch )
        return -ENOMEM;

    rc = rvpci_mch_init(mch, size, &info);
    if ( rc )
    {
        xfree(mch);
        return rc;
    }

    spin_lock(&vd->mch_lock);
    old = vd->mch;
    vd->mch = mch;
    spin_unlock(&vd->mch_lock);

    xfree(old);

    return 0;
}

/* The record holds the library's image, which has a version of its own. */
struct vpci_mch_record {
    uint8_t image[RVPCI_MCH_IMAGE];
};
DECLARE_HVM_SAVE_TYPE(VPCI_MCH, VPCI_SAVE_MCH, struct vpci_mch_record);

static int cf_check mch_save(struct vcpu *v, hvm_domain_context_t *h)
{
    const struct domain *d = v->domain;
    struct vpci_domain *vd = has_mch(d) ? vpci_domain(d) : NULL;
    struct vpci_mch_record record;

    if ( !vd )
        return 0;

    spin_lock(&vd->mch_lock);
    rvpci_mch_save(vd->mch, d->arch.hvm.pci_cf8, record.image);
    spin_unlock(&vd->mch_lock);

    return hvm_save_entry(VPCI_MCH, 0, h, &record);
}

/* Whether a domain that is like @d could be brought into this state: a copy of its MCH is. */
static int cf_check mch_check(const struct domain *d, hvm_domain_context_t *h)
{
    const struct vpci_mch_record *record = hvm_get_entry(VPCI_MCH, h);
    struct vpci_domain *vd = has_mch(d) ? vpci_domain(d) : NULL;
    struct rvpci_mch *copy;
    uint32_t cf8;
    int rc;

    if ( !record )
        return -ENODATA;
    if ( !vd )
        return -ENODEV;

    copy = _xmalloc(rvpci_mch_size(), sizeof(uint64_t));
    if ( !copy )
        return -ENOMEM;

    spin_lock(&vd->mch_lock);
    memcpy(copy, vd->mch, rvpci_mch_size());
    spin_unlock(&vd->mch_lock);
    rc = rvpci_mch_restore(copy, record->image, &cf8);
    xfree(copy);

    return rc;
}

static int cf_check mch_load(struct domain *d, hvm_domain_context_t *h)
{
    struct vpci_domain *vd = has_mch(d) ? vpci_domain(d) : NULL;
    struct vpci_mch_record record;
    int rc;

    if ( hvm_load_entry(VPCI_MCH, h, &record) )
        return -ENODATA;
    if ( !vd )
        return -ENODEV;

    spin_lock(&vd->mch_lock);
    rc = rvpci_mch_restore(vd->mch, record.image, &d->arch.hvm.pci_cf8);
    spin_unlock(&vd->mch_lock);

    return rc;
}

HVM_REGISTER_SAVE_RESTORE(VPCI_MCH, mch_save, mch_check, mch_load, 1,
                          HVMSR_PER_DOM);

/*
 * Local variables:
 * mode: C
 * c-file-style: "BSD"
 * c-basic-offset: 4
 * tab-width: 4
 * indent-tabs-mode: nil
 * End:
 */
