// SPDX-License-Identifier: MIT OR Apache-2.0
/* What a toolstack may not ask of Xen about the MCH and about servers. */
#include <errno.h>

#include "guest.h"

/* What is not refused. */
#define PCIEXBAR 0xe0000001

static void refused(bool done, int error, const char *name)
{
    expect("q35", name, done ? 0 : errno, error);
}

static bool place(domid_t domain, uint64_t pciexbar, uint64_t low_ram_end, uint64_t high_ram_end)
{
    struct xen_domctl_vpci op = {
        .op = VPCI_DOMCTL_q35,
        .u.q35 = { .pciexbar = pciexbar, .low_ram_end = low_ram_end, .high_ram_end = high_ram_end },
    };

    return vpci_domctl(domain, &op);
}

static bool server(domid_t domain, uint32_t id, uint32_t flags)
{
    struct xen_domctl_vpci op = { .op = VPCI_DOMCTL_server, .flags = flags, .u.server.id = id };

    return vpci_domctl(domain, &op);
}

/* A domain with these emulation flags. */
static bool create(uint32_t flags)
{
    struct xen_domctl op = {
        .u.createdomain = {
            .flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap,
            .max_vcpus = 1,
            .max_evtchn_port = 1023,
            .max_grant_frames = 4,
            .grant_opts = XEN_DOMCTL_GRANT_version(1),
            .arch.emulation_flags = flags,
        },
    };
    bool made = xen_domctl(&op, XEN_DOMCTL_createdomain, 0);

    if ( made )
        domain_destroy(op.domain);

    return made;
}

void q35_refusals(const struct guest *g)
{
    /* RAM from 4 GiB on, which this guest has not. */
    static const uint64_t high = 5UL << 30;
    static const struct { uint64_t pciexbar; const char *name; } windows[] = {
        { 0x1, "window-over-ram" },
        { 0x100000001, "window-over-high-ram" },
        { 0xf0000001, "window-over-apics" },
        { 0xe0000007, "reserved-length" },
        { 0xb8000001, "not-aligned-to-length" },
        { 0xb2000005, "not-aligned-to-64-mib" },
        { 0xe0000009, "reserved-bit" },
        { 0x10e0000001, "window-above-64-gib" },
    };
    uint64_t low = g->memory * MIB;

    for ( unsigned int i = 0; i < sizeof(windows) / sizeof(windows[0]); i++ )
        refused(place(g->domain, windows[i].pciexbar, low, high), EINVAL, windows[i].name);
    refused(place(g->domain, PCIEXBAR, 1UL << 32 | 1, 0), EINVAL, "low-ram-beyond-4-gib");
    refused(place(g->domain, PCIEXBAR, low, low), EINVAL, "high-ram-below-4-gib");
    refused(place(0, PCIEXBAR, low, 0), EOPNOTSUPP, "domain-without-mch");
    refused(server(g->domain, 8, VPCI_SERVER_EXTENDED), EINVAL, "no-such-server");
    refused(server(g->domain, 0, ~VPCI_SERVER_EXTENDED), EINVAL, "unknown-server-flag");
    refused(create(VPCI_EMU_Q35), EOPNOTSUPP, "mch-without-local-apic");
    refused(create(VPCI_EMU_Q35 | XEN_X86_EMU_LAPIC | XEN_X86_EMU_PIT), EOPNOTSUPP, "mch-with-half-of-hvm");
}

void q35_refusals_after(const struct guest *g)
{
    refused(place(g->domain, PCIEXBAR, g->memory * MIB, 0), EBUSY, "mch-after-start");
}
