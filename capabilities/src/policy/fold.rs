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
    /// What the engine does with it.
    pub act: Act,
    /// The bits that this is about.
    pub acts: u32,
}

impl Dword {
    /// A dword that reads 0.
    pub const HIDDEN: Self = Self { snapshot: 0, live: 0, write: 0, ones: 0, act: Act::None, acts: 0 };
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
        Treatment::One => dword.ones |= mask,
        Treatment::Snapshot => dword.snapshot |= mask,
        Treatment::Live => dword.live |= mask,
        Treatment::Virtual => dword.write |= mask,
        Treatment::VirtualSnapshot => {
            dword.write |= mask;
            dword.snapshot |= mask;
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
