//! What the MCH's device 0, function 0 shall be: the registers as Intel's 3 Series datasheet describes them, with the
//! choices that `docs/q35.md` gives reasons for.
//!
//! It is written apart from the crate `q35` and shares nothing with it: plain bytes, one after another, no dwords.

/// Bytes of the configuration space; there is no extended one.
const BYTES: usize = 0x100;

/// A register as the datasheet's summary has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// Its short name.
    pub name: &'static str,
    /// Where it starts.
    pub offset: u8,
    /// How long it is: 1 to 8 bytes.
    pub bytes: u8,
    /// What it reads after a reset.
    pub reset: u64,
    /// The bits that software may write.
    pub writable: u64,
    /// Those of them that `D_LCK` makes read only.
    pub lockable: u64,
}

/// Byte `n` of a register's value.
const fn byte(value: u64, n: u8) -> u8 {
    (value >> (8 * n)) as u8 // CAST: one byte is asked for.
}

/// Read only.
const fn ro(offset: u8, bytes: u8, name: &'static str, reset: u64) -> Register {
    Register { name, offset, bytes, reset, writable: 0, lockable: 0 }
}

/// Read and write.
const fn rw(offset: u8, bytes: u8, name: &'static str, reset: u64, writable: u64) -> Register {
    Register { name, offset, bytes, reset, writable, lockable: 0 }
}

/// Read and write, read only after `D_LCK`.
const fn rwl(offset: u8, bytes: u8, name: &'static str, reset: u64, writable: u64) -> Register {
    Register { name, offset, bytes, reset, writable, lockable: writable }
}

/// All registers but PCIEXBAR, which is [`Pciexbar`]. Between them everything is reserved and reads 0. Status bits that
/// nothing sets are read only here: PCISTS, ERRSTS, `E_SMERR`.
#[rustfmt::skip]
pub const REGISTERS: &[Register] = &[
    ro(0x00, 2, "VID", 0x8086),
    ro(0x02, 2, "DID", 0x29c0),
    rw(0x04, 2, "PCICMD", 0x0006, 0x0140),           // SERRE 8, PERRE 6; BME 2 and MAE 1 are 1.
    ro(0x06, 2, "PCISTS", 0),
    ro(0x08, 1, "RID", 0),
    ro(0x09, 3, "CC", 0x06_0000),
    ro(0x0d, 1, "MLT", 0),
    ro(0x0e, 1, "HDR", 0),
    ro(0x2c, 2, "SVID", 0x1af4),
    ro(0x2e, 2, "SID", 0x1100),
    ro(0x34, 1, "CAPPTR", 0),
    rw(0x3c, 1, "INTL", 0, 0xff),
    ro(0x3d, 1, "INTP", 0),
    rw(0x40, 8, "PXPEPBAR", 0, 0xf_ffff_f001),       // Base 35:12, enable 0.
    rw(0x48, 8, "MCHBAR", 0, 0xf_ffff_c001),         // Base 35:14, enable 0.
    rwl(0x52, 2, "GGC", 0x0030, 0x0072),             // GMS 6:4, IVD 1.
    rw(0x54, 4, "DEVEN", 0x03db, 0x03da),            // D0EN 0 is 1.
    rw(0x68, 8, "DMIBAR", 0, 0xf_ffff_f001),         // Base 35:12, enable 0.
    rw(0x90, 1, "PAM0", 0, 0x30),                    // F0000-FFFFF.
    rw(0x91, 1, "PAM1", 0, 0x33),                    // C4000-C7FFF 5:4, C0000-C3FFF 1:0; and so on.
    rw(0x92, 1, "PAM2", 0, 0x33),
    rw(0x93, 1, "PAM3", 0, 0x33),
    rw(0x94, 1, "PAM4", 0, 0x33),
    rw(0x95, 1, "PAM5", 0, 0x33),
    rw(0x96, 1, "PAM6", 0, 0x33),
    rw(0x97, 1, "LAC", 0, 0x81),                     // HEN 7, MDAP 0.
    rw(0x98, 2, "REMAPBASE", 0x03ff, 0x03ff),        // 64 MB each.
    rw(0x9a, 2, "REMAPLIMIT", 0, 0x03ff),
    // D_OPEN 6, D_CLS 5, which is never locked, D_LCK 4, G_SMRAME 3; C_BASE_SEG 2:0 is 010.
    Register { name: "SMRAM", offset: 0x9d, bytes: 1, reset: 0x02, writable: 0x78, lockable: 0x58 },
    // H_SMRAME 7, TSEG_SZ 2:1, T_EN 0; 5:3 read 0 as there is no SMM.
    rwl(0x9e, 1, "ESMRAMC", 0, 0x87),
    rw(0xa0, 2, "TOM", 0x0001, 0x03ff),              // 64 MB each.
    rw(0xa2, 2, "TOUUD", 0, 0xffff),                 // 1 MB each.
    rwl(0xa4, 4, "GBSM", 0, 0xfff0_0000),
    rwl(0xa8, 4, "BGSM", 0, 0xfff0_0000),
    rwl(0xac, 4, "TSEGMB", 0, 0xfff0_0000),
    rw(0xb0, 2, "TOLUD", 0x0010, 0xfff0),            // 1 MB each, from bit 4 on.
    ro(0xc8, 2, "ERRSTS", 0),
    rw(0xca, 2, "ERRCMD", 0, 0xffff),
    rw(0xcc, 2, "SMICMD", 0, 0xffff),
    rw(0xdc, 4, "SKPD", 0, 0xffff_ffff),
];

const SMRAM: usize = 0x9d;
const D_OPEN: u8 = 1 << 6;
const D_LCK: u8 = 1 << 4;

/// PCIEXBAR, 60h to 67h, as it was last written, with all bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pciexbar(pub u64);

impl Pciexbar {
    /// Where it starts, and the byte behind it.
    pub const OFFSET: usize = 0x60;
    /// The byte behind it.
    pub const END: usize = 0x68;

    /// The bytes that a window of this length has: a mebibyte for each bus. `None` for the reserved encoding.
    pub const fn length(self) -> Option<u64> {
        match self.0 >> 1 & 3 {
            0b00 => Some(256 << 20),
            0b01 => Some(128 << 20),
            0b10 => Some(64 << 20),
            _ => None,
        }
    }

    /// The address bits that there are: 35:28, with 27 for 128 MB, with 27:26 for 64 MB and for the reserved length, and no
    /// more than the guest has.
    const fn base_bits(self, address_bits: u32) -> u64 {
        let from = match self.length() {
            Some(length) => length.trailing_zeros(),
            None => 26,
        };
        let end = if address_bits < 36 { address_bits } else { 36 };
        ((1 << end) - 1) >> from << from
    }

    /// What it reads.
    pub const fn read(self, address_bits: u32) -> u64 {
        self.0 & (self.base_bits(address_bits) | 0b111)
    }

    /// Base and size of the window, where `before` is what it was: a reserved length keeps that.
    const fn window(self, address_bits: u32, before: Option<(u64, u64)>) -> Option<(u64, u64)> {
        match self.length() {
            _ if self.0 & 1 == 0 => None,
            Some(length) => Some((self.0 & self.base_bits(address_bits), length)),
            None => before,
        }
    }
}

/// The function, byte by byte.
#[derive(Clone, Debug)]
pub struct Mch {
    bytes: [u8; BYTES],
    writable: [u8; BYTES],
    lockable: [u8; BYTES],
    pciexbar: Pciexbar,
    window: Option<(u64, u64)>,
    initial: u64,
    address_bits: u32,
}

impl Mch {
    /// The function after a reset, with the PCIEXBAR and the address width that the toolstack chose.
    pub fn new(pciexbar: u64, address_bits: u32) -> Self {
        let mut mch = Self {
            bytes: [0; BYTES],
            writable: [0; BYTES],
            lockable: [0; BYTES],
            pciexbar: Pciexbar(0),
            window: None,
            initial: pciexbar,
            address_bits,
        };
        for register in REGISTERS {
            for n in 0..register.bytes {
                let at = usize::from(register.offset + n);
                mch.writable[at] = byte(register.writable, n);
                mch.lockable[at] = byte(register.lockable, n);
            }
        }
        mch.reset();
        mch
    }

    /// A platform reset. Nothing else ends a lock.
    pub fn reset(&mut self) {
        for register in REGISTERS {
            for n in 0..register.bytes {
                self.bytes[usize::from(register.offset + n)] = byte(register.reset, n);
            }
        }
        self.pciexbar = Pciexbar(self.initial);
        self.window = self.pciexbar.window(self.address_bits, None);
    }

    /// Whether `D_LCK` is set.
    pub const fn is_locked(&self) -> bool {
        self.bytes[SMRAM] & D_LCK != 0
    }

    /// Base and size of the window that ECAM decodes, in bytes.
    pub const fn window(&self) -> Option<(u64, u64)> {
        self.window
    }

    /// One byte.
    pub fn byte(&self, at: usize) -> u8 {
        match at {
            Pciexbar::OFFSET..Pciexbar::END => {
                self.pciexbar.read(self.address_bits).to_le_bytes()[at - Pciexbar::OFFSET]
            }
            _ => self.bytes.get(at).copied().unwrap_or(0xff),
        }
    }

    /// Up to 4 bytes; from 100h on all ones.
    pub fn read(&self, at: usize, bytes: usize) -> u32 {
        (0..bytes).fold(0, |value, n| value | u32::from(self.byte(at + n)) << (8 * n))
    }

    /// Writes up to 4 bytes, which take effect together.
    pub fn write(&mut self, at: usize, bytes: usize, value: u32) {
        let locked = self.is_locked();
        for (at, new) in (at..).zip(value.to_le_bytes()).take(bytes) {
            match at {
                Pciexbar::OFFSET..Pciexbar::END => {
                    let mut all = self.pciexbar.0.to_le_bytes();
                    all[at - Pciexbar::OFFSET] = new;
                    self.pciexbar = Pciexbar(u64::from_le_bytes(all));
                }
                0..BYTES => {
                    let frozen = if locked { self.lockable[at] } else { 0 };
                    let writable = self.writable[at] & !frozen;
                    self.bytes[at] = self.bytes[at] & !writable | new & writable;
                }
                _ => {}
            }
        }
        if self.is_locked() {
            self.bytes[SMRAM] &= !D_OPEN;
        }
        self.window = self.pciexbar.window(self.address_bits, self.window);
    }
}
