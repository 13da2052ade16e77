// SPDX-License-Identifier: MIT OR Apache-2.0
/* The life of a domain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

/* For page tables of the p2m and of the IOMMU: 4 MiB, and what a large guest needs on top. */
#define POOL(memory) (4 * MIB + (memory) * 8192UL)

/* 2 MiB. */
#define LARGE 9

bool guest_create(struct guest *g)
{
    struct xen_domctl op = {
        .u.createdomain = {
            .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_iommu,
            /* The CPU's page tables may be of another kind than the IOMMU's, as in QEMU. */
            .iommu_opts = XEN_DOMCTL_IOMMU_no_sharept,
            .max_vcpus = g->vcpus,
            .max_evtchn_port = 1023,
            .max_grant_frames = 4,
            .grant_opts = XEN_DOMCTL_GRANT_version(1),
            .arch.emulation_flags = g->hvm ? XEN_X86_EMU_ALL & ~(XEN_X86_EMU_VPCI | XEN_X86_EMU_USE_PIRQ)
                                           : XEN_X86_EMU_LAPIC,
        },
    };

    if ( g->vpci )
        op.u.createdomain.arch.emulation_flags |= XEN_X86_EMU_VPCI;
    if ( g->q35 )
        op.u.createdomain.arch.emulation_flags |= VPCI_EMU_Q35;

    /* Domain 0 stands for any that is free. */
    if ( !xen_domctl(&op, XEN_DOMCTL_createdomain, 0) )
        return failed("creating the domain");
    g->domain = op.domain;
    g->exists = true;
    printf("domain %u\n", g->domain);

    memset(&op, 0, sizeof(op));
    op.u.max_mem.max_memkb = g->memory * 1024 + 1024;
    if ( !xen_domctl(&op, XEN_DOMCTL_max_mem, g->domain) )
        return failed("setting its memory limit");

    memset(&op, 0, sizeof(op));
    op.u.paging_mempool.size = POOL(g->memory);
    if ( !xen_domctl(&op, XEN_DOMCTL_set_paging_mempool_size, g->domain) )
        return failed("giving it memory for page tables");

    memset(&op, 0, sizeof(op));
    op.u.max_vcpus.max = g->vcpus;
    if ( !xen_domctl(&op, XEN_DOMCTL_max_vcpus, g->domain) )
        return failed("creating its vCPUs");

    return true;
}

/* Gives the domain RAM from `start` to `end`, in extents of 2^order pages. */
static bool populate(struct guest *g, uint64_t start, uint64_t end, unsigned int order)
{
    uint64_t extent = PAGE_SIZE << order;
    size_t count = (end - start) / extent;
    xen_pfn_t *frames = calloc(count ? count : 1, sizeof(*frames));
    struct xen_memory_reservation reservation = {
        .nr_extents = count,
        .extent_order = order,
        .domid = g->domain,
    };
    long done;

    if ( !frames )
        return failed("allocating memory");
    for ( size_t i = 0; i < count; i++ )
        frames[i] = (start + i * extent) >> PAGE_SHIFT;
    set_xen_guest_handle(reservation.extent_start, frames);
    done = count ? xen_memory(XENMEM_populate_physmap, &reservation) : 0;
    free(frames);
    if ( done < 0 )
        return failed("giving it memory at %lx", start);
    if ( (size_t)done == count )
        return true;
    /* There may still be small pages where there are no large ones. */
    if ( order )
        return populate(g, start + done * extent, start + count * extent, 0);
    errno = ENOMEM;

    return failed("giving it memory at %lx", start + done * extent);
}

/* PCIEXBAR: bits 35:28 of the base, and 27 and 26 with the shorter lengths; 256 MiB, 128 or 64 by bits 2:1; bit 0 enables it. */
struct ecam guest_ecam(const struct guest *g)
{
    uint64_t size = (256 * MIB) >> (g->pciexbar >> 1 & 3);

    if ( !g->q35 || !(g->pciexbar & 1) )
        return (struct ecam) { 0 };

    return (struct ecam) { g->pciexbar & ~(size - 1), size };
}

unsigned int guest_memory_map(const struct guest *g, struct hvm_memmap_table_entry map[MAX_MAP])
{
    struct ecam ecam = guest_ecam(g);
    const struct hvm_memmap_table_entry all[MAX_MAP] = {
        { 0, LOW_END, XEN_HVM_MEMMAP_TYPE_RAM, 0 },
        { ACPI_AT, PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_ACPI, 0 },
        { HIGH_START, g->memory * MIB - HIGH_START, XEN_HVM_MEMMAP_TYPE_RAM, 0 },
        { ecam.base, ecam.size, XEN_HVM_MEMMAP_TYPE_RESERVED, 0 },
    };
    unsigned int used = 0;

    for ( unsigned int i = 0; i < MAX_MAP; i++ )
        if ( all[i].size )
            map[used++] = all[i];

    return used;
}

bool guest_populate(struct guest *g)
{
    struct hvm_memmap_table_entry map[MAX_MAP];
    struct __attribute__((packed)) { uint64_t start, size; uint32_t type; } e820[MAX_MAP];
    struct xen_foreign_memory_map of_domain = {
        .domid = g->domain,
        .map.nr_entries = guest_memory_map(g, map),
    };
    uint64_t end = g->memory * MIB, large = 2 * MIB;

    if ( !populate(g, 0, LOW_END, 0) || !populate(g, HIGH_START, large, 0) || !populate(g, large, end, LARGE) ||
         !populate(g, end - end % large, end, 0) || !populate(g, ACPI_AT, ACPI_AT + PAGE_SIZE, 0) )
        return false;

    for ( unsigned int i = 0; i < of_domain.map.nr_entries; i++ )
        e820[i] = (__typeof__(e820[i])) { map[i].addr, map[i].size, map[i].type };
    set_xen_guest_handle(of_domain.map.buffer, (void *)e820);
    if ( xen_memory(XENMEM_set_memory_map, &of_domain) < 0 )
        return failed("setting its memory map");

    return true;
}

/* As the PVH boot protocol has it: 32-bit protected mode, flat segments, no paging, the start information in ebx. */
static struct hvm_hw_cpu first_vcpu(uint32_t entry, uint32_t start_info)
{
    enum { CODE = 0xc9b, DATA = 0xc93, TASK = 0x8b, LDT = 0x82 };
    enum { PE = 1, ET = 1 << 4 };

    return (struct hvm_hw_cpu) {
        .rip = entry,
        .rbx = start_info,
        .rflags = 2,
        .cr0 = PE | ET,
        .dr6 = 0xffff0ff0,
        .dr7 = 0x400,
        .cs_limit = ~0U, .cs_arbytes = CODE,
        .ds_limit = ~0U, .ds_arbytes = DATA,
        .es_limit = ~0U, .es_arbytes = DATA,
        .fs_limit = ~0U, .fs_arbytes = DATA,
        .gs_limit = ~0U, .gs_arbytes = DATA,
        .ss_limit = ~0U, .ss_arbytes = DATA,
        .tr_limit = 0x67, .tr_arbytes = TASK,
        .ldtr_arbytes = LDT,
    };
}

/* Everything can be cached, but for the hole with the BARs. The other vCPUs' are what the guest makes of them. */
static struct hvm_hw_mtrr memory_types(void)
{
    enum { WRITE_BACK = 6, VALID = 1 << 11, ENABLED = 3 << 10 };
    struct hvm_hw_mtrr mtrr = {
        .msr_pat_cr = 0x0007040600070406,
        .msr_mtrr_cap = 1 << 10 | 1 << 8 | MTRR_VCNT,
        .msr_mtrr_def_type = ENABLED | WRITE_BACK,
        /* Type 0 is uncached. */
        .msr_mtrr_var = { HOLE_START, (0xfffffffffUL & ~((1UL << 30) - 1)) | VALID },
    };

    memset(mtrr.msr_mtrr_fixed, WRITE_BACK, sizeof(mtrr.msr_mtrr_fixed));

    return mtrr;
}

bool guest_ready(struct guest *g, uint32_t entry, uint32_t start_info)
{
    struct records all;
    struct hvm_hw_cpu cpu = first_vcpu(entry, start_info);
    struct hvm_hw_mtrr mtrr = memory_types();

    records_start(&all);
    record(&all, HVM_SAVE_CODE(MTRR), &mtrr, sizeof(mtrr));
    record(&all, HVM_SAVE_CODE(CPU), &cpu, sizeof(cpu));

    return records_load(g->domain, &all) || failed("setting its first vCPU's state");
}

bool domain_unpause(domid_t domain)
{
    struct xen_domctl op = { 0 };

    return xen_domctl(&op, XEN_DOMCTL_unpausedomain, domain) || failed("letting it run");
}

/* Whether there is such a domain, and what Xen says of it. */
static bool information(domid_t domain, struct xen_domctl *op)
{
    memset(op, 0, sizeof(*op));

    /* Xen answers with the next domain that there is. */
    return xen_domctl(op, XEN_DOMCTL_getdomaininfo, domain) && op->domain == domain;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return t.tv_sec + t.tv_nsec / 1e9;
}

bool domain_wait(domid_t domain, unsigned int seconds, unsigned int *reason)
{
    double end = now() + seconds;
    struct xen_domctl op;

    for ( ;; )
    {
        if ( !information(domain, &op) )
        {
            errno = ESRCH;
            return failed("waiting for domain %u", domain);
        }
        if ( op.u.getdomaininfo.flags & XEN_DOMINF_shutdown )
        {
            *reason = (op.u.getdomaininfo.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
            return true;
        }
        if ( now() > end )
        {
            errno = ETIMEDOUT;
            return failed("waiting %u seconds for domain %u", seconds, domain);
        }
        usleep(30000);
    }
}

bool domain_idle(domid_t domain, unsigned int seconds)
{
    double end = now() + seconds, since = now();
    uint64_t used = 0;
    struct xen_domctl op;

    for ( ;; )
    {
        if ( !information(domain, &op) || (op.u.getdomaininfo.flags & XEN_DOMINF_shutdown) )
        {
            errno = ESRCH;
            return failed("waiting for domain %u to have nothing to do", domain);
        }
        if ( op.u.getdomaininfo.cpu_time != used || !(op.u.getdomaininfo.flags & XEN_DOMINF_blocked) )
        {
            used = op.u.getdomaininfo.cpu_time;
            since = now();
        }
        if ( now() > since + 0.5 )
            return true;
        if ( now() > end )
        {
            errno = ETIMEDOUT;
            return failed("waiting %u seconds for domain %u to have nothing to do", seconds, domain);
        }
        usleep(30000);
    }
}

bool domain_destroy(domid_t domain)
{
    double end = now() + 30;
    struct xen_domctl op;

    for ( ;; )
    {
        memset(&op, 0, sizeof(op));
        if ( xen_domctl(&op, XEN_DOMCTL_destroydomain, domain) )
            break;
        if ( (errno != EAGAIN && errno != ERESTART) || now() > end )
            return failed("destroying domain %u", domain);
        usleep(1000);
    }
    /* The last references go when every CPU has been idle once. */
    while ( information(domain, &op) )
    {
        if ( now() > end )
        {
            errno = ETIMEDOUT;
            return failed("waiting for domain %u to be gone: something still refers to it", domain);
        }
        usleep(1000);
    }

    return true;
}
