//! The tables of all capabilities, by ID.

use super::fold::{self, Dword, Entry, Tables};
use super::{HEADER, Policy};
use crate::id::{CapabilityId, ExtendedId};

/// The policies of the standard capabilities 00h to 15h.
pub const STANDARD: [Policy; 0x16] = crate::standard::POLICIES;
/// The policies of the extended capabilities 0000h to 003Ah.
pub const EXTENDED: [Policy; 0x3b] = crate::extended::POLICIES;

static HEADER_TABLE: Tables<1, 16> = Tables::fold(&[HEADER]);
static STANDARD_TABLE: Tables<0x16, { fold::total(&STANDARD) }> = Tables::fold(&STANDARD);
static EXTENDED_TABLE: Tables<0x3b, { fold::total(&EXTENDED) }> = Tables::fold(&EXTENDED);

/// The policy of a standard capability.
#[must_use]
pub fn standard(id: CapabilityId) -> Entry {
    STANDARD_TABLE.entry(usize::from(id.0))
}

/// The policy of an extended capability.
#[must_use]
pub fn extended(id: ExtendedId) -> Entry {
    EXTENDED_TABLE.entry(usize::from(id.0))
}

/// How dword `number` (0 to 15) of the header is served.
#[must_use]
pub fn header_dword(number: u16) -> Dword {
    HEADER_TABLE.dword(HEADER_TABLE.entry(0), number)
}

/// How dword `number`, counted from its start, of a standard capability is served.
#[must_use]
pub fn standard_dword(id: CapabilityId, number: u16) -> Dword {
    STANDARD_TABLE.dword(standard(id), number)
}

/// How dword `number`, counted from its start, of an extended capability is served.
#[must_use]
pub fn extended_dword(id: ExtendedId, number: u16) -> Dword {
    EXTENDED_TABLE.dword(extended(id), number)
}
