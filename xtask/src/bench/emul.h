/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Xen's vpci.c needs of Xen, for a program on the host: one device, found in no time, of the hardware domain.
 * Locks cost nothing, because the library takes none.
 */
#ifndef BENCH_EMUL_H
#define BENCH_EMUL_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "common-macros.h"

#define CONFIG_64BIT
#define CONFIG_HAS_VPCI

#define PCI_CFG_SPACE_EXP_SIZE 4096

#define ASSERT(p) assert(p)
#define ASSERT_UNREACHABLE() assert(!"reachable")
#define __must_check __attribute__((__warn_unused_result__))
#define cf_check
#define prefetch(p) __builtin_prefetch(p)
#define smp_wmb()

#include "xen-list.h"

typedef union {
    uint32_t sbdf;
    struct {
        uint16_t bdf;
        uint16_t seg;
    };
} pci_sbdf_t;

typedef char spinlock_t;
typedef char rwlock_t;

#define spin_lock(lock) ((void)(lock))
#define spin_unlock(lock) ((void)(lock))
#define read_lock(lock) ((void)(lock))
#define read_unlock(lock) ((void)(lock))
#define write_lock(lock) ((void)(lock))
#define write_unlock(lock) ((void)(lock))

struct domain {
    rwlock_t pci_lock;
};

struct vcpu {
    struct domain *domain;
};

struct pci_dev {
    pci_sbdf_t sbdf;
    struct vpci *vpci;
};

/* Defined by the program. */
extern const struct vcpu *const current;
extern struct pci_dev the_device;

uint8_t pci_conf_read8(pci_sbdf_t sbdf, unsigned int reg);
uint16_t pci_conf_read16(pci_sbdf_t sbdf, unsigned int reg);
uint32_t pci_conf_read32(pci_sbdf_t sbdf, unsigned int reg);
void pci_conf_write8(pci_sbdf_t sbdf, unsigned int reg, uint8_t data);
void pci_conf_write16(pci_sbdf_t sbdf, unsigned int reg, uint16_t data);
void pci_conf_write32(pci_sbdf_t sbdf, unsigned int reg, uint32_t data);

#define is_hardware_domain(d) ((void)(d), true)
#define pci_get_pdev(...) (&the_device)
#define pci_get_ro_map(...) NULL
#define test_bit(...) false

#define xmalloc(type) ((type *)malloc(sizeof(type)))
#define xfree(p) free(p)

#include "xen-vpci.h"

/* The header has these for Xen alone. */
bool vpci_access_allowed(unsigned int reg, unsigned int len);
bool vpci_ecam_write(pci_sbdf_t sbdf, unsigned int reg, unsigned int len, unsigned long data);
bool vpci_ecam_read(pci_sbdf_t sbdf, unsigned int reg, unsigned int len, unsigned long *data);

#endif
