//! Any accesses to the pages that are left out, of every device with a mirror: none reaches bytes of the device that are
//! not the guest's, and what configuration space comes to is what the same accesses to it come to.

use quirks::mirrors::{Answer, Known};
use tests::guest::{COMMAND, Guest};
use tests::host::Event;
use tests::mirrored::{self, Bytes};
use tests::random::Random;

const ROUNDS: u32 = 400;

/// A guest that uses mirrors, and one with the same device that uses configuration space.
struct Pair {
    guest: Guest,
    twin: Guest,
    bytes: Vec<Bytes>,
    known: Known,
}

/// An access in a piece: offset in the BAR, bytes, value.
type Piece = (u64, u8, u64);

impl Pair {
    fn new(known: &Known) -> Self {
        let (guest, twin) = (mirrored::guest(known), mirrored::guest(known));
        Self { guest, twin, bytes: mirrored::of(known), known: *known }
    }

    /// The offset in configuration space that a byte of a BAR shows, if it shows one.
    fn view(&self, bar: usize, offset: u64) -> Option<u16> {
        let here = || self.bytes.iter().filter(|bytes| bytes.bar == bar && bytes.contains(offset));
        if here().any(|bytes| bytes.answer == Answer::Closed) {
            return None;
        }
        here().find_map(|bytes| match bytes.answer {
            Answer::View(config) => Some(config + u16::try_from(offset - bytes.at).unwrap()),
            _ => None,
        })
    }

    /// Whether a byte of a BAR is nobody's or configuration space's.
    fn is_kept(&self, bar: usize, offset: u64) -> bool {
        let kept = |bytes: &Bytes| matches!(bytes.answer, Answer::Closed | Answer::View(_));
        self.bytes.iter().any(|bytes| bytes.bar == bar && bytes.contains(offset) && kept(bytes))
    }

    /// Whether a write is one that a row lets pass.
    fn passes(&self, bar: usize, (offset, width, value): Piece) -> bool {
        self.bytes.iter().any(|bytes| match bytes.answer {
            Answer::Pass { width: only, value: this } => {
                (bytes.bar, bytes.at, only.bytes(), u64::from(this)) == (bar, offset, width, value)
            }
            _ => false,
        })
    }

    /// Whether a write puts a value into a gate that it keeps out, or a part of one.
    fn breaks_gate(&self, bar: usize, (offset, width, value): Piece) -> bool {
        self.bytes.iter().any(|bytes| {
            let Answer::Gate { mask, value: bad } = bytes.answer else { return false };
            let touches = offset < bytes.at + 4 && bytes.at < offset + u64::from(width);
            let whole = offset <= bytes.at && bytes.at + 4 <= offset + u64::from(width);
            let written = || (value >> (8 * (bytes.at - offset))) as u32; // CAST: the dword.
            bytes.bar == bar && touches && !(whole && written() & mask != bad)
        })
    }

    /// No memory of the device was accessed that is not the guest's.
    fn check(&mut self, what: &str) {
        let bars = self.guest.machine.state(0).bars().map(|bar| bar.host_range());
        for event in self.guest.machine.host.take_events() {
            let (at, width, written) = match event {
                Event::MmioRead(_, at, width) => (at, width, None),
                Event::MmioWrite(_, at, width, value) => (at, width, Some(value)),
                _ => continue,
            };
            let bar = bars.iter().position(|(first, size)| (*first..first + size).contains(&at));
            let bar = bar.unwrap_or_else(|| panic!("{what}: {event:x?} is in no BAR"));
            let offset = at - bars[bar].0;
            let kept = (offset..offset + u64::from(width)).any(|byte| self.is_kept(bar, byte));
            let passes = written.is_some_and(|value| self.passes(bar, (offset, width, value)));
            assert!(!kept || passes, "{what}: {event:x?}, {}", self.known.name);
            let broken = written.is_some_and(|value| self.breaks_gate(bar, (offset, width, value)));
            assert!(!broken, "{what}: {event:x?} through the gate of {}", self.known.name);
        }
    }

    /// The dwords of an aligned access, or the bytes of another.
    fn pieces(offset: u64, width: u8, value: u64) -> Vec<Piece> {
        let step = match width {
            _ if !offset.is_multiple_of(width.into()) => 1,
            8 => 4,
            width => width,
        };
        let piece = |n: u8| {
            let part = value >> (8 * n) & u64::MAX >> (64 - 8 * u32::from(step));
            (offset + u64::from(n), step, part)
        };
        (0..width).step_by(step.into()).map(piece).collect()
    }

    fn read(&mut self, bar: usize, offset: u64, width: u8) {
        let address = self.address(bar, offset);
        let Some(seen) = self.guest.machine.mmio_read(address, width) else { return };
        for (at, step, part) in Self::pieces(offset, width, seen) {
            let due = match self.view(bar, at) {
                Some(config) => self.guest.read(config, step.into()).into(),
                None if self.is_kept(bar, at) => u64::MAX >> (64 - 8 * u32::from(step)),
                None => continue,
            };
            assert_eq!(part, due, "{width} bytes at {offset:#x} of BAR {bar}: {}", self.known.name);
        }
        self.check("a read");
    }

    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64) {
        let address = self.address(bar, offset);
        if !self.guest.machine.mmio_write(address, width, value) {
            return;
        }
        for piece in Self::pieces(offset, width, value) {
            let (at, step, part) = piece;
            if let Some(config) = self.view(bar, at).filter(|_| !self.passes(bar, piece)) {
                self.twin.write(config, step.into(), u32::try_from(part).unwrap());
            }
        }
        self.check("a write");
        if self.guest.read(COMMAND, 2) & 2 == 0 {
            assert!(self.guest.machine.host.p2m().is_empty());
            self.guest.write(COMMAND, 2, 2);
            self.twin.write(COMMAND, 2, 2);
        }
    }

    fn address(&self, bar: usize, offset: u64) -> u64 {
        self.guest.machine.state(0).bars()[bar].guest_address().unwrap() + offset
    }

    fn compare(&mut self) {
        assert_eq!(self.guest.image(), self.twin.image(), "{}", self.known.name);
        for offset in (0..0x1000).step_by(4) {
            assert_eq!(
                self.guest.read(offset, 4),
                self.twin.read(offset, 4),
                "{offset:#x}: {}",
                self.known.name
            );
        }
        // What is refused as an access to memory is not one to configuration space.
        let counts = |guest: &Guest| {
            let mut counts = *guest.machine.state(0).refusal_counts();
            for reason in [vpci::Refusal::Mirror, vpci::Refusal::MsixAccess] {
                counts[reason as usize] = 0;
            }
            counts
        };
        assert_eq!(counts(&self.guest), counts(&self.twin), "{}", self.known.name);
    }

    /// Where to access: about the edges of a row, or anywhere in its pages.
    fn place(&self, random: &mut Random) -> (usize, u64) {
        let bytes = self.bytes[random.below(u32::try_from(self.bytes.len()).unwrap()) as usize];
        let (first, last) = bytes.pages();
        let offset = match random.below(4) {
            0 => (bytes.at + bytes.length).wrapping_sub(u64::from(random.below(12))),
            1 => (bytes.at + u64::from(random.below(16))).saturating_sub(8),
            2 => bytes.at + u64::from(random.bits32()) % bytes.length,
            _ => (first << 12) + u64::from(random.bits32()) % ((last + 1 - first) << 12),
        };
        (bytes.bar, offset)
    }
}

#[test]
fn no_access_leads_around_configuration_space() {
    for (number, row) in mirrored::all().enumerate() {
        let mut random = Random::new(0x6d69_7272 + number as u64);
        let mut pair = Pair::new(&row.known);
        for round in 0..ROUNDS {
            let (bar, offset) = pair.place(&mut random);
            let width = random.pick(&[1, 2, 4, 8]);
            let offset = if random.one_in(4) { offset } else { offset & !u64::from(width - 1) };
            // A hypervisor takes an access apart where a page ends.
            if offset % 0x1000 + u64::from(width) > 0x1000 {
                continue;
            }
            let mut value = random.bits();
            for bytes in &pair.bytes {
                value = match bytes.answer {
                    Answer::Pass { value, .. } if random.one_in(3) => value.into(),
                    Answer::Gate { mask, value: bad } if random.one_in(3) => {
                        value & !u64::from(mask) | u64::from(bad)
                    }
                    _ => value,
                };
            }
            if random.one_in(2) {
                pair.read(bar, offset, width);
            } else {
                pair.write(bar, offset, width, value & u64::MAX >> (64 - 8 * u32::from(width)));
            }
            if round % 100 == 0 {
                pair.compare();
            }
        }
        pair.compare();
        pair.guest.end();
    }
}
