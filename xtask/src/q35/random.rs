//! Accesses at random, such that most mean something.

use std::collections::VecDeque;

use ::tests::random::Random;
use anyhow::Result;

use super::pair::{Access, Pair, Place};

const ENABLE: u32 = 1 << 31;
const SMRAM: u32 = 0x9d;
/// SMRAM's lock, in the byte.
const D_LCK: u64 = 1 << 4;
const GIB: u64 = 1 << 30;

/// Writes to come: a register, the bytes and the value.
type Write = (u32, u32, u64);

/// Where they come from.
pub(crate) struct Source {
    random: Random,
    /// What is left of a sequence that sets PCIEXBAR.
    sequence: VecDeque<Write>,
    /// Where windows were, or could have been.
    bases: [u64; 8],
}

impl Source {
    /// The same seed gives the same accesses.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), sequence: VecDeque::new(), bases: [0xb000_0000; 8] }
    }

    /// Makes the next access, or the next few.
    pub(crate) fn step(&mut self, pair: &mut Pair) -> Result<()> {
        if self.random.one_in(2500) {
            return pair.reset();
        }
        if self.random.one_in(1000) {
            return pair.read_all();
        }
        if let Some((register, bytes, value)) = self.sequence.pop_front() {
            return self.mch(pair, register, bytes, Some(value));
        }
        match self.random.below(100) {
            0..=2 => pair.latch(self.random.bits32()),
            3..=6 => self.absent(pair),
            7..=9 => self.nowhere(pair),
            10..=11 => {
                let (bytes, lane) = self.port();
                let place = Place::Port(self.random.bits32() & !ENABLE, lane);
                let write = self.value(bytes);
                pair.access(Access { place, bytes, write })
            }
            12..=14 => {
                self.move_window();
                Ok(())
            }
            _ => self.register(pair),
        }
    }

    /// Any register of the MCH, and those that act more often.
    fn register(&mut self, pair: &mut Pair) -> Result<()> {
        let bytes = self.random.pick(&[1, 2, 4, 4, 8]);
        let near = self.random.pick(&[0x04, 0x50, 0x60, 0x60, 0x64, 0x90, 0x98, 0x9c, 0x9c, 0xa4, 0xac]);
        let near = near + self.random.below(4);
        let end = if self.random.one_in(16) { 0x1000 } else { 0x100 };
        let any = self.random.below(end);
        let mut register = self.random.pick(&[near, any]);
        if !self.random.one_in(16) {
            register &= !(bytes.min(4) - 1);
        }
        if register + bytes > 0x1000 {
            return Ok(());
        }
        let mut write = self.value(bytes);
        // Locks are rare, or little would be left to try.
        if let (Some(value), Some(n)) = (&mut write, SMRAM.checked_sub(register))
            && n < bytes
            && !self.random.one_in(32)
        {
            *value &= !(D_LCK << (8 * n));
        }
        self.mch(pair, register, bytes, write)
    }

    /// An access to a register of the MCH, by either way.
    fn mch(&mut self, pair: &mut Pair, register: u32, bytes: u32, write: Option<u64>) -> Result<()> {
        let ports = register < 0x100 && bytes < 8;
        let place = match pair.window() {
            Some(window) if !ports || self.random.one_in(2) => {
                Place::Memory(window.base + u64::from(register))
            }
            _ if ports => {
                let reserved = if self.random.one_in(4) { self.random.bits32() & 0x7f00_0000 } else { 0 };
                let low = if self.random.one_in(32) { self.random.below(4) } else { 0 };
                // CAST: 2 bits.
                Place::Port(ENABLE | reserved | register & 0xfc | low, (register & 3) as u16)
            }
            _ => return Ok(()),
        };
        pair.access(Access { place, bytes, write })
    }

    /// A function that is not there. On bus 0, it is below QEMU's devices 1Fh and what QEMU has at A0000; and the buses are
    /// few, so that QEMU's TSEG is not met.
    fn absent(&mut self, pair: &mut Pair) -> Result<()> {
        let bus = self.random.below(16);
        let slot = self.random.below(0x13) + 1;
        let function = bus << 8 | slot << 3 | self.random.below(8);
        let (bytes, lane) = self.port();
        let window = pair.window().filter(|_| self.random.one_in(2));
        let place = match window {
            Some(window) => {
                let register = self.random.below(0x1000) & !(bytes - 1);
                Place::Memory(window.base + u64::from(function << 12 | register))
            }
            None => Place::Port(ENABLE | function << 8 | self.random.below(0x100) & 0xfc, lane),
        };
        let write = self.value(bytes);
        pair.access(Access { place, bytes, write })
    }

    /// Memory where no window is, or was, or could be; and the end of a window.
    fn nowhere(&mut self, pair: &mut Pair) -> Result<()> {
        let random = &mut self.random;
        let base =
            random.pick(&self.bases) ^ random.pick(&[0, 0, 1 << 25, 1 << 26, 1 << 27, 1 << 32, 1 << 36]);
        let end = pair.window().map_or(base, |window| window.base + window.size);
        let address = random.pick(&[base, base, end, end.wrapping_sub(4), 0xfec0_0000, 0xffff_fff0]);
        let inside = pair.window().is_some_and(|window| window.offset(address).is_some());
        // Below, QEMU has RAM; and between these it has devices.
        let taken = (0xfe00_0000..1 << 32).contains(&address);
        if address < GIB || taken && !(inside && address >= 0xfec0_0000) || inside && !taken {
            return Ok(());
        }
        pair.access(Access { place: Place::Memory(address), bytes: 4, write: None })
    }

    /// Sets PCIEXBAR: as firmware does it, in any order, or in bytes.
    fn move_window(&mut self) {
        let random = &mut self.random;
        let high = if random.one_in(4) { u64::from(random.below(0x20)) } else { 0 };
        // Half of the bases are those that QEMU has, too, whatever the length.
        let bits = random.pick(&[0xf000_0000, 0xfe00_0000]);
        let base = u64::from(random.bits32() & bits);
        let enable = u64::from(!random.one_in(6));
        let length = random.pick(&[0, 0, 1, 1, 2, 2, 3]);
        let noise = if random.one_in(8) { u64::from(random.bits32() & 0x01ff_fff8) } else { 0 };
        let value = high << 32 | base | noise | length << 1 | enable;
        let slot = random.below(8) as usize; // CAST: less than 8.
        self.bases[slot] = value & 0xf_fc00_0000;
        let (low_half, high_half) = ((0x60, 4, value & 0xffff_ffff), (0x64, 4, value >> 32));
        match random.below(4) {
            0 => self.sequence.extend([(0x60, 4, 0), high_half, low_half]),
            1 => self.sequence.extend([high_half, low_half]),
            2 => self.sequence.push_back((0x60, 8, value)),
            _ => {
                let mut bytes: Vec<Write> = (0..8).map(|n| (0x60 + n, 1, value >> (8 * n) & 0xff)).collect();
                for n in (1..8u32).rev() {
                    // CAST: less than 8.
                    bytes.swap(n as usize, random.below(n + 1) as usize);
                }
                self.sequence.extend(bytes);
            }
        }
    }

    /// A width and a lane of a data port, most often aligned.
    fn port(&mut self) -> (u32, u16) {
        let bytes = self.random.pick(&[1, 2, 4]);
        let lane = self.random.below(4);
        let lane = if self.random.one_in(16) { lane } else { lane & !(bytes - 1) };
        (bytes, lane as u16) // CAST: less than 4.
    }

    /// What to write; `None` to read.
    fn value(&mut self, bytes: u32) -> Option<u64> {
        let any = self.random.bits();
        let value = self.random.pick(&[0, u64::MAX, 0x5555_5555_5555_5555, any, any, any]);
        (!self.random.one_in(2)).then_some(value & (u64::MAX >> (64 - 8 * bytes)))
    }
}
