//! Capability IDs (PCI Code and ID Assignment Specification 1.15, sections 2 and 3).

/// The ID of a capability in the standard list, offsets 0x40 to 0xff.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct CapabilityId(pub u8);

impl CapabilityId {
    /// Power Management.
    pub const PM: Self = Self(0x01);
    /// Vital Product Data.
    pub const VPD: Self = Self(0x03);
    /// Message Signalled Interrupts.
    pub const MSI: Self = Self(0x05);
    /// PCI-X.
    pub const PCI_X: Self = Self(0x07);
    /// PCI Express.
    pub const EXPRESS: Self = Self(0x10);
    /// MSI-X.
    pub const MSIX: Self = Self(0x11);
    /// Serial ATA.
    pub const SATA: Self = Self(0x12);
    /// Conventional PCI Advanced Features.
    pub const AF: Self = Self(0x13);
}

/// The ID of a capability in the extended list, offsets 0x100 to 0xfff.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct ExtendedId(pub u16);

impl ExtendedId {
    /// Advanced Error Reporting.
    pub const AER: Self = Self(0x01);
    /// Virtual Channel.
    pub const VC: Self = Self(0x02);
    /// Virtual Channel, beside a Multi-Function Virtual Channel capability.
    pub const VC_MFVC: Self = Self(0x09);
    /// Vendor-Specific.
    pub const VSEC: Self = Self(0x0b);
    /// Access Control Services.
    pub const ACS: Self = Self(0x0d);
    /// Address Translation Services.
    pub const ATS: Self = Self(0x0f);
    /// Single Root I/O Virtualization.
    pub const SR_IOV: Self = Self(0x10);
    /// Page Request Interface.
    pub const PRI: Self = Self(0x13);
    /// Resizable BAR.
    pub const REBAR: Self = Self(0x15);
    /// Latency Tolerance Reporting.
    pub const LTR: Self = Self(0x18);
    /// Process Address Space ID.
    pub const PASID: Self = Self(0x1b);
    /// L1 PM Substates.
    pub const L1_SUBSTATES: Self = Self(0x1e);
    /// Precision Time Measurement.
    pub const PTM: Self = Self(0x1f);
    /// Designated Vendor-Specific.
    pub const DVSEC: Self = Self(0x23);
}

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
