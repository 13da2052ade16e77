//! Types and constants that C shares.

use core::ffi::c_void;
use core::mem::offset_of;
use static_assertions::{const_assert, const_assert_eq};

#[cfg(feature = "reset")]
use crate::physical::rvpci_physical;
use capabilities::policy::RuleError;
#[cfg(feature = "q35")]
use vpci::ClaimError;
use vpci::{AttachError, BarKind, DefineError, DomainError, Refusal};

/// Version of this interface. It grows with every change that is not an addition.
pub const RVPCI_ABI_VERSION: u32 = 4;

/// The registers that a device needs room for unless its maker knows better: the header, 48 capabilities, MSI, and
/// the rest for extended capabilities. A list that does not fit ends early.
pub const RVPCI_REGISTERS: u32 = 96;

/// It is done.
pub const RVPCI_DONE: i32 = 0;
/// It is done once `rvpci_step` has returned `RVPCI_DONE`; the virtual CPU must not run before.
pub const RVPCI_PENDING: i32 = 1;
/// Nothing was done: call again with the domain's lock held exclusively, and `RVPCI_EXCLUSIVE`.
pub const RVPCI_NEEDS_EXCLUSIVE: i32 = 2;
/// There is more to do: call again when convenient.
pub const RVPCI_AGAIN: i32 = 3;
/// The guest asks for a reset of its function, and nothing else was done.
pub const RVPCI_RESET: i32 = 4;

/// The caller of a write holds the domain's lock shared, and the device's.
pub const RVPCI_SHARED: u32 = 0;
/// The caller of a write holds the domain's lock exclusively.
pub const RVPCI_EXCLUSIVE: u32 = 1;

/// Nobody was named: the hardware domain reaches the device as it is, a guest finds nothing.
pub const RVPCI_OWNER_DEFAULT: u32 = 0;
/// A device of the library's.
pub const RVPCI_OWNER_DEVICE: u32 = 1;
/// Reads reach the device, writes are dropped.
pub const RVPCI_OWNER_READ_ONLY: u32 = 2;
/// Nobody: reads as all ones, writes are dropped.
pub const RVPCI_OWNER_HIDDEN: u32 = 3;
/// The MCH: see `rvpci_mch_read`.
pub const RVPCI_OWNER_MCH: u32 = 4;
/// Device-model server 0; server n is this plus n, up to 7.
pub const RVPCI_OWNER_SERVER: u32 = 8;

/// The hardware domain's view of a device.
pub const RVPCI_VIEW_HARDWARE: u32 = 0;
/// A guest's view of a device: what the policy allows.
pub const RVPCI_VIEW_GUEST: u32 = 1;

/// `rvpci_device_info.flags`: leave the BARs alone. Not for guests.
pub const RVPCI_IGNORE_BARS: u32 = 1;
/// `rvpci_device_info.flags`: the guest's firmware places BARs; they can be moved until it first enables decoding.
pub const RVPCI_BARS_BY_FIRMWARE: u32 = 2;
/// `rvpci_device_info.flags`: the guest has vital product data, out of the host's cache.
pub const RVPCI_VPD: u32 = 4;
/// `rvpci_device_info.flags`: the guest is trusted with a device that the tables refuse.
pub const RVPCI_TRUSTED: u32 = 8;

/// No function.
pub const RVPCI_NO_SBDF: u32 = u32::MAX;

/// `rvpci_physical_info.traits`: it is on a root bus.
pub const RVPCI_TRAIT_ROOT_BUS: u32 = 1;
/// `rvpci_physical_info.traits`: it is a virtual function.
pub const RVPCI_TRAIT_VIRTUAL: u32 = 8;
/// `rvpci_physical_info.traits`: an AMD IOMMU translates for the machine.
pub const RVPCI_TRAIT_AMD_IOMMU: u32 = 128;

/// `rvpci_physical_flags`: the device is not to be given to anyone who is not trusted.
pub const RVPCI_QUIRK_DENY: u32 = 1 << 15;

/// `rvpci_quirk.says`: flags.
pub const RVPCI_SAYS_FLAGS: u8 = 0;
/// `rvpci_quirk.says`: milliseconds from D3hot to D0 and back.
pub const RVPCI_SAYS_D3HOT_DELAY: u8 = 1;
/// `rvpci_quirk.says`: milliseconds after a bus reset.
pub const RVPCI_SAYS_D3COLD_DELAY: u8 = 3;
/// `rvpci_quirk.says`: bytes of vital product data.
pub const RVPCI_SAYS_VPD_LENGTH: u8 = 4;
/// `rvpci_quirk.says`: the number of a sequence that resets the device.
pub const RVPCI_SAYS_SEQUENCE: u8 = 5;
/// `rvpci_quirk.says`: the methods of a reset, in their order.
pub const RVPCI_SAYS_ORDER: u8 = 6;
/// The most functions that one reset has: those of one device.
pub const RVPCI_MEMBERS: u32 = 8;
/// `rvpci_reset_state.reason`: none.
pub const RVPCI_REASON_NONE: u32 = 0;

/// A method of reset: the device's own sequence.
pub const RVPCI_METHOD_DEVICE: u32 = 1;
/// A method of reset: Function Level Reset.
pub const RVPCI_METHOD_FLR: u32 = 2;
/// A method of reset: Function Level Reset by Advanced Features.
pub const RVPCI_METHOD_ADVANCED_FLR: u32 = 4;
/// A method of reset: to D3hot and back.
pub const RVPCI_METHOD_POWER: u32 = 8;
/// A method of reset: Secondary Bus Reset of the bridge above.
pub const RVPCI_METHOD_BUS: u32 = 16;
/// The methods that reset a function alone.
pub const RVPCI_METHODS_FUNCTION: u32 = 15;
/// All methods.
pub const RVPCI_METHODS_ALL: u32 = 31;

/// `rvpci_reset_state.outcome`: there was no reset yet.
pub const RVPCI_OUTCOME_NEVER: u32 = 0;
/// `rvpci_reset_state.outcome`: one goes on.
pub const RVPCI_OUTCOME_RUNNING: u32 = 1;
/// `rvpci_reset_state.outcome`: the function was reset.
pub const RVPCI_OUTCOME_READY: u32 = 2;
/// `rvpci_reset_state.outcome`: nothing was done to it.
pub const RVPCI_OUTCOME_REFUSED: u32 = 3;
/// `rvpci_reset_state.outcome`: it must go to nobody.
pub const RVPCI_OUTCOME_QUARANTINED: u32 = 4;

/// `rvpci_reset_state.reason`: there is no snapshot of it.
pub const RVPCI_REASON_NO_SNAPSHOT: u32 = 1;
/// `rvpci_reset_state.reason`: it is in another reset.
pub const RVPCI_REASON_BUSY: u32 = 2;
/// `rvpci_reset_state.reason`: it has virtual functions.
pub const RVPCI_REASON_VIRTUAL_FUNCTIONS: u32 = 3;
/// `rvpci_reset_state.reason`: no method applies.
pub const RVPCI_REASON_NO_METHOD: u32 = 4;
/// `rvpci_reset_state.reason`: only the bus would do, and others use it.
pub const RVPCI_REASON_BUS_IN_USE: u32 = 5;
/// `rvpci_reset_state.reason`: a page did not leave the p2m.
pub const RVPCI_REASON_STILL_MAPPED: u32 = 6;
/// `rvpci_reset_state.reason`: it does not answer.
pub const RVPCI_REASON_GONE: u32 = 7;
/// `rvpci_reset_state.reason`: it does not leave D3hot.
pub const RVPCI_REASON_POWER: u32 = 8;
/// `rvpci_reset_state.reason`: it did not get ready in time.
pub const RVPCI_REASON_NOT_READY: u32 = 9;
/// `rvpci_reset_state.reason`: its link did not come up.
pub const RVPCI_REASON_LINK: u32 = 10;
/// `rvpci_reset_state.reason`: its own sequence failed.
pub const RVPCI_REASON_SEQUENCE: u32 = 11;
/// `rvpci_reset_state.reason`: the bridge does not set or clear Secondary Bus Reset.
pub const RVPCI_REASON_BRIDGE: u32 = 12;
/// `rvpci_reset_state.reason`: a BAR does not take its value.
pub const RVPCI_REASON_BAR: u32 = 13;
/// `rvpci_reset_state.reason`: it is another function now.
pub const RVPCI_REASON_LAYOUT: u32 = 14;
/// `rvpci_reset_state.reason`: the caller cancelled.
pub const RVPCI_REASON_CANCELLED: u32 = 15;

/// `rvpci_mch_decode`: no configuration space.
pub const RVPCI_NO_POSITION: u32 = u32::MAX;

/// `rvpci_device_info.bar`: the guest shall not have it.
pub const RVPCI_NO_ADDRESS: u64 = u64::MAX;

/// `rvpci_bar.kind`: not implemented.
pub const RVPCI_BAR_EMPTY: u32 = 0;
/// `rvpci_bar.kind`: I/O ports.
pub const RVPCI_BAR_IO: u32 = 1;
/// `rvpci_bar.kind`: 32-bit memory.
pub const RVPCI_BAR_MEMORY32: u32 = 2;
/// `rvpci_bar.kind`: 64-bit memory.
pub const RVPCI_BAR_MEMORY64: u32 = 3;
/// `rvpci_bar.kind`: the high half of the BAR before it.
pub const RVPCI_BAR_HIGH: u32 = 4;
/// `rvpci_bar.kind`: the expansion ROM.
pub const RVPCI_BAR_ROM: u32 = 5;

const_assert_eq!(RVPCI_BAR_EMPTY, BarKind::Empty as u32);
const_assert_eq!(RVPCI_BAR_IO, BarKind::Io as u32);
const_assert_eq!(RVPCI_BAR_MEMORY32, BarKind::Memory32 as u32);
const_assert_eq!(RVPCI_BAR_MEMORY64, BarKind::Memory64 as u32);
const_assert_eq!(RVPCI_BAR_HIGH, BarKind::High as u32);
const_assert_eq!(RVPCI_BAR_ROM, BarKind::Rom as u32);

/// A write to hidden bytes.
pub const RVPCI_REFUSED_HIDDEN_WRITE: u32 = 0;
/// A write to a BAR while it is mapped.
pub const RVPCI_REFUSED_BAR_MAPPED: u32 = 1;
/// A write to the expansion ROM register while the ROM is mapped.
pub const RVPCI_REFUSED_ROM_MAPPED: u32 = 2;
/// An access to the MSI-X table, the PBA or their neighbours that is not allowed.
pub const RVPCI_REFUSED_MSIX_ACCESS: u32 = 3;
/// `rvpci_host_map` failed.
pub const RVPCI_REFUSED_MAP: u32 = 4;
/// `rvpci_host_unmap` failed.
pub const RVPCI_REFUSED_UNMAP: u32 = 5;
/// `rvpci_host_make_hole` failed.
pub const RVPCI_REFUSED_HOLE: u32 = 6;
/// No PIRQ, or a message that cannot be bound.
pub const RVPCI_REFUSED_INTERRUPT: u32 = 7;
/// A capability is broken or does not fit.
pub const RVPCI_REFUSED_CAPABILITY: u32 = 8;
/// A configuration access that `rvpci_access_allowed` refuses.
pub const RVPCI_REFUSED_ACCESS: u32 = 9;
/// A guest's write to bits that the policy keeps from it.
pub const RVPCI_REFUSED_READ_ONLY: u32 = 10;
/// A guest's write that would move a BAR.
pub const RVPCI_REFUSED_BAR_MOVED: u32 = 11;
/// A guest's write to a bit that resets the function.
pub const RVPCI_REFUSED_RESET: u32 = 12;
/// A BAR cannot be where it was placed.
pub const RVPCI_REFUSED_PLACEMENT: u32 = 13;
/// A guest's write to vital product data.
pub const RVPCI_REFUSED_VPD: u32 = 14;
/// A guest's access to bytes of a BAR that lead around configuration space.
pub const RVPCI_REFUSED_MIRROR: u32 = 15;
/// The number of reasons.
pub const RVPCI_REFUSED_COUNT: u32 = 16;

const_assert_eq!(RVPCI_REFUSED_HIDDEN_WRITE, Refusal::HiddenWrite as u32);
const_assert_eq!(RVPCI_REFUSED_BAR_MAPPED, Refusal::BarMapped as u32);
const_assert_eq!(RVPCI_REFUSED_ROM_MAPPED, Refusal::RomMapped as u32);
const_assert_eq!(RVPCI_REFUSED_MSIX_ACCESS, Refusal::MsixAccess as u32);
const_assert_eq!(RVPCI_REFUSED_MAP, Refusal::Map as u32);
const_assert_eq!(RVPCI_REFUSED_UNMAP, Refusal::Unmap as u32);
const_assert_eq!(RVPCI_REFUSED_HOLE, Refusal::Hole as u32);
const_assert_eq!(RVPCI_REFUSED_INTERRUPT, Refusal::Interrupt as u32);
const_assert_eq!(RVPCI_REFUSED_CAPABILITY, Refusal::Capability as u32);
const_assert_eq!(RVPCI_REFUSED_ACCESS, Refusal::Access as u32);
const_assert_eq!(RVPCI_REFUSED_READ_ONLY, Refusal::ReadOnly as u32);
const_assert_eq!(RVPCI_REFUSED_BAR_MOVED, Refusal::BarMoved as u32);
const_assert_eq!(RVPCI_REFUSED_RESET, Refusal::Reset as u32);
const_assert_eq!(RVPCI_REFUSED_PLACEMENT, Refusal::Placement as u32);
const_assert_eq!(RVPCI_REFUSED_VPD, Refusal::Vpd as u32);
const_assert_eq!(RVPCI_REFUSED_MIRROR, Refusal::Mirror as u32);
const_assert!(RVPCI_REFUSED_COUNT as usize == Refusal::COUNT);

/// What to attach.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rvpci_device_info {
    /// The physical function: segment 31:16, bus 15:8, device 7:3, function 2:0.
    pub sbdf: u32,
    /// Where its domain sees it; for the hardware view the same.
    pub guest: u32,
    /// `RVPCI_VIEW_*`.
    pub view: u32,
    /// `RVPCI_IGNORE_BARS`, `RVPCI_BARS_BY_FIRMWARE`, `RVPCI_VPD`, `RVPCI_TRUSTED`.
    pub flags: u32,
    /// Room for registers, as given to `rvpci_device_size`.
    pub registers: u32,
    /// The number of `rules`.
    pub rule_count: u32,
    /// Guest addresses of BARs 0 to 5 and of the expansion ROM, in bytes, or `RVPCI_NO_ADDRESS`. A 64-bit BAR's is that of
    /// its first register.
    pub bar: [u64; 7],
    /// What a guest may have beyond the policy; read during the call only.
    pub rules: *const rvpci_rule,
    /// For a virtual function, what its physical function says; else NULL. Read during the call only.
    pub vf: *const rvpci_virtual_function,
    /// What `rvpci_host_*` are to call the device.
    pub device: *mut c_void,
    /// The physical function, learnt; NULL if nothing is known of it, as of the hardware domain's. A guest's function without
    /// is never reset by its guest, and mirrors of it are open. Read during the call only.
    pub physical: *const rvpci_physical,
}

#[cfg(not(feature = "reset"))]
/// Nothing is known of physical functions.
pub enum rvpci_physical {}

/// Host addresses of a memory BAR.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_region {
    /// The first byte.
    pub address: u64,
    /// Bytes; 0 for no memory BAR.
    pub size: u64,
}

/// A physical function, see `rvpci_physical_learn`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rvpci_physical_info {
    /// The function.
    pub sbdf: u32,
    /// What its configuration space does not tell, `RVPCI_TRAIT_*`.
    pub traits: u32,
    /// For a virtual function, what its physical function says; else NULL. Read during the call only.
    pub vf: *const rvpci_virtual_function,
    /// Its memory BARs, a 64-bit one at its first register.
    pub bar: [rvpci_region; 6],
}

/// What is known of a kind of device, see `rvpci_physical_quirks`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_quirk {
    /// Vendor ID.
    pub vendor: u16,
    /// The lowest Device ID.
    pub first: u16,
    /// The highest.
    pub last: u16,
    /// The bits of the Device ID in which a device has to be like the first.
    pub mask: u16,
    /// The bits of the dword at 08h that are compared.
    pub class_mask: u32,
    /// What they are compared with.
    pub class_value: u32,
    /// The dword at 2Ch; 0 for any.
    pub subsystem: u32,
    /// The lowest Revision ID.
    pub revision_first: u8,
    /// The highest.
    pub revision_last: u8,
    /// What the row says, `RVPCI_SAYS_*`.
    pub says: u8,
    /// Must be 0.
    pub zero: u8,
    /// The traits that a function has to have: docs/quirks.md has them in the order of their bits.
    pub has: u16,
    /// Those that it must not have.
    pub lacks: u16,
    /// Flags, in the order of docs/quirks.md; milliseconds; bytes; or the number of a sequence, from 1 on. 0 for an order.
    pub value: u32,
    /// The methods of an order, 1 to 5 in the order of `RVPCI_METHOD_*`, 0 to skip one; else 0.
    pub order: [u8; 5],
    /// Must be 0.
    pub zeros: [u8; 3],
}

/// How a reset ended, see `rvpci_reset_state`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_reset_state {
    /// `RVPCI_OUTCOME_*`.
    pub outcome: u32,
    /// Why it was not reset, `RVPCI_REASON_*`; 0 if it was.
    pub reason: u32,
    /// What it was reset by, `RVPCI_METHOD_*`; 0 if it was not.
    pub method: u32,
    /// Resets that ended. It wraps.
    pub count: u32,
}

/// A virtual function as the SR-IOV capability of its physical function describes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rvpci_virtual_function {
    /// The physical function's Vendor ID, and VF Device ID in the high half.
    pub ids: u32,
    /// The VF BAR registers; only the low four bits count.
    pub bar_register: [u32; 6],
    /// Must be 0.
    pub zero: u32,
    /// The host addresses of this function's BARs.
    pub address: [u64; 6],
    /// Their sizes in bytes; 0 for none.
    pub size: [u64; 6],
}

/// A rule of the extra allow-list: bits of a kind of device that a guest may have although the policy hides them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rvpci_rule {
    /// Vendor ID; 0xffff for any.
    pub vendor: u16,
    /// Device ID; 0xffff for any.
    pub device: u16,
    /// The bits of the dword at 08h, class code and revision, that are compared.
    pub class_mask: u32,
    /// What they are compared with.
    pub class_value: u32,
    /// `RVPCI_RULE_BYTES`, `RVPCI_RULE_STANDARD` or `RVPCI_RULE_EXTENDED`.
    pub scope: u8,
    /// Must be 0.
    pub zero: u8,
    /// The ID of the capability.
    pub id: u16,
    /// Where it starts, a multiple of 4: relative to the capability, or absolute and not below 0x40.
    pub offset: u16,
    /// Bytes, a multiple of 4, not 0.
    pub length: u16,
    /// For a capability: the dword that tells it from others with this ID, relative to it.
    pub key_offset: u16,
    /// Must be 0.
    pub zero2: u16,
    /// The bits of that dword that are compared; 0 for any.
    pub key_mask: u32,
    /// What they are compared with.
    pub key_value: u32,
    /// The bits of each dword that the guest reads from the device.
    pub read: u32,
    /// Of these, the bits that it writes to the device.
    pub write: u32,
}

/// `rvpci_rule.scope`: bytes of configuration space.
pub const RVPCI_RULE_BYTES: u8 = 0;
/// `rvpci_rule.scope`: a standard capability.
pub const RVPCI_RULE_STANDARD: u8 = 1;
/// `rvpci_rule.scope`: an extended capability.
pub const RVPCI_RULE_EXTENDED: u8 = 2;

/// A BAR, see `rvpci_bar_state`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_bar {
    /// Host address in bytes.
    pub address: u64,
    /// Size in bytes; 0 where it is not known.
    pub size: u64,
    /// Address in the domain, or `RVPCI_NO_ADDRESS`.
    pub guest: u64,
    /// `RVPCI_BAR_*`.
    pub kind: u32,
    /// Whether it is prefetchable.
    pub prefetchable: bool,
    /// Whether it is in the p2m.
    pub mapped: bool,
}

/// A refused access, see `rvpci_audit`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_audit_record {
    /// Its number among the device's refusals, from 1 on.
    pub sequence: u32,
    /// Configuration offset; for `RVPCI_REFUSED_MSIX_ACCESS` and `RVPCI_REFUSED_MIRROR` the low 16 bits of the address.
    pub offset: u16,
    /// `RVPCI_REFUSED_*`.
    pub reason: u8,
    /// Bytes of the access; 0 if no access was the cause.
    pub bytes: u8,
    /// What was to be written, the low 32 bits.
    pub value: u32,
}

/// A register of a device, see `rvpci_define`. Bits in no class are read-write; no bit is in two.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rvpci_register {
    /// Byte offset, aligned to `bytes`, below 0x1000.
    pub offset: u32,
    /// 1, 2 or 4.
    pub bytes: u32,
    /// Not 0: the physical register; 0: bits that the library keeps.
    pub hardware: u32,
    /// The first value of a register that the library keeps.
    pub value: u32,
    /// Read-only bits.
    pub ro: u32,
    /// Bits that a write of 1 clears.
    pub rw1c: u32,
    /// Bits that read 0 and keep their value.
    pub rsvdp: u32,
    /// Bits that read 0 and are written as 0.
    pub rsvdz: u32,
}

/// MSI as the domain has set it up, see `rvpci_msi_state`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_msi {
    /// Message address.
    pub address: u64,
    /// Message data.
    pub data: u32,
    /// Mask bits; 0 without per-vector masking.
    pub mask: u32,
    /// The first PIRQ; -1 while disabled.
    pub pirq: i32,
    /// Vectors in use, 1 to 32.
    pub vectors: u8,
    /// Vectors that there can be, 1 to 32.
    pub capable: u8,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether addresses have 64 bits.
    pub address64: bool,
    /// Whether there is per-vector masking.
    pub masking: bool,
}

/// MSI-X as the domain has set it up, see `rvpci_msix_state`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_msix {
    /// Vectors, 1 to 2048.
    pub entries: u32,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Whether the function mask is set.
    pub masked: bool,
}

/// An MSI-X vector, see `rvpci_msix_vector`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_vector {
    /// Message address.
    pub address: u64,
    /// Message data.
    pub data: u32,
    /// Its PIRQ; -1 while it is not bound.
    pub pirq: i32,
    /// Whether it is masked.
    pub masked: bool,
}

/// The platform of an MCH, see `rvpci_mch_init`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rvpci_mch_info {
    /// What PCIEXBAR holds after a reset; 0 for no window.
    pub pciexbar: u64,
    /// The end of RAM below 4 GiB in bytes.
    pub low_ram_end: u64,
    /// The end of RAM above 4 GiB in bytes; 0 if there is none.
    pub high_ram_end: u64,
    /// The width of the guest's physical addresses.
    pub address_bits: u32,
    /// Must be 0.
    pub zero: u32,
}

/// The ECAM window of an MCH, see `rvpci_mch_state`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rvpci_mch_window {
    /// Guest physical address.
    pub base: u64,
    /// Bytes that are decoded from there on; 0 for no window.
    pub size: u32,
    /// How many writes made a window that lies, in part, over RAM or from FEC00000 to FFFFFFFF. It saturates.
    pub overlaps: u32,
}

/// Bytes of an MCH's image, see `rvpci_mch_save`.
pub const RVPCI_MCH_IMAGE: usize = 288;

// The header asserts the same for C.
const_assert_eq!(size_of::<rvpci_device_info>(), 112);
const_assert_eq!(offset_of!(rvpci_device_info, physical), 104);
const_assert_eq!(size_of::<rvpci_region>(), 16);
const_assert_eq!(size_of::<rvpci_physical_info>(), 112);
const_assert_eq!(offset_of!(rvpci_physical_info, bar), 16);
const_assert_eq!(size_of::<rvpci_quirk>(), 40);
const_assert_eq!(offset_of!(rvpci_quirk, zeros), 37);
const_assert_eq!(size_of::<rvpci_reset_state>(), 16);
const_assert_eq!(offset_of!(rvpci_reset_state, count), 12);
const_assert_eq!(size_of::<rvpci_virtual_function>(), 128);
const_assert_eq!(offset_of!(rvpci_virtual_function, size), 80);
const_assert_eq!(size_of::<rvpci_rule>(), 40);
const_assert_eq!(offset_of!(rvpci_rule, write), 36);
const_assert_eq!(size_of::<rvpci_bar>(), 32);
const_assert_eq!(offset_of!(rvpci_bar, mapped), 29);
const_assert_eq!(size_of::<rvpci_audit_record>(), 12);
const_assert_eq!(offset_of!(rvpci_audit_record, value), 8);
const_assert_eq!(size_of::<rvpci_register>(), 32);
const_assert_eq!(offset_of!(rvpci_register, rsvdz), 28);
const_assert_eq!(size_of::<rvpci_msi>(), 32);
const_assert_eq!(offset_of!(rvpci_msi, masking), 24);
const_assert_eq!(size_of::<rvpci_msix>(), 8);
const_assert_eq!(offset_of!(rvpci_msix, masked), 5);
const_assert_eq!(size_of::<rvpci_mch_info>(), 32);
const_assert_eq!(offset_of!(rvpci_mch_info, zero), 28);
const_assert_eq!(size_of::<rvpci_mch_window>(), 16);
const_assert_eq!(offset_of!(rvpci_mch_window, overlaps), 12);
const_assert_eq!(size_of::<rvpci_vector>(), 24);
const_assert_eq!(offset_of!(rvpci_vector, masked), 16);

// The errno values of Xen's public/errno.h that this interface uses.
pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOENT: i32 = 2;
#[cfg(feature = "reset")]
pub(crate) const EINTR: i32 = 4;
#[cfg(feature = "reset")]
pub(crate) const EIO: i32 = 5;
pub(crate) const E2BIG: i32 = 7;
#[cfg(feature = "reset")]
pub(crate) const EAGAIN: i32 = 11;
#[cfg(feature = "reset")]
pub(crate) const EBUSY: i32 = 16;
pub(crate) const EEXIST: i32 = 17;
#[cfg(feature = "reset")]
pub(crate) const ENODEV: i32 = 19;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const ENOSPC: i32 = 28;
#[cfg(feature = "reset")]
pub(crate) const ENODATA: i32 = 61;
pub(crate) const EOPNOTSUPP: i32 = 95;
pub(crate) const EADDRINUSE: i32 = 98;
#[cfg(feature = "reset")]
pub(crate) const ETIMEDOUT: i32 = 110;

/// The one place where errors become errno values.
pub(crate) trait Errno {
    fn errno(self) -> i32;
}

impl Errno for AttachError {
    fn errno(self) -> i32 {
        match self {
            Self::Unsupported => -EOPNOTSUPP,
            Self::Full => -E2BIG,
            Self::Placement => -EADDRINUSE,
            Self::Rule | Self::Refused => -EPERM,
        }
    }
}

impl Errno for RuleError {
    fn errno(self) -> i32 {
        match self {
            Self::Malformed => -EINVAL,
            Self::Floor => -EPERM,
        }
    }
}

impl Errno for DomainError {
    fn errno(self) -> i32 {
        match self {
            Self::Taken => -EEXIST,
            Self::Full => -ENOSPC,
        }
    }
}

#[cfg(feature = "q35")]
impl Errno for ClaimError {
    fn errno(self) -> i32 {
        match self {
            Self::TooMany => -E2BIG,
            Self::Domain(error) => error.errno(),
        }
    }
}

impl Errno for DefineError {
    fn errno(self) -> i32 {
        match self {
            Self::Invalid => -EINVAL,
            Self::Exists => -EEXIST,
            Self::Full => -ENOSPC,
        }
    }
}
