//! A guest's function is reset: what starts it, what the guest sees meanwhile, and what it finds afterwards.

use std::cell::RefCell;

use capabilities::{Sbdf, Width};
use quirks::reset::{
    GUEST_INTERVAL, Limiter, Member, Next, Outcome, Platform, Region, Request, Reset, Scope, Snapshot,
    Subject, Time,
};
use quirks::{Method, Quirks};
use tests::guest::{
    ADVANCED, BAR0, BARS, COMMAND, EXPRESS, GAP, Guest, MSI, MSIX, PBA, PM, ROM, TABLE, everything,
};
use tests::host::{Event, Import, Preempt};
use tests::machine::Machine;
use vpci::{AttachError, GuestInfo, Host, Info, Locked, Progress, Refusal, View, Written};
use zerocopy::FromZeros;

const DEVCTL: u16 = EXPRESS + 8;

fn resettable() -> Guest {
    let info = GuestInfo { bars: BARS, resettable: true, ..GuestInfo::NONE };
    Guest::given(everything(), info).expect("it can be given")
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

/// The function reads all ones at every width, behind its windows too, and what is written is dropped, a wish for another
/// reset included.
fn is_away(guest: &mut Guest) {
    for bytes in [1u16, 2, 4] {
        let ones = u32::MAX >> (32 - 8 * u32::from(bytes));
        for offset in (0..0x1000).step_by(usize::from(bytes)) {
            assert_eq!(guest.read(offset, u32::from(bytes)), ones, "{offset:#x}, {bytes} bytes");
            for value in [0, ones] {
                let written = guest.machine.start_write(0, offset, u32::from(bytes), value);
                assert_eq!(written, Written::Done, "{value:#x} to {offset:#x}");
            }
        }
    }
    guest.machine.function(0, |function, host| {
        for bytes in [1u8, 2, 4, 8] {
            let ones = u64::MAX >> (64 - 8 * u32::from(bytes));
            for address in [TABLE, TABLE + 0x38, TABLE + 0x40, PBA, PBA + 8] {
                assert_eq!(
                    function.mmio_read(host, &(), address, bytes),
                    ones,
                    "{address:#x}, {bytes} bytes"
                );
                function.mmio_write(host, &(), address, bytes, 0, Locked::Shared);
            }
        }
    });
}

fn reattach(guest: &mut Guest) -> Written {
    let sbdf = guest.machine.sbdf(0);
    let mut info = Info { view: View::Guest, guest: GuestInfo::NONE, ..Info::hardware(sbdf) };
    guest.machine.function(0, |function, host| function.reattach(host, &mut info)).expect("it comes back")
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
        let counts = *guest.machine.state(0).refusal_counts();
        is_away(&mut guest);
        assert!(guest.machine.host.take_events().is_empty(), "the device was accessed");
        assert!(guest.machine.host.pirqs().is_empty());
        assert_eq!(*guest.machine.state(0).refusal_counts(), counts, "waiting is nothing to count");
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
    guest.write(GAP.start, 4, 0x1234);
    let refusals = *guest.machine.state(0).refusal_counts();
    let audit = guest.machine.state(0).audit(0);
    assert!(audit.is_some_and(|record| record.offset == GAP.start));
    withdraw(&mut guest);
    // The reset: COMMAND is as the engine leaves it.
    guest.device().set(COMMAND, Width::Word, 0x0543);
    assert_eq!(reattach(&mut guest), Written::Done);
    assert_eq!(view(&mut guest), first);
    let state = guest.machine.state(0);
    assert_eq!((*state.refusal_counts(), state.audit(0)), (refusals, audit), "what was refused is known");
    // Neither decoding nor mastering, and no interrupt is on, its vectors masked.
    assert_eq!(guest.read(COMMAND, 2), 0);
    assert_eq!(guest.device().command() & 0x404, 0x400);
    assert!(guest.machine.host.p2m().frames().is_empty() && guest.machine.host.pirqs().is_empty());
    assert_eq!((guest.read(MSI + 2, 2) & 0x71, guest.read(MSIX + 2, 2) & 0xc000), (0, 0));
    let entry = guest.machine.function(0, |function, host| function.mmio_read(host, &(), TABLE + 8, 8));
    assert_eq!(entry, 1 << 32, "data 0, masked");
    // And works.
    guest.write(COMMAND, 2, 6);
    assert!(guest.machine.host.p2m().get(BAR0 >> 12).is_some());
    assert_eq!(guest.device().command() & 4, 4);
    assert_eq!(guest.machine.start_write(0, DEVCTL, 2, 0x8000), Written::Reset);
    guest.end();
}

/// The BARs as the guest reads them, and what stays of an attempt to move each.
fn bars(guest: &mut Guest) -> [(u32, u32); 7] {
    [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, ROM].map(|offset| {
        let before = guest.read(offset, 4);
        guest.write(offset, 4, 0xd000_0000);
        let after = guest.read(offset, 4);
        guest.write(offset, 4, before);
        (before, after)
    })
}

#[test]
fn bars_are_where_they_were_and_cannot_be_moved_now_either() {
    for by_firmware in [false, true] {
        let info = if by_firmware {
            GuestInfo { by_firmware, resettable: true, ..GuestInfo::NONE }
        } else {
            GuestInfo { bars: BARS, resettable: true, ..GuestInfo::NONE }
        };
        let mut guest = Guest::given(everything(), info).expect("it can be given");
        if by_firmware {
            for (offset, value) in [(0x10, 0xe000_0000), (0x20, 0xe100_0000)] {
                guest.write(offset, 4, value);
            }
        }
        work(&mut guest);
        guest.write(COMMAND, 2, 0);
        let before = bars(&mut guest);
        let moved = guest.refusals(Refusal::BarMoved);
        assert_ne!(moved, 0, "they were locked");
        withdraw(&mut guest);
        assert_eq!(reattach(&mut guest), Written::Done);
        assert_eq!(bars(&mut guest), before);
        assert_eq!(guest.refusals(Refusal::BarMoved), 2 * moved);
        guest.write(COMMAND, 2, 6);
        assert!(guest.machine.host.p2m().get(BAR0 >> 12).is_some());
        guest.end();
    }
}

#[test]
fn a_function_that_firmware_has_not_placed_can_be_placed_after_a_reset() {
    let info = GuestInfo { by_firmware: true, resettable: true, ..GuestInfo::NONE };
    let mut guest = Guest::given(everything(), info).expect("it can be given");
    guest.write(0x10, 4, 0xd000_0000);
    withdraw(&mut guest);
    assert_eq!(reattach(&mut guest), Written::Done);
    assert_eq!(guest.read(0x10, 4), 0xd000_0000);
    guest.write(0x10, 4, 0xe000_0000);
    assert_eq!(guest.read(0x10, 4), 0xe000_0000);
    work(&mut guest);
    guest.end();
}

#[test]
fn whether_it_can_be_reset_is_settled_when_it_is_given() {
    for resettable in [false, true] {
        let info = GuestInfo { bars: BARS, resettable, ..GuestInfo::NONE };
        let mut guest = Guest::given(everything(), info).expect("it can be given");
        let shown = guest.read(EXPRESS + 4, 4) >> 28 & 1;
        assert_eq!(shown, u32::from(resettable));
        withdraw(&mut guest);
        // As one who gives it back without knowing has it.
        let other = GuestInfo { resettable: !resettable, ..GuestInfo::NONE };
        let mut info = Info { view: View::Guest, guest: other, ..Info::hardware(guest.machine.sbdf(0)) };
        let written = guest.machine.function(0, |function, host| function.reattach(host, &mut info));
        assert_eq!(written, Ok(Written::Done));
        assert_eq!(guest.read(EXPRESS + 4, 4) >> 28 & 1, shown);
        let written = guest.machine.start_write(0, ADVANCED + 4, 1, 1);
        assert_eq!(written == Written::Reset, resettable);
    }
}

#[test]
fn another_function_of_the_guest_works_meanwhile() {
    let mut guest = resettable();
    let device = tests::device::Device::endpoint(0x8086, 0x1522)
        .with_bar32(0, 0xfe40_0000, 0x4000)
        .with_msix(0x68, 4, (0, 0x1000), (0, 0x3000));
    let mut placed = [None; 7];
    placed[0] = Some(0xe300_0000);
    let other = guest.machine.give(device, placed);
    work(&mut guest);
    guest.machine.write(other, COMMAND, 2, 6);
    guest.machine.host.set_preempt(Preempt::Always);
    let mut steps = 0;
    while guest.machine.withdraw(0) == Progress::Again {
        steps += 1;
        // One that is half out of the p2m is away already, and nothing of the other goes with it.
        assert_eq!(guest.read(0, 4), u32::MAX);
        assert_eq!(guest.machine.read(other, 0, 4), 0x1522_8086);
        assert!(guest.machine.host.p2m().get(0xe_3000).is_some());
    }
    assert!(steps > 0);
    guest.machine.write(other, MSIX + 2, 2, 0x8000);
    assert!(guest.machine.mmio_write(0xe300_1000, 8, 0xfee0_0000));
    guest.machine.write(other, COMMAND, 2, 0);
    assert!(guest.machine.host.p2m().get(0xe_3000).is_none());
    guest.machine.write(other, COMMAND, 2, 6);
    assert!(guest.machine.host.p2m().get(0xe_3000).is_some());
    assert_eq!(reattach(&mut guest), Written::Done);
    assert_eq!(guest.machine.read(other, COMMAND, 2), 6);
    guest.write(COMMAND, 2, 6);
    guest.machine.detach(other);
    guest.end();
}

/// Fails to give it back.
fn stays_away(guest: &mut Guest, error: AttachError) {
    let mut info = Info { view: View::Guest, ..Info::hardware(guest.machine.sbdf(0)) };
    let refused = guest.machine.function(0, |function, host| function.reattach(host, &mut info));
    assert_eq!(refused, Err(error));
    assert_eq!(view(guest), [u32::MAX; 0x400]);
    assert_eq!(withdraw(guest), 1);
}

#[test]
fn a_function_that_cannot_be_given_back_can_be_later() {
    for by_firmware in [false, true] {
        let places = if by_firmware { GuestInfo::NONE.bars } else { BARS };
        let info = GuestInfo { bars: places, by_firmware, resettable: true, ..GuestInfo::NONE };
        let mut guest = Guest::given(everything(), info).expect("it can be given");
        if by_firmware {
            guest.write(0x10, 4, 0xe000_0000);
        }
        let (first, places) = (view(&mut guest), bars(&mut guest));
        withdraw(&mut guest);
        // The size of its table cannot be written in truth.
        guest.device().set(MSIX + 2, Width::Word, 3);
        // It does not look like a function for now.
        let header_type = guest.device().get(0x0e, Width::Byte);
        guest.device().set(0x0e, Width::Byte, 0x7f);
        stays_away(&mut guest, AttachError::Unsupported);
        guest.device().set(0x0e, Width::Byte, header_type);
        // It has more capabilities than there is room for, which shows when most of them are taken.
        guest.machine.set_registers(0, 40);
        stays_away(&mut guest, AttachError::Full);
        guest.machine.set_registers(0, 1024);
        assert_eq!(reattach(&mut guest), Written::Done);
        assert_eq!(view(&mut guest), first);
        assert_eq!(bars(&mut guest), places, "its BARs move if they did");
        work(&mut guest);
        guest.end();
    }
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

/// What the engine knows of the function. The device is as the hardware domain left it: no virtual functions, no errors,
/// no requests under way, and MSI-X as large as it is, though all bits of this device can be written.
fn known(guest: &mut Guest) -> Box<Snapshot> {
    let sbdf = guest.machine.sbdf(0);
    let mut snapshot = Box::new(Snapshot::new_zeroed());
    let subject = Subject { sbdf, virtual_function: false, bars: [Region::default(); 6] };
    let around = Around(RefCell::new(&mut guest.machine));
    for (offset, width, value) in [
        (0x4c8, Width::Word, 0),
        (0x104, Width::Dword, u32::MAX),
        (0x110, Width::Dword, u32::MAX),
        (MSIX + 2, Width::Word, 3),
        (DEVCTL + 2, Width::Word, 0),
        (ADVANCED + 5, Width::Byte, 0),
    ] {
        around.config_write(sbdf, offset, width, value);
    }
    snapshot.take(&around, &subject, &Quirks::NONE).expect("a snapshot");
    snapshot
}

/// How often the device got Initiate FLR since the last look.
fn initiated(guest: &Guest) -> usize {
    let resets = |event: &&Event| match **event {
        Event::Write(DEVCTL, Width::Word, value) => value & 0x8000 != 0,
        Event::Write(at, Width::Byte, value) => at == ADVANCED + 4 && value & 1 != 0,
        _ => false,
    };
    guest.machine.host.take_events().iter().filter(resets).count()
}

/// Runs a reset that is asked for at `now`. How it ends, and when.
fn reset(guest: &mut Guest, snapshot: &Snapshot, request: Request, mut now: Time) -> (Outcome, Time) {
    let around = Around(RefCell::new(&mut guest.machine));
    let members = [Member { snapshot, quirks: &Quirks::NONE }];
    let mut reset = Reset::new(request);
    loop {
        match reset.step(&around, &members, now) {
            Next::Again => {}
            Next::At(at) => now = at,
            Next::Done(outcome) => return (outcome, now),
        }
    }
}

#[test]
fn a_guest_has_its_function_reset() {
    let mut guest = resettable();
    let snapshot = known(&mut guest);
    let first = view(&mut guest);
    let mut limiter = Limiter::default();
    let mut asked = Time(5_000_000);
    for (round, (offset, value)) in
        [(DEVCTL, 0x8000), (ADVANCED + 4, 1), (DEVCTL, 0xffff)].into_iter().enumerate()
    {
        work(&mut guest);
        assert_eq!(guest.machine.start_write(0, offset, 2, value), Written::Reset);
        assert_eq!(initiated(&guest), 0, "it is the engine's to do");
        let refusals = *guest.machine.state(0).refusal_counts();
        let (outcome, now) = reset(&mut guest, &snapshot, limiter.request(None, asked), asked);
        limiter.ended(now);
        assert_eq!(outcome, Outcome::Ready(Method::Flr));
        // The first one at once, the others not before it is time; and 100 ms after the reset.
        let wait = if round == 0 { 0 } else { GUEST_INTERVAL };
        assert_eq!(now.0 - asked.0, wait + 100_000);
        assert_eq!(initiated(&guest), 1);
        assert_eq!(reattach(&mut guest), Written::Done);
        assert_eq!(view(&mut guest), first);
        assert_eq!(*guest.machine.state(0).refusal_counts(), refusals);
        asked = now;
    }
    guest.end();
}

#[test]
fn the_way_from_d3hot_is_a_reset_of_a_device_that_has_no_other() {
    let mut device = everything();
    device.set(EXPRESS + 4, Width::Dword, !(1 << 28));
    device.set(ADVANCED + 3, Width::Byte, 0);
    let info = GuestInfo { bars: BARS, resettable: true, ..GuestInfo::NONE };
    let mut guest = Guest::given(device, info).expect("it can be given");
    let snapshot = known(&mut guest);
    let first = view(&mut guest);
    work(&mut guest);
    assert_eq!(guest.machine.start_write(0, PM + 4, 2, 3), Written::Done);
    // The device is in D0 all the while.
    assert!(guest.machine.host.p2m().get(BAR0 >> 12).is_some());
    assert_eq!(guest.machine.start_write(0, PM + 4, 2, 0), Written::Reset);
    let (outcome, _) = reset(&mut guest, &snapshot, Limiter::default().request(None, Time(0)), Time(0));
    assert_eq!(outcome, Outcome::Ready(Method::Power));
    assert_eq!(reattach(&mut guest), Written::Done);
    assert_eq!(view(&mut guest), first);
    assert_eq!(guest.read(PM + 4, 2) & 0x8003, 0, "D0, and no PME");
    guest.end();
}

#[test]
fn a_guest_that_asks_again_and_again_gets_one_reset_a_second() {
    let mut guest = resettable();
    let snapshot = known(&mut guest);
    let members = [Member { snapshot: &snapshot, quirks: &Quirks::NONE }];
    let mut limiter = Limiter::default();
    let mut running: Option<(Reset, Time)> = None;
    let (mut asked, mut ended, mut times) = (0, 0, Vec::new());
    guest.machine.host.take_events();
    // 1000 attempts of each kind, 7 ms apart, whatever state the function is in.
    for tick in 0..1000u64 {
        let now = Time(tick * 7_000);
        for (offset, bytes, value) in [(DEVCTL, 2, 0x8000), (ADVANCED + 4, 1, 1)] {
            match guest.machine.start_write(0, offset, bytes, value) {
                Written::Reset => {
                    assert!(running.is_none(), "one is under way");
                    running = Some((Reset::new(limiter.request(None, now)), now));
                    asked += 1;
                    // The caller has its first step made before the guest runs again.
                    assert_eq!(guest.machine.withdraw(0), Progress::Done);
                }
                written => assert_eq!(written, Written::Done),
            }
        }
        while let Some((mut reset, due)) = running.take() {
            if due > now {
                running = Some((reset, due));
                break;
            }
            let around = Around(RefCell::new(&mut guest.machine));
            match reset.step(&around, &members, now) {
                Next::Again => running = Some((reset, now)),
                Next::At(at) => running = Some((reset, at)),
                Next::Done(outcome) => {
                    assert_eq!(outcome, Outcome::Ready(Method::Flr));
                    limiter.ended(now);
                    ended += 1;
                    assert_eq!(reattach(&mut guest), Written::Done);
                }
            }
            times.extend(std::iter::repeat_n(now, initiated(&guest)));
        }
    }
    assert!(times.windows(2).all(|pair| pair[1].0 - pair[0].0 >= GUEST_INTERVAL), "{times:?}");
    // In seven seconds: one at once, one every 1.1 s after it, and one that waits for its second.
    assert_eq!((asked, times.len(), ended), (8, 7, 7), "{times:?}");
}
