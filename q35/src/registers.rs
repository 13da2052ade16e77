//! The registers of the MCH, function 00:00.0, as its datasheet lists them: one row each.
//!
//! Bits in no class are read-only (RO). What has no row reads 0 and drops writes. Nothing but PCIEXBAR
//! and SMRAM acts: the guest's memory map is the hypervisor's, and there is no SMM. The others are storage, so that
//! firmware reads back what it wrote.
//!
//! Where a row says so, a document was consulted for it:
//!
//! | short | document |
//! |---|---|
//! | 865G | Intel 82865G/82865GV GMCH datasheet |
//! | 915 | Intel 915G/915P Express Chipset datasheet, 301467-005 |
//! | G35 | Intel G35 Express Chipset datasheet, 317607-001 |
//! | 3210 | Intel 3200 and 3210 Chipset datasheet |
//! | 4S | Intel 4 Series Chipset Family datasheet |
//! | coreboot | register offsets and bits of `northbridge/intel/x4x` |
//! | EDK II | `OvmfPkg/Include/IndustryStandard/Q35MchIch9.h` |
//! | PCI | PCI Local Bus Specification 3.0 |
//!
//! They describe relatives of the 82G33 and 82P35, whose own datasheet (316966) was not at hand: what only that one
//! would settle is marked "unverified". QEMU's q35, which guests know best, decides where documents do not.
//!
//! `SMRAM.D_LCK` locks what 3210 5.1.27 lists and the registers that say so themselves (GGC, GBSM, TSEGMB). Other
//! registers that are lockable on such a chipset are so by Intel TXT or by the management engine, which there are not.

/// A register of 1, 2, 3, 4 or 8 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Byte offset.
    pub offset: u16,
    /// Bytes.
    pub width: u16,
    /// What the datasheet calls it.
    pub name: &'static str,
    /// What it holds after a reset.
    pub reset: u64,
    /// Bits that a write changes (RW, RW/L).
    pub write: u64,
    /// Of those, the bits that `SMRAM.D_LCK` makes read-only (RW/L).
    pub locked: u64,
    /// Bits that a write of 1 clears (RW1C).
    pub clear: u64,
    /// What it does; "storage" if nothing. And why it is not as the datasheet has it, if so.
    pub note: &'static str,
    /// Where the row is from.
    pub source: &'static str,
}

impl Row {
    const fn new(offset: u16, width: u16, name: &'static str, reset: u64) -> Self {
        Self { offset, width, name, reset, write: 0, locked: 0, clear: 0, note: "", source: "" }
    }

    const fn rw(self, write: u64) -> Self {
        Self { write: self.write | write, ..self }
    }

    const fn rwl(self, locked: u64) -> Self {
        Self { write: self.write | locked, locked, ..self }
    }

    const fn rw1c(self, clear: u64) -> Self {
        Self { clear, ..self }
    }

    const fn note(self, note: &'static str, source: &'static str) -> Self {
        Self { note, source, ..self }
    }
}

/// All rows, in the order of their offsets.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row::new(0x00, 2, "VID", 0x8086).note("Intel", "QEMU"),
    Row::new(0x02, 2, "DID", 0x29c0).note("82G33, 82P35: what firmware knows as Q35", "QEMU, EDK II"),
    Row::new(0x04, 2, "PCICMD", 0x0006).rw(0x0140)
        .note("MAE and BME are 1, SERRE and PERRE storage", "unverified"),
    Row::new(0x06, 2, "PCISTS", 0x0000).rw1c(0xf100)
        .note("no error is reported; no list without CAPID0; the datasheet has 0090 (CLIST, FB2B)", "QEMU"),
    Row::new(0x08, 1, "RID", 0x00).note("the datasheet leaves it to the stepping", "QEMU; 4S 9.2.5"),
    Row::new(0x09, 3, "CC", 0x06_0000).note("host bridge", "QEMU, PCI D.7"),
    Row::new(0x0d, 1, "MLT", 0x00).note("", "QEMU"),
    Row::new(0x0e, 1, "HDR", 0x00).note("one function", "3210 5.1.8"),
    Row::new(0x2c, 2, "SVID", 0x1af4)
        .note("firmware knows virtual machines by it; the datasheet has 0000, written once", "QEMU; 3210 5.1.9"),
    Row::new(0x2e, 2, "SID", 0x1100).note("as SVID", "QEMU; 3210 5.1.10"),
    Row::new(0x34, 1, "CAPPTR", 0x00).note("no capability; the datasheet has E0 (CAPID0)", "QEMU"),
    Row::new(0x3c, 1, "INTL", 0x00).rw(0xff).note("storage", "QEMU, PCI 6.2.4"),
    Row::new(0x3d, 1, "INTP", 0x00).note("no interrupt", "QEMU"),
    Row::new(0x40, 8, "PXPEPBAR", 0).rw(0xf_ffff_f001).note("storage", "coreboot; bits unverified"),
    Row::new(0x48, 8, "MCHBAR", 0).rw(0xf_ffff_c001).note("storage", "G35 5.1.13"),
    Row::new(0x52, 2, "GGC", 0x0030).rwl(0x0072).note("storage", "G35 5.1.14"),
    Row::new(0x54, 4, "DEVEN", 0x0000_03db).rw(0x0000_03da)
        .note("storage: hides no function", "coreboot; reset unverified"),
    Row::new(0x60, 8, "PCIEXBAR", 0xe000_0000).rw(0xf_fc00_0007)
        .note("says where ECAM is; after a reset it holds what the toolstack gave", "G35 page 91, 4S 5.1.16"),
    Row::new(0x68, 8, "DMIBAR", 0).rw(0xf_ffff_f001).note("storage", "coreboot; bits unverified"),
    Row::new(0x90, 1, "PAM0", 0x00).rw(0x30).note("storage", "915 4.1.18, 4S 5.1.18"),
    Row::new(0x91, 1, "PAM1", 0x00).rw(0x33).note("storage", "865G 3.5.18, coreboot"),
    Row::new(0x92, 1, "PAM2", 0x00).rw(0x33).note("storage", "865G 3.5.18, coreboot"),
    Row::new(0x93, 1, "PAM3", 0x00).rw(0x33).note("storage", "865G 3.5.18, coreboot"),
    Row::new(0x94, 1, "PAM4", 0x00).rw(0x33).note("storage", "865G 3.5.18, coreboot"),
    Row::new(0x95, 1, "PAM5", 0x00).rw(0x33).note("storage", "865G 3.5.18, coreboot"),
    Row::new(0x96, 1, "PAM6", 0x00).rw(0x33).note("storage", "865G 3.5.18, coreboot"),
    Row::new(0x97, 1, "LAC", 0x00).rw(0x81).note("storage", "unverified"),
    Row::new(0x98, 2, "REMAPBASE", 0x03ff).rw(0x03ff).note("storage", "coreboot; bits unverified"),
    Row::new(0x9a, 2, "REMAPLIMIT", 0x0000).rw(0x03ff).note("storage", "coreboot; bits unverified"),
    Row::new(0x9d, 1, "SMRAM", 0x02).rw(0x20).rwl(0x58)
        .note("D_LCK clears D_OPEN and locks; the rest is storage", "3210 5.1.27, 4S 5.1.28"),
    Row::new(0x9e, 1, "ESMRAMC", 0x00).rwl(0x87).rw1c(0x40)
        .note("storage; the datasheet has 38, by which firmware would find SMM", "EDK II; locks: 3210 5.1.27"),
    Row::new(0xa0, 2, "TOM", 0x0001).rw(0x03ff).note("storage", "coreboot; bits unverified"),
    Row::new(0xa2, 2, "TOUUD", 0x0000).rw(0xffff).note("storage", "coreboot; bits unverified"),
    Row::new(0xa4, 4, "GBSM", 0).rwl(0xfff0_0000).note("storage", "G35 5.1.32"),
    Row::new(0xa8, 4, "BGSM", 0).rwl(0xfff0_0000).note("storage", "coreboot; lock as GBSM's"),
    Row::new(0xac, 4, "TSEGMB", 0).rwl(0xfff0_0000).note("storage", "G35 5.1.33, 4S 5.1.34"),
    Row::new(0xb0, 2, "TOLUD", 0x0010).rw(0xfff0)
        .note("storage; its lock is Intel TXT's, which there is not", "3210 5.1.33, 4S 5.1.35"),
    Row::new(0xc8, 2, "ERRSTS", 0x0000).rw1c(0xffff).note("no error is reported", "unverified"),
    Row::new(0xca, 2, "ERRCMD", 0x0000).rw(0xffff).note("storage", "unverified"),
    Row::new(0xcc, 2, "SMICMD", 0x0000).rw(0xffff).note("storage", "unverified"),
    Row::new(0xdc, 4, "SKPD", 0).rw(0xffff_ffff).note("storage", "coreboot"),
];

/// A dword of configuration space, assembled from the rows at compile time: names and reasons are in no hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dword {
    pub(crate) reset: u32,
    pub(crate) write: u32,
    pub(crate) locked: u32,
    pub(crate) clear: u32,
}

impl Dword {
    pub(crate) const EMPTY: Self = Self { reset: 0, write: 0, locked: 0, clear: 0 };

    /// Whether it reads 0, whatever is written: it needs no register.
    pub(crate) const fn is_empty(self) -> bool {
        self.reset | self.write | self.clear == 0
    }
}

/// The dwords below 0x100.
pub(crate) const COUNT: usize = 64;

pub(crate) static DWORDS: [Dword; COUNT] = assemble(ROWS);

/// The dwords that need a register.
pub(crate) const USED: usize = used(&assemble(ROWS));

/// The number of the dword at this offset.
pub(crate) const fn dword(offset: u16) -> u16 {
    offset / 4
}

/// The dwords that the rows make up. It panics, at compile time, if they overlap or a bit is in two classes.
const fn assemble(rows: &[Row]) -> [Dword; COUNT] {
    let mut dwords = [Dword::EMPTY; COUNT];
    let mut end = 0;
    let mut at = 0;
    while at < rows.len() {
        let row = &rows[at];
        let sound = row.locked & !row.write == 0 && row.clear & (row.write | row.reset) == 0;
        assert!(row.offset >= end && sound, "rows overlap, or a bit is in two classes");
        let mut byte = 0;
        while byte < row.width {
            let to = &mut dwords[dword(row.offset + byte) as usize];
            let (from, shift) = (8 * byte, 8 * ((row.offset + byte) % 4));
            to.reset |= ((row.reset >> from & 0xff) as u32) << shift;
            to.write |= ((row.write >> from & 0xff) as u32) << shift;
            to.locked |= ((row.locked >> from & 0xff) as u32) << shift;
            to.clear |= ((row.clear >> from & 0xff) as u32) << shift;
            byte += 1;
        }
        end = row.offset + row.width;
        at += 1;
    }
    dwords
}

const fn used(dwords: &[Dword; COUNT]) -> usize {
    let (mut used, mut at) = (0, 0);
    while at < COUNT {
        used += !dwords[at].is_empty() as usize; // CAST: 0 or 1.
        at += 1;
    }
    used
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn rows_of_any_width_become_dwords() {
        let rows = [
            Row::new(0x01, 1, "a", 0x81).rw(0x0f),
            Row::new(0x02, 2, "b", 0x0203).rw1c(0xf000),
            Row::new(0x05, 3, "c", 0x12_3456),
            Row::new(0x0c, 8, "d", 0x8877_6655_4433_2211).rw(0xff).rwl(0x0f00_0000_0000_0000),
        ];
        let dwords = assemble(&rows);
        assert_eq!(dwords[0], Dword { reset: 0x0203_8100, write: 0x0f00, locked: 0, clear: 0xf000_0000 });
        assert_eq!(dwords[1], Dword { reset: 0x1234_5600, ..Dword::EMPTY });
        assert_eq!(dwords[2], Dword::EMPTY);
        assert_eq!(dwords[3], Dword { reset: 0x4433_2211, write: 0xff, ..Dword::EMPTY });
        let high = Dword { reset: 0x8877_6655, write: 0x0f00_0000, locked: 0x0f00_0000, clear: 0 };
        assert_eq!(dwords[4], high);
        assert_eq!(used(&dwords), 4);
    }

    #[test]
    #[should_panic(expected = "rows overlap")]
    fn rows_that_overlap_do_not_compile() {
        let _ = assemble(&[Row::new(0x00, 4, "a", 0), Row::new(0x03, 1, "b", 0)]);
    }

    #[test]
    #[should_panic(expected = "a bit is in two classes")]
    fn a_bit_is_in_one_class() {
        let _ = assemble(&[Row::new(0x00, 1, "a", 0).rw(1).rw1c(1).note("", "")]);
    }
}
