//! One configuration access as it is on the wire: a dword and its byte enables.

use crate::EXTENDED_CONFIG_SIZE;

/// The width of a configuration access or of a register.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Width {
    /// One byte.
    Byte = 1,
    /// Two bytes.
    Word = 2,
    /// Four bytes.
    Dword = 4,
}

impl Width {
    /// The width of `bytes` bytes, if there is one: 1, 2 or 4.
    #[must_use]
    pub const fn from_bytes(bytes: u32) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            _ => None,
        }
    }

    /// The number of bytes: 1, 2 or 4.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        self as u8 // CAST: the discriminants are the widths.
    }
}

/// A set of byte lanes of one dword: bit n stands for byte n (PCIe 2.2.5, the First DW Byte Enables).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Lanes(u8);

impl Lanes {
    /// No lane.
    pub const NONE: Self = Self(0);
    /// All four lanes.
    pub const ALL: Self = Self(0xf);
    /// Bytes 2 and 3.
    pub const HIGH: Self = Self(0xc);

    /// The lanes whose bits are set in the low four bits of `bits`.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0xf)
    }

    /// The lanes as a nibble.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// `width` bytes from the byte `offset & 3` on; lanes past the dword's end are left out.
    #[must_use]
    pub const fn at(offset: u16, width: Width) -> Self {
        let ones = (1u8 << width.bytes()) - 1;
        Self((ones << (offset & 3)) & 0xf)
    }

    /// The bits of a dword that these lanes cover.
    #[must_use]
    pub const fn mask(self) -> u32 {
        let n = self.0 as u32; // CAST: widening; `From` is not const.
        // Puts bit n of the nibble at bit 8n (the four products do not meet), then spreads it over its byte.
        ((n & 1) | (n & 2) << 7 | (n & 4) << 14 | (n & 8) << 21) * 0xff
    }

    /// The lowest lane, 0 to 3; 4 if there is none.
    #[must_use]
    pub const fn first(self) -> u16 {
        if self.0 == 0 { 4 } else { self.0.trailing_zeros() as u16 } // CAST: at most 3.
    }

    /// The lanes in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The lanes in this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no lane is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all lanes of `other` are in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }
}

/// An access of 1, 2 or 4 bytes, aligned to its width, inside a function's 4 KiB: it never crosses a dword.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    offset: u16,
    bytes: u8,
}

impl Access {
    /// An access to `bytes` bytes at `offset`; `None` unless it is 1, 2 or 4 bytes wide, aligned and below 0x1000.
    #[inline]
    #[must_use]
    pub const fn new(offset: u32, bytes: u32) -> Option<Self> {
        let below = bytes.wrapping_sub(1);
        // A power of two has no bit in common with its predecessor, nor has a multiple of it.
        if below > 3 || (bytes | offset) & below != 0 || offset >= EXTENDED_CONFIG_SIZE as u32 {
            return None;
        }
        Some(Self { offset: offset as u16, bytes: bytes as u8 }) // CAST: below 0x1000; at most 4.
    }

    /// An access to `bytes` bytes at `offset` that need not be aligned, only 1, 2 or 4 bytes within one dword, as aligned
    /// ones, the lower first: two for the two bytes in the middle of a dword, else one. `[None, None]` for any other.
    #[must_use]
    pub const fn aligned(offset: u32, bytes: u32) -> [Option<Self>; 2] {
        if bytes == 2 && offset & 3 == 1 {
            [Self::new(offset, 1), Self::new(offset + 1, 1)]
        } else {
            [Self::new(offset, bytes), None]
        }
    }

    /// The byte offset, 0 to 0xfff.
    #[inline]
    #[must_use]
    pub const fn offset(self) -> u16 {
        self.offset
    }

    /// The width.
    #[must_use]
    pub const fn width(self) -> Width {
        match self.bytes {
            1 => Width::Byte,
            2 => Width::Word,
            _ => Width::Dword,
        }
    }

    /// Whether it has all four lanes.
    #[inline]
    #[must_use]
    pub const fn is_dword(self) -> bool {
        self.bytes == 4
    }

    /// The number of the dword, 0 to 0x3ff.
    #[inline]
    #[must_use]
    pub const fn dword(self) -> u16 {
        self.offset >> 2
    }

    /// The enabled lanes of that dword.
    #[must_use]
    pub const fn lanes(self) -> Lanes {
        Lanes::at(self.offset, self.width())
    }

    /// How far the access's value stands to the left in its dword, in bits: 0, 8, 16 or 24.
    #[inline]
    #[must_use]
    pub const fn shift(self) -> u32 {
        (self.offset as u32 & 3) * 8 // CAST: widening; `From` is not const.
    }

    /// The bits that a value of this width has.
    #[inline]
    #[must_use]
    pub const fn value_mask(self) -> u32 {
        u32::MAX >> (32 - 8 * self.bytes as u32) // CAST: widening; `From` is not const.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_aligned_accesses_inside_the_function_exist() {
        for offset in 0..0x1010u32 {
            for bytes in 0..10 {
                let legal = matches!(bytes, 1 | 2 | 4) && offset % bytes == 0 && offset + bytes <= 0x1000;
                assert_eq!(Access::new(offset, bytes).is_some(), legal, "{bytes} bytes at {offset:#x}");
            }
        }
        assert_eq!(Access::new(u32::MAX, 1), None);
        assert_eq!(Access::new(0, u32::MAX), None);
    }

    #[test]
    fn what_is_within_a_dword_has_aligned_parts() {
        for offset in (0..0x1010u32).chain(u32::MAX - 8..=u32::MAX) {
            for bytes in (0..10).chain([u32::MAX]) {
                let legal = matches!(bytes, 1 | 2 | 4) && offset % 4 + bytes <= 4 && offset < 0x1000;
                let covered = Access::aligned(offset, bytes).into_iter().flatten().flat_map(|part| {
                    (0..u32::from(part.width().bytes())).map(move |byte| u32::from(part.offset()) + byte)
                });
                let expected = if legal { offset..offset + bytes } else { 0..0 };
                assert!(covered.eq(expected), "{bytes} bytes at {offset:#x}");
            }
        }
    }

    #[test]
    fn lanes_and_masks_agree() {
        for bits in 0..16u8 {
            let mask = (0..4).filter(|n| bits >> n & 1 != 0).fold(0u32, |m, n| m | 0xff << (8 * n));
            assert_eq!(Lanes::from_bits(bits).mask(), mask);
        }
        let word = Access::new(0x46, 2).unwrap();
        assert_eq!((word.dword(), word.lanes(), word.shift()), (0x11, Lanes::HIGH, 16));
        assert_eq!(word.value_mask(), 0xffff);
        assert_eq!(Lanes::NONE.first(), 4);
        assert_eq!(Lanes::HIGH.first(), 2);
    }
}
