//! A guest's function is reset: what starts it, what the guest sees meanwhile, and what it finds afterwards.

use std::cell::RefCell;

use capabilities::{Sbdf, Width};
use quirks::reset::{
    GUEST_INTERVAL, Limiter, Member, Next, Outcome, Platform, Region, Reset, Scope, Snapshot, Subject, Time,
};
use quirks::{Method, Quirks};
use tests::guest::{ADVANCED, BAR0, COMMAND, EXPRESS, Guest, MSI, MSIX, PM, TABLE};
use tests::host::{Event, Import, Preempt};
use tests::machine::Machine;
use vpci::{AttachError, GuestInfo, Host, Info, Locked, Progress, Refusal, View, Written};
use zerocopy::FromZeros;

const DEVCTL: u16 = EXPRESS + 8;

fn resettable() -> Guest {
    let mut guest = Guest::default();
    guest.machine.function(0, |function, _| function.set_resettable(true));
    guest
}

/// Everything that the guest reads.
fn view(guest: &mut Guest) -> Vec<u32> {
    (0..0x1000).step_by(4).map(|offset| guest.read(offset, 4)).collect()
}

/// Uses all that a guest can use.
fn work(guest: &mut Guest) {
    guest.write(COMMAND, 2, 6);
    guest.write(MSI + 4, 4, 0xfee0_0000);
    guest.write(MSI + 12, 2, 0x41);
    guest.write(MSI + 2, 2, 0x0021);
    guest.machine.mmio_write(TABLE, 8, 0xfee0_0000);
    guest.machine.mmio_write(TABLE + 8, 8, 0x42);
    guest.write(MSIX + 2, 2, 0x8000);
    guest.write(DEVCTL, 2, 0x2810);
    assert!(!guest.machine.host.p2m().frames().is_empty());
    assert_eq!(guest.machine.host.pirqs().len(), 2, "of MSI and of MSI-X");
}

/// Withdraws the function; in how many calls.
fn withdraw(guest: &mut Guest) -> u32 {
    for calls in 1..1000 {
        if guest.machine.withdraw(0) == Progress::Done {
            return calls;
        }
    }
    panic!("it does not end");
}

fn reattach(guest: &mut Guest) -> Written {
    let sbdf = guest.machine.sbdf(0);
    let mut info = Info { view: View::Guest, guest: GuestInfo::NONE, ..Info::hardware(sbdf) };
    guest.machine.function(0, |function, host| function.reattach(host, &mut info)).expect("it comes back")
}

#[test]
fn bits_that_reset_the_function_ask_for_it_and_do_nothing_else() {
    let mut guest = resettable();
    guest.machine.host.take_events();
    for (offset, bytes, value) in
        [(DEVCTL, 2, 0x8000), (DEVCTL + 1, 1, 0x80), (DEVCTL, 4, 0x8000), (ADVANCED + 4, 1, 1)]
    {
        assert_eq!(guest.machine.start_write(0, offset, bytes, value), Written::Reset);
    }
    assert_eq!(guest.read(DEVCTL, 2) & 0x8000, 0);
    assert_eq!(guest.refusals(Refusal::Reset), 0);
    let wrote = |event: &Event| matches!(event, Event::Write(..));
    assert!(!guest.machine.host.take_events().iter().any(wrote), "the device was written to");
    // Bits beside them are no resets.
    assert_eq!(guest.machine.start_write(0, DEVCTL, 1, 0xff), Written::Done);
    assert_eq!(guest.machine.start_write(0, ADVANCED + 5, 1, 1), Written::Done);
    // `No_Soft_Reset` is shown, so D3hot and back is none.
    assert_eq!(guest.read(PM + 4, 2) & 8, 8);
    assert_eq!(guest.machine.start_write(0, PM + 4, 2, 3), Written::Done);
    assert_eq!(guest.machine.start_write(0, PM + 4, 2, 0), Written::Done);
}

#[test]
fn a_withdrawn_function_is_not_ready_and_holds_nothing() {
    for preempt in [Preempt::Never, Preempt::Always] {
        let mut guest = resettable();
        work(&mut guest);
        guest.machine.host.set_preempt(preempt);
        guest.machine.host.take_events();
        let calls = withdraw(&mut guest);
        assert_eq!(calls > 1, preempt == Preempt::Always, "{calls} calls");
        assert!(guest.machine.host.pirqs().is_empty());
        assert!(guest.machine.host.p2m().frames().is_empty());
        let touches = |event: &Event| !matches!(event, Event::Unmap(_));
        assert!(!guest.machine.host.take_events().iter().any(touches), "the device was accessed");
        assert_eq!(view(&mut guest), [u32::MAX; 0x400]);
        assert_eq!((guest.read(3, 1), guest.read(6, 2)), (0xff, 0xffff));
        for (offset, bytes, value) in [(COMMAND, 2, 6), (MSIX + 2, 2, 0x8000), (DEVCTL, 2, 0x8000)] {
            assert_eq!(guest.machine.start_write(0, offset, bytes, value), Written::Done);
        }
        guest.machine.function(0, |function, host| {
            assert_eq!(function.mmio_read(host, &(), TABLE, 4), 0xffff_ffff);
            function.mmio_write(host, &(), TABLE + 12, 4, 0, Locked::Shared);
        });
        assert!(guest.machine.host.take_events().is_empty(), "the device was accessed");
        assert!(guest.machine.host.pirqs().is_empty());
    }
}

#[test]
fn pages_that_cannot_be_unmapped_are_tried_again() {
    let mut guest = resettable();
    work(&mut guest);
    guest.machine.host.fail_from(Import::Unmap, 0);
    for _ in 0..5 {
        assert_eq!(guest.machine.withdraw(0), Progress::Again);
    }
    assert!(!guest.machine.host.p2m().frames().is_empty());
    guest.machine.host.fail_nothing();
    withdraw(&mut guest);
    assert!(guest.machine.host.p2m().frames().is_empty());
}

#[test]
fn a_function_comes_back_as_it_was_given() {
    let mut guest = resettable();
    let first = view(&mut guest);
    work(&mut guest);
    guest.write(0x100 + 4, 4, u32::MAX);
    let refusals = *guest.machine.state(0).refusal_counts();
    withdraw(&mut guest);
    // The reset: COMMAND is as the engine leaves it.
    guest.device().set(COMMAND, Width::Word, 0x0543);
    assert_eq!(reattach(&mut guest), Written::Done);
    assert_eq!(view(&mut guest), first);
    assert_eq!(*guest.machine.state(0).refusal_counts(), refusals);
    assert_eq!(guest.device().command() & 4, 0);
    // And works.
    guest.write(COMMAND, 2, 6);
    assert!(guest.machine.host.p2m().get(BAR0 >> 12).is_some());
    assert_eq!(guest.device().command() & 4, 4);
    assert_eq!(guest.machine.start_write(0, DEVCTL, 2, 0x8000), Written::Reset);
    guest.end();
}

#[test]
fn a_function_that_cannot_be_given_back_can_be_later() {
    let mut guest = resettable();
    let first = view(&mut guest);
    work(&mut guest);
    withdraw(&mut guest);
    // It does not look like a function for now.
    let header_type = guest.device().get(0x0e, Width::Byte);
    guest.device().set(0x0e, Width::Byte, 0x7f);
    let mut info = Info { view: View::Guest, ..Info::hardware(guest.machine.sbdf(0)) };
    let refused = guest.machine.function(0, |function, host| function.reattach(host, &mut info));
    assert_eq!(refused, Err(AttachError::Unsupported));
    assert_eq!(view(&mut guest), [u32::MAX; 0x400]);
    assert_eq!(withdraw(&mut guest), 1);
    guest.device().set(0x0e, Width::Byte, header_type);
    assert_eq!(reattach(&mut guest), Written::Done);
    assert_eq!(view(&mut guest), first, "its BARs are where they were");
    guest.write(COMMAND, 2, 6);
    assert!(guest.machine.host.p2m().get(BAR0 >> 12).is_some());
    guest.end();
}

#[test]
fn a_guest_that_ends_while_its_function_is_away_does_not_touch_the_device() {
    let mut guest = resettable();
    work(&mut guest);
    guest.machine.withdraw(0);
    guest.machine.host.take_events();
    guest.machine.detach(0);
    let touches = |event: &Event| !matches!(event, Event::Unmap(_));
    assert!(!guest.machine.host.take_events().iter().any(touches), "the device was accessed");
    assert!(guest.machine.host.holds_nothing());
}

#[test]
fn the_hardware_domains_function_is_withdrawn_likewise() {
    let device =
        tests::device::Device::endpoint(0x1af4, 0x1041).with_command(6).with_bar32(0, 0xf000_0000, 0x4000);
    let mut machine = tests::machine::Machine::with(device);
    assert!(!machine.host.p2m().frames().is_empty());
    machine.host.take_events();
    while machine.withdraw(0) == Progress::Again {}
    assert!(machine.host.p2m().frames().is_empty());
    assert_eq!((machine.read(0, 0, 4), machine.read(0, 0x80, 4)), (u32::MAX, u32::MAX));
    machine.write(0, 4, 2, 6);
    let touches = |event: &Event| !matches!(event, Event::Unmap(_));
    assert!(!machine.host.take_events().iter().any(touches), "the device was accessed");
    let mut info = Info::hardware(machine.sbdf(0));
    let written = machine.function(0, |function, host| function.reattach(host, &mut info));
    assert_eq!(written, Ok(Written::Pending));
    machine.settle(0);
    assert_eq!(machine.read(0, 0, 4), 0x1041_1af4);
    assert_eq!(machine.host.p2m().frames().len(), 4);
}

/// The hypervisor around a machine with one function: what the engine asks for, done by the function.
struct Around<'m>(RefCell<&'m mut Machine>);

impl Platform for Around<'_> {
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        self.0.borrow().host.config_read(sbdf, offset, width)
    }

    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        self.0.borrow().host.config_write(sbdf, offset, width, value);
    }

    fn memory_read(&self, _: Sbdf, _: u64) -> u32 {
        u32::MAX
    }

    fn memory_write(&self, _: Sbdf, _: u64, _: u32) {}

    fn withdraw(&self, _: Sbdf) -> Progress {
        self.0.borrow_mut().withdraw(0)
    }

    fn claim(&self, scope: Scope<'_>) -> bool {
        matches!(scope, Scope::Function(_))
    }

    fn release(&self, _: Scope<'_>) {}
}

#[test]
fn a_guest_has_its_function_reset() {
    let mut guest = Guest::default();
    let sbdf = guest.machine.sbdf(0);
    let mut snapshot = Box::new(Snapshot::new_zeroed());
    let subject = Subject { sbdf, virtual_function: false, bars: [Region::default(); 6] };
    let around = Around(RefCell::new(&mut guest.machine));
    // The device as the hardware domain left it: no virtual functions, no errors, and MSI-X as large as it is, though all
    // bits of this device can be written.
    for (offset, width, value) in [
        (0x4c8, Width::Word, 0),
        (0x104, Width::Dword, u32::MAX),
        (0x110, Width::Dword, u32::MAX),
        (MSIX + 2, Width::Word, 3),
    ] {
        around.config_write(sbdf, offset, width, value);
    }
    snapshot.take(&around, &subject, &Quirks::NONE).expect("a snapshot");
    guest.machine.function(0, |function, _| function.set_resettable(true));
    let first = view(&mut guest);
    let mut limiter = Limiter::default();
    let mut now = Time(5_000_000);
    for round in 0..3 {
        work(&mut guest);
        assert_eq!(guest.machine.start_write(0, DEVCTL, 2, 0x8000), Written::Reset);
        guest.machine.host.take_events();
        let asked = now;
        let around = Around(RefCell::new(&mut guest.machine));
        let members = [Member { snapshot: &snapshot, quirks: &Quirks::NONE }];
        let mut reset = Reset::new(limiter.request(None, now));
        let outcome = loop {
            match reset.step(&around, &members, now) {
                Next::Again => {}
                Next::At(at) => now = at,
                Next::Done(outcome) => break outcome,
            }
        };
        limiter.ended(now);
        assert_eq!(outcome, Outcome::Ready(Method::Flr));
        // The first one at once, the others not before it is time; and 800 ms for a device that says that it has
        // requests under way for ever, 100 ms of them after the reset.
        let wait = if round == 0 { 0 } else { GUEST_INTERVAL };
        assert_eq!(now.0 - asked.0, wait + 800_000);
        let resets =
            |event: &&Event| matches!(event, Event::Write(DEVCTL, Width::Word, value) if value & 0x8000 != 0);
        assert_eq!(guest.machine.host.take_events().iter().filter(resets).count(), 1);
        assert_eq!(reattach(&mut guest), Written::Done);
        assert_eq!(view(&mut guest), first);
    }
    guest.end();
}
