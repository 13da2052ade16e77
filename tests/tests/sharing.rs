//! Functions whose BARs share pages, under random writes, steps, failures and removals: once all is done, the p2m is
//! what the registers say.

use std::collections::BTreeSet;

use capabilities::Width;
use tests::device::Device;
use tests::host::{Import, Preempt};
use tests::machine::Machine;
use tests::random::Random;

const COMMAND: u16 = 0x04;
const ROM: u16 = 0x30;
const FUNCTIONS: usize = 4;
const RUNS: u64 = 2000;

/// BARs of half a page to 4 pages in 8 pages that all functions use, and a ROM in them.
fn device(random: &mut Random) -> Device {
    let mut place = |size: u32| 0xfe00_0000 + random.below(0x8000 / size) * size;
    let device = Device::endpoint(1, 1)
        .with_bar32(0, place(0x800), 0x800)
        .with_bar32(1, place(0x1000), 0x1000)
        .with_bar32(2, place(0x4000), 0x4000);
    let rom = place(0x800) | random.below(2);
    device.with_rom(rom, 0x800).with_command(u16::try_from(random.below(2) * 2).unwrap())
}

/// The frames that the registers of an attached function ask for.
fn asked(machine: &mut Machine, number: usize) -> BTreeSet<u64> {
    let mut frames = BTreeSet::new();
    if machine.device(number).command() & 2 == 0 {
        return frames;
    }
    for (offset, size) in [(0x10, 0x800), (0x14, 0x1000), (0x18, 0x4000), (ROM, 0x800)] {
        let value = u64::from(machine.device(number).get(offset, Width::Dword));
        if offset != ROM || value & 1 != 0 {
            let address = value & !0x7ff;
            frames.extend(address >> 12..=(address + size - 1) >> 12);
        }
    }
    frames
}

fn act(machine: &mut Machine, random: &mut Random) {
    let number = random.below(4) as usize;
    if !machine.is_attached(number) {
        if random.one_in(2) {
            machine.attach(number).unwrap();
        }
        return;
    }
    let address = 0xfe00_0000 + random.below(0x8000);
    let (offset, bytes, value) = match random.below(12) {
        0 => return machine.detach(number),
        1..=3 => (COMMAND, 2, random.below(4)),
        4 => (COMMAND + 1, 1, random.below(8)),
        5 => (ROM, 4, address & !0x7fe),
        6 => (ROM + 1, 1, address >> 8 & 0xf8),
        7 => (random.pick(&[0x10, 0x14, 0x18]), 4, address),
        _ => {
            machine.step(number);
            return;
        }
    };
    machine.start_write(number, offset, bytes, value);
}

/// Random lives of four functions; with `faults`, one call in between is refused.
fn run(seed: u64, faults: bool) {
    let mut random = Random::new(seed);
    let mut machine = Machine::default();
    machine.host.set_preempt(if random.one_in(2) { Preempt::Always } else { Preempt::Every(3) });
    machine.host.p2m_mut().chunk = u64::from(random.below(3));
    for _ in 0..FUNCTIONS {
        machine.plug(device(&mut random));
    }
    for round in 0..6 {
        if faults {
            machine.host.fail(random.pick(&[Import::Map, Import::Unmap]), random.below(8));
        }
        for _ in 0..random.below(30) {
            act(&mut machine, &mut random);
        }
        for number in 0..FUNCTIONS {
            machine.settle(number);
        }
        let attached: Vec<usize> = (0..FUNCTIONS).filter(|number| machine.is_attached(*number)).collect();
        let asked: BTreeSet<u64> = attached.iter().flat_map(|number| asked(&mut machine, *number)).collect();
        let mapped: BTreeSet<u64> = machine.host.p2m().frames().into_iter().collect();
        assert!(asked.is_subset(&mapped), "seed {seed}, round {round}: {asked:x?} of {mapped:x?}");
        if !faults {
            assert_eq!(mapped, asked, "seed {seed}, round {round}: frames are left");
        }
    }
    machine.host.fail_nothing();
    for number in 0..FUNCTIONS {
        if machine.is_attached(number) {
            machine.detach(number);
        }
    }
    assert!(machine.host.holds_nothing(), "seed {seed}: {:x?} is left", machine.host.p2m().frames());
}

#[test]
fn the_p2m_is_what_the_registers_say() {
    (1..=RUNS).for_each(|seed| run(seed, false));
}

#[test]
fn nothing_is_left_after_failures() {
    (1..=RUNS).for_each(|seed| run(seed, true));
}
