// SPDX-License-Identifier: MIT OR Apache-2.0
/* What a toolstack may not ask of Xen about the MCH and about servers. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

/* What is not refused. */
#define PCIEXBAR 0xe0000001

/* Says that it was refused with this errno, or that it was not. */
static bool refused(bool done, int wanted, const char *what)
{
    if ( done )
        errno = 0;
    if ( done || errno != wanted )
        return failed("having %s refused", what);
    printf("refused %s\n", what);

    return true;
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

bool denials_before(const struct guest *g)
{
    /* RAM from 4 GiB on, which this guest has not. */
    static const uint64_t high = 5UL << 30;
    static const struct { uint64_t pciexbar; const char *what; } wrong[] = {
        { 0x1, "a window over RAM" },
        { 0x100000001, "a window over RAM above 4 GiB" },
        { 0xf0000001, "a window over the interrupt controllers" },
        { 0xe0000007, "a window of the reserved length" },
        { 0xb8000001, "a window that is not aligned to its length" },
        { 0xb2000005, "a window that is not aligned to 64 MiB" },
        { 0xe0000009, "a reserved bit of PCIEXBAR" },
        { 0x10e0000001, "a window above 64 GiB" },
    };
    uint64_t low = g->memory * MIB;
    bool good = true;

    for ( unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++ )
        good &= refused(place(g->domain, wrong[i].pciexbar, low, high), EINVAL, wrong[i].what);
    good &= refused(place(g->domain, PCIEXBAR, 1UL << 32 | 1, 0), EINVAL, "low RAM beyond 4 GiB");
    good &= refused(place(g->domain, PCIEXBAR, low, low), EINVAL, "high RAM below 4 GiB");
    good &= refused(place(0, PCIEXBAR, low, 0), EOPNOTSUPP, "the MCH of a domain without");
    good &= refused(server(g->domain, 8, VPCI_SERVER_EXTENDED), EINVAL, "a server that cannot be");
    good &= refused(server(g->domain, 0, ~VPCI_SERVER_EXTENDED), EINVAL, "an unknown flag of a server");
    good &= refused(create(VPCI_EMU_Q35), EOPNOTSUPP, "a domain with the MCH and no local APIC");
    good &= refused(create(VPCI_EMU_Q35 | XEN_X86_EMU_LAPIC | XEN_X86_EMU_PIT), EOPNOTSUPP,
                    "a domain with the MCH and half of an HVM guest's devices");

    return good;
}

bool denials_after(const struct guest *g)
{
    return refused(place(g->domain, PCIEXBAR, g->memory * MIB, 0), EBUSY, "another MCH for a guest that has run");
}
