// SPDX-License-Identifier: MIT OR Apache-2.0
/* Hypercalls from dom0's user space, through /dev/xen/privcmd. */
#ifndef LOADER_XEN_H
#define LOADER_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The interfaces of Xen's tools; the headers are those of the Xen that is booted. */
#define __XEN_TOOLS__ 1
#include <public/xen.h>
#include <public/domctl.h>
#include <public/sysctl.h>
#include <public/memory.h>
#include <public/physdev.h>
#include <public/hvm/dm_op.h>
#include <public/hvm/hvm_op.h>
#include <public/hvm/ioreq.h>
#include <public/hvm/save.h>
#include <public/arch-x86/hvm/start_info.h>

#include "vpci_domctl.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)

/* Opens /dev/xen/privcmd and keeps all memory in place: Xen reads arguments by their address. Ends the program if it cannot. */
void xen_open(void);

/* Does the operation `cmd` on a domain; what it answers is left in `op`. False with errno set. */
bool xen_domctl(struct xen_domctl *op, uint32_t cmd, domid_t domain);

bool xen_sysctl(struct xen_sysctl *op, uint32_t cmd);

/* A memory operation; a negative result has errno set. */
long xen_memory(unsigned int cmd, void *arg);

/* An operation on the machine's devices; a negative result has errno set. */
long xen_physdev(unsigned int cmd, void *arg);

/* An operation of a device model's on a domain; what it answers is left in `op`. False with errno set. */
bool xen_dm_op(struct xen_dm_op *op, domid_t domain);

/* Maps the frame `frame` of a resource (XENMEM_resource_*) of a domain, or returns NULL with errno set. */
void *xen_map_resource(domid_t domain, uint32_t type, uint32_t id, uint32_t frame);

/* Maps `count` frames of a domain, from `first` on, into this program, or returns NULL with errno set. */
void *xen_map(domid_t domain, uint64_t first, size_t count);
void xen_unmap(void *mapped, size_t count);

/* Prints `failed WHAT: NAME (text)` for errno. Always false. */
bool failed(const char *what, ...) __attribute__((format(printf, 1, 2)));

/* Prints `check SUBJECT NAME ok|fail FOUND` for a try that has to end with the errno `wanted`, or with 0 if it has to succeed. */
void expect(const char *subject, const char *name, int found, int wanted);

#endif
