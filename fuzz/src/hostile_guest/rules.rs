//! Rules as a hostile toolstack gives them, and what they let a guest write at most.

use arbitrary::Arbitrary;
use capabilities::policy::rule::{ANY, RawScope, Rule, Scope};

/// A rule, more often sound than not.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(crate) struct RulePlan {
    scope: u8,
    id: u16,
    offset: u16,
    length: u8,
    key: Option<(u8, u32, u32)>,
    read: u32,
    write: u32,
    class: Option<(u32, u32)>,
    /// Bits that make it another rule altogether.
    wild: Option<[u16; 6]>,
}

impl RulePlan {
    pub(crate) fn rule(&self) -> Rule {
        let number = self.scope % 3;
        let id = match number {
            0 => 0,
            1 => self.id % 0x18,
            _ => self.id % 0x40,
        };
        let (key_offset, key_mask, key_value) = self.key.unwrap_or_default();
        let (class_mask, class_value) = self.class.unwrap_or_default();
        let space = [0x1000, 0xc0, 0x100][usize::from(number)];
        let rule = Rule {
            vendor: if self.scope & 0x40 == 0 { ANY } else { 0x1234 },
            device: ANY,
            class_mask,
            class_value: class_value & class_mask,
            scope: RawScope { number, zero: 0, id },
            offset: (self.offset % space) & !3,
            length: (u16::from(self.length) % 0x20 + 1) * 4,
            key_offset: if key_mask == 0 { 0 } else { u16::from(key_offset) & 0xfc },
            zero: 0,
            key_mask,
            key_value: key_value & key_mask,
            read: self.read,
            write: self.write & self.read,
        };
        let Some([vendor, number, offset, length, zero, write]) = self.wild else { return rule };
        let [number, pad] = number.to_le_bytes();
        Rule {
            vendor,
            scope: RawScope { number, zero: pad, id: self.id },
            offset,
            length,
            zero,
            write: u32::from(write),
            ..rule
        }
    }
}

/// The bits of the byte at `offset` that any of `rules` may let a guest with these capabilities read, and write: keys do
/// not count.
pub(crate) fn masks(
    rules: &[Rule],
    offset: u16,
    standard: &[(u16, u8)],
    extended: &[(u16, u16)],
) -> (u8, u8) {
    let mut masks = (0, 0);
    for rule in rules {
        let mut add = |start: u16| {
            let first = u32::from(start) + u32::from(rule.offset);
            let at = u32::from(offset);
            if at >= first && at - first < u32::from(rule.length) {
                let lane = usize::from(offset % 4);
                masks.0 |= rule.read.to_le_bytes()[lane];
                masks.1 |= rule.write.to_le_bytes()[lane];
            }
        };
        match rule.scope() {
            Some(Scope::Bytes) => add(0),
            Some(Scope::Standard(id)) => {
                standard.iter().filter(|(_, other)| *other == id.0).for_each(|(start, _)| add(*start));
            }
            Some(Scope::Extended(id)) => {
                extended.iter().filter(|(_, other)| *other == id.0).for_each(|(start, _)| add(*start));
            }
            None => {}
        }
    }
    masks
}
