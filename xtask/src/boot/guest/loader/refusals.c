// SPDX-License-Identifier: MIT OR Apache-2.0
/* What Xen must refuse to place, and that nothing is left of it: see vpci_domctl.h. */
#include <errno.h>

#include "guest.h"

/* No program has memory there. */
#define NOWHERE 0x1000

enum { HEADER, INTERRUPTS, WRITES, ODD };

/* Rules that are refused: BAR 0; MSI's control; what no rule may have a guest write; half a dword. */
static const struct vpci_domctl_rule rules[VPCI_DOMCTL_RULES + 1] = {
    [HEADER] = { 0xffff, 0xffff, .scope = VPCI_RULE_BYTES, .offset = 0x10, .length = 4, .read = ~0U },
    [INTERRUPTS] = { 0xffff, 0xffff, .scope = VPCI_RULE_CAPABILITY, .id = 5, .length = 4, .read = ~0U },
    [WRITES] = { 0xffff, 0xffff, .scope = VPCI_RULE_CAPABILITY, .id = 0x10, .length = 4, .read = 1, .write = 1 },
    [ODD] = { 0xffff, 0xffff, .scope = VPCI_RULE_BYTES, .offset = 0x92, .length = 2, .read = ~0U },
};

static const uint8_t data[VPCI_DOMCTL_VPD + 1];

#define RULES(first, count) .u.place = { .rules = (uintptr_t)&rules[first], .nr_rules = (count) }
#define VPD(bytes) .u.place = { .vpd = (uintptr_t)data, .vpd_length = (bytes) }

static const struct attempt {
    const char *name;
    int error;              /* what Xen answers; 0 if it accepts */
    struct xen_domctl_vpci op;
} attempts[] = {
    { "rule-for-a-bar", EPERM, { RULES(HEADER, 1) } },
    { "rule-for-msi", EPERM, { RULES(INTERRUPTS, 1) } },
    { "rule-that-writes", EPERM, { RULES(WRITES, 1) } },
    { "rule-for-half-a-dword", EINVAL, { RULES(ODD, 1) } },
    { "rule-among-others", EPERM, { RULES(HEADER, 2) } },
    { "too-many-rules", E2BIG, { RULES(HEADER, VPCI_DOMCTL_RULES + 1) } },
    { "rules-nowhere", EFAULT, { .u.place = { .rules = NOWHERE, .nr_rules = 1 } } },
    { "too-much-vpd", E2BIG, { VPD(VPCI_DOMCTL_VPD + 1) } },
    { "vpd-nowhere", EFAULT, { .u.place = { .vpd = NOWHERE, .vpd_length = 1 } } },
    { "slot-0", EINVAL, { .guest_sbdf = 0x07 } },
    { "another-bus", EINVAL, { .guest_sbdf = 0x100 } },
    { "unknown-flag", EINVAL, { .flags = 8 } },
    { "something-behind", EINVAL, { .u.room[6] = 1 } },
    { "no-such-device", ENODEV, { .machine_sbdf = 0xffffffff } },
    { "most-vpd", 0, { VPD(VPCI_DOMCTL_VPD) } },
};

static bool unplace(domid_t domain, uint32_t host)
{
    struct xen_domctl_vpci op = { .op = VPCI_DOMCTL_unplace, .machine_sbdf = host };

    return vpci_domctl(domain, &op);
}

static void try(const struct attempt *attempt, domid_t domain, uint32_t host)
{
    struct xen_domctl_vpci op = attempt->op;
    int found = 0, left = 0;

    op.op = VPCI_DOMCTL_place;
    if ( !op.machine_sbdf )
        op.machine_sbdf = host;
    if ( !op.guest_sbdf )
        op.guest_sbdf = VPCI_FIRST_FREE;
    for ( unsigned int i = 0; i < VPCI_DOMCTL_BARS; i++ )
        op.bar[i] = VPCI_NO_ADDRESS;
    if ( !vpci_domctl(domain, &op) )
        found = errno;
    if ( !unplace(domain, host) )
        left = errno;
    expect("place", attempt->name, found, attempt->error);
    expect("unplace", attempt->name, left, attempt->error ? ENOENT : 0);
}

/* Nothing is at function 0 of this slot, or can be there twice. */
#define SLOT (9 << 3)

/* Two devices in one place: dom0's host bridge, which is only named here, and the guest's. */
static void try_slot_twice(domid_t domain, uint32_t host)
{
    struct xen_domctl_vpci op = { .op = VPCI_DOMCTL_place, .guest_sbdf = SLOT };
    uint32_t both[] = { host, 0 };
    int found[2];

    for ( unsigned int i = 0; i < VPCI_DOMCTL_BARS; i++ )
        op.bar[i] = VPCI_NO_ADDRESS;
    for ( unsigned int i = 0; i < 2; i++ )
    {
        op.machine_sbdf = both[i];
        found[i] = vpci_domctl(domain, &op) ? 0 : errno;
    }
    expect("place", "slot", found[0], 0);
    expect("place", "slot-taken", found[1], EEXIST);
    expect("unplace", "slot-taken", unplace(domain, both[1]) ? 0 : errno, ENOENT);
    expect("unplace", "slot", unplace(domain, both[0]) ? 0 : errno, 0);
}

/* A device that no reset can be had of, and of which nobody said that it may go without. One that has a reset is assigned. */
static void try_unreset(domid_t domain, uint32_t host)
{
    struct xen_domctl op = { .u.assign_device.u.pci.machine_sbdf = host };

    if ( xen_domctl(&op, XEN_DOMCTL_assign_device, domain) )
        xen_domctl(&op, XEN_DOMCTL_deassign_device, domain);
    else
        expect("assign", "without-a-reset", errno, EOPNOTSUPP);
}

void device_refusals(domid_t domain, uint32_t host)
{
    for ( unsigned int i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++ )
        try(&attempts[i], domain, host);
    try_slot_twice(domain, host);
    try_unreset(domain, host);
}
