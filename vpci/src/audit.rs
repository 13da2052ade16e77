//! What was refused: counts by reason and, where there are guests, the last few accesses in full.

use zerocopy::FromZeros;

use crate::Refusal;
use crate::function::{Function, State};

/// The records that a function keeps.
const RECORDS: usize = 16;

/// An access that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromZeros)]
#[repr(C)]
pub struct Record {
    /// Its number among the function's refusals, from 1 on; it wraps.
    pub sequence: u32,
    /// The offset in configuration space; of an access to a trapped page, the low 16 bits of its address.
    pub offset: u16,
    /// Why, as a [`Refusal`].
    pub reason: u8,
    /// The width of the access in bytes; 0 if no access was the cause.
    pub bytes: u8,
    /// The value that was to be written, its low 32 bits; 0 for a read.
    pub value: u32,
}

static_assertions::const_assert_eq!(size_of::<Record>(), 12);

/// The last refusals of a function, and the access that is being served.
#[derive(FromZeros)]
#[repr(C)]
pub(crate) struct Audit {
    counts: [u32; Refusal::COUNT],
    total: u32,
    records: [Record; RECORDS],
    offset: u16,
    bytes: u8,
    value: u32,
}

impl Audit {
    /// What follows is on behalf of this access.
    pub(crate) const fn serve(&mut self, offset: u16, bytes: u8, value: u32) {
        if cfg!(feature = "guest") {
            self.offset = offset;
            self.bytes = bytes;
            self.value = value;
        }
    }

    fn add(&mut self, reason: Refusal) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count = count.saturating_add(1);
        }
        if !cfg!(feature = "guest") {
            return;
        }
        self.total = self.total.wrapping_add(1);
        let Self { total: sequence, offset, bytes, value, .. } = *self;
        if let Some(record) = self.records.get_mut(place(sequence)) {
            // CAST: a C-like enum with few values.
            *record = Record { sequence, offset, reason: reason as u8, bytes, value };
        }
    }
}

/// Where the record with this number is kept.
const fn place(sequence: u32) -> usize {
    sequence as usize % RECORDS // CAST: widening.
}

impl State {
    /// How often something was refused, by [`Refusal`]. The counts saturate.
    pub fn refusal_counts(&self) -> &[u32; Refusal::COUNT] {
        &self.audit.counts
    }

    /// How often something was refused for this reason.
    pub fn refusals(&self, reason: Refusal) -> u32 {
        self.audit.counts.get(reason as usize).copied().unwrap_or(0)
    }

    /// A record of a refusal: 0 for the last, 1 for the one before it; `None` if it is no longer kept or was never made.
    pub fn audit(&self, age: u32) -> Option<Record> {
        // CAST: widening.
        if age >= self.audit.total.min(RECORDS as u32) {
            return None;
        }
        self.audit.records.get(place(self.audit.total.wrapping_sub(age))).copied()
    }
}

impl Function<'_> {
    /// Counts a refusal and records the access that is being served.
    #[inline(never)]
    pub fn refuse(&mut self, reason: Refusal) {
        self.state.audit.add(reason);
    }
}
