//! Where RAM ends, the hole below 4 GiB starts and ECAM is: pure arithmetic.

use crate::pciexbar::{FIXED, FOUR_GIB, Window};

/// What a guest has below and above 4 GiB. Addresses are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Platform {
    /// The end of RAM below 4 GiB.
    pub low_ram_end: u64,
    /// The end of RAM above 4 GiB; 0 if there is none.
    pub high_ram_end: u64,
    /// The width of physical addresses.
    pub address_bits: u8,
}

impl Platform {
    /// Whether there can be such a guest: 32 to 52 address bits, RAM below FEC00000 and, if any, above 4 GiB.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        let high = self.high_ram_end;
        self.low_ram_end <= FIXED
            && matches!(self.address_bits, 32..=52)
            && (high == 0 || high > FOUR_GIB && high <= 1 << self.address_bits)
    }

    /// Whether ECAM may be there when a guest starts.
    ///
    /// # Errors
    ///
    /// [`Misfit::Fixed`], [`Misfit::AddressWidth`] or [`Misfit::Ram`].
    pub const fn check(&self, window: Window) -> Result<(), Misfit> {
        let start = window.base();
        let end = start + window.size() as u64; // CAST: widening; `From` is not const.
        if window.decoded() != window.size() {
            return Err(Misfit::Fixed);
        }
        if self.address_bits < 64 && end > 1 << self.address_bits {
            return Err(Misfit::AddressWidth);
        }
        if start < self.low_ram_end || end > FOUR_GIB && start < self.high_ram_end {
            return Err(Misfit::Ram);
        }
        Ok(())
    }
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
