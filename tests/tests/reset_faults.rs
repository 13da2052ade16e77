//! A failure at every step of every method: it ends, within the bound, and nothing is left.

use quirks::reset::{BOUND, Outcome, Reason, Reset, Time};
use quirks::{DeviceReset, Method, Order, Quirks};
use tests::reset::bridge::{Below, Bridge};
use tests::reset::judge::judge;
use tests::reset::memory::Memory;
use tests::reset::model::{Event, Model, members};
use tests::reset::sample::{BARS, Sample};
use tests::reset::{NEVER, SECOND};

/// A case: what is there, and how it is reset.
struct Case {
    name: String,
    make: Box<dyn Fn() -> Model>,
}

const EVERYTHING: Sample = Sample {
    ids: (0x1af4, 0x1041),
    class: 0x01_0802,
    express: true,
    flr: true,
    advanced: true,
    soft_reset: true,
    at_once: false,
};

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in [Method::Flr, Method::AdvancedFlr, Method::Power, Method::Bus] {
        let belows: &[Below] = if method == Method::Bus {
            &[Below::Fast, Below::Slow(true), Below::Slow(false), Below::Conventional]
        } else {
            &[Below::Fast]
        };
        for below in belows.iter().copied() {
            let order = Some(Order([Some(method), None, None, None, None]));
            let quirks = Quirks { order, ..Quirks::NONE };
            let part = EVERYTHING.part();
            let make = move || {
                let model = Model::new(Some(Bridge::new(below)));
                model.add(part.clone(), BARS, quirks);
                model.add(part.clone(), BARS, quirks);
                model.place(0).part.timing.pending = 150_000;
                model.place(0).part.timing.ready = 9_000;
                // Later than the first access, whatever is below.
                model.place(1).part.timing.ready = 1_300_000;
                model.place(0).pages = 2;
                model
            };
            cases.push(Case { name: format!("{method:?} {below:?}"), make: Box::new(make) });
        }
    }
    for (reset, memory) in [
        (DeviceReset::UnadvertisedFlr, Memory::Plain),
        (DeviceReset::DelayAfterFlr, Memory::Plain),
        (DeviceReset::NvmeDisable, Memory::nvme(4, 150_000)),
        (DeviceReset::IvyBridgeGraphics, Memory::ivy_bridge(Memory::SOON)),
        (DeviceReset::ChelsioMsix, Memory::Plain),
        (DeviceReset::HinicFirmware, Memory::hinic(true, 150_000)),
        (DeviceReset::RadeonConfig, Memory::radeon(true, 0, 1_000)),
    ] {
        let order = Some(Order([Some(Method::Device), None, None, None, None]));
        let quirks = Quirks { order, reset: Some(reset), ..Quirks::NONE };
        let part = EVERYTHING.part();
        let make = move || {
            let model = Model::new(Some(Bridge::new(Below::Fast)));
            model.add(part.clone(), BARS, quirks);
            let mut place = model.place(0);
            place.part.wants_master = reset == DeviceReset::ChelsioMsix;
            place.part.memory = memory.clone();
            if reset == DeviceReset::IvyBridgeGraphics {
                place.part.resets.push(tests::reset::function::Kind::Own);
            }
            drop(place);
            model
        };
        cases.push(Case { name: format!("{reset:?}"), make: Box::new(make) });
    }
    cases
}

/// Those of the bridge and of function 1 are for resets of the bus.
const EVENTS: [Event; 14] = [
    Event::Pull(0),
    Event::PullBridge,
    Event::Stall(0),
    Event::LinkDown,
    Event::Empty,
    Event::Change(0),
    Event::LoseBars(0),
    Event::LoseClears(1),
    Event::LoseClears(9),
    Event::LoseClears(u32::MAX),
    Event::Pull(1),
    Event::Stall(1),
    Event::Change(1),
    Event::LoseBars(1),
];

const fn is_of_bus(event: Event) -> bool {
    matches!(
        event,
        Event::LoseClears(_) | Event::Pull(1) | Event::Stall(1) | Event::Change(1) | Event::LoseBars(1)
    )
}

/// Where a test is, said if it fails there.
struct Point<'p> {
    case: &'p str,
    event: Event,
    call: u32,
}

impl Drop for Point<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}: {:?} at call {}", self.case, self.event, self.call);
        }
    }
}

/// COMMAND of each function.
fn commands(model: &Model) -> Vec<u16> {
    (0..model.functions()).map(|number| model.place(number).part.device.command()).collect()
}

/// Looks at COMMAND of each function that answers, siblings included; it was `before`.
fn check_commands(model: &Model, outcome: Outcome, before: &[u16]) {
    let now = model.now();
    let reachable = model.bridge().reaches(now);
    for (number, before) in before.iter().enumerate() {
        let place = model.place(number);
        let expected = match outcome {
            _ if !place.withdrawn => *before,
            Outcome::Ready(_) => before & !4,
            // Interrupt Disable.
            _ => 0x0400,
        };
        if reachable && place.part.answers(now) {
            assert_eq!(place.part.device.command(), expected, "function {number}, {outcome:?}");
        }
    }
}

/// The calls of the platform, and the steps, of a reset in which nothing goes wrong.
fn undisturbed(case: &Case) -> (u32, u32) {
    let model = (case.make)();
    let snapshots = model.snapshots();
    let start = model.calls();
    assert!(matches!(model.reset_with(&snapshots), Outcome::Ready(_)), "{}", case.name);
    (model.calls() - start, steps(case, u32::MAX).1)
}

/// Steps a reset, and cancels it after `cancel` of them. How it ended, and after how many.
fn steps(case: &Case, cancel: u32) -> (Outcome, u32) {
    let model = (case.make)();
    let snapshots = model.snapshots();
    let members = members(&snapshots);
    let mut reset = Reset::new(model.request());
    let mut count = 0;
    let mut cancelled_at = NEVER;
    loop {
        if count == cancel {
            reset.cancel();
            cancelled_at = model.now();
        }
        count += 1;
        assert!(count < 10_000, "{}: it does not end", case.name);
        match reset.step(&model, &members, Time(model.now())) {
            quirks::reset::Next::Again => {}
            quirks::reset::Next::At(at) => model.pass(at.0 - model.now()),
            quirks::reset::Next::Done(outcome) => {
                if !case.name.contains("Ivy") || !matches!(outcome, Outcome::Refused(_)) {
                    judge(&model, outcome, members.len());
                }
                if cancelled_at != NEVER {
                    // At most the wait for the first access; the longest is that of a conventional bus.
                    assert!(model.now() - cancelled_at <= 1_100_000, "{}", case.name);
                }
                return (outcome, count);
            }
        }
    }
}

#[test]
fn one_event_at_every_call_of_every_method() {
    let mut points = 0;
    for case in cases() {
        let (calls, _) = undisturbed(&case);
        let of_bus = case.name.starts_with("Bus");
        for event in EVENTS.into_iter().filter(|event| of_bus || !is_of_bus(*event)) {
            for call in 1..=calls {
                let model = (case.make)();
                let snapshots = model.snapshots();
                let before = commands(&model);
                let start = model.now();
                model.plan(call, event);
                let members = members(&snapshots);
                let point = Point { case: &case.name, event, call };
                let outcome = model.run(&mut Reset::new(model.request()), &members);
                if !case.name.contains("Ivy") || !matches!(outcome, Outcome::Refused(_)) {
                    judge(&model, outcome, members.len());
                }
                check_commands(&model, outcome, &before);
                assert!(model.now() - start <= BOUND, "{outcome:?} takes too long");
                assert_ne!(outcome, Outcome::Quarantined(Reason::Power), "all of them leave D3hot, or go");
                // After the last look at it, nobody knows; all that is left is unmasking and giving back.
                let before_last_look = call + 12 < calls;
                let fatal = !matches!(event, Event::LinkDown | Event::LoseBars(_) | Event::LoseClears(_));
                let good = matches!(outcome, Outcome::Ready(_));
                assert!(!(good && fatal && before_last_look), "it is not seen");
                drop(point);
                points += 1;
            }
        }
    }
    println!("{points} points");
    assert!(points > 20_000, "{points} points");
}

#[test]
fn cancelled_at_every_step() {
    for case in cases() {
        let (_, count) = undisturbed(&case);
        for cancel in 0..count {
            let (outcome, _) = steps(&case, cancel);
            let expected = [Outcome::Refused(Reason::Cancelled), Outcome::Quarantined(Reason::Cancelled)];
            // It was over.
            let late = cancel + 2 >= count;
            assert!(expected.contains(&outcome) || late, "{}: {outcome:?} after {cancel}", case.name);
            assert!(cancel != 0 || outcome == expected[0], "{}: {outcome:?}", case.name);
        }
    }
}

#[test]
fn steps_before_their_time_do_nothing() {
    for case in cases() {
        let model = (case.make)();
        let snapshots = model.snapshots();
        let members = members(&snapshots);
        let mut reset = Reset::new(model.request());
        loop {
            match reset.step(&model, &members, Time(model.now())) {
                quirks::reset::Next::Again => {}
                quirks::reset::Next::At(at) => {
                    let calls = model.calls();
                    for early in [0, model.now(), at.0 - 1] {
                        let again = reset.step(&model, &members, Time(early));
                        assert_eq!(again, quirks::reset::Next::At(at), "{}", case.name);
                    }
                    assert_eq!(model.calls(), calls, "{}", case.name);
                    model.pass(at.0 - model.now());
                }
                quirks::reset::Next::Done(outcome) => {
                    assert!(matches!(outcome, Outcome::Ready(_)), "{}", case.name);
                    break;
                }
            }
        }
        judge(&model, reset_outcome(&mut reset, &model, &members), members.len());
    }
}

/// A reset that is done says so again.
fn reset_outcome(reset: &mut Reset, model: &Model, members: &[quirks::reset::Member<'_>]) -> Outcome {
    let calls = model.calls();
    let quirks::reset::Next::Done(outcome) = reset.step(model, members, Time(model.now() + SECOND)) else {
        panic!("it was done");
    };
    assert_eq!(model.calls(), calls);
    outcome
}

#[test]
fn steps_that_are_late_do_no_harm() {
    for case in cases() {
        for late in [1, 1_000, 150_000, 3 * SECOND, 100 * SECOND] {
            let model = (case.make)();
            let snapshots = model.snapshots();
            let members = members(&snapshots);
            let mut reset = Reset::new(model.request());
            let outcome = loop {
                match reset.step(&model, &members, Time(model.now())) {
                    quirks::reset::Next::Again => model.pass(late),
                    quirks::reset::Next::At(at) => model.pass(at.0 - model.now() + late),
                    quirks::reset::Next::Done(outcome) => break outcome,
                }
            };
            assert!(matches!(outcome, Outcome::Ready(_)), "{} {late}: {outcome:?}", case.name);
            judge(&model, outcome, members.len());
        }
    }
}

#[test]
fn pages_that_do_not_go_keep_the_function_in_quarantine() {
    let case = &cases()[0];
    let model = (case.make)();
    model.place(0).pages = u32::MAX;
    assert_eq!(model.reset(), Outcome::Quarantined(Reason::StillMapped));
    assert_eq!(model.now(), 10 * SECOND);
    assert_eq!(model.place(0).part.resets, []);
    // Its pages are a guest's yet: they are answered, and no more (XSA-120).
    assert_eq!(model.place(0).part.device.command() & 7, 2);
}

#[test]
fn what_was_never_withdrawn_is_not_touched() {
    // A bus reset of two functions: the pages of one of them do not go.
    for (stuck, written) in [(0, [true, false]), (1, [true, true])] {
        let case = cases().into_iter().find(|case| case.name == "Bus Fast").expect("there is one");
        let model = (case.make)();
        model.place(stuck).pages = u32::MAX;
        let snapshots = model.snapshots();
        let before = model.place(1).part.device.command();
        assert_eq!(model.reset_with(&snapshots), Outcome::Quarantined(Reason::StillMapped));
        for (number, written) in written.into_iter().enumerate() {
            let sbdf = model.place(number).sbdf;
            let found = model.writes().iter().any(|write| write.sbdf == sbdf);
            assert_eq!(found, written, "{sbdf}, the pages of {stuck} being there");
        }
        let after = model.place(1).part.device.command();
        assert_eq!(after == before, stuck == 0);
        assert_eq!(model.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn what_stays_asleep_is_not_reset_by_power() {
    let case = cases().into_iter().find(|case| case.name.starts_with("Power")).expect("there is one");
    let model = (case.make)();
    let snapshots = model.snapshots();
    model.place(0).part.sleeps = true;
    model.place(0).part.set_power(3);
    let outcome = model.reset_with(&snapshots);
    assert_eq!(outcome, Outcome::Quarantined(Reason::Power));
    judge(&model, outcome, 2);
}

#[test]
fn reasons_are_named() {
    let outcome = |event| {
        let case = cases().into_iter().find(|case| case.name == "Bus Fast").expect("there is one");
        let model = (case.make)();
        let snapshots = model.snapshots();
        // Just after the bus went into reset.
        let calls = {
            let model = (case.make)();
            let snapshots = model.snapshots();
            let start = model.calls();
            let members = members(&snapshots);
            let mut reset = Reset::new(model.request());
            while !model.writes().iter().any(|write| write.offset == 0x3e) {
                match reset.step(&model, &members, Time(model.now())) {
                    quirks::reset::Next::At(at) => model.pass(at.0 - model.now()),
                    quirks::reset::Next::Again => {}
                    quirks::reset::Next::Done(outcome) => panic!("{outcome:?}"),
                }
            }
            model.calls() - start
        };
        model.plan(calls + 1, event);
        let outcome = model.reset_with(&snapshots);
        judge(&model, outcome, 2);
        outcome
    };
    assert_eq!(outcome(Event::Pull(0)), Outcome::Quarantined(Reason::NotReady));
    assert_eq!(outcome(Event::Empty), Outcome::Quarantined(Reason::Gone));
    assert_eq!(outcome(Event::PullBridge), Outcome::Quarantined(Reason::Gone));
    assert_eq!(outcome(Event::Stall(0)), Outcome::Quarantined(Reason::NotReady));
    assert_eq!(outcome(Event::LinkDown), Outcome::Quarantined(Reason::Link));
    assert_eq!(outcome(Event::Change(1)), Outcome::Quarantined(Reason::Layout));
    assert_eq!(outcome(Event::LoseBars(1)), Outcome::Quarantined(Reason::Bar));
    assert_eq!(outcome(Event::LoseClears(9)), Outcome::Ready(Method::Bus));
    assert_eq!(outcome(Event::LoseClears(u32::MAX)), Outcome::Quarantined(Reason::Bridge));
}

#[test]
fn a_bridge_that_cannot_reset_its_bus() {
    let case = cases().into_iter().find(|case| case.name == "Bus Fast").expect("there is one");
    let model = (case.make)();
    model.bridge().read_only = true;
    let outcome = model.reset();
    assert_eq!(outcome, Outcome::Quarantined(Reason::Bridge));
    judge(&model, outcome, 2);
}
