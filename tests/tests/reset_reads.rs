//! What a snapshot costs, and what is in it at the edges of configuration space.

use std::cell::Cell;

use capabilities::{Sbdf, Width};
use quirks::Quirks;
use quirks::reset::{Outcome, Platform, Region, Scope, Snapshot, SnapshotError, Subject};
use tests::device::Device;
use tests::random::Random;
use tests::reset::model::Model;
use tests::reset::sample::{BARS, REBAR, Sample};
use vpci::Progress;
use zerocopy::FromZeros;

/// A function, and the reads of it.
struct Counted {
    device: Device,
    reads: Cell<u32>,
}

impl Platform for Counted {
    fn config_read(&self, _: Sbdf, offset: u16, width: Width) -> u32 {
        self.reads.set(self.reads.get() + 1);
        self.device.get(offset, width)
    }

    fn config_write(&self, _: Sbdf, _: u16, _: Width, _: u32) {
        panic!("a snapshot writes nothing");
    }

    fn memory_read(&self, _: Sbdf, _: u64) -> u32 {
        panic!("a snapshot reads no memory");
    }

    fn memory_write(&self, _: Sbdf, _: u64, _: u32) {
        panic!("a snapshot writes nothing");
    }

    fn withdraw(&self, _: Sbdf) -> Progress {
        panic!("a snapshot takes nothing");
    }

    fn claim(&self, _: Scope<'_>) -> bool {
        panic!("a snapshot takes nothing");
    }

    fn release(&self, _: Scope<'_>) {}
}

/// What taking a snapshot comes to, and in how many reads.
fn take(device: Device) -> (Result<(), SnapshotError>, u32) {
    let counted = Counted { device, reads: Cell::new(0) };
    let subject = Subject { sbdf: Sbdf(0), virtual_function: false, bars: [Region::default(); 6] };
    let mut snapshot = Box::new(Snapshot::new_zeroed());
    let taken = snapshot.take(&counted, &subject, &Quirks::NONE);
    (taken, counted.reads.get())
}

/// The bound that `Snapshot::take` states.
const BOUND: u32 = 250;

/// A function with `standard` capabilities and `extended` ones, as close together as pointers can have them, all those that
/// are restored among them.
fn crowded(standard: u16, extended: u16) -> Device {
    let mut device = Device::endpoint(0x1af4, 0x1041);
    device.set(0x06, Width::Word, 0x0010);
    // All kinds that a snapshot looks for, MSI-X apart: its table costs fewer reads than its room in the list.
    let ids = [0x10, 0x13, 0x01, 0x05, 0x07];
    device.set(0x34, Width::Byte, 0x40);
    for number in 0..standard {
        let offset = 0x40 + 4 * number;
        let id = ids.get(usize::from(number)).copied().unwrap_or(0x09);
        let next = if number + 1 < standard { offset + 4 } else { 0 };
        device.set(offset, Width::Word, u32::from(next) << 8 | id);
    }
    // PCI Express has version 2, and with it all its registers.
    device.set(0x42, Width::Word, 0x0002);
    let ids = [0x01, 0x02, 0x0d, 0x0f, 0x10, 0x13, 0x15, 0x18, 0x1b, 0x1e, 0x1f];
    for number in 0..extended {
        let offset = 0x100 + 0x20 * number;
        let id = ids.get(usize::from(number)).copied().unwrap_or(0x19);
        let next = if number + 1 < extended { offset + 0x20 } else { 0 };
        device.set(offset, Width::Dword, u32::from(next) << 20 | 0x1_0000 | id);
        // Eight virtual channels; six resizable BARs.
        match id {
            0x02 => device.set(offset + 4, Width::Dword, 7),
            0x15 => device.set(offset + 8, Width::Dword, 6 << 5),
            _ => {}
        }
    }
    device
}

#[test]
fn the_longest_lists_are_read_within_the_bound() {
    // As many as there is room for, and one more.
    let fits = |extended| take(crowded(48, extended));
    let most = (0..=120).rev().find(|extended| fits(*extended).0.is_ok()).expect("some fit");
    let (_, reads) = fits(most);
    assert!((200..=BOUND).contains(&reads), "{reads} reads with {most} extended capabilities");
    let (taken, reads) = fits(most + 1);
    assert_eq!(taken, Err(SnapshotError::Full));
    assert!(reads <= BOUND, "{reads} reads");
    for standard in 0..=48 {
        for extended in 0..=120 {
            let (_, reads) = take(crowded(standard, extended));
            assert!(reads <= BOUND, "{reads} reads of {standard} and {extended} capabilities");
        }
    }
}

#[test]
fn any_lists_are_read_within_the_bound() {
    let mut random = Random::new(7);
    let mut most = 0;
    for _ in 0..5_000 {
        let mut device = crowded(random.below(49) as u16, random.below(121) as u16);
        for _ in 0..random.below(40) {
            let offset = 0x40 + 4 * random.below(0x3f0) as u16;
            device.set(offset, Width::Dword, random.below(u32::MAX));
        }
        let (_, reads) = take(device);
        most = most.max(reads);
    }
    assert!(most <= BOUND, "{most} reads");
}

/// Resets a function with this extended capability at the end of its list, in as many bytes as there are behind `offset`.
fn restored(offset: u16, id: u16, set: &[(u16, u32)], registers: &[u16]) {
    let model = Model::new(None);
    model.add(Sample { flr: true, ..Sample::default() }.part(), BARS, Quirks::NONE);
    {
        let part = &mut model.place(0).part;
        for device in [&mut part.fresh, &mut part.device] {
            // In place of Resizable BAR and what is behind it.
            device.set(REBAR - 12, Width::Dword, u32::from(offset) << 20 | 0x1_000d);
            device.set(offset, Width::Dword, 0x1_0000 | u32::from(id));
            for (at, value) in set {
                device.set(offset + at, Width::Dword, *value);
            }
        }
        for at in registers {
            part.fresh.allow(offset + at, Width::Dword, 0x0000_ff00);
            part.device.allow(offset + at, Width::Dword, 0x0000_ff00);
            let old = part.device.get(offset + at, Width::Dword);
            part.device.set(offset + at, Width::Dword, old | 0x0000_a500);
        }
    }
    assert!(matches!(model.reset(), Outcome::Ready(_)));
    assert_eq!(model.violations(), Vec::<String>::new());
    for at in registers {
        let value = model.place(0).part.device.get(offset + at, Width::Dword);
        assert_eq!(value & 0xff00, 0xa500, "{id:#x}: the register at {:#x}", offset + at);
    }
    let ours = |write: &tests::reset::model::Write| write.offset > offset;
    let written: Vec<_> =
        model.writes().iter().filter(|write| ours(write)).map(|write| write.offset).collect();
    let expected: Vec<_> = registers.iter().map(|at| offset + at).collect();
    assert_eq!(written, expected, "{id:#x}");
}

#[test]
fn a_list_of_registers_is_as_long_as_it_says() {
    // One virtual channel: 18h bytes up to the end of configuration space; then two.
    restored(0xfe8, 0x02, &[], &[0x14]);
    restored(0xfdc, 0x02, &[(4, 1)], &[0x14, 0x20]);
    // One resizable BAR: 0ch bytes; then two.
    restored(0xff4, 0x15, &[(8, 1 << 5)], &[0x08]);
    restored(0xfec, 0x15, &[(8, 2 << 5)], &[0x08, 0x10]);
}

#[test]
fn a_list_that_says_it_goes_on_ends_with_configuration_space() {
    restored(0xfe8, 0x02, &[(4, 7)], &[0x14]);
    restored(0xff4, 0x15, &[(8, 6 << 5)], &[0x08]);
}
