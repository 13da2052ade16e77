//! Resets of physical functions: how they go, how they end.

use capabilities::Width;
use ffi::*;
use tests::reset::bridge::Below;
use tests::reset::function::Kind;
use tests::reset::memory::Memory;
use tests::reset::sample::{BARS, SR_IOV, Sample};
use tests::reset::{MS, NEVER, SECOND};

use crate::bus::{Bus, FLR, NONE, POWER, end, says};
use crate::host;
use crate::record::{Record, info, run, step};

#[test]
fn a_function_is_learnt_and_reset() {
    let mut bus = Bus::alone(FLR);
    let (result, state) = bus.records[0].state();
    assert_eq!((result, state.outcome, state.reason, state.method, state.count), (0, 0, 0, 0, 0));
    assert_eq!(bus.records[0].methods(), RVPCI_METHOD_FLR | RVPCI_METHOD_BUS);
    assert_eq!(bus.records[0].flags(), 0);
    let sbdf = bus.sbdf();

    let calls = bus.model.calls();
    bus.start(RVPCI_METHODS_ALL);
    assert_eq!(bus.model.calls(), calls, "nothing happens yet");
    let (result, state) = bus.records[0].state();
    assert_eq!((result, state.outcome, state.count), (-11, RVPCI_OUTCOME_RUNNING, 0));
    // While it goes on, there is no other, and nothing is learnt.
    assert_eq!(bus.records[0].start(RVPCI_NO_SBDF, RVPCI_METHODS_ALL, false, 0), -16);
    assert_eq!(bus.records[0].learn(&info(sbdf, BARS)), -16);
    run(&bus.model, &bus.members());

    let (result, state) = bus.records[0].state();
    assert_eq!((result, state.outcome, state.reason), (0, RVPCI_OUTCOME_READY, 0));
    assert_eq!((state.method, state.count), (RVPCI_METHOD_FLR, 1));
    assert_eq!(bus.model.now(), 100 * MS);
    assert_eq!(bus.model.place(0).part.resets, [Kind::Flr]);
    assert_eq!(bus.model.violations(), Vec::<String>::new());
    // Nothing goes on any more.
    assert_eq!(step(&bus.members(), bus.model.now()).0, RVPCI_DONE);
    for count in 2..5 {
        let (_, state) = bus.reset(RVPCI_METHODS_ALL);
        assert_eq!((state.outcome, state.count), (RVPCI_OUTCOME_READY, count));
    }
    // How its last reset ended is told until the next one.
    assert_eq!(bus.records[0].learn(&info(sbdf, BARS)), 0);
    let (result, state) = bus.records[0].state();
    assert_eq!((result, state.outcome, state.count), (0, RVPCI_OUTCOME_READY, 4));
}

#[test]
fn refusals_say_why() {
    // In another reset.
    let mut bus = Bus::alone(FLR);
    let mut other = Record::new();
    assert_eq!(other.learn(&info(bus.sbdf(), BARS)), 0);
    bus.start(RVPCI_METHODS_ALL);
    assert_eq!(step(&bus.members(), 0).0, RVPCI_AGAIN);
    assert_eq!(other.start(RVPCI_NO_SBDF, RVPCI_METHODS_ALL, false, 0), 0);
    run(&bus.model, &[&other]);
    let (result, state) = other.state();
    assert_eq!((result, state.outcome, state.reason), (-16, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_BUSY));
    run(&bus.model, &bus.members());
    assert_eq!(bus.records[0].state().0, 0);

    let mut bus = Bus::alone(FLR);
    bus.model.place(0).part.device.set(SR_IOV + 8, Width::Word, 0x19);
    assert_eq!(end(&mut bus), (-16, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_VIRTUAL_FUNCTIONS));

    let mut bus = Bus::alone(NONE);
    assert_eq!(end(&mut bus), (-95, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_NO_METHOD));

    // The second function is in use, and no member.
    let mut bus = Bus::behind(Below::Fast, &[NONE, NONE]);
    bus.model.place(1).used = true;
    bus.records.truncate(1);
    let sbdf = bus.sbdf();
    host::set_members(vec![sbdf]);
    assert_eq!(end(&mut bus), (-16, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_BUS_IN_USE));
}

#[test]
fn quarantines_say_why() {
    let quarantined = |result, reason| (result, RVPCI_OUTCOME_QUARANTINED, reason);
    let mut bus = Bus::alone(FLR);
    bus.model.place(0).pages = u32::MAX;
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_STILL_MAPPED));

    let mut bus = Bus::alone(FLR);
    bus.model.place(0).part.pull();
    assert_eq!(end(&mut bus), quarantined(-19, RVPCI_REASON_GONE));

    let mut bus = Bus::alone(POWER);
    bus.model.place(0).part.sleeps = true;
    bus.model.place(0).part.set_power(3);
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_POWER));

    let mut bus = Bus::alone(FLR);
    bus.model.place(0).part.timing.ready = NEVER;
    assert_eq!(end(&mut bus), quarantined(-110, RVPCI_REASON_NOT_READY));

    let mut bus = Bus::behind(Below::Fast, &[NONE]);
    bus.model.bridge().link = NEVER;
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_LINK));

    // Ivy Bridge graphics whose panel stays powered.
    let mut bus = Bus::alone(NONE);
    bus.records[0].quirks(&[says(RVPCI_SAYS_SEQUENCE, 2)], 0);
    bus.model.place(0).part.memory = Memory::ivy_bridge(NEVER);
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_SEQUENCE));

    let mut bus = Bus::behind(Below::Fast, &[NONE]);
    bus.model.bridge().read_only = true;
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_BRIDGE));

    let mut bus = Bus::alone(FLR);
    bus.model.place(0).part.lost_bars = u32::MAX;
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_BAR));

    let mut bus = Bus::alone(FLR);
    bus.model.place(0).part.fresh.set(0x02, Width::Word, 0xbad0);
    assert_eq!(end(&mut bus), quarantined(-5, RVPCI_REASON_LAYOUT));
}

#[test]
fn a_cancelled_reset_goes_on_to_its_end() {
    // Before anything was done.
    let mut bus = Bus::behind(Below::Fast, &[NONE]);
    bus.start(RVPCI_METHODS_ALL);
    bus.records[0].cancel();
    run(&bus.model, &bus.members());
    let (result, state) = bus.records[0].state();
    assert_eq!((result, state.outcome, state.reason), (-4, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_CANCELLED));
    assert!(!bus.model.place(0).withdrawn);
    // With the bus in reset.
    let now = bus.model.now();
    assert_eq!(bus.records[0].start(bus.bridge, RVPCI_METHODS_ALL, false, now), 0);
    while bus.model.leftovers().iter().all(|left| left != "the bus is in reset") {
        let (result, due) = step(&bus.members(), bus.model.now());
        assert_eq!(result, RVPCI_AGAIN);
        // Not further than to the step that puts it there.
        if bus.model.leftovers().iter().all(|left| left != "the bus is in reset") {
            bus.model.pass(due - bus.model.now());
        }
    }
    bus.records[0].cancel();
    assert_eq!(bus.records[0].state().0, -11);
    run(&bus.model, &bus.members());
    let (result, state) = bus.records[0].state();
    assert_eq!(
        (result, state.outcome, state.reason),
        (-4, RVPCI_OUTCOME_QUARANTINED, RVPCI_REASON_CANCELLED)
    );
    assert_eq!(state.count, 2);
    assert_eq!(bus.model.leftovers(), Vec::<String>::new());
    assert_eq!(bus.model.violations(), Vec::<String>::new());
}

#[test]
fn a_bus_reset_has_all_members() {
    let mut bus = Bus::behind(Below::Fast, &[NONE, FLR, POWER]);
    assert_eq!(bus.time(RVPCI_METHOD_BUS), 122 * MS);
    for number in 0..3 {
        let place = bus.model.place(number);
        assert_eq!(place.part.resets, [Kind::Bus]);
        assert_eq!(place.part.device.command() & 7, 2, "it decodes, and does not master");
    }
    // One of which nothing is known, and one that must not be reset so.
    let mut bus = Bus::behind(Below::Fast, &[NONE, FLR]);
    bus.records[1] = Record::new();
    assert_eq!(end(&mut bus), (-95, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_NO_METHOD));
    let mut bus = Bus::behind(Below::Fast, &[NONE, FLR]);
    bus.records[1].quirks(&[says(RVPCI_SAYS_FLAGS, 1 << 2)], 0);
    assert_eq!(end(&mut bus), (-95, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_NO_METHOD));
}

#[test]
fn members_are_one_to_eight() {
    let mut bus = Bus::behind(Below::Fast, &[NONE; 9]);
    bus.start(RVPCI_METHODS_ALL);
    let members = bus.members();
    assert_eq!(step(&members, 0).0, -22);
    assert_eq!(step(&[], 0).0, -22);
    assert_eq!(step(&members[..8], 0).0, RVPCI_AGAIN);
}

#[test]
fn methods_that_are_not_asked_for_do_not_apply() {
    let all = Sample { flr: true, soft_reset: true, ..FLR };
    for (methods, method) in [
        (RVPCI_METHODS_ALL, RVPCI_METHOD_FLR),
        (RVPCI_METHODS_FUNCTION, RVPCI_METHOD_FLR),
        (RVPCI_METHOD_BUS, RVPCI_METHOD_BUS),
        (RVPCI_METHOD_POWER | RVPCI_METHOD_BUS, RVPCI_METHOD_POWER),
    ] {
        let (result, state) = Bus::behind(Below::Fast, &[all]).reset(methods);
        assert_eq!((result, state.method), (0, method), "{methods:#x}");
    }
    let (result, state) = Bus::behind(Below::Fast, &[NONE]).reset(RVPCI_METHODS_FUNCTION);
    assert_eq!((result, state.reason), (-95, RVPCI_REASON_NO_METHOD));
    let unknown = Bus::behind(Below::Fast, &[all]).records[0].start(RVPCI_NO_SBDF, 32, false, 0);
    assert_eq!(unknown, -22);
}

#[test]
fn a_guests_resets_are_of_its_function_and_a_second_apart() {
    let guest = |bus: &mut Bus, methods| {
        let now = bus.model.now();
        assert_eq!(bus.records[0].start(bus.bridge, methods, true, now), 0);
        run(&bus.model, &bus.members());
        (bus.records[0].state().0, bus.model.now() - now)
    };
    let mut bus = Bus::behind(Below::Fast, &[FLR]);
    assert_eq!(guest(&mut bus, RVPCI_METHODS_ALL), (0, 100 * MS));
    assert_eq!(guest(&mut bus, RVPCI_METHODS_ALL), (0, SECOND + 100 * MS));
    bus.model.pass(600 * MS);
    assert_eq!(guest(&mut bus, RVPCI_METHODS_ALL), (0, 500 * MS));
    // A reset that somebody else asks for does not wait, and counts.
    assert_eq!(bus.time(RVPCI_METHOD_FLR), 100 * MS);
    assert_eq!(guest(&mut bus, RVPCI_METHODS_ALL), (0, SECOND + 100 * MS));
    assert_eq!(guest(&mut bus, RVPCI_METHOD_BUS).0, -95);
    let mut bus = Bus::behind(Below::Fast, &[NONE]);
    assert_eq!(guest(&mut bus, RVPCI_METHODS_ALL).0, -95);
    assert_eq!(bus.model.place(0).part.resets, []);
}

#[test]
fn a_step_before_its_time_says_when_that_is() {
    let mut bus = Bus::alone(FLR);
    bus.start(RVPCI_METHODS_ALL);
    let due = loop {
        let (result, due) = step(&bus.members(), 0);
        assert_eq!(result, RVPCI_AGAIN);
        if due != 0 {
            break due;
        }
    };
    assert_eq!(due, 100 * MS);
    let calls = bus.model.calls();
    for early in [0, 1, due - 1] {
        assert_eq!(step(&bus.members(), early), (RVPCI_AGAIN, due));
    }
    assert_eq!(bus.model.calls(), calls);
}
