/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The C interface of the vPCI library. Generated from ffi/src; do not edit.
 *
 * The library takes no lock. "Shared" and "exclusive" name the modes of one lock for each domain, "device" a lock
 * for each device; a function that names a lock is called with it held. Memory is the caller's. No function waits,
 * allocates, or calls anything but rvpci_host_*, which the caller defines.
 */

#ifndef VPCI_H
#define VPCI_H

#ifdef __XEN__
# include <xen/types.h>
#else
# include <stdbool.h>
# include <stddef.h>
# include <stdint.h>
#endif

/**
 * Version of this interface. It grows with every change that is not an addition.
 */
#define RVPCI_ABI_VERSION 4

/**
 * The registers that a device needs room for unless its maker knows better: the header, 48 capabilities, MSI, and
 * the rest for extended capabilities. A list that does not fit ends early.
 */
#define RVPCI_REGISTERS 96

/**
 * It is done.
 */
#define RVPCI_DONE 0

/**
 * It is done once `rvpci_step` has returned `RVPCI_DONE`; the virtual CPU must not run before.
 */
#define RVPCI_PENDING 1

/**
 * Nothing was done: call again with the domain's lock held exclusively, and `RVPCI_EXCLUSIVE`.
 */
#define RVPCI_NEEDS_EXCLUSIVE 2

/**
 * There is more to do: call again when convenient.
 */
#define RVPCI_AGAIN 3

/**
 * The guest asks for a reset of its function, and nothing else was done.
 */
#define RVPCI_RESET 4

/**
 * The caller of a write holds the domain's lock shared, and the device's.
 */
#define RVPCI_SHARED 0

/**
 * The caller of a write holds the domain's lock exclusively.
 */
#define RVPCI_EXCLUSIVE 1

/**
 * Nobody was named: the hardware domain reaches the device as it is, a guest finds nothing.
 */
#define RVPCI_OWNER_DEFAULT 0

/**
 * A device of the library's.
 */
#define RVPCI_OWNER_DEVICE 1

/**
 * Reads reach the device, writes are dropped.
 */
#define RVPCI_OWNER_READ_ONLY 2

/**
 * Nobody: reads as all ones, writes are dropped.
 */
#define RVPCI_OWNER_HIDDEN 3

/**
 * The MCH: see `rvpci_mch_read`.
 */
#define RVPCI_OWNER_MCH 4

/**
 * Device-model server 0; server n is this plus n, up to 7.
 */
#define RVPCI_OWNER_SERVER 8

/**
 * The hardware domain's view of a device.
 */
#define RVPCI_VIEW_HARDWARE 0

/**
 * A guest's view of a device: what the policy allows.
 */
#define RVPCI_VIEW_GUEST 1

/**
 * `rvpci_device_info.flags`: leave the BARs alone. Not for guests.
 */
#define RVPCI_IGNORE_BARS 1

/**
 * `rvpci_device_info.flags`: the guest's firmware places BARs; they can be moved until it first enables decoding.
 */
#define RVPCI_BARS_BY_FIRMWARE 2

/**
 * `rvpci_device_info.flags`: the guest has vital product data, out of the host's cache.
 */
#define RVPCI_VPD 4

/**
 * `rvpci_device_info.flags`: the guest is trusted with a device that the tables refuse.
 */
#define RVPCI_TRUSTED 8

/**
 * No function.
 */
#define RVPCI_NO_SBDF UINT32_MAX

/**
 * `rvpci_physical_info.traits`: it is on a root bus.
 */
#define RVPCI_TRAIT_ROOT_BUS 1

/**
 * `rvpci_physical_info.traits`: it is a virtual function.
 */
#define RVPCI_TRAIT_VIRTUAL 8

/**
 * `rvpci_physical_info.traits`: an AMD IOMMU translates for the machine.
 */
#define RVPCI_TRAIT_AMD_IOMMU 128

/**
 * `rvpci_physical_flags`: the device is not to be given to anyone who is not trusted.
 */
#define RVPCI_QUIRK_DENY (1 << 15)

/**
 * `rvpci_quirk.says`: flags.
 */
#define RVPCI_SAYS_FLAGS 0

/**
 * `rvpci_quirk.says`: milliseconds from D3hot to D0 and back.
 */
#define RVPCI_SAYS_D3HOT_DELAY 1

/**
 * `rvpci_quirk.says`: milliseconds after a bus reset.
 */
#define RVPCI_SAYS_D3COLD_DELAY 3

/**
 * `rvpci_quirk.says`: bytes of vital product data.
 */
#define RVPCI_SAYS_VPD_LENGTH 4

/**
 * `rvpci_quirk.says`: the number of a sequence that resets the device.
 */
#define RVPCI_SAYS_SEQUENCE 5

/**
 * `rvpci_quirk.says`: the methods of a reset, in their order.
 */
#define RVPCI_SAYS_ORDER 6

/**
 * The most functions that one reset has: those of one device.
 */
#define RVPCI_MEMBERS 8

/**
 * `rvpci_reset_state.reason`: none.
 */
#define RVPCI_REASON_NONE 0

/**
 * A method of reset: the device's own sequence.
 */
#define RVPCI_METHOD_DEVICE 1

/**
 * A method of reset: Function Level Reset.
 */
#define RVPCI_METHOD_FLR 2

/**
 * A method of reset: Function Level Reset by Advanced Features.
 */
#define RVPCI_METHOD_ADVANCED_FLR 4

/**
 * A method of reset: to D3hot and back.
 */
#define RVPCI_METHOD_POWER 8

/**
 * A method of reset: Secondary Bus Reset of the bridge above.
 */
#define RVPCI_METHOD_BUS 16

/**
 * The methods that reset a function alone.
 */
#define RVPCI_METHODS_FUNCTION 15

/**
 * All methods.
 */
#define RVPCI_METHODS_ALL 31

/**
 * `rvpci_reset_state.outcome`: there was no reset yet.
 */
#define RVPCI_OUTCOME_NEVER 0

/**
 * `rvpci_reset_state.outcome`: one goes on.
 */
#define RVPCI_OUTCOME_RUNNING 1

/**
 * `rvpci_reset_state.outcome`: the function was reset.
 */
#define RVPCI_OUTCOME_READY 2

/**
 * `rvpci_reset_state.outcome`: nothing was done to it.
 */
#define RVPCI_OUTCOME_REFUSED 3

/**
 * `rvpci_reset_state.outcome`: it must go to nobody.
 */
#define RVPCI_OUTCOME_QUARANTINED 4

/**
 * `rvpci_reset_state.reason`: there is no snapshot of it.
 */
#define RVPCI_REASON_NO_SNAPSHOT 1

/**
 * `rvpci_reset_state.reason`: it is in another reset.
 */
#define RVPCI_REASON_BUSY 2

/**
 * `rvpci_reset_state.reason`: it has virtual functions.
 */
#define RVPCI_REASON_VIRTUAL_FUNCTIONS 3

/**
 * `rvpci_reset_state.reason`: no method applies.
 */
#define RVPCI_REASON_NO_METHOD 4

/**
 * `rvpci_reset_state.reason`: only the bus would do, and others use it.
 */
#define RVPCI_REASON_BUS_IN_USE 5

/**
 * `rvpci_reset_state.reason`: a page did not leave the p2m.
 */
#define RVPCI_REASON_STILL_MAPPED 6

/**
 * `rvpci_reset_state.reason`: it does not answer.
 */
#define RVPCI_REASON_GONE 7

/**
 * `rvpci_reset_state.reason`: it does not leave D3hot.
 */
#define RVPCI_REASON_POWER 8

/**
 * `rvpci_reset_state.reason`: it did not get ready in time.
 */
#define RVPCI_REASON_NOT_READY 9

/**
 * `rvpci_reset_state.reason`: its link did not come up.
 */
#define RVPCI_REASON_LINK 10

/**
 * `rvpci_reset_state.reason`: its own sequence failed.
 */
#define RVPCI_REASON_SEQUENCE 11

/**
 * `rvpci_reset_state.reason`: the bridge does not set or clear Secondary Bus Reset.
 */
#define RVPCI_REASON_BRIDGE 12

/**
 * `rvpci_reset_state.reason`: a BAR does not take its value.
 */
#define RVPCI_REASON_BAR 13

/**
 * `rvpci_reset_state.reason`: it is another function now.
 */
#define RVPCI_REASON_LAYOUT 14

/**
 * `rvpci_reset_state.reason`: the caller cancelled.
 */
#define RVPCI_REASON_CANCELLED 15

/**
 * `rvpci_mch_decode`: no configuration space.
 */
#define RVPCI_NO_POSITION UINT32_MAX

/**
 * `rvpci_device_info.bar`: the guest shall not have it.
 */
#define RVPCI_NO_ADDRESS UINT64_MAX

/**
 * `rvpci_bar.kind`: not implemented.
 */
#define RVPCI_BAR_EMPTY 0

/**
 * `rvpci_bar.kind`: I/O ports.
 */
#define RVPCI_BAR_IO 1

/**
 * `rvpci_bar.kind`: 32-bit memory.
 */
#define RVPCI_BAR_MEMORY32 2

/**
 * `rvpci_bar.kind`: 64-bit memory.
 */
#define RVPCI_BAR_MEMORY64 3

/**
 * `rvpci_bar.kind`: the high half of the BAR before it.
 */
#define RVPCI_BAR_HIGH 4

/**
 * `rvpci_bar.kind`: the expansion ROM.
 */
#define RVPCI_BAR_ROM 5

/**
 * A write to hidden bytes.
 */
#define RVPCI_REFUSED_HIDDEN_WRITE 0

/**
 * A write to a BAR while it is mapped.
 */
#define RVPCI_REFUSED_BAR_MAPPED 1

/**
 * A write to the expansion ROM register while the ROM is mapped.
 */
#define RVPCI_REFUSED_ROM_MAPPED 2

/**
 * An access to the MSI-X table, the PBA or their neighbours that is not allowed.
 */
#define RVPCI_REFUSED_MSIX_ACCESS 3

/**
 * `rvpci_host_map` failed.
 */
#define RVPCI_REFUSED_MAP 4

/**
 * `rvpci_host_unmap` failed.
 */
#define RVPCI_REFUSED_UNMAP 5

/**
 * `rvpci_host_make_hole` failed.
 */
#define RVPCI_REFUSED_HOLE 6

/**
 * No PIRQ, or a message that cannot be bound.
 */
#define RVPCI_REFUSED_INTERRUPT 7

/**
 * A capability is broken or does not fit.
 */
#define RVPCI_REFUSED_CAPABILITY 8

/**
 * A configuration access that `rvpci_access_allowed` refuses.
 */
#define RVPCI_REFUSED_ACCESS 9

/**
 * A guest's write to bits that the policy keeps from it.
 */
#define RVPCI_REFUSED_READ_ONLY 10

/**
 * A guest's write that would move a BAR.
 */
#define RVPCI_REFUSED_BAR_MOVED 11

/**
 * A guest's write to a bit that resets the function.
 */
#define RVPCI_REFUSED_RESET 12

/**
 * A BAR cannot be where it was placed.
 */
#define RVPCI_REFUSED_PLACEMENT 13

/**
 * A guest's write to vital product data.
 */
#define RVPCI_REFUSED_VPD 14

/**
 * A guest's access to bytes of a BAR that lead around configuration space.
 */
#define RVPCI_REFUSED_MIRROR 15

/**
 * The number of reasons.
 */
#define RVPCI_REFUSED_COUNT 16

/**
 * `rvpci_rule.scope`: bytes of configuration space.
 */
#define RVPCI_RULE_BYTES 0

/**
 * `rvpci_rule.scope`: a standard capability.
 */
#define RVPCI_RULE_STANDARD 1

/**
 * `rvpci_rule.scope`: an extended capability.
 */
#define RVPCI_RULE_EXTENDED 2

/**
 * Bytes of an MCH's image, see `rvpci_mch_save`.
 */
#define RVPCI_MCH_IMAGE 288

/**
 * A device under mediation. Its registers and MSI-X vectors stand behind it in the same memory.
 */
struct rvpci_device;

/**
 * The addresses of one domain. Its slots and windows stand behind it in the same memory.
 */
struct rvpci_domain;

/**
 * An MCH, function 00:00.0 of a domain.
 */
struct rvpci_mch;

/**
 * Nothing is known of physical functions.
 */
struct rvpci_physical;

/**
 * A rule of the extra allow-list: bits of a kind of device that a guest may have although the policy hides them.
 */
struct rvpci_rule {
  /**
   * Vendor ID; 0xffff for any.
   */
  uint16_t vendor;
  /**
   * Device ID; 0xffff for any.
   */
  uint16_t device;
  /**
   * The bits of the dword at 08h, class code and revision, that are compared.
   */
  uint32_t class_mask;
  /**
   * What they are compared with.
   */
  uint32_t class_value;
  /**
   * `RVPCI_RULE_BYTES`, `RVPCI_RULE_STANDARD` or `RVPCI_RULE_EXTENDED`.
   */
  uint8_t scope;
  /**
   * Must be 0.
   */
  uint8_t zero;
  /**
   * The ID of the capability.
   */
  uint16_t id;
  /**
   * Where it starts, a multiple of 4: relative to the capability, or absolute and not below 0x40.
   */
  uint16_t offset;
  /**
   * Bytes, a multiple of 4, not 0.
   */
  uint16_t length;
  /**
   * For a capability: the dword that tells it from others with this ID, relative to it.
   */
  uint16_t key_offset;
  /**
   * Must be 0.
   */
  uint16_t zero2;
  /**
   * The bits of that dword that are compared; 0 for any.
   */
  uint32_t key_mask;
  /**
   * What they are compared with.
   */
  uint32_t key_value;
  /**
   * The bits of each dword that the guest reads from the device.
   */
  uint32_t read;
  /**
   * Of these, the bits that it writes to the device.
   */
  uint32_t write;
};

/**
 * A virtual function as the SR-IOV capability of its physical function describes it.
 */
struct rvpci_virtual_function {
  /**
   * The physical function's Vendor ID, and VF Device ID in the high half.
   */
  uint32_t ids;
  /**
   * The VF BAR registers; only the low four bits count.
   */
  uint32_t bar_register[6];
  /**
   * Must be 0.
   */
  uint32_t zero;
  /**
   * The host addresses of this function's BARs.
   */
  uint64_t address[6];
  /**
   * Their sizes in bytes; 0 for none.
   */
  uint64_t size[6];
};

/**
 * What to attach.
 */
struct rvpci_device_info {
  /**
   * The physical function: segment 31:16, bus 15:8, device 7:3, function 2:0.
   */
  uint32_t sbdf;
  /**
   * Where its domain sees it; for the hardware view the same.
   */
  uint32_t guest;
  /**
   * `RVPCI_VIEW_*`.
   */
  uint32_t view;
  /**
   * `RVPCI_IGNORE_BARS`, `RVPCI_BARS_BY_FIRMWARE`, `RVPCI_VPD`, `RVPCI_TRUSTED`.
   */
  uint32_t flags;
  /**
   * Room for registers, as given to `rvpci_device_size`.
   */
  uint32_t registers;
  /**
   * The number of `rules`.
   */
  uint32_t rule_count;
  /**
   * Guest addresses of BARs 0 to 5 and of the expansion ROM, in bytes, or `RVPCI_NO_ADDRESS`. A 64-bit BAR's is that of
   * its first register.
   */
  uint64_t bar[7];
  /**
   * What a guest may have beyond the policy; read during the call only.
   */
  const struct rvpci_rule *rules;
  /**
   * For a virtual function, what its physical function says; else NULL. Read during the call only.
   */
  const struct rvpci_virtual_function *vf;
  /**
   * What `rvpci_host_*` are to call the device.
   */
  void *device;
  /**
   * The physical function, learnt; NULL if nothing is known of it, as of the hardware domain's. A guest's function without
   * is never reset by its guest, and mirrors of it are open. Read during the call only.
   */
  const struct rvpci_physical *physical;
};

/**
 * A register of a device, see `rvpci_define`. Bits in no class are read-write; no bit is in two.
 */
struct rvpci_register {
  /**
   * Byte offset, aligned to `bytes`, below 0x1000.
   */
  uint32_t offset;
  /**
   * 1, 2 or 4.
   */
  uint32_t bytes;
  /**
   * Not 0: the physical register; 0: bits that the library keeps.
   */
  uint32_t hardware;
  /**
   * The first value of a register that the library keeps.
   */
  uint32_t value;
  /**
   * Read-only bits.
   */
  uint32_t ro;
  /**
   * Bits that a write of 1 clears.
   */
  uint32_t rw1c;
  /**
   * Bits that read 0 and keep their value.
   */
  uint32_t rsvdp;
  /**
   * Bits that read 0 and are written as 0.
   */
  uint32_t rsvdz;
};

/**
 * MSI as the domain has set it up, see `rvpci_msi_state`.
 */
struct rvpci_msi {
  /**
   * Message address.
   */
  uint64_t address;
  /**
   * Message data.
   */
  uint32_t data;
  /**
   * Mask bits; 0 without per-vector masking.
   */
  uint32_t mask;
  /**
   * The first PIRQ; -1 while disabled.
   */
  int32_t pirq;
  /**
   * Vectors in use, 1 to 32.
   */
  uint8_t vectors;
  /**
   * Vectors that there can be, 1 to 32.
   */
  uint8_t capable;
  /**
   * Whether it is enabled.
   */
  bool enabled;
  /**
   * Whether addresses have 64 bits.
   */
  bool address64;
  /**
   * Whether there is per-vector masking.
   */
  bool masking;
};

/**
 * MSI-X as the domain has set it up, see `rvpci_msix_state`.
 */
struct rvpci_msix {
  /**
   * Vectors, 1 to 2048.
   */
  uint32_t entries;
  /**
   * Whether it is enabled.
   */
  bool enabled;
  /**
   * Whether the function mask is set.
   */
  bool masked;
};

/**
 * An MSI-X vector, see `rvpci_msix_vector`.
 */
struct rvpci_vector {
  /**
   * Message address.
   */
  uint64_t address;
  /**
   * Message data.
   */
  uint32_t data;
  /**
   * Its PIRQ; -1 while it is not bound.
   */
  int32_t pirq;
  /**
   * Whether it is masked.
   */
  bool masked;
};

/**
 * A refused access, see `rvpci_audit`.
 */
struct rvpci_audit_record {
  /**
   * Its number among the device's refusals, from 1 on.
   */
  uint32_t sequence;
  /**
   * Configuration offset; for `RVPCI_REFUSED_MSIX_ACCESS` and `RVPCI_REFUSED_MIRROR` the low 16 bits of the address.
   */
  uint16_t offset;
  /**
   * `RVPCI_REFUSED_*`.
   */
  uint8_t reason;
  /**
   * Bytes of the access; 0 if no access was the cause.
   */
  uint8_t bytes;
  /**
   * What was to be written, the low 32 bits.
   */
  uint32_t value;
};

/**
 * A BAR, see `rvpci_bar_state`.
 */
struct rvpci_bar {
  /**
   * Host address in bytes.
   */
  uint64_t address;
  /**
   * Size in bytes; 0 where it is not known.
   */
  uint64_t size;
  /**
   * Address in the domain, or `RVPCI_NO_ADDRESS`.
   */
  uint64_t guest;
  /**
   * `RVPCI_BAR_*`.
   */
  uint32_t kind;
  /**
   * Whether it is prefetchable.
   */
  bool prefetchable;
  /**
   * Whether it is in the p2m.
   */
  bool mapped;
};

/**
 * The platform of an MCH, see `rvpci_mch_init`.
 */
struct rvpci_mch_info {
  /**
   * What PCIEXBAR holds after a reset; 0 for no window.
   */
  uint64_t pciexbar;
  /**
   * The end of RAM below 4 GiB in bytes.
   */
  uint64_t low_ram_end;
  /**
   * The end of RAM above 4 GiB in bytes; 0 if there is none.
   */
  uint64_t high_ram_end;
  /**
   * The width of the guest's physical addresses.
   */
  uint32_t address_bits;
  /**
   * Must be 0.
   */
  uint32_t zero;
};

/**
 * The ECAM window of an MCH, see `rvpci_mch_state`.
 */
struct rvpci_mch_window {
  /**
   * Guest physical address.
   */
  uint64_t base;
  /**
   * Bytes that are decoded from there on; 0 for no window.
   */
  uint32_t size;
  /**
   * How many writes made a window that lies, in part, over RAM or from FEC00000 to FFFFFFFF. It saturates.
   */
  uint32_t overlaps;
};

/**
 * Host addresses of a memory BAR.
 */
struct rvpci_region {
  /**
   * The first byte.
   */
  uint64_t address;
  /**
   * Bytes; 0 for no memory BAR.
   */
  uint64_t size;
};

/**
 * A physical function, see `rvpci_physical_learn`.
 */
struct rvpci_physical_info {
  /**
   * The function.
   */
  uint32_t sbdf;
  /**
   * What its configuration space does not tell, `RVPCI_TRAIT_*`.
   */
  uint32_t traits;
  /**
   * For a virtual function, what its physical function says; else NULL. Read during the call only.
   */
  const struct rvpci_virtual_function *vf;
  /**
   * Its memory BARs, a 64-bit one at its first register.
   */
  struct rvpci_region bar[6];
};

/**
 * What is known of a kind of device, see `rvpci_physical_quirks`.
 */
struct rvpci_quirk {
  /**
   * Vendor ID.
   */
  uint16_t vendor;
  /**
   * The lowest Device ID.
   */
  uint16_t first;
  /**
   * The highest.
   */
  uint16_t last;
  /**
   * The bits of the Device ID in which a device has to be like the first.
   */
  uint16_t mask;
  /**
   * The bits of the dword at 08h that are compared.
   */
  uint32_t class_mask;
  /**
   * What they are compared with.
   */
  uint32_t class_value;
  /**
   * The dword at 2Ch; 0 for any.
   */
  uint32_t subsystem;
  /**
   * The lowest Revision ID.
   */
  uint8_t revision_first;
  /**
   * The highest.
   */
  uint8_t revision_last;
  /**
   * What the row says, `RVPCI_SAYS_*`.
   */
  uint8_t says;
  /**
   * Must be 0.
   */
  uint8_t zero;
  /**
   * The traits that a function has to have: docs/quirks.md has them in the order of their bits.
   */
  uint16_t has;
  /**
   * Those that it must not have.
   */
  uint16_t lacks;
  /**
   * Flags, in the order of docs/quirks.md; milliseconds; bytes; or the number of a sequence, from 1 on. 0 for an order.
   */
  uint32_t value;
  /**
   * The methods of an order, 1 to 5 in the order of `RVPCI_METHOD_*`, 0 to skip one; else 0.
   */
  uint8_t order[5];
  /**
   * Must be 0.
   */
  uint8_t zeros[3];
};

/**
 * How a reset ended, see `rvpci_reset_state`.
 */
struct rvpci_reset_state {
  /**
   * `RVPCI_OUTCOME_*`.
   */
  uint32_t outcome;
  /**
   * Why it was not reset, `RVPCI_REASON_*`; 0 if it was.
   */
  uint32_t reason;
  /**
   * What it was reset by, `RVPCI_METHOD_*`; 0 if it was not.
   */
  uint32_t method;
  /**
   * Resets that ended. It wraps.
   */
  uint32_t count;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The bytes of memory, aligned to 8, that a domain with `slots` places needs: `slots` is a power of two from 4 to
 * 2^20, and four times as many as there can be owners. 0 for any other number.
 */
size_t rvpci_domain_size(uint32_t slots);

/**
 * Makes a domain in `size` bytes at `memory`, which becomes its address. `name` is what `rvpci_host_*` are to call
 * it. If `from` is not NULL, its owners and windows are taken over, and `from` is not to be used any more.
 *
 * Lock: exclusive. Work: linear in `slots`.
 * Returns 0; -EINVAL for a `slots` or `size` that does not fit, -ENOSPC if `from` has too many owners: then `from`
 * stays in use.
 *
 * # Safety
 *
 * `memory` is aligned to 8 and for the library alone; `from` is NULL or a domain.
 */
int32_t rvpci_domain_init(void *memory,
                          size_t size,
                          uint32_t slots,
                          void *name,
                          struct rvpci_domain *from);

/**
 * Names an owner that is no device: `RVPCI_OWNER_HIDDEN`, `RVPCI_OWNER_READ_ONLY`, `RVPCI_OWNER_MCH`, or
 * `RVPCI_OWNER_DEFAULT` to take such an owner away.
 *
 * Lock: exclusive. Work: constant on average.
 * Returns 0; -EINVAL for another `owner`, -EEXIST if a device or another owner is there, -ENOSPC if the domain is
 * full.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
int32_t rvpci_set_owner(struct rvpci_domain *domain,
                        uint32_t sbdf,
                        uint32_t owner);

/**
 * The owner of `sbdf`, `RVPCI_OWNER_*`. If it is a device, it is stored in `*device`; what is there otherwise is of
 * no use.
 *
 * Lock: shared, kept until the device's lock is taken. Work: constant on average.
 *
 * # Safety
 *
 * `domain` is a domain, and `device` may be written.
 */
uint32_t rvpci_find(const struct rvpci_domain *domain,
                    uint32_t sbdf,
                    struct rvpci_device **device);

/**
 * The device that a trapped page at the guest physical `address` belongs to, or NULL: one with its MSI-X table or PBA, or
 * one that is withheld from a guest.
 *
 * Lock: shared. Work: linear in the devices with such pages whose BARs are mapped.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
struct rvpci_device *rvpci_find_window(const struct rvpci_domain *domain,
                                       uint64_t address);

/**
 * Does deferred work of the domain: maps and unmaps BARs, and lets the registers follow.
 *
 * Lock: exclusive. Work: goes on until `rvpci_host_preempt` says so or all is done; a call of `rvpci_host_map` or
 * `_unmap` is preceded by a search that is bounded by the number of BARs in the domain.
 * Returns `RVPCI_DONE` or `RVPCI_AGAIN`.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
int32_t rvpci_step(struct rvpci_domain *domain);

/**
 * Whether an access of `bytes` at `offset` reaches a function at all: 1, 2, 4 or 8 bytes, aligned, below 0x1000. One
 * of 8 bytes, which only ECAM knows, is to be made as two of 4, the lower first.
 *
 * Lock: none. Work: constant.
 */
bool rvpci_access_allowed(uint32_t offset,
                          uint32_t bytes);

/**
 * The bytes of memory, aligned to 8, that the function `sbdf` needs with room for `registers` registers (commonly
 * `RVPCI_REGISTERS`, at most 1024). It depends on the number of MSI-X vectors, which is read from the device.
 *
 * Lock: none. Work: at most 50 configuration reads.
 */
size_t rvpci_device_size(uint32_t sbdf,
                         uint32_t registers);

/**
 * Takes a function under mediation, in `size` bytes at `memory`, which becomes the device's address.
 *
 * Lock: exclusive. Work: at most 1,200 configuration accesses.
 * Returns `RVPCI_DONE`; `RVPCI_PENDING` if memory decoding was on: it is off until `rvpci_step` has mapped the BARs;
 * -EINVAL for memory too small, -EOPNOTSUPP for a header type or view that is not offered, -EEXIST if the address
 * has an owner, -ENOSPC if the domain has too little room, -E2BIG if the device has, -EADDRINUSE for a BAR that cannot be
 * where it is placed, -EPERM for a rule that shows what no guest may have, or a device that is not to be given to one without
 * `RVPCI_TRUSTED`. After an error the function is as it was and the memory the caller's.
 * A guest finds decoding off. The device decodes, does not master the bus and does not assert INTx.
 *
 * # Safety
 *
 * `domain` is a domain; `memory` is aligned to 8 and for the library alone; `info` can be read.
 */
int32_t rvpci_device_attach(struct rvpci_domain *domain,
                            void *memory,
                            size_t size,
                            const struct rvpci_device_info *info);

/**
 * Whether a rule may be given, whatever the device: 0, -EINVAL if it is malformed, -EPERM if it shows what no guest may
 * have or lets one write where none may. Bytes by their offset are checked again when a device is attached.
 *
 * Lock: none. Work: constant.
 *
 * # Safety
 *
 * `rule` can be read.
 */
int32_t rvpci_rule_check(const struct rvpci_rule *rule);

/**
 * Lets go of a device: its PIRQs and its pages in the p2m are given back, deferred work on it is forgotten, and its
 * address has no owner. The memory is the caller's again.
 *
 * Lock: exclusive. Work: not divided; bounded by the pages of its BARs and its MSI-X vectors.
 *
 * # Safety
 *
 * `device` is attached to `domain`.
 */
void rvpci_device_detach(struct rvpci_domain *domain,
                         struct rvpci_device *device);

/**
 * Adds a register to a device.
 *
 * Lock: shared, and the device's. Work: linear in the registers.
 * Returns 0; -EINVAL for a register that cannot be, -EEXIST if it overlaps another, -ENOSPC if there is no room.
 *
 * # Safety
 *
 * `device` is a device, and `register` can be read.
 */
int32_t rvpci_define(struct rvpci_device *device,
                     const struct rvpci_register *register_);

/**
 * Takes the first capability with this ID out of a device's list, standard or `extended`, and hides its body. PIRQs of
 * MSI or MSI-X are given back.
 *
 * Lock: shared, and the device's. Work: at most 1,100 configuration reads, and the device's MSI-X vectors.
 * Returns 0; -ENOENT if there is none, -EINVAL for an ID out of range.
 *
 * # Safety
 *
 * `device` is a device.
 */
int32_t rvpci_hide_capability(struct rvpci_device *device,
                              uint32_t id,
                              bool extended);

/**
 * Reads `bytes` (1, 2 or 4) at `offset` of a device as its domain does; all ones for an access that
 * `rvpci_access_allowed` refuses.
 *
 * Lock: shared, and the device's. Work: one lookup, at most three configuration reads.
 *
 * # Safety
 *
 * `device` is a device.
 */
uint32_t rvpci_read(struct rvpci_device *device, uint32_t offset, uint32_t bytes);

/**
 * Writes likewise; an access that `rvpci_access_allowed` refuses is dropped. `locked` is `RVPCI_SHARED` or
 * `RVPCI_EXCLUSIVE`.
 *
 * Lock: shared, and the device's; or exclusive. Work: one lookup, at most six configuration accesses; for MSI
 * control bounded by 32 vectors, for MSI-X control by the number of its vectors.
 * Returns `RVPCI_DONE`, `RVPCI_PENDING`, `RVPCI_RESET` or, with the shared lock, `RVPCI_NEEDS_EXCLUSIVE`.
 *
 * # Safety
 *
 * `device` is a device.
 */
int32_t rvpci_write(struct rvpci_device *device,
                    uint32_t offset,
                    uint32_t bytes,
                    uint32_t value,
                    uint32_t locked);

/**
 * Reads `bytes` (1, 2, 4 or 8) at the guest physical `address` in a page that `rvpci_find_window` gave for this
 * device. All ones where nothing may be read.
 *
 * Lock: shared, and the device's. Work: at most eight MMIO reads.
 *
 * # Safety
 *
 * `device` is a device.
 */
uint64_t rvpci_mmio_read(struct rvpci_device *device,
                         uint64_t address,
                         uint32_t bytes);

/**
 * Writes likewise; dropped where nothing may be written. Bytes that show configuration space are written there: `locked`,
 * the lock and what is returned are those of `rvpci_write`.
 *
 * Work: at most eight MMIO writes or writes of configuration space, or one vector bound anew.
 *
 * # Safety
 *
 * `device` is a device.
 */
int32_t rvpci_mmio_write(struct rvpci_device *device,
                         uint64_t address,
                         uint32_t bytes,
                         uint64_t value,
                         uint32_t locked);

/**
 * The version of this interface, `RVPCI_ABI_VERSION` of the header it was built with.
 */
uint32_t rvpci_abi_version(void);

/**
 * Stores MSI's state in `*msi`. Whether the device has MSI.
 *
 * # Safety
 *
 * `device` is a device, and `msi` may be written.
 */
bool rvpci_msi_state(const struct rvpci_device *device, struct rvpci_msi *msi);

/**
 * Stores MSI-X's state in `*msix`. Whether the device has MSI-X.
 *
 * # Safety
 *
 * `device` is a device, and `msix` may be written.
 */
bool rvpci_msix_state(const struct rvpci_device *device, struct rvpci_msix *msix);

/**
 * Stores the MSI-X vector `entry` in `*vector`. Whether there is one.
 *
 * # Safety
 *
 * `device` is a device, and `vector` may be written.
 */
bool rvpci_msix_vector(const struct rvpci_device *device, uint32_t entry, struct rvpci_vector *vector);

/**
 * How often something was refused for a reason, `RVPCI_REFUSED_*`; 0 for a reason that there is not. The count stops
 * at its largest value.
 *
 * # Safety
 *
 * `device` is a device.
 */
uint32_t rvpci_refusals(const struct rvpci_device *device,
                        uint32_t reason);

/**
 * The first free device of bus 0 of segment 0, as the address of its function 0, or 0xffffffff if there is none. Device 0
 * is kept for a host bridge.
 *
 * Lock: shared. Work: at most 248 searches.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
uint32_t rvpci_find_free(const struct rvpci_domain *domain);

/**
 * Stores a refused access in `*record`: `age` is 0 for the last, 1 for the one before. Whether it is kept; the last 16
 * are.
 *
 * # Safety
 *
 * `device` is a device, and `record` may be written.
 */
bool rvpci_audit(const struct rvpci_device *device,
                 uint32_t age,
                 struct rvpci_audit_record *record);

/**
 * Stores BAR `number`, 0 to 5 or 6 for the expansion ROM, in `*bar`. Whether there is such a number.
 *
 * # Safety
 *
 * `device` is a device, and `bar` may be written.
 */
bool rvpci_bar_state(const struct rvpci_device *device, uint32_t number, struct rvpci_bar *bar);

/**
 * The bytes of memory, aligned to 8, that an MCH needs.
 */
size_t rvpci_mch_size(void);

/**
 * Makes an MCH in `size` bytes at `memory`, which becomes its address, as it is after a reset. It owns no address of a
 * domain by that: see `rvpci_set_owner`.
 *
 * Lock: none. Work: constant.
 * Returns 0; -EINVAL for memory too small, RAM or an address width out of range, or a PCIEXBAR that is neither 0 nor
 * what the register reads for a window, or whose window is over RAM, over FEC00000 to FFFFFFFF or beyond the address width.
 *
 * # Safety
 *
 * `memory` is aligned to 8 and for the library alone; `info` can be read.
 */
int32_t rvpci_mch_init(struct rvpci_mch *memory,
                       size_t size,
                       const struct rvpci_mch_info *info);

/**
 * Reads `bytes`, 1, 2 or 4 within one dword, at `offset` of the MCH's configuration space. All ones for any other access,
 * and from 0x100 on.
 *
 * Lock: the MCH's. Work: constant.
 *
 * # Safety
 *
 * `mch` is an MCH.
 */
uint32_t rvpci_mch_read(const struct rvpci_mch *mch,
                        uint32_t offset,
                        uint32_t bytes);

/**
 * Writes likewise; dropped where nothing can be written. The ECAM window may be another one after it.
 *
 * Lock: the MCH's. Work: constant.
 *
 * # Safety
 *
 * `mch` is an MCH.
 */
void rvpci_mch_write(struct rvpci_mch *mch, uint32_t offset, uint32_t bytes, uint32_t value);

/**
 * Where `address` is in the ECAM window, if it is decoded now: the function (`sbdf`) in bits 27:12, the byte offset of its
 * register in bits 11:0. Else `RVPCI_NO_POSITION`.
 *
 * Lock: the MCH's. Work: constant.
 *
 * # Safety
 *
 * `mch` is an MCH.
 */
uint32_t rvpci_mch_decode(const struct rvpci_mch *mch,
                          uint64_t address);

/**
 * The ECAM window as it is now, in `*window`.
 *
 * Lock: the MCH's. Work: constant.
 *
 * # Safety
 *
 * `mch` is an MCH, and `window` may be written.
 */
void rvpci_mch_state(const struct rvpci_mch *mch, struct rvpci_mch_window *window);

/**
 * Stores the state of an MCH and of the domain's `CONFIG_ADDRESS` (port 0xCF8) in the `RVPCI_MCH_IMAGE` bytes at `image`.
 *
 * Lock: the MCH's. Work: constant.
 *
 * # Safety
 *
 * `mch` is an MCH, and `image` may be written.
 */
void rvpci_mch_save(const struct rvpci_mch *mch,
                    uint32_t config_address,
                    uint8_t *image);

/**
 * Brings an MCH of the same platform into the state that the `RVPCI_MCH_IMAGE` bytes at `image` say, and stores
 * `CONFIG_ADDRESS` in `*config_address`.
 *
 * Lock: the MCH's. Work: constant.
 * Returns 0; -EINVAL for an image that is none, of a newer version, or of a state that no MCH can be in: then nothing was
 * changed or stored.
 *
 * # Safety
 *
 * `mch` is an MCH; `image` can be read, and `config_address` may be written.
 */
int32_t rvpci_mch_restore(struct rvpci_mch *mch,
                          const uint8_t *image,
                          uint32_t *config_address);

/**
 * Whether an access to `port` reaches configuration space while `config_address` is what `CONFIG_ADDRESS` (port 0xCF8)
 * holds, and if so, the function and the offset, below 0x100, in `*sbdf` and `*offset`. The width does not count.
 *
 * Lock: none. Work: constant.
 *
 * # Safety
 *
 * `sbdf` and `offset` may be written.
 */
bool rvpci_port_decode(uint32_t config_address,
                       uint32_t port,
                       uint32_t *sbdf,
                       uint32_t *offset);

/**
 * Makes the device-model server `server`, 0 to 7, the owner of the functions `first` to `last`: of all or of none.
 *
 * Lock: exclusive. Work: constant for each function on average, of which there are at most 4096.
 * Returns 0; -EINVAL for another server or `last` before `first`, -EEXIST if one of them has an owner, -ENOSPC if the
 * domain is full, -E2BIG if it would have more than 4096 owners.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
int32_t rvpci_claim(struct rvpci_domain *domain,
                    uint32_t first,
                    uint32_t last,
                    uint32_t server);

/**
 * Takes from `server` what it owns of the functions `first` to `last`, which may be all there are.
 *
 * Lock: exclusive. Work: linear in the slots of the domain.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
void rvpci_release(struct rvpci_domain *domain, uint32_t first, uint32_t last, uint32_t server);

/**
 * Says whether `server`, 0 to 7, knows registers from 0x100 on. At first none does.
 *
 * Lock: exclusive. Work: constant.
 * Returns 0; -EINVAL for another server.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
int32_t rvpci_set_extended(struct rvpci_domain *domain, uint32_t server, bool extended);

/**
 * Whether the owner that `rvpci_find` gave is a server that can be asked for `bytes` at `offset`: 1, 2 or 4 bytes within
 * one dword, below 0x100 unless it knows more. What it cannot be asked reads as all ones, and is dropped when written.
 *
 * Lock: shared. Work: constant.
 *
 * # Safety
 *
 * `domain` is a domain.
 */
bool rvpci_may_forward(const struct rvpci_domain *domain,
                       uint32_t owner,
                       uint32_t offset,
                       uint32_t bytes);

/**
 * The bytes of memory, aligned to 8, that a physical function needs.
 *
 * Lock: none. Work: constant.
 */
size_t rvpci_physical_size(void);

/**
 * Makes a physical function of which nothing is known.
 *
 * Lock: none, as for all of its functions: nobody else uses it meanwhile. Work: constant.
 *
 * # Safety
 *
 * There are `rvpci_physical_size()` bytes at `physical`, aligned to 8, for the library alone.
 */
void rvpci_physical_init(struct rvpci_physical *physical);

/**
 * Reads what a function is and how it is set up, and takes its snapshot: it is in the hands of someone who is trusted,
 * and as its next owner is to find it. What was known before is forgotten, quirks too; `rvpci_physical_quirks` comes
 * next. No reset of it goes on.
 *
 * Work: at most 310 configuration reads.
 * Returns 0; -ENODEV if it does not answer, -EOPNOTSUPP for a bridge or an unknown header, -E2BIG if it has more
 * capabilities than there is room for: then it has no snapshot; -EBUSY while it is being reset: then nothing was done.
 *
 * # Safety
 *
 * `physical` is a physical function, and `info` can be read.
 */
int32_t rvpci_physical_learn(struct rvpci_physical *physical,
                             const struct rvpci_physical_info *info);

/**
 * Looks up what is known of the function's kind, by the library's tables and by `count` rows of the toolstack, which
 * have passed `rvpci_quirk_check`. Nothing changes while it is being reset. `d3hot_ms` is the longest that `rvpci_d3hot_delay` said of any device of the machine.
 *
 * Work: one look at each row given, and two binary searches.
 *
 * # Safety
 *
 * `physical` is a physical function that was learnt; there are `count` rows, which can be read.
 */
void rvpci_physical_quirks(struct rvpci_physical *physical,
                           const struct rvpci_quirk *rows,
                           uint32_t count,
                           uint32_t d3hot_ms);

/**
 * What is known of the function's kind without a number to it: `RVPCI_QUIRK_DENY`, and the others of
 * `quirks::Flags`.
 *
 * Work: constant.
 *
 * # Safety
 *
 * `physical` is a physical function.
 */
uint32_t rvpci_physical_flags(const struct rvpci_physical *physical);

/**
 * The methods that can reset the function, as far as its registers and its quirks say, `RVPCI_METHOD_*`; of its bus that it
 * does not object to a reset. 0 for one that was not learnt.
 *
 * Work: constant.
 *
 * # Safety
 *
 * `physical` is a physical function.
 */
uint32_t rvpci_physical_methods(const struct rvpci_physical *physical);

/**
 * The milliseconds between D3hot and D0 that the device at `sbdf` makes every device of the machine need; 0 if it does not.
 *
 * Work: one look at its capability list.
 */
uint32_t rvpci_d3hot_delay(uint32_t sbdf);

/**
 * Has the function at `sbdf`, if it is a root port, tell software when a function below it is not ready (Configuration RRS
 * Software Visibility), so that no CPU waits for that. Whether it does.
 *
 * Work: one look at its capability list.
 */
bool rvpci_enable_rrs(uint32_t sbdf);

/**
 * Whether a row may be given: 0, or -EINVAL for one that is malformed or that no function can match.
 *
 * Work: constant.
 *
 * # Safety
 *
 * `row` can be read.
 */
int32_t rvpci_quirk_check(const struct rvpci_quirk *row);

/**
 * Asks for a reset of a physical function, by one of `methods`, `RVPCI_METHOD_*`. `bridge` is the one above it, or
 * `RVPCI_NO_SBDF` on a root bus. `guest`: the guest that has it asks; not before a second after its last reset, and only
 * the function alone. `now` is a time that never goes back, in microseconds.
 *
 * Work: constant. Nothing is done to the function before `rvpci_reset_step`, which is to be called until it is done.
 * Returns 0; -EBUSY if one goes on, -EINVAL for a method that there is not.
 *
 * # Safety
 *
 * `physical` is a physical function.
 */
int32_t rvpci_reset_start(struct rvpci_physical *physical,
                          uint32_t bridge,
                          uint32_t methods,
                          bool guest,
                          uint64_t now);

/**
 * Does what is due of a reset. `members` are the function that it is of, and behind it those that share its bus, at most
 * `RVPCI_MEMBERS` together: the same in each step, all learnt or of no use. The next step is due at `*due`, which may be now.
 *
 * Work: at most 80 accesses to configuration space or memory and, for each member, one call of each other
 * `rvpci_host_*` function of resets; 5,000 instructions beside these.
 * Returns `RVPCI_AGAIN`, or `RVPCI_DONE` when it is over: see `rvpci_reset_state`; -EINVAL for no member or too many.
 *
 * # Safety
 *
 * There are `count` members, each another physical function that nobody else uses, nor a `rvpci_host_*` function that is
 * called meanwhile; `due` may be written.
 */
int32_t rvpci_reset_step(struct rvpci_physical *const *members,
                         uint32_t count,
                         uint64_t now,
                         uint64_t *due);

/**
 * A reset is not wanted any more. It is still to be stepped until it is done.
 *
 * Work: constant.
 *
 * # Safety
 *
 * `physical` is a physical function.
 */
void rvpci_reset_cancel(struct rvpci_physical *physical);

/**
 * Stores how the last reset of a physical function ended in `*state`.
 *
 * Work: constant.
 * Returns 0 if it was reset, or never; -EAGAIN while one goes on; why it was refused: -ENODATA without a snapshot, -EBUSY
 * if it, its virtual functions or its bus are in use, -EOPNOTSUPP if no method applies; why it is in quarantine: -ENODEV if
 * it is gone, -ETIMEDOUT if it did not get ready, -EINTR if the reset was cancelled, -EIO for all else.
 *
 * # Safety
 *
 * `physical` is a physical function, and `state` may be written.
 */
int32_t rvpci_reset_state(const struct rvpci_physical *physical,
                          struct rvpci_reset_state *state);

/**
 * Takes a device from its domain, which goes on having it: from now on it reads all ones, writes are dropped, its PIRQs are
 * given back, and its pages leave the p2m. The device itself is not accessed.
 *
 * Lock: exclusive. Work: as `rvpci_step`, for one device; its MSI-X vectors in the first call.
 * Returns `RVPCI_DONE`, or `RVPCI_AGAIN` as long as there are pages in the p2m.
 *
 * # Safety
 *
 * `device` is attached to `domain`.
 */
int32_t rvpci_device_withdraw(struct rvpci_domain *domain,
                              struct rvpci_device *device);

/**
 * Gives a withdrawn device that was reset back to its domain, as `rvpci_device_attach` does; `info` says the same as then,
 * but that its BARs are where they were. What was refused stays counted.
 *
 * Lock: exclusive. Work: as `rvpci_device_attach`.
 * Returns what that returns, and -EINVAL for another device's `info`, or one that is not withdrawn or has pages in the p2m. After an error the device
 * stays as it was.
 *
 * # Safety
 *
 * `device` is attached to `domain`, and `info` can be read.
 */
int32_t rvpci_device_reattach(struct rvpci_domain *domain,
                              struct rvpci_device *device,
                              const struct rvpci_device_info *info);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VPCI_H */

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Reads `bytes` (1, 2 or 4) at `offset` of the physical function `sbdf`.
 */
uint32_t rvpci_host_config_read(uint32_t sbdf, uint32_t offset, uint32_t bytes);

/**
 * Writes likewise.
 */
void rvpci_host_config_write(uint32_t sbdf, uint32_t offset, uint32_t bytes, uint32_t value);

/**
 * Maps `count` host frames from `mfn` on at `gfn`. Returns how many it did, at least one, or a negative errno.
 */
int64_t rvpci_host_map(void *domain, uint64_t gfn, uint64_t mfn, uint64_t count);

/**
 * Unmaps likewise. A frame that is not mapped counts as done.
 */
int64_t rvpci_host_unmap(void *domain, uint64_t gfn, uint64_t mfn, uint64_t count);

/**
 * Makes accesses to `gfn` trap. 0 or a negative errno.
 */
int32_t rvpci_host_make_hole(void *domain, uint64_t gfn);

/**
 * The lowest part of host frames `first` to `last` that the host's memory map claims. Whether there is one.
 */
bool rvpci_host_next_reserved(uint64_t first, uint64_t last, uint64_t *found_first, uint64_t *found_last);

/**
 * Whether guest frames `first` to `last` are free for a BAR: no memory, no mapping, nothing that the hypervisor or
 * the guest's memory map has there.
 */
bool rvpci_host_may_place(void *domain, uint64_t first, uint64_t last);

/**
 * Whether a BAR of a function other than `sbdf` has bytes in the host frame `mfn`.
 */
bool rvpci_host_is_shared(uint32_t sbdf, uint64_t mfn);

/**
 * The four bytes at `address`, a multiple of 4 below 0x8000, of the device's vital product data, from a cache; 0
 * where there are none. Asked for only where `RVPCI_VPD` was given.
 */
uint32_t rvpci_host_vpd_read(void *device, uint32_t address);

/**
 * Whether long work should pause.
 */
bool rvpci_host_preempt(void);

/**
 * Allocates PIRQs in sequence for MSI. The first, or a negative errno.
 */
int32_t rvpci_host_map_msi(void *device, uint32_t vectors);

/**
 * Allocates a PIRQ for an MSI-X vector; `table` is the host address of the BAR with the table.
 */
int32_t rvpci_host_map_msix(void *device, uint32_t entry, uint64_t table);

/**
 * Gives back what one of the two allocated.
 */
void rvpci_host_unmap_pirq(void *device, int32_t pirq);

/**
 * Delivers `vectors` PIRQs as this message. 0, or a negative errno and none is bound.
 */
int32_t rvpci_host_bind(void *device, int32_t pirq, uint32_t vectors, uint64_t address, uint32_t data, uint32_t mask);

/**
 * Undoes it.
 */
void rvpci_host_unbind(void *device, int32_t pirq, uint32_t vectors);

/**
 * Masks or unmasks a PIRQ.
 */
void rvpci_host_mask(void *device, int32_t pirq, bool masked);

/**
 * What to write to MSI-X Message Control at `offset` when the domain wants `value`; a negative errno for nothing.
 */
int32_t rvpci_host_filter_msix_control(void *device, uint32_t offset, uint32_t value);

/**
 * Reads `bytes` (1, 2, 4 or 8) at `offset` of the host frame `mfn`. 0 or a negative errno.
 */
int32_t rvpci_host_mmio_read(void *device, uint32_t slot, uint64_t mfn, uint32_t offset, uint32_t bytes, uint64_t *value);

/**
 * Writes likewise.
 */
void rvpci_host_mmio_write(void *device, uint32_t slot, uint64_t mfn, uint32_t offset, uint32_t bytes, uint64_t value);

/**
 * Reads the dword at the host address `address`, inside a memory BAR of the physical function `sbdf`. All ones if it
 * cannot be mapped.
 */
uint32_t rvpci_host_memory_read(uint32_t sbdf, uint64_t address);

/**
 * Writes likewise; dropped if it cannot be mapped.
 */
void rvpci_host_memory_write(uint32_t sbdf, uint64_t address, uint32_t value);

/**
 * Takes the physical function `sbdf` from whoever has it, by `rvpci_device_withdraw`. `RVPCI_AGAIN` as long as that
 * says so, else `RVPCI_DONE`, also for a function that nobody has.
 */
int32_t rvpci_host_withdraw(uint32_t sbdf);

/**
 * Whether the reset of `sbdf` can have it to itself: no other reset has it, nor the bus that it is on.
 */
bool rvpci_host_claim(uint32_t sbdf);

/**
 * The end of that.
 */
void rvpci_host_release(uint32_t sbdf);

/**
 * Whether the reset of `first` can have the bus behind `bridge` to itself: all other functions there are members of
 * the reset and idle, that is, no domain and no driver uses them, and in no other reset. The hardware domain is then
 * kept from writing to the bridge.
 */
bool rvpci_host_claim_bus(uint32_t bridge, uint32_t first);

/**
 * The end of that.
 */
void rvpci_host_release_bus(uint32_t bridge, uint32_t first);

#ifdef __cplusplus
} /* extern "C" */
#endif

#ifdef __cplusplus
# define RVPCI_ASSERT(condition) static_assert(condition, #condition)
#else
# define RVPCI_ASSERT(condition) _Static_assert(condition, #condition)
#endif
RVPCI_ASSERT(sizeof(struct rvpci_device_info) == 112);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, sbdf) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, guest) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, view) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, flags) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, registers) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, rule_count) == 20);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, bar) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, rules) == 80);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, vf) == 88);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, device) == 96);
RVPCI_ASSERT(offsetof(struct rvpci_device_info, physical) == 104);
RVPCI_ASSERT(sizeof(struct rvpci_region) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_region, address) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_region, size) == 8);
RVPCI_ASSERT(sizeof(struct rvpci_physical_info) == 112);
RVPCI_ASSERT(offsetof(struct rvpci_physical_info, sbdf) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_physical_info, traits) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_physical_info, vf) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_physical_info, bar) == 16);
RVPCI_ASSERT(sizeof(struct rvpci_quirk) == 40);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, vendor) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, first) == 2);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, last) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, mask) == 6);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, class_mask) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, class_value) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, subsystem) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, revision_first) == 20);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, revision_last) == 21);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, says) == 22);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, zero) == 23);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, has) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, lacks) == 26);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, value) == 28);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, order) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_quirk, zeros) == 37);
RVPCI_ASSERT(sizeof(struct rvpci_reset_state) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_reset_state, outcome) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_reset_state, reason) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_reset_state, method) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_reset_state, count) == 12);
RVPCI_ASSERT(sizeof(struct rvpci_virtual_function) == 128);
RVPCI_ASSERT(offsetof(struct rvpci_virtual_function, ids) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_virtual_function, bar_register) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_virtual_function, zero) == 28);
RVPCI_ASSERT(offsetof(struct rvpci_virtual_function, address) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_virtual_function, size) == 80);
RVPCI_ASSERT(sizeof(struct rvpci_rule) == 40);
RVPCI_ASSERT(offsetof(struct rvpci_rule, vendor) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_rule, device) == 2);
RVPCI_ASSERT(offsetof(struct rvpci_rule, class_mask) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_rule, class_value) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_rule, scope) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_rule, zero) == 13);
RVPCI_ASSERT(offsetof(struct rvpci_rule, id) == 14);
RVPCI_ASSERT(offsetof(struct rvpci_rule, offset) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_rule, length) == 18);
RVPCI_ASSERT(offsetof(struct rvpci_rule, key_offset) == 20);
RVPCI_ASSERT(offsetof(struct rvpci_rule, zero2) == 22);
RVPCI_ASSERT(offsetof(struct rvpci_rule, key_mask) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_rule, key_value) == 28);
RVPCI_ASSERT(offsetof(struct rvpci_rule, read) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_rule, write) == 36);
RVPCI_ASSERT(sizeof(struct rvpci_bar) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_bar, address) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_bar, size) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_bar, guest) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_bar, kind) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_bar, prefetchable) == 28);
RVPCI_ASSERT(offsetof(struct rvpci_bar, mapped) == 29);
RVPCI_ASSERT(sizeof(struct rvpci_audit_record) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_audit_record, sequence) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_audit_record, offset) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_audit_record, reason) == 6);
RVPCI_ASSERT(offsetof(struct rvpci_audit_record, bytes) == 7);
RVPCI_ASSERT(offsetof(struct rvpci_audit_record, value) == 8);
RVPCI_ASSERT(sizeof(struct rvpci_register) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_register, offset) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_register, bytes) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_register, hardware) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_register, value) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_register, ro) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_register, rw1c) == 20);
RVPCI_ASSERT(offsetof(struct rvpci_register, rsvdp) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_register, rsvdz) == 28);
RVPCI_ASSERT(sizeof(struct rvpci_msi) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_msi, address) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_msi, data) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_msi, mask) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_msi, pirq) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_msi, vectors) == 20);
RVPCI_ASSERT(offsetof(struct rvpci_msi, capable) == 21);
RVPCI_ASSERT(offsetof(struct rvpci_msi, enabled) == 22);
RVPCI_ASSERT(offsetof(struct rvpci_msi, address64) == 23);
RVPCI_ASSERT(offsetof(struct rvpci_msi, masking) == 24);
RVPCI_ASSERT(sizeof(struct rvpci_msix) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_msix, entries) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_msix, enabled) == 4);
RVPCI_ASSERT(offsetof(struct rvpci_msix, masked) == 5);
RVPCI_ASSERT(sizeof(struct rvpci_mch_info) == 32);
RVPCI_ASSERT(offsetof(struct rvpci_mch_info, pciexbar) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_mch_info, low_ram_end) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_mch_info, high_ram_end) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_mch_info, address_bits) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_mch_info, zero) == 28);
RVPCI_ASSERT(sizeof(struct rvpci_mch_window) == 16);
RVPCI_ASSERT(offsetof(struct rvpci_mch_window, base) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_mch_window, size) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_mch_window, overlaps) == 12);
RVPCI_ASSERT(sizeof(struct rvpci_vector) == 24);
RVPCI_ASSERT(offsetof(struct rvpci_vector, address) == 0);
RVPCI_ASSERT(offsetof(struct rvpci_vector, data) == 8);
RVPCI_ASSERT(offsetof(struct rvpci_vector, pirq) == 12);
RVPCI_ASSERT(offsetof(struct rvpci_vector, masked) == 16);
#undef RVPCI_ASSERT
