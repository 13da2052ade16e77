//! Whatever the host refuses during the life of a guest's device: nothing stays taken, and the guest reads what is so.

use tests::guest::{self, COMMAND, Guest, ROM};
use tests::host::{Import, Preempt};
use tests::machine::Machine;
use vpci::{AttachError, BarKind, GuestInfo, Info, Pages, Refusal, View, Written};

/// Gives the function to a guest as a toolstack does, which takes it away again where it cannot be placed.
fn give(guest: &mut Guest) {
    let info = GuestInfo { bars: guest::BARS, ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest: info, ..Info::hardware(guest.machine.sbdf(0)) };
    assert_eq!(guest.machine.attach_as(0, &info), Ok(Written::Done));
    match guest.machine.check_placement(0) {
        Ok(()) => {}
        Err(AttachError::Placement) => guest.machine.detach(0),
        Err(error) => panic!("{error:?}"),
    }
}

fn write_guest_entry(guest: &mut Guest, entry: u64, masked: u64) {
    guest.machine.mmio_write(guest::TABLE + 16 * entry, 8, 0xfee0_0000);
    guest.machine.mmio_write(guest::TABLE + 16 * entry + 8, 8, masked << 32 | (0x40 + entry));
}

/// A guest's life with its device, and a second one after a reset.
fn guest_life(guest: &mut Guest, mut after: impl FnMut(&mut Guest, usize)) {
    type Step = fn(&mut Guest);
    let once: [Step; 17] = [
        |guest| guest.write(COMMAND, 2, 0x0007),
        |guest| (0..4).for_each(|n| write_guest_entry(guest, n, n & 1)),
        |guest| guest.write(guest::MSIX + 2, 2, 0x8000),
        |guest| (0..4).for_each(|n| write_guest_entry(guest, n, (n + 1) & 1)),
        |guest| {
            for (offset, bytes) in [(0x800, 4), (0x801, 4), (0x2000, 8)] {
                guest.machine.mmio_read(guest::TABLE + offset, bytes);
            }
        },
        |guest| guest.write(ROM, 4, 0xe200_0001),
        |guest| guest.write(ROM, 4, 0xe200_0000),
        |guest| guest.write(COMMAND, 2, 0x0004),
        |guest| guest.write(ROM, 4, 0xe200_0001),
        |guest| guest.write(COMMAND, 2, 0x0006),
        |guest| guest.write(guest::MSIX + 2, 2, 0x0000),
        |guest| guest.write(guest::MSI + 4, 4, 0xfee0_0000),
        |guest| guest.write(guest::MSI + 2, 2, 0x0021),
        |guest| guest.write(guest::MSI + 12, 2, 0x0055),
        |guest| guest.write(guest::MSI + 2, 2, 0x0001),
        |guest| {
            // Two things at once: decoding goes off while the ROM comes.
            guest.machine.start_write(0, COMMAND, 2, 0x0004);
            guest.machine.step(0);
            guest.machine.start_write(0, ROM, 4, 0xe200_0000);
            guest.machine.start_write(0, COMMAND, 2, 0x0006);
            guest.machine.settle(0);
        },
        |guest| {
            guest.write(guest::MSIX + 2, 2, 0x8000);
            guest.machine.detach(0);
            give(guest);
        },
    ];
    for (n, step) in once.iter().chain(&once).enumerate() {
        if guest.machine.is_attached(0) {
            step(guest);
        }
        after(guest, n);
    }
}

fn start_guest() -> Guest {
    let mut guest = Guest { machine: Machine::default() };
    guest.machine.host.set_preempt(Preempt::Always);
    guest.machine.host.p2m_mut().chunk = 2;
    guest.machine.plug(guest::everything());
    guest
}

/// A guest that reads decoding as on has all of its pages, but those that trap; one that reads it as off has none, but
/// those that the host did not unmap.
fn check_guest(guest: &mut Guest, unmaps: bool, at: &str) {
    if !guest.machine.is_attached(0) {
        assert!(guest.machine.host.holds_nothing() || !unmaps, "{at}: something is left");
        return;
    }
    let command = guest.device().command();
    assert_eq!(command & 0x0403, 0x0403, "{at}: the device decodes, and has no INTx");
    let on = guest.read(COMMAND, 2) & 2 != 0;
    let rom = guest.read(ROM, 4) & 1 != 0;
    let trapped = guest.machine.function(0, |function, _| function.trapped());
    let mut expected = 0;
    for bar in *guest.machine.state(0).bars() {
        let (host, size) = bar.host_range();
        let memory = matches!(bar.kind(), BarKind::Memory32 | BarKind::Memory64);
        let wanted = on && (memory || bar.kind() == BarKind::Rom && rom);
        let Some(pages) = bar.guest_address().and_then(|address| Pages::spanning(address, size)) else {
            continue;
        };
        for frame in (pages.first..=pages.last).filter(|_| wanted) {
            let traps = trapped.iter().flatten().any(|pages| pages.contains(frame));
            let mapped = guest.machine.host.p2m().get(frame);
            assert_eq!(
                mapped,
                (!traps).then_some(frame - pages.first + (host >> 12)),
                "{at}: frame {frame:#x}"
            );
            expected += usize::from(!traps);
        }
    }
    let mapped = guest.machine.host.p2m().len();
    assert!(mapped == expected || mapped > expected && !unmaps, "{at}: {mapped} pages, not {expected}");
}

/// Takes the device away, the host still failing. But MSI-X Control, if it is not to be written, stays as it is.
fn end_guest(guest: Guest, import: Import) {
    if import == Import::FilterMsixControl {
        guest.machine.host.fail_nothing();
    }
    guest.end();
}

#[test]
fn a_guests_life_without_failure() {
    let mut guest = start_guest();
    guest.machine.host.fail(Import::Map, u32::MAX);
    give(&mut guest);
    let mut bound = 0;
    guest_life(&mut guest, |guest, n| {
        check_guest(guest, true, &format!("step {n}"));
        bound = bound.max(guest.machine.host.pirqs().bound());
    });
    assert!(bound >= 2, "the script uses interrupts");
    for import in Import::GUEST {
        assert!(guest.machine.host.calls(import) > 1, "the script does not use {import:?}");
    }
    guest.end();
}

#[test]
fn a_guest_and_one_failure_anywhere() {
    for import in Import::GUEST {
        let mut failed = 0;
        for n in 0.. {
            let mut guest = start_guest();
            guest.machine.host.fail(import, n);
            give(&mut guest);
            let unmaps = import != Import::Unmap;
            guest_life(&mut guest, |guest, step| {
                check_guest(guest, unmaps, &format!("{import:?} {n}, step {step}"));
            });
            let last = guest.machine.host.calls(import) <= n;
            end_guest(guest, import);
            if last {
                break;
            }
            failed += 1;
        }
        assert!(failed > 1, "{import:?} failed {failed} times");
    }
}

#[test]
fn a_guest_and_failure_from_any_time_on() {
    for import in Import::GUEST.into_iter().filter(|import| *import != Import::Unmap) {
        for n in 0.. {
            let mut guest = start_guest();
            guest.machine.host.fail_from(import, n);
            give(&mut guest);
            guest_life(&mut guest, |guest, step| {
                check_guest(guest, true, &format!("{import:?} {n} on, step {step}"));
            });
            let last = guest.machine.host.calls(import) <= n;
            end_guest(guest, import);
            if last {
                break;
            }
        }
    }
}

#[test]
fn a_guest_that_ends_at_any_step_after_a_failure() {
    for import in Import::GUEST {
        for n in 0..8 {
            for steps in 0..12 {
                let mut guest = start_guest();
                give(&mut guest);
                guest.machine.host.fail(import, n);
                guest.machine.start_write(0, COMMAND, 2, 7);
                for _ in 0..steps {
                    guest.machine.step(0);
                }
                write_guest_entry(&mut guest, 0, 0);
                guest.write(guest::MSIX + 2, 2, 0x8000);
                end_guest(guest, import);
            }
        }
    }
}

#[test]
fn a_guests_failures_are_counted_by_their_reason() {
    for (import, reason, off) in [
        (Import::MayPlace, Refusal::Placement, true),
        (Import::Map, Refusal::Map, true),
        (Import::MakeHole, Refusal::Hole, true),
        (Import::MapMsix, Refusal::Interrupt, false),
        (Import::Bind, Refusal::Interrupt, false),
        (Import::MapMsi, Refusal::Interrupt, false),
        (Import::MmioRead, Refusal::MsixAccess, false),
        (Import::Unmap, Refusal::Unmap, true),
    ] {
        let mut guest = start_guest();
        give(&mut guest);
        guest.machine.host.fail(import, 0);
        guest.write(COMMAND, 2, 2);
        write_guest_entry(&mut guest, 0, 0);
        guest.write(guest::MSIX + 2, 2, 0x8003);
        guest.write(guest::MSI + 4, 4, 0xfee0_0000);
        guest.write(guest::MSI + 2, 2, 0x0185);
        guest.machine.mmio_read(guest::PBA, 4);
        if import == Import::Unmap {
            guest.write(COMMAND, 2, 0);
        }
        assert_eq!(guest.read(COMMAND, 2), if off { 0 } else { 2 }, "{import:?}");
        assert_eq!(guest.refusals(reason), 1, "{import:?}");
        assert_eq!(guest.machine.state(0).refusal_counts().iter().sum::<u32>(), 1, "{import:?}");
        guest.end();
    }
}
