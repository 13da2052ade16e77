//! The p2m follows memory decoding, in steps that may be interrupted, turned round and refused.

use capabilities::Width;
use tests::device::Device;
use tests::host::{Event, Preempt};
use tests::machine::Machine;
use vpci::{Pages, Progress, Refusal, Written};

const COMMAND: u16 = 0x04;
const ROM: u16 = 0x30;

fn pages(first: u64, last: u64) -> Pages {
    Pages { first, last }
}

/// Three BARs of 4, 2 and 16 pages and a ROM of 2 pages, which is enabled.
fn device() -> Device {
    Device::endpoint(1, 1)
        .with_bar32(0, 0xfe00_0000, 0x4000)
        .with_bar32(1, 0xfe10_0000, 0x2000)
        .with_bar64(2, 0x40_0000_0000, 0x1_0000)
        .with_rom(0xfd00_0001, 0x2000)
}

fn all() -> [Pages; 4] {
    [pages(0xfe000, 0xfe003), pages(0xfe100, 0xfe101), pages(0x400_0000, 0x400_000f), pages(0xfd000, 0xfd001)]
}

fn is_mapped(machine: &Machine) -> bool {
    all().iter().all(|pages| machine.host.p2m().has_all(*pages)) && machine.host.p2m().len() == 24
}

/// Decoding was turned on only with every page there, and off only with all of them gone.
fn check_order(machine: &Machine) {
    for (offset, _, value) in machine.host.take_writes() {
        if offset == COMMAND && value & 2 != 0 {
            assert!(is_mapped(machine), "the device decodes, but its BARs are not mapped");
        } else if offset == COMMAND {
            assert!(machine.host.p2m().is_empty(), "the device does not decode, but its BARs are mapped");
        }
    }
}

/// A machine that pauses after each host call, and maps at most 3 pages by each.
fn slow(device: Device) -> Machine {
    let mut machine = Machine::default();
    machine.host.set_preempt(Preempt::Always);
    machine.host.p2m_mut().chunk = 3;
    machine.add(device);
    machine
}

/// Steps at most `steps` times. Whether the operation ended.
fn run(machine: &mut Machine, number: usize, steps: u32) -> bool {
    machine.host.take_events();
    (0..steps).any(|_| {
        let done = machine.step(number) == Progress::Done;
        check_order(machine);
        done
    })
}

#[test]
fn preemption_at_every_step() {
    let mut machine = slow(device());
    for command in [0x0006, 0x0004, 0x0007, 0x0000] {
        machine.start_write(0, COMMAND, 2, command);
        let mut steps = 0;
        while !run(&mut machine, 0, 1) {
            steps += 1;
            let seen = machine.read(0, COMMAND, 2);
            assert_ne!(seen, command, "the register changed before the p2m did");
        }
        assert!(steps >= 10, "{steps} steps for 24 pages, 3 at a time");
        assert_eq!(machine.read(0, COMMAND, 2), command);
        assert_eq!(is_mapped(&machine), command & 2 != 0);
        assert_eq!(machine.host.p2m().is_empty(), command & 2 == 0);
    }
}

#[test]
fn pauses_follow_the_host() {
    for every in 1..10 {
        let mut machine = Machine::default();
        machine.host.set_preempt(Preempt::Every(every));
        machine.host.p2m_mut().chunk = 1;
        machine.plug(device().with_command(2));
        machine.attach(0).unwrap();
        let pauses = machine.settle(0);
        assert!(is_mapped(&machine));
        assert!(pauses * every >= 20 && (pauses - 1) * every <= 40, "{pauses} pauses, one in {every}");
    }
}

#[test]
fn step_without_work_does_nothing() {
    let mut machine = slow(device().with_command(2));
    machine.host.take_events();
    for _ in 0..3 {
        assert_eq!(machine.step(0), Progress::Done);
    }
    assert_eq!(machine.host.take_events(), []);
}

#[test]
fn a_second_writer_turns_mapping_round_at_every_step() {
    for steps in 0..40 {
        let mut machine = slow(device());
        assert_eq!(machine.start_write(0, COMMAND, 2, 0x0006), Written::Pending);
        let ended = run(&mut machine, 0, steps);
        assert_eq!(machine.start_write(0, COMMAND, 2, 0x0004), Written::Pending);
        while !run(&mut machine, 0, 1) {}
        assert!(machine.host.p2m().is_empty(), "turned round after {steps} steps");
        assert_eq!(machine.read(0, COMMAND, 2), 0x0004);
        if ended {
            return;
        }
    }
    panic!("mapping takes more than 40 steps");
}

#[test]
fn a_second_writer_turns_unmapping_round_at_every_step() {
    for steps in 0..40 {
        let mut machine = slow(device().with_command(2));
        assert_eq!(machine.start_write(0, COMMAND, 2, 0x0000), Written::Pending);
        let ended = run(&mut machine, 0, steps);
        if !ended {
            // Decoding is still on, with part of the pages away: what the domain asked for comes first.
            assert_eq!(machine.read(0, COMMAND, 2), 0x0002);
        }
        machine.start_write(0, COMMAND, 2, 0x0006);
        machine.settle(0);
        assert!(is_mapped(&machine), "turned round after {steps} steps");
        assert_eq!(machine.read(0, COMMAND, 2), 0x0006);
        if ended {
            return;
        }
    }
    panic!("unmapping takes more than 40 steps");
}

#[test]
fn the_last_of_many_writers_has_its_way() {
    for first in 1..12 {
        for second in 1..12 {
            for last in [0x0004, 0x0006] {
                let mut machine = slow(device());
                machine.start_write(0, COMMAND, 2, 0x0002);
                run(&mut machine, 0, first);
                machine.start_write(0, COMMAND, 2, 0x0000);
                run(&mut machine, 0, second);
                machine.start_write(0, COMMAND, 2, 0x0003);
                run(&mut machine, 0, first);
                machine.start_write(0, COMMAND, 2, last);
                machine.settle(0);
                assert_eq!(machine.read(0, COMMAND, 2), last);
                assert_eq!(
                    (is_mapped(&machine), machine.host.p2m().is_empty()),
                    (last & 2 != 0, last & 2 == 0)
                );
            }
        }
    }
}

#[test]
fn bits_other_than_memory_may_change_meanwhile() {
    let mut machine = slow(device());
    machine.start_write(0, COMMAND, 2, 0x0002);
    run(&mut machine, 0, 2);
    assert_eq!(
        machine.start_write(0, COMMAND, 2, 0x0406),
        Written::Pending,
        "the register is written at the end"
    );
    machine.settle(0);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0406);
    assert!(is_mapped(&machine));
}

#[test]
fn the_upper_byte_of_command_does_not_turn_it_round() {
    let mut machine = slow(device());
    machine.start_write(0, COMMAND, 2, 0x0006);
    run(&mut machine, 0, 2);
    assert_eq!(machine.start_write(0, COMMAND + 1, 1, 0x05), Written::Pending);
    machine.settle(0);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0506, "the lower byte is as it was written last");
    assert!(is_mapped(&machine));
    machine.start_write(0, COMMAND, 2, 0x0500);
    run(&mut machine, 0, 2);
    assert_eq!(machine.start_write(0, COMMAND + 1, 1, 0x00), Written::Pending);
    machine.settle(0);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0000);
    assert!(machine.host.p2m().is_empty());
}

#[test]
fn the_upper_bytes_of_the_rom_register_do_not_turn_it_round() {
    let mut machine = slow(device().with_rom(0xfd00_0000, 0x2000).with_command(2));
    machine.start_write(0, ROM, 4, 0xfd00_0001);
    assert_eq!(machine.step(0), Progress::Again);
    machine.start_write(0, ROM + 3, 1, 0xfc);
    machine.settle(0);
    assert_eq!(machine.read(0, ROM, 4), 0xfd00_0001, "enabled, and not moved while it was being mapped");
    assert!(is_mapped(&machine));
    machine.start_write(0, ROM, 4, 0xfd00_0000);
    assert_eq!(machine.step(0), Progress::Again);
    machine.start_write(0, ROM + 3, 1, 0xfc);
    machine.settle(0);
    assert_eq!(machine.read(0, ROM, 4) & 1, 0, "disabled");
    assert_eq!(machine.host.p2m().len(), 22);
}

#[test]
fn the_rom_and_command_at_the_same_time() {
    for steps in 0..30 {
        for (rom, command) in [(0, 2), (1, 2), (0, 0), (1, 0)] {
            let mut machine = slow(device());
            machine.start_write(0, COMMAND, 2, 2);
            run(&mut machine, 0, steps);
            machine.start_write(0, ROM, 4, 0xfd00_0000 | rom);
            machine.step(0);
            machine.start_write(0, COMMAND, 2, command);
            machine.settle(0);
            assert_eq!(machine.read(0, COMMAND, 2), command);
            assert_eq!(machine.read(0, ROM, 4), 0xfd00_0000 | rom, "after {steps} steps");
            let expected = if command == 0 { 0 } else { 22 + 2 * rom as usize };
            assert_eq!(machine.host.p2m().len(), expected, "ROM {rom}, COMMAND {command}, {steps} steps");
        }
    }
}

#[test]
fn a_bar_does_not_move_while_work_is_under_way() {
    for (command, then) in [(2, 0), (0, 2)] {
        let mut machine = slow(device().with_command(then));
        machine.start_write(0, COMMAND, 2, command);
        run(&mut machine, 0, 3);
        machine.start_write(0, 0x10, 4, 0xfc00_0000);
        machine.settle(0);
        machine.write(0, COMMAND, 2, 0);
        assert!(machine.host.p2m().is_empty(), "pages of a BAR that moved are left");
    }
}

#[test]
fn bars_of_one_function_share_a_page() {
    // Two BARs of half a page each.
    let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x800).with_bar32(1, 0xfe00_0800, 0x800);
    let mut machine = Machine::with(device.with_rom(0xfe00_0001, 0x800).with_command(2));
    assert_eq!(machine.host.p2m().frames(), [0xfe000]);
    machine.write(0, ROM, 4, 0xfe00_0000);
    assert_eq!(machine.host.p2m().frames(), [0xfe000], "the ROM leaves, the BARs stay");
    machine.write(0, COMMAND, 2, 0);
    assert!(machine.host.p2m().is_empty());
}

/// Two functions whose BARs share the page 0xfe001.
fn sharing() -> (Device, Device) {
    let first = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x1000).with_bar32(1, 0xfe00_1000, 0x100);
    let second = Device::endpoint(2, 2).with_bar32(0, 0xfe00_1100, 0x100).with_bar32(1, 0xfe00_2000, 0x1000);
    (first, second)
}

#[test]
fn functions_share_a_page() {
    let (first, second) = sharing();
    let mut machine = Machine::default();
    machine.add(first.with_command(2));
    machine.add(second.with_command(2));
    assert_eq!(machine.host.p2m().frames(), [0xfe000, 0xfe001, 0xfe002]);
    for (leaves, left) in [(0, [0xfe001, 0xfe002]), (1, [0xfe000, 0xfe001])] {
        machine.write(leaves, COMMAND, 2, 0);
        assert_eq!(machine.host.p2m().frames(), left, "function {leaves} left");
        machine.write(leaves, COMMAND, 2, 2);
        assert_eq!(machine.host.p2m().len(), 3);
    }
    machine.detach(0);
    assert_eq!(machine.host.p2m().frames(), [0xfe001, 0xfe002]);
    machine.write(1, COMMAND, 2, 0);
    assert!(machine.host.p2m().is_empty());
}

#[test]
fn functions_that_share_a_page_change_at_the_same_time() {
    // Each starts on, off or in between; both change at once, step by step in all interleavings of 8 steps.
    for order in 0..256u32 {
        for (from, to) in [((2, 2), (0, 0)), ((0, 0), (2, 2)), ((2, 0), (0, 2)), ((0, 2), (2, 0))] {
            let (first, second) = sharing();
            let mut machine = Machine::default();
            machine.host.set_preempt(Preempt::Always);
            machine.add(first.with_command(from.0));
            machine.add(second.with_command(from.1));
            machine.start_write(0, COMMAND, 2, to.0);
            machine.start_write(1, COMMAND, 2, to.1);
            for step in 0..8 {
                machine.step((order >> step & 1) as usize);
            }
            machine.settle(0);
            machine.settle(1);
            let expected: &[u64] = match to {
                (0, 0) => &[],
                (2, 2) => &[0xfe000, 0xfe001, 0xfe002],
                (0, _) => &[0xfe001, 0xfe002],
                _ => &[0xfe000, 0xfe001],
            };
            assert_eq!(machine.host.p2m().frames(), expected, "{from:?} to {to:?}, order {order:#b}");
        }
    }
}

#[test]
fn a_function_that_leaves_in_the_middle_takes_only_its_own() {
    for steps in 0..8 {
        let (first, second) = sharing();
        let mut machine = Machine::default();
        machine.host.set_preempt(Preempt::Always);
        machine.add(first.with_command(2));
        machine.plug(second.with_command(2));
        machine.attach(1).unwrap();
        for _ in 0..steps {
            machine.step(1);
        }
        machine.detach(1);
        assert_eq!(machine.host.p2m().frames(), [0xfe000, 0xfe001], "after {steps} steps");
        machine.detach(0);
        assert!(machine.host.holds_nothing());
    }
}

#[test]
fn reserved_ranges_are_left_out() {
    for (reserved, left) in [
        (vec![pages(0xfe001, 0xfe001)], vec![0xfe000, 0xfe002, 0xfe003]),
        (vec![pages(0, 0xfe000)], vec![0xfe001, 0xfe002, 0xfe003]),
        (vec![pages(0xfe003, 0xfffff)], vec![0xfe000, 0xfe001, 0xfe002]),
        (vec![pages(0xfe002, 0xfe002), pages(0xfe000, 0xfe000)], vec![0xfe001, 0xfe003]),
        (vec![pages(0xfe000, 0xfe001), pages(0xfe001, 0xfe002)], vec![0xfe003]),
        (vec![pages(0, u64::MAX >> 12)], vec![]),
    ] {
        let mut machine = Machine::default();
        for range in &reserved {
            machine.host.p2m_mut().reserve(*range);
        }
        machine.add(Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(2));
        assert_eq!(machine.host.p2m().frames(), left, "{reserved:x?}");
        assert_eq!(machine.device(0).command(), 2, "the device decodes all the same");
        machine.write(0, COMMAND, 2, 0);
        assert!(machine.host.p2m().is_empty());
    }
}

#[test]
fn msix_pages_are_holes_before_decoding_is_on() {
    let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(2);
    let mut machine = Machine::default();
    // Firmware's identity mapping is there first.
    machine.add(Device::endpoint(2, 2).with_bar32(0, 0xfe00_1000, 0x1000).with_command(2));
    assert_eq!(machine.host.p2m().frames(), [0xfe001]);
    machine.host.take_events();
    machine.add(device.with_msix(0xa0, 4, (0, 0x1000), (0, 0x3000)));
    assert_eq!(machine.host.p2m().frames(), [0xfe000, 0xfe002]);
    let events = machine.host.take_events();
    let enabled = events.iter().position(|event| *event == Event::Write(COMMAND, Width::Word, 2)).unwrap();
    for hole in [0xfe001, 0xfe003] {
        let made = events.iter().position(|event| *event == Event::Hole(hole)).unwrap();
        assert!(made < enabled, "decoding was on before {hole:#x} was a hole");
    }
}

#[test]
fn a_hole_that_cannot_be_made_leaves_decoding_off() {
    for special in [0xfe001, 0xfe003] {
        let mut machine = Machine::default();
        machine.host.p2m_mut().set_special(special);
        let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(6);
        machine.add(device.with_msix(0xa0, 4, (0, 0x1000), (0, 0x3000)));
        assert!(machine.host.p2m().is_empty());
        assert_eq!(machine.device(0).command(), 0x0004, "the other bits are as they were");
        assert_eq!(machine.state(0).refusals(Refusal::Hole), 1);
        assert_eq!(machine.window(0xfe00_1000), None);
        machine.host.p2m_mut().clear_special(special);
        machine.write(0, COMMAND, 2, 6);
        assert_eq!(machine.host.p2m().frames(), [0xfe000, 0xfe002]);
    }
}

#[test]
fn a_page_that_cannot_be_mapped_leaves_decoding_off() {
    for special in [0xfe000, 0xfe003, 0xfe101, 0x400_0007, 0xfd001] {
        let mut machine = slow(device());
        machine.host.p2m_mut().set_special(special);
        machine.start_write(0, COMMAND, 2, 0x0006);
        while !run(&mut machine, 0, 1) {}
        assert!(machine.host.p2m().is_empty(), "{special:#x}");
        assert_eq!(machine.read(0, COMMAND, 2), 0x0004);
        assert_eq!(machine.state(0).refusals(Refusal::Map), 1);
        machine.host.p2m_mut().clear_special(special);
        machine.write(0, COMMAND, 2, 0x0006);
        assert!(is_mapped(&machine));
        assert_eq!(machine.read(0, COMMAND, 2), 0x0006);
    }
}

#[test]
fn a_rom_that_cannot_be_mapped_leaves_the_bars_alone() {
    let mut machine = slow(device().with_rom(0xfd00_0000, 0x2000).with_command(2));
    machine.host.p2m_mut().set_special(0xfd001);
    machine.write(0, ROM, 4, 0xfd00_0001);
    assert_eq!(machine.read(0, ROM, 4), 0xfd00_0000, "the ROM is not enabled");
    assert_eq!((machine.read(0, COMMAND, 2), machine.host.p2m().len()), (2, 22));
    assert_eq!(machine.state(0).refusals(Refusal::Map), 1);
    // Somewhere else it can.
    machine.write(0, ROM, 4, 0xfc00_0001);
    assert!(machine.host.p2m().has_all(pages(0xfc000, 0xfc001)));
    machine.write(0, COMMAND, 2, 0);
    assert!(machine.host.p2m().is_empty());
}

#[test]
fn bars_at_the_end_of_the_address_space() {
    let mut machine = Machine::default();
    machine.add(Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x1000).with_command(2));
    // One that ends with the address space, and one just below 4 GiB.
    let mut far = Device::endpoint(2, 2).with_bar64(0, 0xffff_ffff_ffff_0000, 0x1_0000);
    far = far.with_bar32(2, 0xfff0_0000, 0x10_0000);
    machine.add(far.with_command(2));
    assert!(machine.host.p2m().has_all(pages(0xf_ffff_ffff_fff0, 0xf_ffff_ffff_ffff)));
    assert!(machine.host.p2m().has_all(pages(0xfff00, 0xfffff)));
    assert_eq!(machine.device(1).command(), 2);
    machine.detach(1);
    machine.detach(0);
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_function_with_nothing_to_map_needs_no_step() {
    let mut machine = Machine::with(Device::endpoint(1, 1).with_io(0, 0xc000, 8));
    assert_eq!(machine.start_write(0, COMMAND, 2, 3), Written::Done);
    assert_eq!(machine.device(0).command(), 3);
}

#[test]
fn a_bar_of_any_size_is_given_up_at_once() {
    // A device may claim 2^63 bytes. What was never mapped is not searched for pages to unmap.
    let mut machine = Machine::default();
    machine.add(Device::endpoint(1, 1).with_bar64(0, 0, 1 << 63));
    machine.write(0, COMMAND, 2, 2);
    assert_eq!(machine.device(0).command() & 2, 0);
    machine.detach(0);
    assert!(machine.host.holds_nothing());
    let (mut mapped, mut unmapped) = (0, 0);
    for event in machine.host.take_events() {
        match event {
            Event::Map(pages) => mapped += pages.count(),
            Event::Unmap(pages) => unmapped += pages.count(),
            _ => {}
        }
    }
    assert_eq!(unmapped, mapped, "frames");
}

#[test]
fn a_function_that_leaves_has_the_command_that_was_asked_for() {
    // A reset is a detach and an attach: it must not lose memory decoding on the way.
    let mut machine = Machine::default();
    machine.host.set_preempt(Preempt::Always);
    let number = machine.plug(device().with_command(7));
    assert_eq!(machine.attach(number), Ok(Written::Pending));
    assert_eq!(machine.device(number).command(), 5, "decoding is off until the BARs are mapped");
    machine.detach(number);
    assert_eq!(machine.device(number).command(), 7);
    assert!(machine.host.holds_nothing());
}
