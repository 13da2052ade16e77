//! One mediated dword.

use capabilities::{Access, Lanes};
use zerocopy::FromZeros;

/// What a write to a register does beyond storing bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(u8)]
pub(crate) enum Effect {
    /// Nothing.
    None = 0,
    /// Nothing, and the whole dword is virtual: the path of most accesses.
    Plain,
    /// COMMAND: memory decoding follows the p2m.
    Command,
    /// A BAR's register.
    Bar,
    /// The expansion ROM register.
    Rom,
    /// MSI Message Control.
    MsiControl,
    /// MSI Message Address, low.
    MsiAddress,
    /// MSI Message Address, high.
    MsiAddressHigh,
    /// MSI Message Data.
    MsiData,
    /// MSI Mask Bits.
    MsiMask,
    /// MSI-X Message Control.
    MsixControl,
    /// PMCSR, as a guest has it.
    PowerState,
    /// VPD Address and the dword's other half, as a guest has it.
    Vpd,
    /// Nothing: a guest's writes of 1 to the bits in [`Register::clear`] ask for a reset.
    Reset,
    /// Nothing: a guest's writes of 1 to the bits in [`Register::clear`] would ask for a reset, and are counted.
    NoReset,
}

impl Effect {
    /// Whether a write of the register goes to a method of its own.
    pub(crate) const fn acts(self) -> bool {
        !matches!(self, Self::None | Self::Plain | Self::Reset | Self::NoReset)
    }

    /// The lane at which the register with this effect starts.
    pub(crate) const fn lane(self) -> u16 {
        match self {
            Self::MsiControl | Self::MsixControl => 2,
            _ => 0,
        }
    }
}

/// How the 32 bits of a dword are served.
///
/// Each bit comes from hardware or from the register itself. Mediated lanes form registers; a write to any other lane
/// goes to hardware as it is.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Register {
    /// The virtual bits; 0 where a bit comes from hardware.
    pub(crate) value: u32,
    /// Bits read from hardware.
    pub(crate) hardware: u32,
    /// Bits that read as 0 whatever they hold: `RsvdP`, or `RsvdZ` if they are hardware's and
    /// [`write`](Self::write) is set as well.
    pub(crate) hidden: u32,
    /// Bits that a write changes.
    pub(crate) write: u32,
    /// Bits that a write of 1 clears.
    pub(crate) clear: u32,
    pub(crate) effect: Effect,
    /// Lanes that belong to a register, as a nibble.
    pub(crate) mediated: u8,
    /// Of those, the lanes where a register starts, as a nibble.
    pub(crate) starts: u8,
}

static_assertions::const_assert_eq!(size_of::<Register>(), 24);

impl Register {
    /// A dword that is all hardware's.
    pub(crate) const RAW: Self = Self {
        value: 0,
        hardware: u32::MAX,
        hidden: 0,
        write: 0,
        clear: 0,
        effect: Effect::None,
        mediated: 0,
        starts: 0,
    };

    pub(crate) const fn mediated(&self) -> Lanes {
        Lanes::from_bits(self.mediated)
    }

    /// The lanes that no other register may have: those of registers, and pinned ones.
    pub(crate) const fn taken(&self) -> Lanes {
        let virt = !self.hardware;
        let mut lanes = self.mediated;
        let mut lane = 0;
        while lane < 4 {
            lanes |= ((virt >> (8 * lane) & 0xff != 0) as u8) << lane; // CAST: 0 or 1.
            lane += 1;
        }
        Lanes::from_bits(lanes)
    }

    /// Sets the virtual bits under `mask` to those of `value`, whoever may write them.
    pub(crate) const fn set(&mut self, value: u32, mask: u32) {
        let mask = mask & !self.hardware;
        self.value = self.value & !mask | value & mask;
    }

    /// Whether a write of the bits under `mask` would change any that the domain may not change. A device's bits count
    /// as 0 here.
    #[inline]
    pub(crate) const fn keeps(&self, data: u32, mask: u32) -> bool {
        (data ^ self.value) & mask & !(self.write | self.clear | self.hidden) != 0
    }

    /// What `access` reads of the virtual bits.
    #[inline]
    pub(crate) const fn load(&self, access: Access) -> u32 {
        (self.value & !self.hidden) >> access.shift() & access.value_mask()
    }

    /// Whether a write of the bits under `mask` asks for a reset of the function, be there one or not.
    #[inline]
    pub(crate) const fn asks_for_reset(&self, data: u32, mask: u32) -> bool {
        matches!(self.effect, Effect::Reset | Effect::NoReset) && data & self.clear & mask != 0
    }

    /// A write by the domain to the bits under `mask`, all of them virtual.
    #[inline]
    pub(crate) const fn store(&mut self, value: u32, mask: u32) {
        self.value = self.stored(value, mask);
    }

    const fn stored(&self, value: u32, mask: u32) -> u32 {
        let write = mask & self.write;
        (self.value & !write | value & write) & !(value & mask & self.clear)
    }

    /// [`store`](Self::store), if the register then reads as written: so it never [`keeps`](Self::keeps) bits. Whether
    /// it was done.
    #[inline]
    pub(crate) const fn take(&mut self, value: u32, mask: u32) -> bool {
        let stored = self.stored(value, mask);
        let taken = (stored ^ value) & mask == 0;
        if taken {
            self.value = stored;
        }
        taken
    }

    /// The piece that holds the lowest of `lanes`: a whole register, or as much of a gap as one aligned access to
    /// hardware covers.
    pub(crate) const fn piece(&self, lanes: Lanes) -> Piece {
        let first = lanes.first();
        let bit = 1u8 << first;
        if self.mediated & bit == 0 {
            let gap = lanes.without(self.mediated());
            return Piece { lanes: aligned_run(gap, first), register: false };
        }
        // The start at or below `first`, and the lanes from there to the next start or gap.
        let mut start = bit;
        while self.starts & start == 0 && start > 1 {
            start >>= 1;
        }
        let mut lanes = start;
        let mut next = start << 1;
        while next & self.mediated & !self.starts & 0xf != 0 {
            lanes |= next;
            next <<= 1;
        }
        Piece { lanes: Lanes::from_bits(lanes), register: true }
    }
}

/// Part of an access: the lanes of one register, or lanes that go to hardware in one access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    pub(crate) lanes: Lanes,
    pub(crate) register: bool,
}

/// The most lanes from `first` on that an aligned access inside `lanes` covers: 4, 2 or 1.
const fn aligned_run(lanes: Lanes, first: u16) -> Lanes {
    if lanes.contains(Lanes::ALL) {
        return Lanes::ALL;
    }
    let word = Lanes::from_bits(3 << first);
    if first & 1 == 0 && lanes.contains(word) { word } else { Lanes::from_bits(1 << first) }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn pieces(mediated: u8, starts: u8, lanes: u8) -> Vec<(u8, bool)> {
        let register = Register { mediated, starts, ..Register::RAW };
        let mut left = Lanes::from_bits(lanes);
        let mut pieces = Vec::new();
        while !left.is_empty() {
            let piece = register.piece(left);
            pieces.push((piece.lanes.bits(), piece.register));
            left = left.without(piece.lanes);
        }
        pieces
    }

    #[test]
    fn gaps_go_to_hardware_in_aligned_accesses() {
        assert_eq!(pieces(0, 0, 0xf), [(0xf, false)]);
        // One byte mediated leaves three: 16 + 8 bits before it, 8 + 16 bits behind it.
        assert_eq!(pieces(0x8, 0x8, 0xf), [(0x3, false), (0x4, false), (0x8, true)]);
        assert_eq!(pieces(0x1, 0x1, 0xf), [(0x1, true), (0x2, false), (0xc, false)]);
        // A word at an odd offset is no access that hardware knows.
        assert_eq!(pieces(0x9, 0x9, 0xf), [(0x1, true), (0x2, false), (0x4, false), (0x8, true)]);
        assert_eq!(pieces(0xc, 0x4, 0x2), [(0x2, false)]);
    }

    #[test]
    fn registers_are_whole() {
        assert_eq!(pieces(0xf, 0x1, 0x4), [(0xf, true)]);
        assert_eq!(pieces(0xf, 0x5, 0xf), [(0x3, true), (0xc, true)]);
        assert_eq!(pieces(0xf, 0xf, 0x6), [(0x2, true), (0x4, true)]);
        assert_eq!(pieces(0x3, 0x1, 0xe), [(0x3, true), (0xc, false)]);
    }

    #[test]
    fn stores_follow_the_masks() {
        let mut register =
            Register { value: 0xf0f0_00ff, write: 0xffff, clear: 0xf000_0000, ..Register::RAW };
        register.hardware = 0;
        register.store(0x1234_5678, u32::MAX);
        assert_eq!(register.value, 0xe0f0_5678);
        register.store(0xffff_ffff, 0x0000_ff00);
        assert_eq!(register.value, 0xe0f0_ff78);
    }
}
