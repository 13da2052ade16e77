//! Serial ATA, capability 12h: where the index and data registers are (AHCI 1.3.1, 2.4).

use super::{ID, NEXT};
use crate::policy::{Field, Length, Policy, Treatment, Visibility};
use Treatment::Snapshot;

/// Revision, a word, relative to the capability.
pub const REVISION: u16 = 0x02;
/// Where the index and data registers are, a dword, relative to the capability: a BAR's register number, 4 to 9,
/// in bits 3:0, and an offset in dwords in bits 23:4.
pub const LOCATION: u16 = 0x04;

const IN_BAR: u16 = 8;
const INLINE: u16 = 0x10;

/// Whether the index and data registers are in configuration space, behind the register that reads `location`.
/// A guest does not have the capability then: data reads and writes any register of the controller, at any time.
#[must_use]
pub const fn is_inline(location: u32) -> bool {
    location & 0xf == 0xf
}

/// Bytes of the capability whose register at [`LOCATION`] reads `location`.
#[must_use]
pub const fn length(location: u32) -> u16 {
    if is_inline(location) { INLINE } else { IN_BAR }
}

/// What a guest sees, unless [`is_inline`].
pub const POLICY: Policy = Policy {
    name: "Serial ATA",
    section: "AHCI 1.3.1, 2.4",
    length: Length::Sata,
    guest: Visibility::Shown,
    floor: false,
    why: "it names a place in a BAR that the guest has; hidden where that is the capability's own index and data pair",
    fields: &[
        ID,
        NEXT,
        Field::new("Minor Revision, Major Revision", REVISION, 0x00ff, Snapshot),
        Field::new("BAR Location, BAR Offset", LOCATION, 0x00ff_ffff, Snapshot),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_registers_take_two_dwords_more() {
        assert!(is_inline(0x0000_000f) && is_inline(0xffff_ffff));
        assert!(!is_inline(0x0000_0048) && !is_inline(0x00ff_fff0));
        assert_eq!((length(0x0000_0048), length(0x0000_000f)), (8, 16));
    }
}
