//! MSI-X, capability 11h (PCIe 7.7.2).

use super::{ID, NEXT};
use crate::policy::{Act, Control, Field, Length, Policy, Treatment, Visibility};
use Treatment::{Engine, Snapshot};

/// Message Control, a word, relative to the capability (PCIe 7.7.2.2).
pub const CONTROL: u16 = 0x02;
/// Table Offset and BIR, a dword, relative to the capability (PCIe 7.7.2.3).
pub const TABLE: u16 = 0x04;
/// PBA Offset and BIR, a dword, relative to the capability (PCIe 7.7.2.4).
pub const PBA: u16 = 0x08;
/// The length of the capability in bytes.
pub const LENGTH: u16 = 0x0c;

/// [`CONTROL`]: the number of table entries less one, bits 10:0.
pub const TABLE_SIZE: u16 = 0x7ff;
/// [`CONTROL`]: all vectors are masked, whatever their own mask bits say.
pub const FUNCTION_MASK: u16 = 1 << 14;
/// [`CONTROL`]: MSI-X is in use; INTx is not.
pub const ENABLE: u16 = 1 << 15;

/// The most entries that a table can have.
pub const MAX_ENTRIES: u16 = TABLE_SIZE + 1;
/// Bytes of a table entry: address low and high, data, vector control (PCIe 7.7.2.5 to 7.7.2.8).
pub const ENTRY_SIZE: u64 = 16;
/// Vector Control: this vector is masked.
pub const VECTOR_MASKED: u32 = 1 << 0;

/// The number of table entries, 1 to 2048, of a function whose control register reads `control`.
#[must_use]
pub const fn entries(control: u16) -> u16 {
    (control & TABLE_SIZE) + 1
}

/// Bytes of the pending bit array for `entries` vectors: whole qwords (PCIe 7.7.2.9).
#[must_use]
pub const fn pba_size(entries: u16) -> u64 {
    (entries as u64).div_ceil(64) * 8 // CAST: widening; `From` is not const.
}

/// Where a table or PBA is: a BAR and an offset into it (PCIe 7.7.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Location {
    /// The BAR Indicator Register: 0 to 5 name a BAR, 6 and 7 are reserved.
    pub bir: u8,
    /// Byte offset from the BAR's address, a multiple of 8.
    pub offset: u32,
}

impl Location {
    /// Splits the dword read at [`TABLE`] or [`PBA`].
    #[must_use]
    pub const fn from_register(value: u32) -> Self {
        Self { bir: (value & 7) as u8, offset: value & !7 } // CAST: three bits.
    }
}

/// What a guest sees.
pub const POLICY: Policy = Policy {
    name: "MSI-X",
    section: "PCIe 7.7.2",
    length: Length::Bytes(LENGTH),
    guest: Visibility::Shown,
    floor: true,
    why: "a guest's only interrupts besides MSI; it programs a virtual table, the hypervisor the device's",
    fields: &[
        ID,
        NEXT,
        Field::new("Table Size", CONTROL, 0x07ff, Engine(Act::MsixControl))
            .host(Control::Hypervisor)
            .because("read once, and kept with the table's place: both say which pages trap (XSA-337)"),
        Field::new("Function Mask, MSI-X Enable", CONTROL, 0xc000, Engine(Act::MsixControl))
            .host(Control::Hypervisor),
        Field::new("Table BIR, Table Offset", TABLE, 0xffff_ffff, Snapshot)
            .because("read once: a device that changes its mind must not open its table"),
        Field::new("PBA BIR, PBA Offset", PBA, 0xffff_ffff, Snapshot),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_the_specification() {
        assert_eq!((entries(0), entries(0xffff)), (1, MAX_ENTRIES));
        assert_eq!((pba_size(1), pba_size(64), pba_size(65), pba_size(2048)), (8, 8, 16, 256));
        assert_eq!(Location::from_register(0x2003), Location { bir: 3, offset: 0x2000 });
    }
}
