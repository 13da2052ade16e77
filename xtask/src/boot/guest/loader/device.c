// SPDX-License-Identifier: MIT OR Apache-2.0
/* Devices that a guest gets. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

bool parse_sbdf(const char *text, uint32_t *sbdf)
{
    unsigned int segment = 0, bus, device, function;
    int used = 0;

    if ( (sscanf(text, "%4x:%2x:%2x.%1x%n", &segment, &bus, &device, &function, &used) != 4 || text[used]) &&
         (segment = 0, sscanf(text, "%2x:%2x.%1x%n", &bus, &device, &function, &used) != 3 || text[used]) )
        return false;
    if ( device > 31 || function > 7 )
        return false;
    *sbdf = segment << 16 | bus << 8 | device << 3 | function;

    return true;
}

const char *show_sbdf(uint32_t sbdf)
{
    static char text[16];

    snprintf(text, sizeof(text), "%04x:%02x:%02x.%x", sbdf >> 16, sbdf >> 8 & 0xff, sbdf >> 3 & 0x1f, sbdf & 7);

    return text;
}

/* RVPCI_REFUSED_* of vpci.h. */
static const char *const refusals[] = {
    "hidden-write", "bar-mapped", "rom-mapped", "msix-access", "map", "unmap", "hole", "interrupt", "capability", "access",
    "read-only", "bar-moved", "reset", "placement", "vpd", "mirror",
};

static const char *refusal(unsigned int reason)
{
    static char text[24];

    if ( reason < sizeof(refusals) / sizeof(refusals[0]) )
        return refusals[reason];
    snprintf(text, sizeof(text), "reason-%u", reason);

    return text;
}

/* The operation's part of the domctl is not in Xen's header. */
bool vpci_domctl(domid_t domain, struct xen_domctl_vpci *vpci)
{
    struct xen_domctl op = { 0 };
    bool good;

    _Static_assert(sizeof(*vpci) <= sizeof(op.u), "a domctl has no room for this");
    memcpy(&op.u, vpci, sizeof(*vpci));
    good = xen_domctl(&op, XEN_DOMCTL_vpci, domain);
    if ( good )
        memcpy(vpci, &op.u, sizeof(*vpci));

    return good;
}

static bool in_memory(const struct vpci_domctl_bar *bar)
{
    return bar->size && (bar->kind == VPCI_BAR_MEM32 || bar->kind == VPCI_BAR_MEM64 || bar->kind == VPCI_BAR_ROM);
}

bool device_query(domid_t domain, uint32_t host, struct vpci_domctl_bar bar[VPCI_DOMCTL_BARS])
{
    static const char *const kinds[] = { "none", "io", "mem32", "mem64", "rom" };
    struct xen_domctl_vpci op = { .op = VPCI_DOMCTL_query, .machine_sbdf = host, .u.query.bars = (uintptr_t)bar };

    if ( !vpci_domctl(domain, &op) )
        return failed("asking for the BARs of %s", show_sbdf(host));
    for ( unsigned int i = 0; i < VPCI_DOMCTL_BARS; i++ )
        if ( bar[i].kind )
            printf("bar %s %u %s%s size %lx host %lx guest %lx%s\n", show_sbdf(host), i,
                   bar[i].kind < sizeof(kinds) / sizeof(kinds[0]) ? kinds[bar[i].kind] : "?",
                   bar[i].flags & VPCI_BAR_PREFETCHABLE ? " prefetchable" : "", bar[i].size, bar[i].host, bar[i].guest,
                   bar[i].flags & VPCI_BAR_MAPPED ? " mapped" : "");

    return true;
}

bool guest_set_q35(struct guest *g)
{
    struct xen_domctl_vpci op = {
        .op = VPCI_DOMCTL_q35,
        .u.q35 = { .pciexbar = g->pciexbar, .low_ram_end = g->memory * MIB },
    };

    return vpci_domctl(g->domain, &op) || failed("setting PCIEXBAR to %lx", g->pciexbar);
}

/*
 * Finds a place in the hole, outside of the ECAM window. A BAR has its pages for itself, and in the first one the offset that it
 * has on the machine.
 */
static bool choose(struct guest *g, const struct vpci_domctl_bar *bar, uint64_t *at)
{
    uint64_t align = bar->size > PAGE_SIZE ? bar->size : PAGE_SIZE;
    uint64_t start = (g->next_bar + align - 1) & ~(align - 1);
    struct ecam ecam = guest_ecam(g);

    if ( start < ecam.base + ecam.size && start + align > ecam.base )
        start = (ecam.base + ecam.size + align - 1) & ~(align - 1);
    if ( align > HOLE_END - HOLE_START || start > HOLE_END - align )
        return false;
    *at = start + (bar->size < PAGE_SIZE ? bar->host % PAGE_SIZE : 0);
    g->next_bar = start + align;

    return true;
}

static bool permit(struct guest *g, const struct vpci_domctl_bar *bar)
{
    uint64_t first = bar->host >> PAGE_SHIFT, last = (bar->host + bar->size - 1) >> PAGE_SHIFT;
    struct xen_domctl op = {
        .u.iomem_permission = { .first_mfn = first, .nr_mfns = last - first + 1, .allow_access = 1 },
    };

    return xen_domctl(&op, XEN_DOMCTL_iomem_permission, g->domain);
}

bool guest_add_device(struct guest *g, struct device *device)
{
    struct xen_domctl_vpci place = {
        .op = VPCI_DOMCTL_place,
        .machine_sbdf = device->host,
        .guest_sbdf = device->guest == FIRST_FREE ? VPCI_FIRST_FREE : device->guest,
        .flags = (g->firmware_bars ? VPCI_PLACE_FIRMWARE_BARS : 0) | (g->unreset ? VPCI_PLACE_UNRESET : 0),
        .u.place = {
            .rules = (uintptr_t)device->rules,
            .vpd = (uintptr_t)device->vpd.at,
            .nr_rules = device->nr_rules,
            .vpd_length = device->vpd.size,
        },
    };
    struct xen_domctl assign = { .u.assign_device.u.pci.machine_sbdf = device->host };
    struct vpci_domctl_bar *bar = device->bar;

    if ( !device_query(g->domain, device->host, bar) )
        return false;
    for ( unsigned int i = 0; i < VPCI_DOMCTL_BARS; i++ )
    {
        place.bar[i] = VPCI_NO_ADDRESS;
        if ( !in_memory(&bar[i]) )
            continue;
        if ( !g->firmware_bars && !choose(g, &bar[i], &place.bar[i]) )
        {
            errno = ENOSPC;
            return failed("placing BAR %u of %s", i, show_sbdf(device->host));
        }
        if ( !permit(g, &bar[i]) )
            return failed("permitting BAR %u of %s", i, show_sbdf(device->host));
    }
    if ( !vpci_domctl(g->domain, &place) )
        return failed("placing %s", show_sbdf(device->host));
    device->guest = place.guest_sbdf;
    if ( !xen_domctl(&assign, XEN_DOMCTL_assign_device, g->domain) )
        return failed("assigning %s", show_sbdf(device->host));
    printf("device %s", show_sbdf(device->host));
    printf(" at %s\n", show_sbdf(device->guest));

    return true;
}

bool device_release(uint32_t host)
{
    struct xen_domctl op = { .u.assign_device.u.pci.machine_sbdf = host };

    /* What is taken from nobody is dom0's. */
    if ( !xen_domctl(&op, XEN_DOMCTL_deassign_device, DOMID_IO) )
        return failed("giving %s back", show_sbdf(host));

    return true;
}

bool device_audit(domid_t domain, uint32_t host)
{
    uint32_t counters[64] = { 0 };
    struct vpci_domctl_audit_entry entries[32];
    struct xen_domctl_vpci op = {
        .op = VPCI_DOMCTL_audit,
        .machine_sbdf = host,
        .u.audit = {
            .counters = (uintptr_t)counters,
            .entries = (uintptr_t)entries,
            .nr_counters = sizeof(counters) / sizeof(counters[0]),
            .nr_entries = sizeof(entries) / sizeof(entries[0]),
        },
    };

    if ( !vpci_domctl(domain, &op) )
        return failed("reading the audit of %s", show_sbdf(host));
    for ( unsigned int i = 0; i < op.u.audit.nr_counters && i < sizeof(counters) / sizeof(counters[0]); i++ )
        if ( counters[i] )
            printf("audit %s %s %u\n", show_sbdf(host), refusal(i), counters[i]);
    for ( unsigned int i = 0; i < op.u.audit.nr_entries && i < sizeof(entries) / sizeof(entries[0]); i++ )
        printf("ring %s %u %s %03x %u %x\n", show_sbdf(host), entries[i].sequence, refusal(entries[i].reason),
               entries[i].offset, entries[i].bytes, entries[i].value);

    return true;
}
