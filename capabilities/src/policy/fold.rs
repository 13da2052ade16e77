//! Tables folded to masks, for the engine: names and reasons stay out of the hypervisor.

use super::{Act, Field, Length, Policy, Treatment, Visibility};

/// How a dword is served to a guest. A bit in none of the masks reads 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dword {
    /// Bits that start as they are in the device.
    pub snapshot: u32,
    /// Bits that are read from the device each time.
    pub live: u32,
    /// Bits that the guest may change, in storage of its own.
    pub write: u32,
    /// Bits that read 1.
    pub ones: u32,
    /// Bits that tell of a reset of the function: they read as in [`ones`](Self::ones) where there is none, and the other
    /// way round where there is.
    pub reset: u32,
    /// What the engine does with it.
    pub act: Act,
    /// The bits that this is about.
    pub acts: u32,
}

impl Dword {
    /// A dword that reads 0.
    pub const HIDDEN: Self =
        Self { snapshot: 0, live: 0, write: 0, ones: 0, reset: 0, act: Act::None, acts: 0 };

    /// Whether a device that has `value` there says that the function can be reset.
    #[must_use]
    pub const fn tells_of_reset(self, value: u32) -> bool {
        self.reset != 0 && (value ^ self.ones) & self.reset == self.reset
    }
}

/// A policy without its words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// How long the capability is.
    pub length: Length,
    /// Whether a guest has it.
    pub guest: Visibility,
    /// Whether no rule may show any of it.
    pub floor: bool,
    first: u16,
    count: u16,
}

impl Entry {
    /// What there is no policy for.
    pub const UNKNOWN: Self =
        Self { length: Length::Open, guest: Visibility::Hidden, floor: false, first: 0, count: 0 };
}

/// `P` policies and the `D` dwords of all of them. One array for all: a table of references would need relocations.
pub struct Tables<const P: usize, const D: usize> {
    entries: [Entry; P],
    dwords: [Dword; D],
}

impl<const P: usize, const D: usize> Tables<P, D> {
    /// Folds. Fails to compile where two rows claim a bit, a row leaves its dword, two acts meet in a dword, or `D` is
    /// not the number of dwords.
    pub(super) const fn fold(policies: &[Policy; P]) -> Self {
        let mut tables = Self { entries: [Entry::UNKNOWN; P], dwords: [Dword::HIDDEN; D] };
        let mut taken = [0; D];
        let mut first = 0;
        let mut at = 0;
        while at < P {
            let Policy { length, guest, floor, fields, .. } = policies[at];
            let count = dwords(fields);
            // CAST: D is small.
            tables.entries[at] = Entry { length, guest, floor, first: first as u16, count: count as u16 };
            let mut row = 0;
            while row < fields.len() {
                let field = &fields[row];
                let number = first + (field.offset / 4) as usize; // CAST: widening; `From` is not const.
                let mask = field.mask();
                assert!(mask != 0 && mask >> field.shift() == field.bits, "a field leaves its dword");
                assert!(taken[number] & mask == 0, "two rows claim a bit");
                taken[number] |= mask;
                add(&mut tables.dwords[number], field);
                row += 1;
            }
            first += count;
            at += 1;
        }
        assert!(first == D, "D is not the number of dwords");
        tables
    }

    /// The policy with this number.
    pub fn entry(&self, number: usize) -> Entry {
        self.entries.get(number).copied().unwrap_or(Entry::UNKNOWN)
    }

    /// The dword `number` of a policy's table.
    pub fn dword(&self, entry: Entry, number: u16) -> Dword {
        if number >= entry.count {
            return Dword::HIDDEN;
        }
        self.dwords.get(usize::from(entry.first + number)).copied().unwrap_or(Dword::HIDDEN)
    }
}

/// The number of dwords of all these policies' tables.
pub(super) const fn total(policies: &[Policy]) -> usize {
    let (mut all, mut at) = (0, 0);
    while at < policies.len() {
        all += dwords(policies[at].fields);
        at += 1;
    }
    all
}

/// The number of dwords up to the last that has a field.
const fn dwords(fields: &[Field]) -> usize {
    let (mut all, mut at) = (0, 0);
    while at < fields.len() {
        let number = (fields[at].offset / 4) as usize + 1; // CAST: widening; `From` is not const.
        if number > all {
            all = number;
        }
        at += 1;
    }
    all
}

const fn add(dword: &mut Dword, field: &Field) {
    let mask = field.mask();
    match field.guest {
        // The list's links are its own affair, in any dword.
        Treatment::Hidden | Treatment::Engine(Act::Link) => {}
        Treatment::Snapshot => dword.snapshot |= mask,
        Treatment::Live => dword.live |= mask,
        Treatment::Virtual => dword.write |= mask,
        Treatment::VirtualSnapshot => {
            dword.write |= mask;
            dword.snapshot |= mask;
        }
        Treatment::WithReset => dword.reset |= mask,
        Treatment::WithoutReset => {
            dword.reset |= mask;
            dword.ones |= mask;
        }
        Treatment::Engine(act) => {
            // CAST: C-like enums.
            assert!(
                matches!(dword.act, Act::None) || dword.act as u8 == act as u8,
                "two acts meet in a dword"
            );
            dword.act = act;
            dword.acts |= mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn policy(fields: &'static [Field]) -> Policy {
        Policy {
            name: "a test's",
            section: "",
            length: Length::Bytes(12),
            guest: Visibility::Shown,
            floor: true,
            why: "",
            fields,
        }
    }

    const FIELDS: &[Field] = &[
        Field::new("a", 0x00, 0x00ff, Treatment::Snapshot),
        Field::new("b", 0x01, 0x00ff, Treatment::Engine(Act::Link)),
        Field::new("c", 0x02, 0x0003, Treatment::Live),
        Field::new("d", 0x03, 0x0081, Treatment::WithoutReset),
        Field::new("k", 0x03, 0x0040, Treatment::WithReset),
        Field::new("e", 0x08, 0x000f, Treatment::Virtual),
        Field::new("f", 0x08, 0x00f0, Treatment::VirtualSnapshot),
        Field::new("g", 0x0a, 0x0100, Treatment::Engine(Act::Reset)),
        Field::new("h", 0x0b, 0x0002, Treatment::Engine(Act::Reset)),
        Field::new("i", 0x0a, 0x0001, Treatment::Hidden),
    ];
    const OTHER: &[Field] = &[Field::new("j", 0x04, u32::MAX, Treatment::Live)];

    #[test]
    fn rows_become_masks_of_their_dword() {
        let policies = [policy(FIELDS), Policy::hidden("none", "", Length::Open, ""), policy(OTHER)];
        assert_eq!(total(&policies), 5);
        let tables = Tables::<3, 5>::fold(&policies);
        let [first, none, other] = [0, 1, 2].map(|number| tables.entry(number));
        assert_eq!((first.length, first.guest, first.floor), (Length::Bytes(12), Visibility::Shown, true));
        let snapshot = Dword {
            snapshot: 0xff,
            live: 0x0003_0000,
            ones: 0x8100_0000,
            reset: 0xc100_0000,
            ..Dword::HIDDEN
        };
        assert_eq!(tables.dword(first, 0), snapshot);
        assert_eq!(tables.dword(first, 1), Dword::HIDDEN);
        let storage =
            Dword { write: 0xff, snapshot: 0xf0, act: Act::Reset, acts: 0x0300_0000, ..Dword::HIDDEN };
        assert_eq!(tables.dword(first, 2), storage);
        assert_eq!(tables.dword(first, 3), Dword::HIDDEN, "the other policy's is not this one's");
        assert_eq!((none.guest, tables.dword(none, 0)), (Visibility::Hidden, Dword::HIDDEN));
        assert_eq!(tables.dword(other, 1), Dword { live: u32::MAX, ..Dword::HIDDEN });
        assert_eq!(tables.entry(3), Entry::UNKNOWN);
        assert_eq!(tables.dword(Entry::UNKNOWN, 0), Dword::HIDDEN);
    }

    // In a table of the library's these do not compile.

    #[test]
    #[should_panic = "two rows claim a bit"]
    fn a_bit_has_one_row() {
        const TWICE: &[Field] = &[
            Field::new("a", 0x00, 0x0180, Treatment::Snapshot),
            Field::new("b", 0x01, 0x0001, Treatment::Hidden),
        ];
        Tables::<1, 1>::fold(&[policy(TWICE)]);
    }

    #[test]
    #[should_panic = "a field leaves its dword"]
    fn a_field_stays_in_its_dword() {
        const WIDE: &[Field] = &[Field::new("a", 0x02, 0x0001_0000, Treatment::Live)];
        Tables::<1, 1>::fold(&[policy(WIDE)]);
    }

    #[test]
    #[should_panic = "two acts meet in a dword"]
    fn a_dword_has_one_act() {
        const TWO: &[Field] = &[
            Field::new("a", 0x00, 0x0001, Treatment::Engine(Act::Reset)),
            Field::new("b", 0x00, 0x0002, Treatment::Engine(Act::PowerState)),
        ];
        Tables::<1, 1>::fold(&[policy(TWO)]);
    }

    #[test]
    #[should_panic = "D is not the number of dwords"]
    fn the_dwords_are_counted() {
        Tables::<1, 4>::fold(&[policy(FIELDS)]);
    }

    #[test]
    fn a_device_has_a_reset_if_all_bits_say_so() {
        let dword = Dword { ones: 0x8, reset: 0x6 | 0x8, ..Dword::HIDDEN };
        assert!(dword.tells_of_reset(0x6) && dword.tells_of_reset(0xf7 & !0x1));
        for value in [0, 0x2, 0x4, 0xe, u32::MAX] {
            assert!(!dword.tells_of_reset(value), "{value:#x}");
        }
        assert!(!Dword::HIDDEN.tells_of_reset(0) && !Dword::HIDDEN.tells_of_reset(u32::MAX));
    }

    #[test]
    fn a_field_says_where_it_is_and_why() {
        let field =
            Field::new("a", 0x16, 0x0003, Treatment::Live).because("so").host(super::super::Control::Pinned);
        assert_eq!((field.dword(), field.mask(), field.why), (0x14, 0x0003_0000, "so"));
        assert_eq!(field.host, super::super::Control::Pinned);
        assert!(Policy::hidden("a", "", Length::Open, "").floor().floor);
    }
}
