//! What a domain sees of a function: one table for each capability, and one for the header.
//!
//! A table lists the fields of a register block as the specification does, and says for each how a guest is served.
//! What has no row does not exist for a guest: it reads 0, and writes to it are dropped and counted. The hardware domain
//! has all of a device but what [`Control`] names.
//!
//! The engine uses the tables folded to one [`Dword`] for each register, so that names and reasons are in no hypervisor.

mod fold;
mod header;
mod length;
pub mod rule;
mod table;

pub use fold::{Dword, Entry, Tables};
pub use header::HEADER;
pub use length::Length;
pub use rule::{BUILT_IN, KNOWN, Known, RawScope, Rule, RuleError, Scope};
pub use table::{EXTENDED, STANDARD, extended, extended_dword, header_dword, standard, standard_dword};

/// How a guest is served some bits of a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Treatment {
    /// They read 0.
    Hidden,
    /// They read as they did when the device was assigned.
    Snapshot,
    /// They are read from the device each time.
    Live,
    /// Read-write storage of the guest's own, at first 0. It does not reach the device.
    Virtual,
    /// Likewise, at first as in the device when it was assigned.
    VirtualSnapshot,
    /// Where the function is reset for its guest and the device has all of them: they read 1. Else 0.
    WithReset,
    /// Where the function is reset for its guest and the device has none of them: they read 0. Else 1.
    WithoutReset,
    /// They belong to a register that the engine makes up: what they read and what a write does is its affair.
    Engine(Act),
}

impl Treatment {
    /// The word for it in documents and reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Snapshot => "snapshot",
            Self::Live => "live",
            Self::Virtual => "storage",
            Self::VirtualSnapshot => "storage, from the device",
            Self::WithReset => "with reset",
            Self::WithoutReset => "without reset",
            Self::Engine(Act::Link) => "relinked",
            Self::Engine(Act::Reset) => "reset",
            Self::Engine(_) => "virtual",
        }
    }
}

/// Registers that the engine makes up for a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Act {
    /// None.
    None = 0,
    /// COMMAND: memory decoding is the p2m's, bus mastering the device's, all else storage.
    Command,
    /// A base address register.
    Bar,
    /// The expansion ROM base address register.
    Rom,
    /// MSI Message Control.
    MsiControl,
    /// MSI Message Address, Data, Mask Bits and Pending Bits.
    Msi,
    /// MSI-X Message Control.
    MsixControl,
    /// The power state of PMCSR.
    PowerState,
    /// A bit that asks for a reset of the function, where the dwords before say that there is one: it reads 0.
    Reset,
    /// VPD address and data, out of a cache.
    Vpd,
    /// Where the next capability is.
    Link,
}

/// Who has the bits of a device that the hardware domain owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// The hardware domain: reads and writes reach the device.
    Device,
    /// It sees what was there when the device was found; the device is not asked again.
    Pinned,
    /// The hypervisor: it acts on writes, or makes the register up.
    Hypervisor,
}

/// A field of a register: one row of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// The name that the specification has for it.
    pub name: &'static str,
    /// Byte offset from the start of the capability or header.
    pub offset: u16,
    /// Its bits, relative to that byte. They end inside its dword.
    pub bits: u32,
    /// How a guest is served.
    pub guest: Treatment,
    /// Who has it where the hardware domain owns the device.
    pub host: Control,
    /// Why, where a reader of the specification would wonder or others do differently; else empty.
    pub why: &'static str,
}

impl Field {
    /// A field that the hardware domain has to itself.
    #[must_use]
    pub const fn new(name: &'static str, offset: u16, bits: u32, guest: Treatment) -> Self {
        Self { name, offset, bits, guest, host: Control::Device, why: "" }
    }

    /// The field, with the reason why it is served so.
    #[must_use]
    pub const fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// The field, in other hands than the hardware domain's where that owns the device.
    #[must_use]
    pub const fn host(self, host: Control) -> Self {
        Self { host, ..self }
    }

    /// The byte offset of its dword.
    #[must_use]
    pub const fn dword(&self) -> u16 {
        self.offset & !3
    }

    /// How far to the left its bits stand in that dword.
    pub(crate) const fn shift(&self) -> u32 {
        8 * (self.offset & 3) as u32 // CAST: widening; `From` is not const.
    }

    /// Its bits in that dword.
    #[must_use]
    pub const fn mask(&self) -> u32 {
        self.bits << self.shift()
    }
}

/// Whether a guest has a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visibility {
    /// By its fields.
    Shown,
    /// Only where the device's owner asks for it.
    OnRequest,
    /// No: it is out of the list and its bytes read 0.
    Hidden,
}

/// What a guest sees of a capability.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its name.
    pub name: &'static str,
    /// The section of the specification.
    pub section: &'static str,
    /// How long it is.
    pub length: Length,
    /// Whether a guest has it.
    pub guest: Visibility,
    /// Whether no rule of a toolstack's may show any of it.
    pub floor: bool,
    /// Why it is shown or hidden.
    pub why: &'static str,
    /// The fields that a guest has, and the hardware domain's that the hypervisor controls.
    pub fields: &'static [Field],
}

impl Policy {
    /// A capability that no guest has.
    #[must_use]
    pub const fn hidden(
        name: &'static str,
        section: &'static str,
        length: Length,
        why: &'static str,
    ) -> Self {
        Self { name, section, length, guest: Visibility::Hidden, floor: false, why, fields: &[] }
    }

    /// The policy, which no rule may loosen.
    #[must_use]
    pub const fn floor(self) -> Self {
        Self { floor: true, ..self }
    }
}
