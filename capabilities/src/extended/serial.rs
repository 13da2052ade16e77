//! Device Serial Number, extended capability 0003h (PCIe 7.9.3).

use super::{ID, NEXT, VERSION};
use crate::policy::{Field, Length, Policy, Treatment, Visibility};
use Treatment::Snapshot;

/// Serial Number Register (Lower DW), relative to the capability.
pub const LOWER: u16 = 0x04;
/// Serial Number Register (Upper DW), relative to the capability.
pub const UPPER: u16 = 0x08;

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "Device Serial Number",
    section: "PCIe 7.9.3",
    length: Length::Bytes(0x0c),
    guest: Visibility::OnRequest,
    floor: false,
    why: "it tells a guest which machine it is on, and two guests that they share one (vfio shows it)",
    fields: &[
        ID,
        VERSION,
        NEXT,
        Field::new("Serial Number (Lower DW)", LOWER, 0xffff_ffff, Snapshot),
        Field::new("Serial Number (Upper DW)", UPPER, 0xffff_ffff, Snapshot),
    ],
};
