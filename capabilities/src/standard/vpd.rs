//! Vital Product Data, capability 03h (PCIe 7.9.18).

use super::{ID, NEXT};
use crate::policy::{Act, Field, Length, Policy, Treatment, Visibility};
use Treatment::Engine;

/// VPD Address, a word, relative to the capability: a byte address, a multiple of 4, bits 14:0.
pub const ADDRESS: u16 = 0x02;
/// VPD Data, a dword, relative to the capability.
pub const DATA: u16 = 0x04;

/// [`ADDRESS`]: written 0 to read and 1 to write; the device inverts it when it is done.
pub const FLAG: u16 = 1 << 15;
/// [`ADDRESS`]: where in the VPD.
pub const ADDRESS_MASK: u16 = 0x7fff;

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "Vital Product Data",
    section: "PCIe 7.9.18",
    length: Length::Bytes(8),
    guest: Visibility::OnRequest,
    floor: false,
    why: "serial numbers, out of an EEPROM that functions share, that takes 100 ms for a dword, and that hangs some \
          devices: where asked for, out of a cache, read-only",
    fields: &[
        ID,
        NEXT,
        Field::new("VPD Address", ADDRESS, 0x7fff, Engine(Act::Vpd)),
        Field::new("F", ADDRESS, 0x8000, Engine(Act::Vpd))
            .because("a write of 1 would write the EEPROM: dropped (vfio and xen_pt let it through)"),
        Field::new("VPD Data", DATA, 0xffff_ffff, Engine(Act::Vpd)),
    ],
};
