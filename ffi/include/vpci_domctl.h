/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a toolstack tells Xen about a guest's devices, and what it can ask: one domctl, XEN_DOMCTL_vpci. The structure
 * takes the place of `u` in struct xen_domctl (Xen 4.20, interface version 0x17), whose `domain` is the guest.
 *
 * Only who may use domctls in general may use this one: the control domain. Under a Flask policy it is an unknown
 * permission, which policies deny unless they were built to allow those.
 *
 * A function's address is segment 31:16, bus 15:8, device 7:3, function 2:0. Handles are addresses in the caller's
 * memory. What is called zero must be 0. After an error nothing has changed and nothing was stored.
 */
#ifndef VPCI_DOMCTL_H
#define VPCI_DOMCTL_H

#ifdef __XEN__
# include <xen/types.h>
#else
# include <stdint.h>
#endif

#define XEN_DOMCTL_vpci 90

/*
 * xen_arch_domainconfig.emulation_flags, beside Xen's own: the domain has the MCH of a Q35 machine, function 00:00.0, and
 * an ECAM window where PCIEXBAR says. With XEN_X86_EMU_LAPIC, or that and XEN_X86_EMU_VPCI (PVH); or with what HVM domains
 * have. Not in XEN_X86_EMU_ALL.
 */
#define VPCI_EMU_Q35 (1U << 11)

/*
 * The type of the record that XEN_DOMCTL_gethvmcontext and XEN_DOMCTL_sethvmcontext have for the MCH: its state and that of
 * port CF8, as an image with a version and checks of its own. It is for a domain of which VPCI_DOMCTL_q35 has said the same;
 * an image that is damaged, or newer than the hypervisor, is refused before anything of the context is loaded.
 */
#define VPCI_SAVE_MCH 21

/*
 * Says where the domain is to see a device: before XEN_DOMCTL_assign_device, which knows only machine addresses. What
 * was said about the device before is replaced. It stays said, over deassignment and assignment too, until
 * VPCI_DOMCTL_unplace or the end of the domain.
 *
 * A device that is assigned without gets the first free slot, and its BARs are placed by the guest's firmware. That
 * takes a domain that has not run yet; to one that has, its first device comes by this operation only, which pauses the
 * domain for a moment.
 *
 * IN: machine_sbdf; guest_sbdf, on bus 0 of segment 0 and not device 0, or VPCI_FIRST_FREE; flags; bar; u.place.
 * OUT: guest_sbdf.
 *
 * Vital product data, if there is any, is what the guest reads through the device's VPD capability instead of the
 * device's own, with zeroes behind it; it cannot write any. Without, the guest sees no such capability; nor does one
 * whose device has none.
 *
 * -EOPNOTSUPP: a domain without vPCI, or the hardware domain. -EINVAL: something malformed, or a dying domain.
 * -ENODEV: Xen knows no such device. -EBUSY: the domain has the device already. -EEXIST: the guest's address is taken.
 * -ENOSPC: no slot is free. -E2BIG: more than VPCI_DOMCTL_RULES rules, or than VPCI_DOMCTL_VPD bytes. -EPERM: a rule
 * allows what no rule may. -ENOMEM, -EFAULT.
 *
 * XEN_DOMCTL_assign_device has errors of its own then. -EADDRINUSE: a BAR cannot be where it was placed, or shares a
 * page of the machine with another function's. -EOPNOTSUPP: no such device can be given to a guest. -EEXIST, -ENOSPC,
 * -E2BIG, -EPERM as above. -EBUSY: the domain has run, and had no device before. The device is the domain's after any
 * of these, as Xen has it, but the domain does not see it: it is to be deassigned.
 */
#define VPCI_DOMCTL_place 0

/*
 * Tells what is known of a device, whoever has it; the domain is that for which guest addresses are told. The size of
 * an I/O BAR is not known while the hardware domain has the device, which may be using it: XEN_DOMCTL_assign_device for
 * DOMID_IO takes it away.
 *
 * IN: machine_sbdf; u.query.bars. OUT: guest_sbdf, VPCI_NO_SBDF if the domain does not have it; bar, likewise;
 * u.query.owner.
 *
 * While a device that nobody has is being reset, the call waits. -EAGAIN: after 10 s, the reset goes on.
 *
 * -ENODEV: Xen knows no such device. -EBUSY: a domain without vPCI has it, and its BARs cannot be sized while it is in
 * use; or another vCPU waits for its reset. -EINVAL, -EFAULT.
 */
#define VPCI_DOMCTL_query 1

/*
 * Tells what was refused on a device that the domain has.
 *
 * IN: machine_sbdf; u.audit. OUT: u.audit.nr_counters, u.audit.nr_entries.
 *
 * -EOPNOTSUPP: a domain without vPCI. -ENODEV: the domain does not have it. -EINVAL, -EFAULT.
 */
#define VPCI_DOMCTL_audit 2

/*
 * Takes back what VPCI_DOMCTL_place said.
 *
 * IN: machine_sbdf. -EOPNOTSUPP: a domain without vPCI. -ENOENT: nothing was said. -EBUSY: the domain has the device.
 * -EINVAL.
 */
#define VPCI_DOMCTL_unplace 3

/*
 * Says where the ECAM window is when the domain starts to run, and after a reset; later the domain says it. Without this
 * there is none at first. What the MCH held before is gone.
 *
 * IN: u.q35.
 *
 * -EOPNOTSUPP: a domain without the MCH. -EBUSY: the domain has run. -EINVAL: something malformed; a PCIEXBAR that is
 * neither 0 nor what the register reads for a window; or a window over RAM, over FEC00000 to FFFFFFFF, or beyond what the
 * domain can address. -ENOMEM.
 */
#define VPCI_DOMCTL_q35 4

/*
 * Says what a device-model server (ioreq server) of the domain knows: with VPCI_SERVER_EXTENDED in flags, registers from
 * 0x100 on. At first it does not, and reads of them are all ones. It counts until the server is destroyed.
 *
 * IN: u.server.id; flags.
 *
 * -EOPNOTSUPP: a domain without vPCI and without the MCH. -EINVAL: something malformed, or no such server can be.
 */
#define VPCI_DOMCTL_server 5

/*
 * Tells what is known of a physical function and its resets, whoever has it. The domain does not count.
 *
 * IN: machine_sbdf. OUT: u.function; all zeros, but for VPCI_FUNCTION_USED, of one that was neither reset nor ever left the
 * hardware domain.
 *
 * -ENODEV: Xen knows no such device. -EINVAL.
 */
#define VPCI_DOMCTL_function 6

/*
 * Says what is known of devices beside what the library knows (docs/quirks.md): delays, methods that must not be used, an
 * order of methods. The rows take the place of those that were given before; they count for resets that start from now on,
 * and for assignments. The domain does not count.
 *
 * IN: u.quirks.
 *
 * -E2BIG: more than VPCI_DOMCTL_QUIRKS rows. -EINVAL: something malformed, or a row that no function can match. -ENOMEM,
 * -EFAULT.
 */
#define VPCI_DOMCTL_quirks 7

/* BARs 0 to 5, and the expansion ROM. A 64-bit BAR is told in the place of its lower half. */
#define VPCI_DOMCTL_BARS 7

/* At most so many rules. */
#define VPCI_DOMCTL_RULES 32

/* At most so many rows about devices. */
#define VPCI_DOMCTL_QUIRKS 64

/* At most so many bytes of vital product data: all that a device can address. */
#define VPCI_DOMCTL_VPD 32768

/* xen_domctl_vpci.guest_sbdf */
#define VPCI_FIRST_FREE 0xffffffffU
#define VPCI_NO_SBDF 0xffffffffU

/* xen_domctl_vpci.bar: not placed. */
#define VPCI_NO_ADDRESS 0xffffffffffffffffULL

/* xen_domctl_vpci.flags: BARs without an address are placed by the guest's firmware, until it enables them. */
#define VPCI_PLACE_FIRMWARE_BARS 1

/*
 * xen_domctl_vpci.flags: the device may be assigned although no reset can be had of it, or none without a bus that others
 * use. Without, XEN_DOMCTL_assign_device fails with the error of the reset. One whose reset failed is not assigned in any
 * case.
 */
#define VPCI_PLACE_UNRESET 2

/*
 * xen_domctl_vpci.flags: the guest is trusted with devices that it could do more with than a policy can hide: those of which
 * docs/quirks.md says DENY or "refused". Without, XEN_DOMCTL_assign_device fails with -EPERM.
 */
#define VPCI_PLACE_TRUSTED 4

/* vpci_domctl_function.state: it was not reset since it last had an owner. */
#define VPCI_FUNCTION_USED 0
/* It was. */
#define VPCI_FUNCTION_CLEAN 1
/* It is being reset. */
#define VPCI_FUNCTION_RESETTING 2
/* It did not survive its last reset: whoever has it sees nothing of it, and no guest gets it, before another one succeeds. */
#define VPCI_FUNCTION_LOST 3

/* xen_domctl_vpci.flags: the server knows registers from 0x100 on. */
#define VPCI_SERVER_EXTENDED 1

/* vpci_domctl_bar.kind */
#define VPCI_BAR_NONE 0
#define VPCI_BAR_IO 1
#define VPCI_BAR_MEM32 2
#define VPCI_BAR_MEM64 3
#define VPCI_BAR_ROM 4

/* vpci_domctl_bar.flags */
#define VPCI_BAR_PREFETCHABLE 1
/* The domain that has it decodes it now. */
#define VPCI_BAR_MAPPED 2

struct vpci_domctl_bar {
    uint64_t host;          /* host address; a BAR below 4 KiB keeps its bits 11:0 in the guest */
    uint64_t size;          /* bytes; 0 if it is not known */
    uint64_t guest;         /* guest address, or VPCI_NO_ADDRESS */
    uint32_t kind;
    uint32_t flags;
};

/*
 * Shows a guest more of a device than the policy does: see docs/policy.md.
 */
struct vpci_domctl_rule {
    uint16_t vendor, device;            /* 0xffff: any */
    uint32_t class_mask, class_value;   /* for devices whose dword at 08h, masked, is this */
    uint8_t scope;                      /* VPCI_RULE_* */
    uint8_t zero0;
    uint16_t id;                        /* of the capability */
    uint16_t offset, length;            /* in the capability, or from 40h on; multiples of 4 */
    uint16_t key_offset;                /* only a capability whose dword here, masked, is this */
    uint16_t zero1;
    uint32_t key_mask, key_value;
    uint32_t read, write;               /* bits of each dword */
};

/* vpci_domctl_rule.scope */
#define VPCI_RULE_BYTES 0
#define VPCI_RULE_CAPABILITY 1
#define VPCI_RULE_EXTENDED_CAPABILITY 2

struct vpci_domctl_audit_entry {
    uint32_t sequence;      /* counts up from 1, and wraps */
    uint16_t offset;        /* in configuration space; of an MSI-X page, the low 16 bits of the address */
    uint8_t reason;         /* RVPCI_REFUSED_* of vpci.h */
    uint8_t bytes;          /* width of the access; 0 if it was none */
    uint32_t value;         /* that was written */
};

struct xen_domctl_vpci {
    uint32_t op;            /* VPCI_DOMCTL_* */
    uint32_t machine_sbdf;
    uint32_t guest_sbdf;
    uint32_t flags;         /* VPCI_PLACE_*, VPCI_SERVER_*; zero for other operations */
    uint64_t bar[VPCI_DOMCTL_BARS]; /* guest addresses or VPCI_NO_ADDRESS */
    union {
        struct {
            uint64_t rules;         /* handle of struct vpci_domctl_rule[]; not looked at if there are none */
            uint64_t vpd;           /* handle of the vital product data; not looked at if there is none */
            uint32_t nr_rules;
            uint32_t vpd_length;    /* bytes */
        } place;
        struct {
            uint64_t bars;          /* handle of struct vpci_domctl_bar[VPCI_DOMCTL_BARS], or 0 */
            uint32_t owner;         /* OUT: the domain that has it, DOMID_IO if nobody */
            uint32_t zero;
        } query;
        struct {
            uint64_t counters;      /* handle of uint32_t[], one for each reason, or 0 */
            uint64_t entries;       /* handle of struct vpci_domctl_audit_entry[], the newest first, or 0 */
            uint32_t nr_counters;   /* IN: the room; OUT: how many there are, of which those with room were stored */
            uint32_t nr_entries;    /* likewise */
        } audit;
        struct {
            uint64_t pciexbar;      /* the register; 0 for no window */
            uint64_t low_ram_end;   /* the end of RAM below 4 GiB */
            uint64_t high_ram_end;  /* the end of RAM above 4 GiB; 0 if there is none */
        } q35;
        struct {
            uint32_t id;            /* ioservid_t */
            uint32_t zero;
        } server;
        struct {
            uint32_t state;         /* VPCI_FUNCTION_* */
            uint32_t outcome;       /* of its last reset, RVPCI_OUTCOME_* of vpci.h */
            uint32_t reason;        /* why it was not reset then, RVPCI_REASON_*; 0 if it was */
            uint32_t method;        /* that it was reset by, RVPCI_METHOD_*; 0 if it was not */
            uint32_t methods;       /* that apply, RVPCI_METHOD_*; 0 if it is not known yet */
            uint32_t count;         /* resets that came to an end */
            uint32_t quirks;        /* what its kind is known for, RVPCI_QUIRK_* */
        } function;
        struct {
            uint64_t rows;          /* handle of struct rvpci_quirk[] of vpci.h; not looked at if there are none */
            uint32_t nr_rows;
            uint32_t zero;
        } quirks;
        uint64_t room[7];
    } u;
};

#endif
