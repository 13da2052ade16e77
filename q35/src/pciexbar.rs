//! PCIEXBAR, the register that says where the ECAM window is, and the window.

use capabilities::{EXTENDED_CONFIG_SIZE, Sbdf};
use zerocopy::FromZeros;

/// Bit 0: the window is decoded.
const ENABLE: u64 = 1;
/// Bits 2:1: the length of the window, 256 MB shifted right by it; 11b is reserved.
const LENGTH_SHIFT: u32 = 1;
const LENGTH: u64 = 3;
/// Bits 27:26: part of the base in windows that are small enough, and else part of the address mask, which reads 0.
const ADDRESS_MASK: u64 = 0x0c00_0000;

/// The largest window, of all 256 buses.
const LARGEST: u32 = 0x1000_0000;
/// One bus has 256 functions of 4 KiB.
const BUS_SIZE: u32 = 256 * EXTENDED_CONFIG_SIZE as u32; // CAST: widening; `From` is not const.
/// The register has address bits 35:26.
pub(crate) const ADDRESS_BITS: u8 = 36;
const ADDRESS_END: u64 = 1 << ADDRESS_BITS;

/// From here to 4 GiB are the I/O APICs, the HPET, the local APICs and the flash: never ECAM.
pub(crate) const FIXED: u64 = 0xfec0_0000;
pub(crate) const FOUR_GIB: u64 = 1 << 32;

/// An ECAM window: 256, 128 or 64 MB for as many buses, aligned to its size, below 64 GB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    base: u64,
    size: u32,
    /// How much of it is decoded, from its base on: not what lies at or above [`FIXED`], which only its end can do.
    decoded: u32,
}

impl Window {
    /// A window; `None` unless `size` is one of the three in bytes and `base` a multiple of it that leaves room below
    /// 64 GB.
    #[must_use]
    pub const fn new(base: u64, size: u32) -> Option<Self> {
        let known = matches!(size, LARGEST | 0x0800_0000 | 0x0400_0000);
        // CAST: widening; `From` is not const.
        if !known || base & (size as u64 - 1) != 0 || base >= ADDRESS_END {
            return None;
        }
        let end = base + size as u64; // CAST: widening.
        let meets = base < FOUR_GIB && end > FIXED;
        // CAST: less than `size`, as the base is a multiple of 64 MB and so below FIXED.
        let decoded = if meets { (FIXED - base) as u32 } else { size };
        Some(Self { base, size, decoded })
    }

    /// Its first address.
    #[must_use]
    pub const fn base(self) -> u64 {
        self.base
    }

    /// Its size in bytes: 64, 128 or 256 MB.
    #[must_use]
    pub const fn size(self) -> u32 {
        self.size
    }

    /// How many bytes of it are decoded, from its base on: all, or those below FEC00000.
    #[must_use]
    pub const fn decoded(self) -> u32 {
        self.decoded
    }

    /// The last bus that has a place in it: 63, 127 or 255.
    #[must_use]
    pub const fn last_bus(self) -> u8 {
        (self.size / BUS_SIZE - 1) as u8 // CAST: at most 255.
    }

    /// The function and the byte offset, 0 to 0xfff, at a physical address (PCIe 7.2.2): counted from the base, the bus
    /// is in bits 27:20, the device in 19:15, the function in 14:12. `None` outside the window, and from FEC00000 to
    /// 4 GiB.
    #[inline]
    #[must_use]
    pub const fn decode(self, address: u64) -> Option<(Sbdf, u16)> {
        let offset = address.wrapping_sub(self.base);
        // CAST: widening; `From` is not const.
        if offset >= self.decoded as u64 {
            return None;
        }
        // CAST: bits 27:0 are left, and of the register's offset 11:0.
        let (function, register) = ((offset >> 12) as u32, offset as u16 & (EXTENDED_CONFIG_SIZE - 1));
        Some((Sbdf(function), register))
    }

    /// The inverse of [`decode`](Self::decode): where the byte `offset` of a function is. `None` for another segment
    /// than 0, a bus beyond the last, an offset beyond 0xfff, or an address that is not decoded.
    #[must_use]
    pub const fn encode(self, sbdf: Sbdf, offset: u16) -> Option<u64> {
        if offset >= EXTENDED_CONFIG_SIZE {
            return None;
        }
        // CAST: widening.
        let at = (sbdf.0 as u64) << 12 | offset as u64;
        if at < self.decoded as u64 { Some(self.base + at) } else { None }
    }
}

/// A window, or none, as a structure of which all zeros is none.
#[derive(FromZeros)]
#[repr(C)]
pub(crate) struct InForce {
    base: u64,
    size: u32,
    decoded: u32,
}

/// Where `address` is in a window: the function in bits 27:12, the byte offset in bits 11:0.
#[inline]
const fn position(base: u64, decoded: u32, address: u64) -> Option<u32> {
    let offset = address.wrapping_sub(base);
    // CAST: widening, and then bits 27:0 are left.
    if offset < decoded as u64 { Some(offset as u32) } else { None }
}

impl InForce {
    /// [`position`]; `None` if there is no window.
    #[inline]
    pub(crate) const fn position(&self, address: u64) -> Option<u32> {
        position(self.base, self.decoded, address)
    }

    /// The window.
    #[inline]
    pub(crate) const fn window(&self) -> Option<Window> {
        let Self { base, size, decoded } = *self;
        if size == 0 { None } else { Some(Window { base, size, decoded }) }
    }

    /// From now on it is this one.
    pub(crate) const fn set(&mut self, window: Option<Window>) {
        *self = match window {
            Some(Window { base, size, decoded }) => Self { base, size, decoded },
            None => Self { base: 0, size: 0, decoded: 0 },
        };
    }
}

/// What a value of PCIEXBAR means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoded {
    /// There is no window.
    Disabled,
    /// Enabled with the reserved length, 11b.
    Reserved,
    /// This window.
    Window(Window),
}

/// The size of the window in bytes, by the length field; `None` for the reserved length.
const fn size(value: u64) -> Option<u32> {
    let length = value >> LENGTH_SHIFT & LENGTH;
    if length == LENGTH { None } else { Some(LARGEST >> length) }
}

/// The bits of `value` that the length in force makes part of the address mask: they read 0 whatever is stored. No bit
/// for the reserved length.
pub(crate) const fn address_mask(value: u64) -> u64 {
    match size(value) {
        Some(size) => ADDRESS_MASK & (size as u64 - 1), // CAST: widening.
        None => 0,
    }
}

/// What a value of PCIEXBAR means. Bits that the register does not have, or that its length makes part of the address
/// mask, do not count.
#[must_use]
pub const fn pciexbar_decode(value: u64) -> Decoded {
    if value & ENABLE == 0 {
        return Decoded::Disabled;
    }
    let Some(size) = size(value) else { return Decoded::Reserved };
    // CAST: widening.
    match Window::new(value & (ADDRESS_END - 1) & !(size as u64 - 1), size) {
        Some(window) => Decoded::Window(window),
        None => Decoded::Reserved,
    }
}

/// The value of PCIEXBAR that means this window, with no bit set that does not count.
#[must_use]
pub const fn pciexbar_encode(window: Window) -> u64 {
    let length = match window.size {
        LARGEST => 0,
        0x0800_0000 => 1,
        _ => 2,
    };
    window.base | length << LENGTH_SHIFT | ENABLE
}
