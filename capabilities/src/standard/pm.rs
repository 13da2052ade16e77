//! Power Management, capability 01h (PCIe 7.5.2).

use super::{ID, NEXT};
use crate::policy::{Act, Field, Length, Policy, Treatment, Visibility};
use Treatment::{Engine, Hidden, Snapshot, WithoutReset};

/// Power Management Capabilities, a word, relative to the capability.
pub const CAPABILITIES: u16 = 0x02;
/// Power Management Control/Status, a word, relative to the capability.
pub const CONTROL_STATUS: u16 = 0x04;

/// The bits of [`CONTROL_STATUS`] that hold the power state: 0 for D0, all of them for D3hot.
pub const POWER_STATE: u32 = 0x0003;
/// [`CONTROL_STATUS`]: nothing is lost between D3hot and D0.
pub const NO_SOFT_RESET: u16 = 1 << 3;
/// [`CONTROL_STATUS`]: a PME is pending; a write of 1 clears it.
pub const PME_STATUS: u16 = 1 << 15;

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "Power Management",
    section: "PCIe 7.5.2",
    length: Length::Bytes(8),
    guest: Visibility::Shown,
    floor: false,
    why: "drivers look for it; the device stays in D0, where its MMIO answers",
    fields: &[
        ID,
        NEXT,
        Field::new("Version", CAPABILITIES, 0x0007, Snapshot),
        Field::new("PME Clock, Immediate Readiness, DSI, Aux Current", CAPABILITIES, 0x01f8, Hidden),
        Field::new("D1, D2 Support", CAPABILITIES, 0x0600, Hidden)
            .because("a guest has D0 and D3hot, in storage"),
        Field::new("PME Support", CAPABILITIES, 0xf800, Hidden).because("PME# wakes the host, not the guest"),
        Field::new("PowerState", CONTROL_STATUS, POWER_STATE, Engine(Act::PowerState)).because(
            "storage: D3hot would stop the MMIO that is mapped (vfio and pciback set it in the device)",
        ),
        Field::new("No_Soft_Reset", CONTROL_STATUS, NO_SOFT_RESET as u32, WithoutReset).because(
            "nothing is lost on the way back to D0, as the device never left it; 0 only where the device has no other \
             reset, as drivers that save power wait no longer than 10 ms",
        ),
        Field::new("PME_En, Data_Select, Data_Scale, PME_Status", CONTROL_STATUS, 0xff00, Hidden),
        Field::new("Data", 0x07, 0xff, Hidden),
    ],
};
