/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the library imports and a device without BARs and interrupts never calls; and the way it returns.
 */
#include <stdlib.h>

#include "vpci.h"

__asm__(".globl __x86_return_thunk\n"
        ".type __x86_return_thunk, @function\n"
        "__x86_return_thunk: ret\n"
        ".size __x86_return_thunk, . - __x86_return_thunk\n");

int64_t rvpci_host_map(void *domain, uint64_t gfn, uint64_t mfn, uint64_t count)
{
    abort();
}

int64_t rvpci_host_unmap(void *domain, uint64_t gfn, uint64_t mfn, uint64_t count)
{
    abort();
}

int32_t rvpci_host_make_hole(void *domain, uint64_t gfn)
{
    abort();
}

bool rvpci_host_next_reserved(uint64_t first, uint64_t last, uint64_t *found_first, uint64_t *found_last)
{
    abort();
}

bool rvpci_host_may_place(void *domain, uint64_t first, uint64_t last)
{
    abort();
}

bool rvpci_host_is_shared(uint32_t sbdf, uint64_t mfn)
{
    abort();
}

uint32_t rvpci_host_vpd_read(void *device, uint32_t address)
{
    abort();
}

bool rvpci_host_preempt(void)
{
    abort();
}

int32_t rvpci_host_map_msi(void *device, uint32_t vectors)
{
    abort();
}

int32_t rvpci_host_map_msix(void *device, uint32_t entry, uint64_t table)
{
    abort();
}

void rvpci_host_unmap_pirq(void *device, int32_t pirq)
{
    abort();
}

int32_t rvpci_host_bind(void *device, int32_t pirq, uint32_t vectors, uint64_t address, uint32_t data, uint32_t mask)
{
    abort();
}

void rvpci_host_unbind(void *device, int32_t pirq, uint32_t vectors)
{
    abort();
}

void rvpci_host_mask(void *device, int32_t pirq, bool masked)
{
    abort();
}

int32_t rvpci_host_filter_msix_control(void *device, uint32_t offset, uint32_t value)
{
    abort();
}

int32_t rvpci_host_mmio_read(void *device, uint32_t slot, uint64_t mfn, uint32_t offset, uint32_t bytes, uint64_t *value)
{
    abort();
}

void rvpci_host_mmio_write(void *device, uint32_t slot, uint64_t mfn, uint32_t offset, uint32_t bytes, uint64_t value)
{
    abort();
}

/* A program that resets has its own of these. */
#define UNLESS_DEFINED __attribute__((__weak__))

UNLESS_DEFINED uint32_t rvpci_host_memory_read(uint32_t sbdf, uint64_t address)
{
    abort();
}

UNLESS_DEFINED void rvpci_host_memory_write(uint32_t sbdf, uint64_t address, uint32_t value)
{
    abort();
}

UNLESS_DEFINED int32_t rvpci_host_withdraw(uint32_t sbdf)
{
    abort();
}

UNLESS_DEFINED bool rvpci_host_claim(uint32_t sbdf)
{
    abort();
}

UNLESS_DEFINED void rvpci_host_release(uint32_t sbdf)
{
    abort();
}

UNLESS_DEFINED bool rvpci_host_claim_bus(uint32_t bridge, uint32_t first)
{
    abort();
}

UNLESS_DEFINED void rvpci_host_release_bus(uint32_t bridge, uint32_t first)
{
    abort();
}
