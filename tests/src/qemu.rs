//! Where QEMU's Q35 and the MCH of this library differ, and why: as data, for what compares the two.
//!
//! QEMU's answer to a read, with these rows applied to it, is the answer that is due. All other bits are compared as they
//! are.

use crate::datasheet::{Pciexbar, REGISTERS};

/// Bytes of the MCH's configuration space.
const BYTES: usize = 0x100;
/// From here on QEMU keeps plain bytes; below are the header's registers.
const DEVICE_SPECIFIC: usize = 0x40;
const SMRAM: usize = 0x9d;
const ESMRAMC: usize = 0x9e;
const D_LCK: u8 = 1 << 4;

/// What the bits of a row do here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// They always read the row's value.
    Fixed,
    /// They read what was written last, from the row's value on.
    Stored,
    /// They read the row's value after a reset, until the byte is written.
    Reset,
    /// They are frozen once `D_LCK` is set.
    Locked,
    /// They are PCIEXBAR 27:26, and read 0 where the length makes them part of the address mask.
    AddressMask,
}

/// Bits that QEMU has otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// Which bits.
    pub what: &'static str,
    /// What QEMU does.
    pub qemu: &'static str,
    /// What is due here, and why.
    pub ours: &'static str,
    rule: Rule,
    mask: [u8; BYTES],
    value: [u8; BYTES],
}

impl Deviation {
    const fn new(rule: Rule, what: &'static str, qemu: &'static str, ours: &'static str) -> Self {
        Self { what, qemu, ours, rule, mask: [0; BYTES], value: [0; BYTES] }
    }

    /// With these bits of a register, in addition to others.
    const fn with(mut self, offset: usize, bytes: usize, bits: u64, value: u64) -> Self {
        let mut n = 0;
        while n < bytes {
            self.mask[offset + n] |= (bits >> (8 * n)) as u8; // CAST: one byte is asked for.
            self.value[offset + n] |= (value >> (8 * n)) as u8; // CAST: likewise.
            n += 1;
        }
        self
    }
}

/// All rows for QEMU's machine with SMM, which has the registers SMRAM and ESMRAMC.
pub fn deviations() -> Vec<Deviation> {
    let mut rows = vec![
        Deviation::new(
            Rule::Fixed,
            "PCICMD 10, 2:0",
            "writable, 0 after a reset",
            "0006: MAE and BME are 1, as the datasheet has them; nothing else is there to be enabled",
        )
        .with(0x04, 2, 0x0407, 0x0006),
        Deviation::new(Rule::Stored, "PCICMD 6, PERRE", "reads 0", "writable, as the datasheet has it")
            .with(0x04, 2, 0x0040, 0),
        Deviation::new(Rule::Fixed, "0Ch", "writable: the cache line size", "0: read only in the datasheet")
            .with(0x0c, 1, 0xff, 0),
        Deviation::new(
            Rule::Fixed,
            "50h",
            "a register of QEMU's own: the size of extended TSEG",
            "0: reserved in the datasheet, and there is no SMM",
        )
        .with(0x50, 2, 0xffff, 0),
        Deviation::new(
            Rule::Fixed,
            "9Ch",
            "a register of QEMU's own: SMRAM at SMBASE",
            "0: reserved in the datasheet; 01 would promise SMRAM at 30000h",
        )
        .with(0x9c, 1, 0xff, 0),
        Deviation::new(
            Rule::Fixed,
            "ESMRAMC 5:3",
            "111, by which firmware finds SMM",
            "000: there is no SMM, and firmware that needs it finds that out here",
        )
        .with(0x9e, 1, 0x38, 0),
        Deviation::new(
            Rule::Fixed,
            "PCIEXBAR 63:36, 25:3",
            "stored and read back, without effect",
            "0: the register has no such bits",
        )
        .with(Pciexbar::OFFSET, 8, 0xffff_fff0_03ff_fff8, 0),
        Deviation::new(
            Rule::AddressMask,
            "PCIEXBAR 27:26 with 256 MB, 26 with 128 MB",
            "stored and read back, without effect",
            "0: part of the address mask",
        )
        .with(Pciexbar::OFFSET, 8, 0x0c00_0000, 0),
        Deviation::new(
            Rule::Reset,
            "PCIEXBAR after a reset",
            "B0000000",
            "what the toolstack gave: 0 in these comparisons",
        )
        .with(Pciexbar::OFFSET, 8, 0xf_fc00_0007, 0),
    ];
    let storage = |at: usize| at >= DEVICE_SPECIFIC && at != SMRAM && at != ESMRAMC;
    let mut fixed = Deviation::new(
        Rule::Fixed,
        "40h to FFh: reserved and read-only bits",
        "plain bytes, all writable",
        "as the datasheet has them",
    );
    for at in
        (DEVICE_SPECIFIC..BYTES).filter(|at| storage(*at) && !(Pciexbar::OFFSET..Pciexbar::END).contains(at))
    {
        fixed.mask[at] = 0xff;
    }
    let mut reset = Deviation::new(
        Rule::Reset,
        "40h to FFh: after a reset",
        "as before the reset, and 0 at power on",
        "the datasheet's values",
    );
    let mut locked = Deviation::new(
        Rule::Locked,
        "40h to FFh: D_LCK",
        "locks SMRAM and ESMRAMC alone",
        "the datasheet has it lock GGC, GBSM, BGSM and TSEGMB too",
    );
    for register in REGISTERS {
        for n in 0..register.bytes {
            let at = usize::from(register.offset + n);
            let byte = |value: u64| (value >> (8 * n)) as u8; // CAST: one byte is asked for.
            if storage(at) {
                fixed.mask[at] = !byte(register.writable);
                fixed.value[at] = byte(register.reset & !register.writable);
                reset.mask[at] = byte(register.writable);
                reset.value[at] = byte(register.reset & register.writable);
                locked.mask[at] = byte(register.lockable);
            }
        }
    }
    // Rows of their own have these.
    for row in &rows {
        for at in 0..BYTES {
            fixed.mask[at] &= !row.mask[at];
        }
    }
    rows.extend([fixed, reset, locked]);
    rows
}

/// The row for QEMU's machine without SMM, as the recorded firmware had it.
pub const WITHOUT_SMM: Deviation = Deviation::new(
    Rule::Reset,
    "SMRAM without SMM",
    "a plain byte, 00 after a reset",
    "the register, 02 after a reset, whoever uses it",
)
.with(SMRAM, 1, 0xff, 0x02);

/// What is due for an answer of QEMU's: all bits as QEMU has them, but for those that rows decide.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Due {
    decided: u64,
    value: u64,
    /// The rows that decide, and which bits.
    rows: Vec<(usize, u64)>,
}

impl Due {
    /// What is due, if QEMU answers this.
    pub const fn of(&self, qemu: u64) -> u64 {
        qemu & !self.decided | self.value
    }

    /// The rows that explain a difference in these bits.
    pub fn explain(&self, bits: u64) -> impl Iterator<Item = usize> {
        self.rows.iter().filter(move |(_, decided)| decided & bits != 0).map(|(row, _)| *row)
    }
}

/// Follows what is written to both, and says what is due.
#[derive(Clone, Debug)]
pub struct Twin {
    rows: Vec<Deviation>,
    /// What was written last, as far as it could be.
    last: [u8; BYTES],
    written: [bool; BYTES],
    locked: bool,
}

impl Twin {
    /// After a reset.
    pub fn new(rows: Vec<Deviation>) -> Self {
        let mut twin = Self { rows, last: [0; BYTES], written: [false; BYTES], locked: false };
        twin.reset();
        twin
    }

    /// The rows.
    pub fn rows(&self) -> &[Deviation] {
        &self.rows
    }

    /// A platform reset of both.
    pub fn reset(&mut self) {
        self.last = [0; BYTES];
        self.written = [false; BYTES];
        self.locked = false;
        for row in self.rows.iter().filter(|row| matches!(row.rule, Rule::Reset | Rule::Stored)) {
            for (last, value) in self.last.iter_mut().zip(row.value) {
                *last |= value;
            }
        }
    }

    /// A write of up to 8 bytes to both; what of it is beyond 100h is dropped.
    pub fn write(&mut self, offset: usize, bytes: usize, value: u64) {
        for (at, new) in (offset..BYTES).zip(value.to_le_bytes()).take(bytes) {
            let frozen = if self.locked { self.bits(at, Rule::Locked) } else { 0 };
            self.last[at] = self.last[at] & frozen | new & !frozen;
            self.written[at] = true;
        }
        self.locked |= (offset..offset + bytes).contains(&SMRAM) && self.last[SMRAM] & D_LCK != 0;
    }

    /// Whether `D_LCK` is set.
    pub const fn is_locked(&self) -> bool {
        self.locked
    }

    /// What is stored in PCIEXBAR, with all bits.
    pub fn pciexbar(&self) -> Pciexbar {
        let bytes = self.last.get(Pciexbar::OFFSET..Pciexbar::END).and_then(|bytes| bytes.try_into().ok());
        Pciexbar(bytes.map_or(0, u64::from_le_bytes))
    }

    /// What is due for a read of up to 8 bytes that is made now.
    pub fn due(&self, offset: usize, bytes: usize) -> Due {
        let mut due = Due::default();
        for (number, row) in self.rows.iter().enumerate() {
            let (mut decided, mut value) = ([0; 8], [0; 8]);
            for ((at, decided), value) in (offset..BYTES).zip(&mut decided).zip(&mut value).take(bytes) {
                (*decided, *value) = self.effect(row, at);
            }
            let (decided, value) = (u64::from_le_bytes(decided), u64::from_le_bytes(value));
            if decided != 0 {
                due.decided |= decided;
                due.value |= value & decided;
                due.rows.push((number, decided));
            }
        }
        due
    }

    /// The bits of a byte that a row decides now, and what they read.
    fn effect(&self, row: &Deviation, at: usize) -> (u8, u8) {
        let mask = row.mask[at];
        match row.rule {
            Rule::Stored => (mask, self.last[at]),
            Rule::Reset if self.written[at] => (0, 0),
            Rule::Fixed | Rule::Reset => (mask, row.value[at]),
            Rule::Locked if self.locked && self.written[at] => (mask, self.last[at]),
            Rule::Locked => (0, 0),
            Rule::AddressMask => {
                let shown = Pciexbar(!0b110 | self.pciexbar().0 & 0b110).read(u64::BITS);
                (mask & !shown.to_le_bytes()[at.saturating_sub(Pciexbar::OFFSET) % 8], 0)
            }
        }
    }

    /// The bits of a byte that some row of this rule has.
    fn bits(&self, at: usize, rule: Rule) -> u8 {
        self.rows.iter().filter(|row| row.rule == rule).fold(0, |bits, row| bits | row.mask[at])
    }
}
