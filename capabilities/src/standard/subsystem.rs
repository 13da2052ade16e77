//! Subsystem ID and Subsystem Vendor ID, capability 0Dh (PCIe 7.9.23).

use super::{ID, NEXT};
use crate::policy::{Field, Length, Policy, Treatment, Visibility};
use Treatment::Snapshot;

/// Subsystem Vendor ID, a word, relative to the capability.
pub const VENDOR_ID: u16 = 0x04;
/// Subsystem ID, a word, relative to the capability.
pub const SUBSYSTEM_ID: u16 = 0x06;

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "Subsystem ID and Subsystem Vendor ID",
    section: "PCIe 7.9.23",
    length: Length::Bytes(8),
    guest: Visibility::Shown,
    floor: false,
    why: "identification only, as in a type 0 header (vfio hides it)",
    fields: &[
        ID,
        NEXT,
        Field::new("Subsystem Vendor ID", VENDOR_ID, 0xffff, Snapshot),
        Field::new("Subsystem ID", SUBSYSTEM_ID, 0xffff, Snapshot),
    ],
};
