/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen's own files call besides the functions of xen/vpci.h: see docs/xen.md.
 */
#ifndef VPCI_HOOKS_H
#define VPCI_HOOKS_H

#include <xen/errno.h>
#include <xen/types.h>

struct domain;
struct xen_domctl;

#ifdef CONFIG_HAS_VPCI

/* XEN_DOMCTL_vpci; -ENOSYS for any other. Sets @copyback if @op is to be given back to the caller. */
long vpci_domctl(struct xen_domctl *op, struct domain *d, bool *copyback);

/* The domain is gone, and its devices with it. */
void vpci_domain_destroy(struct domain *d);

#else

static inline long vpci_domctl(struct xen_domctl *op, struct domain *d,
                               bool *copyback)
{
    return -ENOSYS;
}

static inline void vpci_domain_destroy(struct domain *d) {}

#endif

#endif
