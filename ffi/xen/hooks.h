/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen's own files call besides the functions of xen/vpci.h: see docs/xen.md. xen/sched.h includes it, so every file
 * has it.
 */
#ifndef VPCI_HOOKS_H
#define VPCI_HOOKS_H

#include <xen/errno.h>
#include <xen/rangeset.h>
#include <xen/types.h>

struct domain;
struct ioreq;
struct pci_dev;
struct xen_domctl;

#ifdef CONFIG_HAS_VPCI

/* domain.arch.emulation_flags: VPCI_EMU_Q35 of vpci_domctl.h. */
#define X86_EMU_Q35 (1U << 11)

/* XEN_DOMCTL_vpci with its @arg; -ENOSYS for any other. Sets @copyback if @op is to be given back to the caller. */
long vpci_domctl(struct xen_domctl *op, struct domain *d,
                 XEN_GUEST_HANDLE_PARAM(void) arg, bool *copyback);

/* What a domain with vPCI or the MCH has from its creation on. */
int vpci_domain_init(struct domain *d);

/* The domain is gone, and its devices with it. May be called twice. */
void vpci_domain_destroy(struct domain *d);

/* rangeset_add_range for a range of type @type of server @id, which gets what it asks for if nobody else has it. */
int vpci_add_range(struct domain *d, unsigned int id, unsigned int type,
                   struct rangeset *r, uint64_t start, uint64_t end);

/* Likewise rangeset_remove_range. */
int vpci_remove_range(struct domain *d, unsigned int id, unsigned int type,
                      struct rangeset *r, uint64_t start, uint64_t end);

/* Server @id is there no more, or a new one: it has nothing. */
void vpci_remove_server(struct domain *d, unsigned int id);

/* Whether @p, of the running domain @d, reaches configuration space, or a port that does when CF8 says so. */
bool vpci_is_config(const struct domain *d, const struct ioreq *p);

/* What a server is to be asked then. False if none can be. */
bool vpci_config_ioreq(const struct domain *d, const struct ioreq *p,
                       uint8_t *type, uint64_t *addr);

/* Whether what @p would do as a whole is to be done element by element, by the running vCPU. */
bool vpci_by_element(const struct ioreq *p);

/* How many of @chunk bytes at @gpa are one access of the running vCPU, @done of which were made before. */
unsigned int vpci_mmio_chunk(paddr_t gpa, unsigned int chunk, int done);

/*
 * Whether @pdev may be assigned to @d now: 0, -ERESTART while it is reset and the running vCPU has to wait, or why not. The
 * list of devices is locked.
 */
int vpci_prepare_assign(struct domain *d, struct pci_dev *pdev);

/* PHYSDEVOP_pci_device_reset with its @arg: resets @pdev, whose owner's lock is held. */
long vpci_physdev_reset(struct pci_dev *pdev, uint32_t kind,
                        XEN_GUEST_HANDLE_PARAM(void) arg);

#else

#define X86_EMU_Q35 0

static inline long vpci_domctl(struct xen_domctl *op, struct domain *d,
                               XEN_GUEST_HANDLE_PARAM(void) arg,
                               bool *copyback)
{
    return -ENOSYS;
}

static inline int vpci_add_range(struct domain *d, unsigned int id,
                                 unsigned int type, struct rangeset *r,
                                 uint64_t start, uint64_t end)
{
    return rangeset_add_range(r, start, end);
}

static inline int vpci_remove_range(struct domain *d, unsigned int id,
                                    unsigned int type, struct rangeset *r,
                                    uint64_t start, uint64_t end)
{
    return rangeset_remove_range(r, start, end);
}

static inline void vpci_remove_server(struct domain *d, unsigned int id) {}

static inline int vpci_prepare_assign(struct domain *d, struct pci_dev *pdev)
{
    return 0;
}

static inline long vpci_physdev_reset(struct pci_dev *pdev, uint32_t kind,
                                      XEN_GUEST_HANDLE_PARAM(void) arg)
{
    return -EOPNOTSUPP;
}

#endif

#endif
