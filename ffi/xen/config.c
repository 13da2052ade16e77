// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two ways to configuration space: ports CF8 and CFC, and the ECAM window of a domain with the MCH. The hardware
 * domain's ECAM regions are Xen's affair, which calls vpci_ecam_read and vpci_ecam_write.
 */
#include <xen/ioreq.h>
#include <xen/sched.h>

#include <asm/hvm/emulate.h>
#include <asm/hvm/io.h>
#include <asm/hvm/ioreq.h>
#include <asm/p2m.h>

#include <public/hvm/dm_op.h>

#include "glue.h"
#include "hooks.h"

/* CONFIG_ADDRESS, which is a dword: its other widths are ports like any others, one of which resets the machine. */
static bool is_address_port(uint8_t type, uint64_t addr)
{
    return type == IOREQ_TYPE_PIO && addr == 0xcf8;
}

/*
 * Whether there is memory or a BAR at @addr, which win over the window. Accesses to these do not trap as a rule; but Xen
 * asks about every address that it copies from or to on the guest's behalf, instructions among them.
 */
static bool is_mapped(uint64_t addr)
{
    p2m_type_t t;

    get_gfn_query_unlocked(current->domain, PFN_DOWN(addr), &t);

    return p2m_is_any_ram(t) || t == p2m_mmio_direct;
}

/*
 * The function and register at a port or a physical address, for the running domain @d. There is none while the p2m is
 * locked: who finds one takes pci_lock.
 */
static bool decode(const struct domain *d, uint8_t type, uint64_t addr,
                   pci_sbdf_t *sbdf, uint32_t *reg)
{
    struct vpci_domain *vd = vpci_domain(d);
    uint32_t at;

    if ( !vd || vpci_p2m_is_locked(d) )
        return false;

    if ( type == IOREQ_TYPE_PIO )
        return rvpci_port_decode(ACCESS_ONCE(d->arch.hvm.pci_cf8), addr,
                                 &sbdf->sbdf, reg);

    if ( !vd->mch )
        return false;

    spin_lock(&vd->mch_lock);
    at = rvpci_mch_decode(vd->mch, addr);
    spin_unlock(&vd->mch_lock);

    if ( at == RVPCI_NO_POSITION || is_mapped(addr) )
        return false;

    sbdf->sbdf = at >> 12;
    *reg = at & (PCI_CFG_SPACE_EXP_SIZE - 1);

    return true;
}

static bool cf_check config_accept(const struct hvm_io_handler *handler,
                                   const ioreq_t *p)
{
    pci_sbdf_t sbdf;
    uint32_t reg;

    if ( p->type == IOREQ_TYPE_PIO )
        return (p->addr == 0xcf8 && p->size == 4) || (p->addr & ~3UL) == 0xcfc;

    /* An access is inside one page, and so is all of it if its first byte is. */
    return decode(current->domain, p->type, ioreq_mmio_first_byte(p), &sbdf,
                  &reg);
}

static int cf_check config_read(const struct hvm_io_handler *handler,
                                uint64_t addr, uint32_t size, uint64_t *data)
{
    struct domain *d = current->domain;
    pci_sbdf_t sbdf;
    uint32_t reg;

    *data = ~0UL;

    if ( is_address_port(handler->type, addr) )
        *data = d->arch.hvm.pci_cf8;
    else if ( decode(d, handler->type, addr, &sbdf, &reg) )
        return vpci_config_read(d, sbdf, reg, size, data)
               ? X86EMUL_OKAY : X86EMUL_UNHANDLEABLE;
    else if ( handler->type == IOREQ_TYPE_PIO )
        /* CONFIG_DATA is a port like any other then. */
        return X86EMUL_UNHANDLEABLE;

    /* If nothing is decoded, the window has moved since. */
    return X86EMUL_OKAY;
}

static int cf_check config_write(const struct hvm_io_handler *handler,
                                 uint64_t addr, uint32_t size, uint64_t data)
{
    struct domain *d = current->domain;
    pci_sbdf_t sbdf;
    uint32_t reg;

    if ( is_address_port(handler->type, addr) )
        d->arch.hvm.pci_cf8 = data;
    else if ( decode(d, handler->type, addr, &sbdf, &reg) )
        return vpci_config_write(d, sbdf, reg, size, data)
               ? X86EMUL_OKAY : X86EMUL_UNHANDLEABLE;
    else if ( handler->type == IOREQ_TYPE_PIO )
        return X86EMUL_UNHANDLEABLE;

    return X86EMUL_OKAY;
}

static const struct hvm_io_ops config_ops = {
    .accept = config_accept,
    .read = config_read,
    .write = config_write,
};

static void register_handler(struct domain *d, uint8_t type)
{
    struct hvm_io_handler *handler = hvm_next_io_handler(d);

    if ( !handler )
        return;

    handler->type = type;
    handler->ops = &config_ops;
}

void vpci_register_config_handlers(struct domain *d)
{
    register_handler(d, IOREQ_TYPE_PIO);
    if ( has_mch(d) )
        register_handler(d, IOREQ_TYPE_COPY);
}

bool vpci_is_config(const struct domain *d, const ioreq_t *p)
{
    pci_sbdf_t sbdf;
    uint32_t reg;

    return p->type == IOREQ_TYPE_PIO
           ? (p->addr & ~3UL) == 0xcfc && vpci_domain(d)
           : decode(d, p->type, p->addr, &sbdf, &reg);
}

bool vpci_config_ioreq(const struct domain *d, const ioreq_t *p,
                       uint8_t *type, uint64_t *addr)
{
    pci_sbdf_t sbdf;
    uint32_t reg;

    ASSERT(d == current->domain);

    if ( !decode(d, p->type, p->addr, &sbdf, &reg) )
    {
        /* CONFIG_DATA is a port like any other then. If it is ECAM, the window has moved since. */
        *type = XEN_DMOP_IO_RANGE_PORT;
        *addr = p->addr;

        return p->type == IOREQ_TYPE_PIO;
    }

    if ( p->count != 1 || p->data_is_ptr ||
         !vpci_may_forward(current->domain, sbdf, reg, p->size) )
        return false;

    *type = XEN_DMOP_IO_RANGE_PCI;
    *addr = (uint64_t)sbdf.sbdf << 32 | reg;

    return true;
}

/*
 * A repeated instruction (REP MOVS, STOS, INS or OUTS) can be one request, with data that stands in the guest's memory.
 * No server gets such a one for configuration space: X86EMUL_UNHANDLEABLE makes the emulator take one element after
 * another.
 */
bool vpci_by_element(const ioreq_t *p)
{
    const struct vcpu *curr = current;
    const ioreq_t *req = &curr->io.req;

    if ( (p->count == 1 && !p->data_is_ptr) || !vpci_domain(curr->domain) )
        return false;

    /* What was begun by element goes on so, even if the window has moved since. */
    if ( req->state == STATE_IORESP_READY )
        return req->data_is_ptr != p->data_is_ptr || req->df != p->df ||
               req->size != p->size;

    return vpci_is_config(curr->domain, p);
}

unsigned int vpci_mmio_chunk(paddr_t gpa, unsigned int chunk, int done)
{
    const struct vcpu *curr = current;
    pci_sbdf_t sbdf;
    uint32_t reg;

    if ( chunk <= 4 || !has_mch(curr->domain) )
        return chunk;

    /*
     * Once begun, an access goes on as it was begun: the window may have moved while a server was asked. What was done is
     * a dword, or as much as the chunk; what is under way is what was asked.
     */
    if ( done > 0 )
        return done < chunk ? 4 : chunk;
    if ( curr->io.req.state == STATE_IORESP_READY )
        return min(chunk, curr->io.req.size);

    return decode(curr->domain, IOREQ_TYPE_COPY, gpa, &sbdf, &reg) ? 4 : chunk;
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
