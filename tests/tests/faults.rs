//! Whatever the host refuses during the life of a device: nothing stays taken, and no device decodes unmapped.

use capabilities::Width;
use tests::device::Device;
use tests::host::{Import, Preempt};
use tests::machine::Machine;
use vpci::{BarKind, Pages, Refusal};

const COMMAND: u16 = 0x04;
const ROM: u16 = 0x30;
const MSI: u16 = 0x50;
const MSIX: u16 = 0xa2;
const TABLE: u64 = 0xfe00_1000;

/// Shares a page with `device`'s second BAR.
fn neighbour() -> Device {
    Device::endpoint(2, 2).with_bar32(0, 0xfe10_0800, 0x800).with_command(2)
}

fn device() -> Device {
    Device::endpoint(1, 1)
        .with_bar32(0, 0xfe00_0000, 0x4000)
        .with_bar32(1, 0xfe10_0000, 0x800)
        .with_bar64(2, 0x40_0000_0000, 0x4000)
        .with_rom(0xfd00_0001, 0x2000)
        .with_msi(0x50, 0x0184)
        .with_msix(0xa0, 4, (0, 0x1000), (0, 0x3000))
        .with_command(6)
}

/// A device that decodes has all its pages, but those that trap.
fn check(machine: &mut Machine, at: &str) {
    for number in 0..2 {
        let command = machine.device(number).command();
        let trapped = machine.function(number, |function, _| function.trapped());
        let rom = machine.device(number).get(ROM, Width::Dword) & 1 != 0;
        if command & 2 == 0 || !machine.is_attached(number) {
            continue;
        }
        for bar in *machine.state(number).bars() {
            let wanted = match bar.kind() {
                BarKind::Memory32 | BarKind::Memory64 => true,
                BarKind::Rom => rom,
                _ => false,
            };
            let (address, size) = bar.host_range();
            let Some(Pages { first, last }) = Pages::spanning(address, size).filter(|_| wanted) else {
                continue;
            };
            for frame in first..=last {
                let traps = trapped.iter().flatten().any(|pages| pages.contains(frame));
                let mapped = machine.host.p2m().get(frame) == Some(frame);
                assert!(mapped != traps, "{at}: frame {frame:#x} of function {number}");
            }
        }
    }
}

fn write_entry(machine: &mut Machine, n: u64, masked: u64) {
    machine.mmio_write(TABLE + 16 * n, 8, 0xfee0_0000);
    machine.mmio_write(TABLE + 16 * n + 8, 8, masked << 32 | (0x40 + n));
}

/// The life of a device, from its attach to its end, in steps.
fn life(machine: &mut Machine, mut after: impl FnMut(&mut Machine, usize)) {
    type Step = fn(&mut Machine);
    let steps: [Step; 21] = [
        |machine| machine.settle_all(),
        |machine| (0..4).for_each(|n| write_entry(machine, n, n & 1)),
        |machine| machine.write(1, MSIX, 2, 0x8000),
        |machine| write_entry(machine, 1, 0),
        |machine| write_entry(machine, 0, 1),
        |machine| write_entry(machine, 0, 0),
        |machine| {
            machine.mmio_read(TABLE + 0x800, 4);
            machine.mmio_read(TABLE + 0x801, 4);
            machine.mmio_read(0xfe00_3000, 8);
        },
        |machine| machine.write(1, MSIX, 2, 0x0000),
        |machine| machine.write(1, MSI + 4, 4, 0xfee0_0000),
        |machine| machine.write(1, MSI + 2, 2, 0x0001),
        |machine| machine.write(1, MSI + 0x0c, 2, 0x0055),
        |machine| machine.write(1, MSI + 2, 2, 0x0021),
        |machine| machine.write(1, MSI + 2, 2, 0x0000),
        |machine| machine.write(1, ROM, 4, 0xfd00_0000),
        |machine| machine.write(1, COMMAND, 2, 0x0004),
        |machine| machine.write(1, ROM, 4, 0xfc00_0000),
        |machine| machine.write(1, COMMAND, 2, 0x0006),
        |machine| machine.write(1, ROM, 4, 0xfc00_0001),
        |machine| machine.write(1, MSIX, 2, 0x8000),
        |machine| {
            // A function-level reset: the hypervisor lets go and takes it again.
            machine.detach(1);
            machine.device(1).set(COMMAND, Width::Word, 0);
            machine.device(1).set(MSIX, Width::Word, 3);
            machine.attach(1).unwrap();
            machine.write(1, COMMAND, 2, 0x0002);
        },
        |machine| {
            write_entry(machine, 3, 0);
            machine.write(1, MSIX, 2, 0x8000);
            machine.write(1, MSI + 4, 4, 0xfee0_0000);
        },
    ];
    for (n, step) in steps.iter().enumerate() {
        step(machine);
        after(machine, n);
    }
}

/// Finishes what is under way, as [`Machine::settle`] does, for both functions.
trait SettleAll {
    fn settle_all(&mut self);
}

impl SettleAll for Machine {
    fn settle_all(&mut self) {
        self.settle(0);
        self.settle(1);
    }
}

/// Both functions are there; nothing is mapped yet.
fn start() -> Machine {
    let mut machine = Machine::default();
    machine.host.set_preempt(Preempt::Always);
    machine.host.p2m_mut().chunk = 2;
    machine.plug(neighbour());
    machine.plug(device());
    machine.attach(0).unwrap();
    machine.attach(1).unwrap();
    machine
}

fn end(machine: &mut Machine, at: &str) {
    machine.detach(1);
    machine.settle_all();
    check(machine, at);
    machine.detach(0);
    assert!(machine.host.pirqs().is_empty(), "{at}: PIRQs are left");
    assert_eq!(machine.host.p2m().frames(), [], "{at}: frames are left");
    assert_eq!(machine.domain_use(), (0, 0), "{at}: the domain knows what has gone");
}

#[test]
fn a_life_without_failure() {
    let mut machine = start();
    let mut bound = 0;
    life(&mut machine, |machine, n| {
        check(machine, &format!("step {n}"));
        bound = bound.max(machine.host.pirqs().bound());
    });
    assert_eq!(bound, 3, "the script uses interrupts");
    for import in Import::ALL {
        assert!(machine.host.calls(import) > 1, "the script does not use {import:?}");
    }
    assert_eq!(machine.state(1).refusal_counts().iter().sum::<u32>(), 0);
    end(&mut machine, "the end");
}

#[test]
fn one_failure_anywhere() {
    for import in Import::ALL {
        let mut failed = 0;
        for n in 0.. {
            let mut machine = start();
            machine.host.fail(import, n);
            life(&mut machine, |machine, step| check(machine, &format!("{import:?} {n}, step {step}")));
            end(&mut machine, &format!("{import:?} {n}"));
            if machine.host.calls(import) <= n {
                break;
            }
            failed += 1;
        }
        assert!(failed > 1, "{import:?} failed {failed} times");
    }
}

#[test]
fn failure_from_any_time_on() {
    // Unmapping aside: what the host never unmaps cannot be given back.
    for import in Import::ALL.into_iter().filter(|import| *import != Import::Unmap) {
        for n in 0.. {
            let mut machine = start();
            machine.host.fail_from(import, n);
            life(&mut machine, |machine, step| check(machine, &format!("{import:?} {n} on, step {step}")));
            end(&mut machine, &format!("{import:?} {n} on"));
            if machine.host.calls(import) <= n {
                break;
            }
        }
    }
}

#[test]
fn a_failure_and_a_second_one_behind_it() {
    for import in Import::ALL {
        for n in 0..20 {
            for gap in 1..4 {
                let mut machine = start();
                machine.host.fail_twice(import, n, n + gap);
                life(&mut machine, |machine, step| {
                    check(machine, &format!("{import:?} {n}, {gap}, step {step}"));
                });
                machine.host.fail_nothing();
                end(&mut machine, &format!("{import:?} {n}, {gap}"));
            }
        }
    }
}

#[test]
fn detach_after_a_failure_at_every_step_of_attach() {
    for import in [Import::Map, Import::MakeHole] {
        for n in 0..12 {
            for steps in 0..30 {
                let mut machine = start();
                machine.host.fail(import, n);
                for _ in 0..steps {
                    machine.step(1);
                }
                end(&mut machine, &format!("{import:?} {n}, {steps} steps"));
            }
        }
    }
}

#[test]
fn a_page_that_was_not_unmapped_is_tried_again() {
    let mut machine =
        Machine::with(Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(2));
    machine.host.p2m_mut().chunk = 1;
    machine.host.fail(Import::Unmap, 1);
    machine.write(0, COMMAND, 2, 0);
    assert_eq!(machine.host.p2m().frames(), [0xfe001]);
    assert_eq!(machine.state(0).refusals(Refusal::Unmap), 1);
    assert_eq!(machine.device(0).command(), 0, "decoding is off all the same");
    machine.write(0, 0x10, 4, 0xfc00_0000);
    assert_eq!(machine.read(0, 0x10, 4), 0xfe00_0000, "a BAR with pages left does not move");
    assert_eq!(machine.state(0).refusals(Refusal::BarMapped), 1);
    machine.write(0, COMMAND, 2, 2);
    assert!(machine.host.p2m().has_all(Pages { first: 0xfe000, last: 0xfe003 }));
    machine.write(0, COMMAND, 2, 0);
    assert!(machine.host.p2m().is_empty());
    machine.write(0, 0x10, 4, 0xfc00_0000);
    assert_eq!(machine.read(0, 0x10, 4), 0xfc00_0000);
}

#[test]
fn a_rom_that_was_not_unmapped_stays_where_it_is() {
    let mut machine = Machine::with(Device::endpoint(1, 1).with_rom(0xfd00_0001, 0x1000).with_command(2));
    machine.host.fail(Import::Unmap, 0);
    machine.write(0, ROM, 4, 0xfc00_0000);
    assert_eq!(machine.read(0, ROM, 4), 0xfd00_0000, "disabled, not moved");
    assert_eq!(machine.host.p2m().frames(), [0xfd000]);
    assert_eq!(machine.state(0).refusals(Refusal::RomMapped), 1);
    machine.host.fail_nothing();
    machine.write(0, ROM, 4, 0xfc00_0000);
    assert_eq!(machine.read(0, ROM, 4), 0xfc00_0000);
    assert!(machine.host.p2m().is_empty());
    machine.write(0, ROM, 4, 0xfc00_0001);
    assert_eq!(machine.host.p2m().frames(), [0xfc000]);
    // The same with decoding off.
    machine.host.fail(Import::Unmap, 0);
    machine.write(0, COMMAND, 2, 0);
    machine.host.fail_nothing();
    assert_eq!(machine.host.p2m().frames(), [0xfc000]);
    machine.write(0, ROM, 4, 0xfb00_0000);
    assert_eq!((machine.read(0, ROM, 4), machine.host.p2m().len()), (0xfb00_0000, 0));
}

#[test]
fn detach_tries_once_more() {
    for n in 0..4 {
        let mut machine =
            Machine::with(Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(2));
        machine.host.p2m_mut().chunk = 1;
        machine.host.fail(Import::Unmap, n);
        machine.detach(0);
        assert!(machine.host.holds_nothing(), "unmap {n}");
    }
    // What the host never gives is not waited for.
    let mut machine =
        Machine::with(Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(2));
    machine.host.fail_from(Import::Unmap, 0);
    machine.detach(0);
    assert!(!machine.function(0, |function, _| function.is_pending()));
}
