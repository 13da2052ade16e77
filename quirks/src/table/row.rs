//! A row: which devices, under which conditions, and what it says of them.

use super::identity::{Identity, Traits};
use crate::{DeviceReset, Flags, Order, Quirks};

/// Device IDs: those from `first` to `last` that are like `first` in the bits of `mask`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ids {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
    /// The bits that are compared.
    pub mask: u16,
}

impl Ids {
    /// One device.
    #[must_use]
    pub const fn one(device: u16) -> Self {
        Self::range(device, device)
    }

    /// A range, both ends included.
    #[must_use]
    pub const fn range(first: u16, last: u16) -> Self {
        Self { first, last, mask: 0 }
    }

    /// Of these, the ones that are like the first in the bits of `mask`.
    #[must_use]
    pub const fn like(self, mask: u16) -> Self {
        Self { mask, ..self }
    }

    /// Whether `device` is one of them.
    #[must_use]
    pub const fn contains(self, device: u16) -> bool {
        self.first <= device && device <= self.last && (device ^ self.first) & self.mask == 0
    }
}

/// Under which conditions a row is for a device with its ID: all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct When {
    /// The bits of the dword at 08h, class code and revision, that are compared.
    pub class_mask: u32,
    /// What they are compared with.
    pub class_value: u32,
    /// The lowest and the highest Revision ID.
    pub revisions: (u8, u8),
    /// The dword at 2Ch; `None` for any.
    pub subsystem: Option<u32>,
    /// What it has to have.
    pub has: Traits,
    /// What it must not have.
    pub lacks: Traits,
    /// The lowest and the highest minor version of firmware that the row is not for.
    pub sound_firmware: Option<(u16, u16)>,
}

impl When {
    /// Always.
    pub const ALWAYS: Self = Self {
        class_mask: 0,
        class_value: 0,
        revisions: (0, u8::MAX),
        subsystem: None,
        has: Traits::empty(),
        lacks: Traits::empty(),
        sound_firmware: None,
    };

    /// Functions of this base class and sub-class.
    #[must_use]
    pub const fn class(class: u16) -> Self {
        // CAST: widening; `From` is not const.
        Self { class_mask: 0xffff_0000, class_value: (class as u32) << 16, ..Self::ALWAYS }
    }

    /// Functions of this base class, sub-class and programming interface; bits 31:24 of `class` are 0.
    #[must_use]
    pub const fn interface(class: u32) -> Self {
        Self { class_mask: 0xffff_ff00, class_value: class << 8, ..Self::ALWAYS }
    }

    /// Functions that have all of these.
    #[must_use]
    pub const fn has(traits: Traits) -> Self {
        Self { has: traits, ..Self::ALWAYS }
    }

    /// Functions of these revisions, both ends included.
    #[must_use]
    pub const fn revisions(first: u8, last: u8) -> Self {
        Self { revisions: (first, last), ..Self::ALWAYS }
    }

    /// Of these, the ones that have all of `traits` as well.
    #[must_use]
    pub const fn and(self, traits: Traits) -> Self {
        Self { has: self.has.union(traits), ..self }
    }

    /// Of these, the ones that have none of `traits`.
    #[must_use]
    pub const fn lacks(self, traits: Traits) -> Self {
        Self { lacks: traits, ..self }
    }

    /// Of these, the ones of this subsystem: what the dword at 2Ch reads.
    #[must_use]
    pub const fn subsystem(self, subsystem: u32) -> Self {
        Self { subsystem: Some(subsystem), ..self }
    }

    /// Whether they hold for a function.
    #[must_use]
    pub fn holds(&self, of: &Identity) -> bool {
        let revision = of.class as u8; // CAST: bits 7:0.
        let firmware = match (self.sound_firmware, of.firmware) {
            (Some((first, last)), Some(version)) => version < first || version > last,
            _ => true,
        };
        of.class & self.class_mask == self.class_value
            && self.revisions.0 <= revision
            && revision <= self.revisions.1
            && self.subsystem.is_none_or(|subsystem| subsystem == of.subsystem)
            && of.traits.contains(self.has)
            && !of.traits.intersects(self.lacks)
            && firmware
    }
}

/// What a row says of a device: one thing. A device of which there is more to say has more rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// These flags.
    Flags(Flags),
    /// Milliseconds between D3hot and D0.
    D3hotDelay(u16),
    /// Likewise, for every device of the machine.
    D3hotDelayOfAll(u16),
    /// Milliseconds after power or a bus reset.
    D3coldDelay(u16),
    /// Bytes of vital product data.
    VpdLength(u16),
    /// Its own sequence of a reset.
    Reset(DeviceReset),
    /// The methods of a reset to try.
    Order(Order),
}

impl Says {
    /// The same, as what is known of a device.
    #[must_use]
    pub const fn quirks(self) -> Quirks {
        let none = Quirks::NONE;
        match self {
            Self::Flags(flags) => Quirks { flags, ..none },
            Self::D3hotDelay(ms) => Quirks { d3hot_delay_ms: Some(ms), ..none },
            Self::D3hotDelayOfAll(ms) => {
                Quirks { flags: Flags::D3HOT_DELAY_GLOBAL, d3hot_delay_ms: Some(ms), ..none }
            }
            Self::D3coldDelay(ms) => Quirks { d3cold_delay_ms: Some(ms), ..none },
            Self::VpdLength(bytes) => Quirks { vpd_len: Some(bytes), ..none },
            Self::Reset(reset) => Quirks { reset: Some(reset), ..none },
            Self::Order(order) => Quirks { order: Some(order), ..none },
        }
    }
}

/// What is known of some devices. The toolstack's rows are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Vendor ID.
    pub vendor: u16,
    /// Device IDs.
    pub ids: Ids,
    /// Under which conditions.
    pub when: When,
    /// What is known.
    pub says: Says,
}

impl Row {
    /// Whether the row is for a function.
    #[must_use]
    pub fn matches(&self, of: &Identity) -> bool {
        self.vendor == of.vendor && self.ids.contains(of.device) && self.when.holds(of)
    }

    /// Whether any function could match. A toolstack's row that none can is a mistake.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        let When { class_mask, class_value, revisions, has, lacks, sound_firmware, .. } = self.when;
        let firmware = match sound_firmware {
            Some((first, last)) => first <= last,
            None => true,
        };
        self.ids.first <= self.ids.last
            && class_value & !class_mask == 0
            && revisions.0 <= revisions.1
            && !has.intersects(lacks)
            && firmware
    }

    /// What rows are sorted by.
    pub(super) const fn key(&self) -> u32 {
        // CAST: widening; `From` is not const.
        (self.vendor as u32) << 16 | self.ids.first as u32
    }
}

/// A row that the library brings along, with its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// The row.
    pub row: Row,
    /// Why.
    pub why: &'static str,
}

/// A row about one device.
pub(super) const fn one(vendor: u16, device: u16, when: When, says: Says, why: &'static str) -> Known {
    many(vendor, Ids::one(device), when, says, why)
}

/// A row about several.
pub(super) const fn many(vendor: u16, ids: Ids, when: When, says: Says, why: &'static str) -> Known {
    Known { row: Row { vendor, ids, when, says }, why }
}

/// All devices of a vendor.
pub(super) const ANY: Ids = Ids::range(0, u16::MAX);

/// Those from `first` to `last`.
pub(super) const fn span(first: u16, last: u16) -> Ids {
    Ids::range(first, last)
}
