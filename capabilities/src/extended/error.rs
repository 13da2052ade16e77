//! Advanced Error Reporting, extended capability 0001h (PCIe 7.8.4).

use super::{ID, NEXT, VERSION};
use crate::policy::{Field, Length, Policy, Treatment, Visibility};
use Treatment::{Hidden, Live, VirtualSnapshot};

/// Uncorrectable Error Status, a dword, relative to the capability (PCIe 7.8.4.2).
pub const UNCORRECTABLE_STATUS: u16 = 0x04;
/// Uncorrectable Error Mask, a dword, relative to the capability (PCIe 7.8.4.3).
pub const UNCORRECTABLE_MASK: u16 = 0x08;
/// Uncorrectable Error Severity, a dword, relative to the capability (PCIe 7.8.4.4).
pub const UNCORRECTABLE_SEVERITY: u16 = 0x0c;
/// Correctable Error Status, a dword, relative to the capability (PCIe 7.8.4.5).
pub const CORRECTABLE_STATUS: u16 = 0x10;
/// Correctable Error Mask, a dword, relative to the capability (PCIe 7.8.4.6).
pub const CORRECTABLE_MASK: u16 = 0x14;
/// Advanced Error Capabilities and Control, a dword, relative to the capability (PCIe 7.8.4.7).
pub const CONTROL: u16 = 0x18;
/// Header Log, four dwords, relative to the capability (PCIe 7.8.4.8).
pub const HEADER_LOG: u16 = 0x1c;

/// The uncorrectable errors, Data Link Protocol Error (4) to Poisoned TLP Egress Blocked (26).
pub const UNCORRECTABLE: u32 = 0x07ff_f030;
/// The correctable errors, Receiver Error (0) to Header Log Overflow (15).
pub const CORRECTABLE: u32 = 0x0000_f1c1;

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "Advanced Error Reporting",
    section: "PCIe 7.8.4",
    length: Length::Bytes(0x2c),
    guest: Visibility::Shown,
    floor: false,
    why: "a driver may look for what went wrong; who is told of it is the host's affair",
    fields: &[
        ID,
        VERSION,
        NEXT,
        Field::new("Uncorrectable Error Status", UNCORRECTABLE_STATUS, UNCORRECTABLE, Live)
            .because("writes of 1 are dropped: the evidence is the host's (vfio lets them through)"),
        Field::new("Uncorrectable Error Mask", UNCORRECTABLE_MASK, UNCORRECTABLE, VirtualSnapshot)
            .because("a mask hides errors from the host, or sends it more (vfio lets it be written)"),
        Field::new("Uncorrectable Error Severity", UNCORRECTABLE_SEVERITY, UNCORRECTABLE, VirtualSnapshot)
            .because("a fatal error stops the host (vfio lets it be written)"),
        Field::new("Correctable Error Status", CORRECTABLE_STATUS, CORRECTABLE, Live)
            .because("as Uncorrectable Error Status"),
        Field::new("Correctable Error Mask", CORRECTABLE_MASK, CORRECTABLE, VirtualSnapshot)
            .because("as Uncorrectable Error Mask"),
        Field::new("First Error Pointer", CONTROL, 0x0000_001f, Live),
        Field::new("ECRC Generation, ECRC Check", CONTROL, 0x0000_01e0, Hidden)
            .because("every port on the way must take a digest (vfio lets the enables be written)"),
        Field::new("Multiple Header Recording, Log Present, Log Size", CONTROL, 0x00ff_fe00, Hidden)
            .because("as Header Log"),
        Field::new("Header Log, first dword", HEADER_LOG, 0xffff_ffff, Hidden)
            .because("it has host addresses and the requester IDs of others"),
        Field::new("Header Log, second dword", HEADER_LOG + 4, 0xffff_ffff, Hidden).because("as the first"),
        Field::new("Header Log, third dword", HEADER_LOG + 8, 0xffff_ffff, Hidden).because("as the first"),
        Field::new("Header Log, fourth dword", HEADER_LOG + 12, 0xffff_ffff, Hidden).because("as the first"),
    ],
};
