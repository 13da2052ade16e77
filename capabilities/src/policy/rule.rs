//! Rules of an extra allow-list: bits of a kind of device that its guest may have although no table shows them.
//!
//! A toolstack gives them, so they are checked, and there is a floor that none gets below: the header, what the
//! hypervisor mediates, and what reaches beyond the function.

use super::{extended, standard};
use crate::id::{CapabilityId, ExtendedId};
use crate::{CONFIG_SIZE, EXTENDED_CONFIG_SIZE, walk};

/// [`Rule::vendor`], [`Rule::device`]: any.
pub const ANY: u16 = 0xffff;

/// What a rule is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Bytes of configuration space, by their offset in it.
    Bytes,
    /// Every standard capability with this ID.
    Standard(CapabilityId),
    /// Every extended capability with this ID.
    Extended(ExtendedId),
}

impl Scope {
    /// The scope with this number (0 bytes, 1 standard, 2 extended) and capability ID, which is 0 for bytes.
    #[must_use]
    pub const fn from_raw(number: u8, id: u16) -> Option<Self> {
        match number {
            0 if id == 0 => Some(Self::Bytes),
            1 if id <= 0xff => Some(Self::Standard(CapabilityId(id as u8))), // CAST: checked.
            2 => Some(Self::Extended(ExtendedId(id))),
            _ => None,
        }
    }

    /// The scope as numbers.
    #[must_use]
    pub const fn raw(self) -> RawScope {
        let (number, id) = match self {
            Self::Bytes => (0, 0),
            Self::Standard(id) => (1, id.0 as u16), // CAST: widening; `From` is not const.
            Self::Extended(id) => (2, id.0),
        };
        RawScope { number, zero: 0, id }
    }

    /// Whether no rule may show any of it. Bytes may lie in a capability of which this is true.
    #[must_use]
    pub fn is_floor(self) -> bool {
        match self {
            Self::Bytes => false,
            Self::Standard(id) => standard(id).floor,
            Self::Extended(id) => extended(id).floor,
        }
    }

    /// Whether a rule may let a guest write to it: what is in it is for its vendor to say. Bytes may lie in a
    /// capability of which this is not true.
    #[must_use]
    pub const fn allows_write(self) -> bool {
        match self {
            Self::Bytes => true,
            Self::Standard(id) => id.0 == VENDOR,
            Self::Extended(id) => id.0 == VENDOR_EXTENDED || id.0 == DESIGNATED_VENDOR,
        }
    }

    /// Where the space for a range ends.
    const fn end(self) -> u16 {
        match self {
            Self::Bytes => EXTENDED_CONFIG_SIZE,
            Self::Standard(_) => CONFIG_SIZE - walk::STANDARD_START,
            Self::Extended(_) => EXTENDED_CONFIG_SIZE - walk::EXTENDED_START,
        }
    }

    /// The bits of the dword at `offset` that a rule may let a guest read, and write: its links are the engine's, and
    /// the length of a vendor's capability is not written.
    const fn free(self, offset: u16) -> (u32, u32) {
        match (self, offset) {
            (Self::Standard(_), 0) => (0xffff_0000, 0xff00_0000),
            (Self::Extended(_), 0) => (0, 0),
            (Self::Extended(_), 4) => (u32::MAX, 0),
            _ => (u32::MAX, u32::MAX),
        }
    }
}

const VENDOR: u8 = 0x09;
const VENDOR_EXTENDED: u16 = 0x000b;
const DESIGNATED_VENDOR: u16 = 0x0023;

/// A [`Scope`] as numbers, which may name none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct RawScope {
    /// 0 bytes, 1 a standard capability, 2 an extended one.
    pub number: u8,
    /// 0.
    pub zero: u8,
    /// The capability's ID; 0 for bytes.
    pub id: u16,
}

/// Bits that a guest has beyond the tables. What a toolstack gives is one as well: any bits are a rule, but not all of
/// them pass [`check`](Self::check).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Rule {
    /// Vendor ID, or [`ANY`].
    pub vendor: u16,
    /// Device ID, or [`ANY`].
    pub device: u16,
    /// The bits of the dword at 08h, class code and revision, that are compared.
    pub class_mask: u32,
    /// What they are compared with.
    pub class_value: u32,
    /// What it is about.
    pub scope: RawScope,
    /// Where it starts, a multiple of 4: relative to the capability, or in configuration space.
    pub offset: u16,
    /// Bytes, a multiple of 4.
    pub length: u16,
    /// The dword that tells a capability from others with its ID, relative to it.
    pub key_offset: u16,
    /// 0.
    pub zero: u16,
    /// The bits of that dword that are compared; 0 for any capability with the ID.
    pub key_mask: u32,
    /// What they are compared with.
    pub key_value: u32,
    /// The bits of each dword that a guest reads from the device.
    pub read: u32,
    /// Of these, the bits that it writes to the device.
    pub write: u32,
}

/// What is wrong with a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RuleError {
    /// It can match nothing, shows nothing, or its range is not one.
    Malformed,
    /// It shows what no guest may have, or lets it write where no guest may.
    Floor,
}

impl Rule {
    /// Whether the rule is one that may be given. A range of [`Scope::Bytes`] is to be compared with the function's
    /// layout besides: with what [`Scope::is_floor`] and [`Scope::allows_write`] say of the capabilities in it.
    ///
    /// # Errors
    ///
    /// It is malformed, or below the floor.
    pub fn check(&self) -> Result<(), RuleError> {
        let scope = self.scope().filter(|scope| !self.is_malformed(*scope)).ok_or(RuleError::Malformed)?;
        let in_header = scope == Scope::Bytes && self.offset < walk::STANDARD_START;
        let written = self.write != 0 && !scope.allows_write();
        if in_header || written || scope.is_floor() {
            return Err(RuleError::Floor);
        }
        Ok(())
    }

    /// What it is about; `None` if it is malformed.
    #[must_use]
    pub const fn scope(&self) -> Option<Scope> {
        let RawScope { number, zero, id } = self.scope;
        if zero == 0 { Scope::from_raw(number, id) } else { None }
    }

    fn is_malformed(&self, scope: Scope) -> bool {
        let end = scope.end();
        // CAST: widening; the sum of two words.
        let too_long = self.offset as u32 + self.length as u32 > end as u32;
        let key_too_far = self.key_offset >= end;
        let unaligned = (self.offset | self.length | self.key_offset) & 3 != 0;
        let never = self.class_value & !self.class_mask != 0 || self.key_value & !self.key_mask != 0;
        let device_of_nobody = self.vendor == ANY && self.device != ANY;
        let key_of_bytes = scope == Scope::Bytes && (self.key_offset != 0 || self.key_mask != 0);
        let key_of_nothing = self.key_mask == 0 && self.key_offset != 0;
        let empty = self.length == 0 || self.read == 0;
        let blind = self.write & !self.read != 0;
        let reserved = self.zero != 0;
        too_long
            || reserved
            || key_too_far
            || unaligned
            || never
            || device_of_nobody
            || key_of_bytes
            || key_of_nothing
            || empty
            || blind
    }

    /// Whether the rule is for the function whose dwords at 00h and 08h read `ids` and `class`. A virtual function's
    /// IDs are those that its physical function says.
    #[must_use]
    pub const fn matches(&self, ids: u32, class: u32) -> bool {
        let (vendor, device) = (ids as u16, (ids >> 16) as u16); // CAST: halves.
        (self.vendor == ANY || self.vendor == vendor)
            && (self.device == ANY || self.device == device)
            && class & self.class_mask == self.class_value
    }

    /// The dword that [`is_key`](Self::is_key) wants to know, relative to the capability; `None` if the rule is for
    /// every capability with its ID.
    #[must_use]
    pub const fn key(&self) -> Option<u16> {
        if self.key_mask == 0 { None } else { Some(self.key_offset) }
    }

    /// Whether the rule is for the capability whose dword at [`key`](Self::key) reads `value`.
    #[must_use]
    pub const fn is_key(&self, value: u32) -> bool {
        value & self.key_mask == self.key_value
    }

    /// The bits of the dword at `offset`, a multiple of 4 counted as the rule counts, that it lets a guest read, and
    /// write.
    #[must_use]
    pub const fn masks(&self, offset: u16) -> (u32, u32) {
        if offset < self.offset || offset - self.offset >= self.length {
            return (0, 0);
        }
        match self.scope() {
            Some(scope) => {
                let (read, write) = scope.free(offset);
                (self.read & read, self.write & write)
            }
            None => (0, 0),
        }
    }
}

/// A rule that the library brings along, with its reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// What it shows.
    pub name: &'static str,
    /// Why it may.
    pub why: &'static str,
    /// The rule.
    pub rule: Rule,
}

/// Virtio over PCI 1.2, 4.1.4: `struct virtio_pci_cap`, told by the type in its fourth byte.
const fn virtio(name: &'static str, number: u32, length: u16, why: &'static str) -> Known {
    let rule = Rule {
        vendor: 0x1af4,
        device: ANY,
        class_mask: 0,
        class_value: 0,
        scope: Scope::Standard(CapabilityId(VENDOR)).raw(),
        offset: 0,
        length,
        key_offset: 0,
        zero: 0,
        key_mask: 0xff00_0000,
        key_value: number << 24,
        read: u32::MAX,
        write: 0,
    };
    Known { name, why, rule }
}

/// The rules that the library brings along, one line each.
pub const KNOWN: [Known; 4] = [
    virtio("Virtio common configuration", 1, 0x10, "where in a BAR; without it no driver finds the device"),
    virtio("Virtio notifications", 2, 0x14, "where in a BAR, and how far apart; as above"),
    virtio("Virtio ISR status", 3, 0x10, "where in a BAR; as above"),
    virtio("Virtio device configuration", 4, 0x10, "where in a BAR; as above"),
    // Type 5 is a window from configuration space to any register of any BAR: never.
];

/// [`KNOWN`] without its words, for the engine.
pub static BUILT_IN: [Rule; KNOWN.len()] = {
    let mut rules = [KNOWN[0].rule; KNOWN.len()];
    let mut at = 0;
    while at < rules.len() {
        rules[at] = KNOWN[at].rule;
        at += 1;
    }
    rules
};

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        vendor: 0x8086,
        device: 0x1533,
        class_mask: 0xffff_ff00,
        class_value: 0x0200_0000,
        scope: Scope::Standard(CapabilityId(VENDOR)).raw(),
        offset: 4,
        length: 8,
        key_offset: 4,
        zero: 0,
        key_mask: 0xffff,
        key_value: 0x0023,
        read: 0xffff_ffff,
        write: 0x0000_ffff,
    };
    const BYTES: Rule =
        Rule { scope: Scope::Bytes.raw(), offset: 0x40, key_offset: 0, key_mask: 0, key_value: 0, ..RULE };

    #[track_caller]
    fn malformed(rule: Rule) {
        assert_eq!(rule.check(), Err(RuleError::Malformed), "{rule:x?}");
    }

    #[track_caller]
    fn floor(rule: Rule) {
        assert_eq!(rule.check(), Err(RuleError::Floor), "{rule:x?}");
    }

    #[test]
    fn a_virtio_structure_is_told_by_its_type() {
        let known = virtio("a", 2, 0x14, "so");
        assert_eq!((known.name, known.why), ("a", "so"));
        let Rule { vendor, key_offset, key_mask, key_value, length, write, .. } = known.rule;
        assert_eq!((vendor, length, write), (0x1af4, 0x14, 0));
        assert_eq!((key_offset, key_mask, key_value), (0, 0xff00_0000, 0x0200_0000));
        assert_eq!(known.rule.check(), Ok(()));
    }

    #[test]
    fn scopes_by_number() {
        assert_eq!(Scope::from_raw(0, 0), Some(Scope::Bytes));
        assert_eq!(Scope::from_raw(1, 0xff), Some(Scope::Standard(CapabilityId(0xff))));
        assert_eq!(Scope::from_raw(2, 0xffff), Some(Scope::Extended(ExtendedId(0xffff))));
        assert_eq!([Scope::from_raw(0, 1), Scope::from_raw(1, 0x100), Scope::from_raw(3, 0)], [None; 3]);
    }

    #[test]
    fn sound_rules_pass() {
        assert_eq!(RULE.check(), Ok(()));
        assert_eq!(BYTES.check(), Ok(()));
        assert_eq!(Rule { offset: 0xffc, length: 4, ..BYTES }.check(), Ok(()));
        assert_eq!(Rule { offset: 0x40, length: 0xfc0, ..BYTES }.check(), Ok(()));
        assert_eq!(Rule { offset: 0, length: 0xc0, key_offset: 0xbc, ..RULE }.check(), Ok(()));
        for id in [VENDOR_EXTENDED, DESIGNATED_VENDOR] {
            let rule =
                Rule { scope: Scope::Extended(ExtendedId(id)).raw(), offset: 0, length: 0xf00, ..RULE };
            assert_eq!(rule.check(), Ok(()));
        }
        // What nobody knows may be read.
        let rule = Rule { scope: Scope::Extended(ExtendedId(0x7fff)).raw(), write: 0, ..RULE };
        assert_eq!(rule.check(), Ok(()));
    }

    #[test]
    fn ranges_are_whole_dwords_inside_their_space() {
        malformed(Rule { offset: 5, ..RULE });
        malformed(Rule { offset: 6, ..RULE });
        malformed(Rule { length: 0, ..RULE });
        malformed(Rule { length: 9, ..RULE });
        malformed(Rule { length: 0xc0, ..RULE });
        malformed(Rule { offset: 0xfffc, length: 0xfffc, ..RULE });
        malformed(Rule { offset: 0x1000, length: 4, ..BYTES });
        malformed(Rule { offset: 0xffc, ..BYTES });
        malformed(Rule { scope: Scope::Extended(ExtendedId(VENDOR_EXTENDED)).raw(), length: 0xf00, ..RULE });
    }

    #[test]
    fn rules_that_say_nothing_are_malformed() {
        malformed(Rule { read: 0, write: 0, ..RULE });
        malformed(Rule { class_value: 0x0200_0001, ..RULE });
        malformed(Rule { key_value: 0x0001_0000, ..RULE });
        malformed(Rule { key_offset: 6, ..RULE });
        malformed(Rule { key_offset: 0xc0, ..RULE });
        malformed(Rule { key_mask: 0, key_value: 0, ..RULE });
        malformed(Rule { key_mask: 1, ..BYTES });
        malformed(Rule { key_offset: 4, ..BYTES });
        malformed(Rule { vendor: ANY, ..RULE });
    }

    #[test]
    fn what_is_written_is_read() {
        malformed(Rule { read: 0xff, write: 0x100, ..RULE });
        assert_eq!(Rule { read: 0x1ff, write: 0x100, ..RULE }.check(), Ok(()));
    }

    #[test]
    fn no_rule_reaches_the_header() {
        for offset in (0..0x40).step_by(4) {
            floor(Rule { offset, write: 0, ..BYTES });
        }
    }

    #[test]
    fn no_rule_shows_what_is_below_the_floor() {
        for id in [0x05, 0x11, 0x14, 0x0c] {
            floor(Rule { scope: Scope::Standard(CapabilityId(id)).raw(), write: 0, ..RULE });
        }
        for id in [0x000d, 0x000f, 0x0010, 0x0013, 0x0015, 0x001b, 0x001d, 0x0024] {
            floor(Rule { scope: Scope::Extended(ExtendedId(id)).raw(), write: 0, ..RULE });
        }
    }

    #[test]
    fn only_what_is_a_vendors_is_written() {
        for id in (0..=0xff).filter(|id| *id != VENDOR) {
            floor(Rule { scope: Scope::Standard(CapabilityId(id)).raw(), ..RULE });
        }
        for id in (0..=0x100).filter(|id| *id != VENDOR_EXTENDED && *id != DESIGNATED_VENDOR) {
            floor(Rule { scope: Scope::Extended(ExtendedId(id)).raw(), ..RULE });
        }
        assert!(Scope::Bytes.allows_write() && !Scope::Bytes.is_floor());
    }

    #[test]
    fn a_rule_is_for_its_device() {
        assert!(RULE.matches(0x1533_8086, 0x0200_0003));
        assert!(!RULE.matches(0x1533_8087, 0x0200_0003));
        assert!(!RULE.matches(0x1534_8086, 0x0200_0003));
        assert!(!RULE.matches(0x1533_8086, 0x0201_0003));
        let any = Rule { vendor: ANY, device: ANY, ..RULE };
        assert!(any.matches(0x1111_2222, 0x0200_0000) && !any.matches(0x1111_2222, 0x0300_0000));
        assert!(Rule { device: ANY, ..RULE }.matches(0x0000_8086, 0x0200_0000));
    }

    #[test]
    fn a_rule_is_for_its_capability() {
        assert_eq!(RULE.key(), Some(4));
        assert!(RULE.is_key(0xabcd_0023) && !RULE.is_key(0xabcd_0024));
        let any = Rule { key_mask: 0, key_value: 0, key_offset: 0, ..RULE };
        assert_eq!(any.key(), None);
        assert!(any.is_key(0x1234_5678));
    }

    #[test]
    fn masks_cover_the_range_and_spare_the_links() {
        let masks = [0, 4, 8, 12].map(|offset| RULE.masks(offset));
        assert_eq!(masks, [(0, 0), (u32::MAX, 0xffff), (u32::MAX, 0xffff), (0, 0)]);
        let whole = Rule { offset: 0, write: u32::MAX, ..RULE };
        assert_eq!(whole.masks(0), (0xffff_0000, 0xff00_0000));
        let extended =
            Rule { scope: Scope::Extended(ExtendedId(VENDOR_EXTENDED)).raw(), length: 12, ..whole };
        let masks = [0, 4, 8, 12].map(|offset| extended.masks(offset));
        assert_eq!(masks, [(0, 0), (u32::MAX, 0), (u32::MAX, u32::MAX), (0, 0)]);
        assert_eq!(BYTES.masks(0x40), (u32::MAX, 0xffff));
    }

    #[test]
    fn built_in_rules_pass_and_write_nothing() {
        for (known, rule) in KNOWN.iter().zip(BUILT_IN) {
            assert_eq!(known.rule, rule);
            assert_eq!((rule.check(), rule.write), (Ok(()), 0), "{}", known.name);
            assert!(!known.name.is_empty() && !known.why.is_empty());
        }
    }

    #[test]
    fn the_virtio_window_to_bars_is_never_shown() {
        let shown = |header: u32| BUILT_IN.iter().any(|rule| rule.is_key(header));
        for (number, expected) in
            [(1, true), (2, true), (3, true), (4, true), (5, false), (8, false), (9, false)]
        {
            assert_eq!(shown(number << 24 | 0x0010_5009), expected);
        }
    }
}
