//! Capability IDs (PCI Code and ID Assignment Specification 1.15, sections 2 and 3).

/// The ID of a capability in the standard list, offsets 0x40 to 0xff.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct CapabilityId(pub u8);

impl CapabilityId {
    /// Vital Product Data.
    pub const VPD: Self = Self(0x03);
    /// Message Signalled Interrupts.
    pub const MSI: Self = Self(0x05);
    /// MSI-X.
    pub const MSIX: Self = Self(0x11);
    /// Serial ATA.
    pub const SATA: Self = Self(0x12);
}

/// The ID of a capability in the extended list, offsets 0x100 to 0xfff.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct ExtendedId(pub u16);

/// The first dword of an extended capability: ID (15:0), version (19:16), offset of the next one (31:20)
/// (PCIe 7.6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct ExtendedHeader(pub u32);

impl ExtendedHeader {
    const NEXT_SHIFT: u32 = 20;

    /// The capability's ID.
    #[must_use]
    pub const fn id(self) -> ExtendedId {
        ExtendedId(self.0 as u16) // CAST: bits 15:0.
    }

    /// The offset of the next capability, its two reserved low bits cleared; 0 ends the list.
    #[must_use]
    pub const fn next(self) -> u16 {
        (self.0 >> Self::NEXT_SHIFT) as u16 & !3 // CAST: 12 bits are left.
    }

    /// This header, pointing to `next`.
    #[must_use]
    pub const fn with_next(self, next: u16) -> Self {
        // CAST: widening; `From` is not const.
        Self(self.0 & ((1 << Self::NEXT_SHIFT) - 1) | (next as u32) << Self::NEXT_SHIFT)
    }

    /// This header with the null ID and version 0, pointing where it did: the anchor of a list whose first
    /// capability is hidden (PCIe 7.9.28, Null Capability).
    #[must_use]
    pub const fn as_null(self) -> Self {
        Self(self.0 & !((1 << Self::NEXT_SHIFT) - 1))
    }
}
