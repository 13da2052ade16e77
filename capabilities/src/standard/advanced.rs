//! Conventional PCI Advanced Features, capability 13h (PCIe 7.9.21).

use super::{ID, NEXT};
use crate::policy::{Act, Control, Field, Length, Policy, Treatment, Visibility};
use Treatment::{Engine, Live, Snapshot, WithReset};

/// AF Capabilities, a byte, relative to the capability.
pub const CAPABILITIES: u16 = 0x03;
/// AF Control, a byte, relative to the capability.
pub const CONTROL: u16 = 0x04;
/// AF Status, a byte, relative to the capability.
pub const STATUS: u16 = 0x05;

/// [`CAPABILITIES`]: Transactions Pending, that is, [`STATUS`] says so.
pub const TRANSACTIONS_PENDING: u8 = 1 << 0;
/// [`CAPABILITIES`]: Function Level Reset.
pub const FUNCTION_LEVEL_RESET: u8 = 1 << 1;
/// [`CONTROL`]: Initiate FLR.
pub const INITIATE_FLR: u8 = 1 << 0;

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "Conventional PCI Advanced Features",
    section: "PCIe 7.9.21",
    length: Length::Bytes(6),
    guest: Visibility::Shown,
    floor: false,
    why: "a driver may look for a reset of the function",
    fields: &[
        ID,
        NEXT,
        Field::new("AF Structure Length", 0x02, 0xff, Snapshot),
        Field::new("Transactions Pending, Function Level Reset capable", CAPABILITIES, 0x03, WithReset)
            .because("drivers look for both, as a function that is busy cannot be reset"),
        Field::new("Initiate FLR", CONTROL, 0x01, Engine(Act::Reset))
            .host(Control::Device)
            .because("a reset loses what the host set: BARs, interrupts, MPS (vfio traps it likewise)"),
        Field::new("Transactions Pending", STATUS, 0x01, Live).because(
            "until it is 0, what the guest gave the device is not the guest's again; as in Device Status",
        ),
    ],
};
