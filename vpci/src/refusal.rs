//! Why an access or an operation was not carried out.

/// The reasons that are counted for each function. Their numbers are part of the C ABI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// A write to a dword that is hidden, or that a guest's policy does not know.
    HiddenWrite = 0,
    /// A write to a BAR while it is in the p2m.
    BarMapped = 1,
    /// A write to the expansion ROM register while the ROM is in the p2m.
    RomMapped = 2,
    /// An access to the MSI-X table or PBA that is not an aligned dword or qword, or one that leaves the trapped pages.
    MsixAccess = 3,
    /// The host refused to map a BAR: memory decoding is off.
    Map = 4,
    /// The host refused to unmap a BAR's page.
    Unmap = 5,
    /// The pages of the MSI-X table could not be made a hole: memory decoding is off.
    Hole = 6,
    /// The host refused an interrupt: no PIRQ, or a message that cannot be bound.
    Interrupt = 7,
    /// A capability is broken or does not fit, and is hidden.
    Capability = 8,
    /// A configuration access of a width or alignment that no bus cycle has.
    Access = 9,
    /// A guest's write to bits that the policy keeps from it.
    ReadOnly = 10,
    /// A guest's write that would move a BAR.
    BarMoved = 11,
    /// A guest's write to a bit that resets the function.
    Reset = 12,
    /// A BAR cannot be where it was placed: memory decoding is off.
    Placement = 13,
    /// A guest's write to vital product data.
    Vpd = 14,
    /// A guest's access to bytes of a BAR that lead around configuration space, and are nobody's.
    Mirror = 15,
}

impl Refusal {
    /// The number of reasons.
    pub const COUNT: usize = 16;
}
