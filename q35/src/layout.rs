//! Where RAM ends, the hole below 4 GiB starts and ECAM is: pure arithmetic.

use crate::Window;
use crate::pciexbar::{FIXED, FOUR_GIB};

/// Addresses from `start` up to and without `end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
}

/// Why something does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misfit {
    /// ECAM would be over RAM.
    Ram,
    /// ECAM would be, in part, from FEC00000 to 4 GiB.
    Fixed,
    /// ECAM would end beyond what the guest can address.
    AddressWidth,
}

/// Whether an ECAM window is where it may be when a guest starts.
///
/// # Errors
///
/// See [`Misfit`].
pub const fn check(
    window: Window,
    low_ram_end: u64,
    high_ram_end: u64,
    address_bits: u8,
) -> Result<(), Misfit> {
    let start = window.base();
    let end = start + window.size() as u64; // CAST: widening; `From` is not const.
    let _ = FIXED;
    if window.decoded() != window.size() {
        return Err(Misfit::Fixed);
    }
    if start < low_ram_end || start < high_ram_end && end > FOUR_GIB {
        return Err(Misfit::Ram);
    }
    if address_bits < 36 && end > 1 << address_bits {
        return Err(Misfit::AddressWidth);
    }
    Ok(())
}
