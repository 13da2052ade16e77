//! Resets that go well, or are refused: which method, what it does to the function and when, what is written afterwards.

use capabilities::Width;
use quirks::reset::{Member, Next, Outcome, Reason, Reset, Time};
use quirks::{DeviceReset, Flags, Method, Methods, Order, Quirks};
use tests::reset::bridge::{Below, Bridge};
use tests::reset::function::Kind;
use tests::reset::model::{BRIDGE, Model, Write, members};
use tests::reset::sample::{BARS, EXPRESS, MSI, MSIX, POWER, SR_IOV, Sample};
use tests::reset::{MS, NEVER, SECOND};
use zerocopy::FromZeros;

/// A function on the root bus.
fn alone(sample: Sample, quirks: Quirks) -> Model {
    let model = Model::new(None);
    model.add(sample.part(), BARS, quirks);
    model
}

/// Functions behind a bridge.
fn behind(below: Below, functions: usize, sample: Sample, quirks: Quirks) -> Model {
    let model = Model::new(Some(Bridge::new(below)));
    for _ in 0..functions {
        model.add(sample.part(), BARS, quirks);
    }
    model
}

fn flr() -> Sample {
    Sample { flr: true, ..Sample::default() }
}

fn advanced() -> Sample {
    Sample { express: false, advanced: true, ..Sample::default() }
}

fn power() -> Sample {
    Sample { soft_reset: true, ..Sample::default() }
}

const EVERYTHING: Sample = Sample {
    ids: (0x1af4, 0x1041),
    class: 0x02_0000,
    express: true,
    flr: true,
    advanced: true,
    soft_reset: true,
    at_once: false,
};

/// Microseconds that a reset takes that ends well and is in order.
fn time_of(model: &Model, method: Method) -> u64 {
    let start = model.now();
    assert_eq!(model.reset(), Outcome::Ready(method));
    assert_eq!(model.violations(), Vec::<String>::new());
    assert_eq!(model.leftovers(), Vec::<String>::new());
    model.now() - start
}

/// The function is as it was configured, but for bus mastering and interrupts.
fn check_restored(model: &Model, number: usize, before: &tests::device::Device) {
    let place = model.place(number);
    let after = &place.part.device;
    for offset in (0..0x1000).step_by(4) {
        let not = match offset {
            0x04 => 0x0000_0004,
            POWER..0x70 if offset != POWER + 4 => u32::MAX,
            _ => 0,
        };
        let (is, was) = (after.get(offset, Width::Dword), before.get(offset, Width::Dword));
        assert_eq!(is & !not, was & !not, "the dword at {offset:#x}");
    }
    assert_eq!(after.command() & 4, 0, "it masters the bus");
    assert_eq!(after.get(MSI + 2, Width::Word) & 1, 0, "MSI is enabled");
    assert_eq!(after.get(MSIX + 2, Width::Word) & 0xc000, 0, "MSI-X is enabled");
}

#[test]
fn each_method_resets_and_gives_back_what_was_configured() {
    let order =
        |method| Quirks { order: Some(Order([Some(method), None, None, None, None])), ..Quirks::NONE };
    for (method, kind) in [
        (Method::Flr, Kind::Flr),
        (Method::AdvancedFlr, Kind::AdvancedFlr),
        (Method::Power, Kind::Power),
        (Method::Bus, Kind::Bus),
    ] {
        let model = behind(Below::Fast, 1, EVERYTHING, order(method));
        let before = model.place(0).part.device.clone();
        time_of(&model, method);
        assert_eq!(model.place(0).part.resets, [kind]);
        check_restored(&model, 0, &before);
    }
}

#[test]
fn what_touches_least_goes_first_and_what_does_not_apply_is_passed_over() {
    let method = |sample| match behind(Below::Fast, 1, sample, Quirks::NONE).reset() {
        Outcome::Ready(method) => method,
        other => panic!("{other:?}"),
    };
    assert_eq!(method(EVERYTHING), Method::Flr);
    assert_eq!(method(Sample { flr: false, ..EVERYTHING }), Method::AdvancedFlr);
    assert_eq!(method(Sample { flr: false, advanced: false, ..EVERYTHING }), Method::Power);
    assert_eq!(method(Sample::default()), Method::Bus);
    assert_eq!(alone(Sample::default(), Quirks::NONE).reset(), Outcome::Refused(Reason::NoMethod));
}

#[test]
fn another_order_can_be_asked_for() {
    let order = Order([None, Some(Method::Bus), Some(Method::Flr), None, None]);
    let quirks = Quirks { order: Some(order), ..Quirks::NONE };
    time_of(&behind(Below::Fast, 1, EVERYTHING, quirks), Method::Bus);
    time_of(&alone(EVERYTHING, quirks), Method::Flr);
    let none = Quirks { order: Some(Order([None; 5])), ..Quirks::NONE };
    assert_eq!(behind(Below::Fast, 1, EVERYTHING, none).reset(), Outcome::Refused(Reason::NoMethod));
}

#[test]
fn a_function_level_reset_takes_100_ms_and_no_more() {
    assert_eq!(time_of(&alone(flr(), Quirks::NONE), Method::Flr), 100 * MS);
    assert_eq!(time_of(&alone(advanced(), Quirks::NONE), Method::AdvancedFlr), 100 * MS);
    let model = alone(Sample { at_once: true, ..flr() }, Quirks::NONE);
    model.place(0).part.timing.flr = 0;
    assert_eq!(time_of(&model, Method::Flr), 0);
}

#[test]
fn a_power_cycle_takes_the_delay_twice() {
    assert_eq!(time_of(&alone(power(), Quirks::NONE), Method::Power), 20 * MS);
    for ms in [0, 20, 120] {
        let model = alone(power(), Quirks { d3hot_delay_ms: Some(ms), ..Quirks::NONE });
        model.place(0).part.timing.d3hot = u64::from(ms) * MS;
        assert_eq!(time_of(&model, Method::Power), 2 * u64::from(ms) * MS);
    }
}

#[test]
fn a_bus_reset_takes_what_is_below_into_account() {
    let bus = |below| time_of(&behind(below, 1, Sample::default(), Quirks::NONE), Method::Bus);
    assert_eq!(bus(Below::Slow(false)), 102 * MS);
    assert_eq!(bus(Below::Slow(true)), 102 * MS);
    // The link takes 20 ms.
    assert_eq!(bus(Below::Fast), 122 * MS);
    assert_eq!(bus(Below::Conventional), 1102 * MS);
}

#[test]
fn a_bus_reset_waits_for_the_slowest_function() {
    let slow = Quirks { d3cold_delay_ms: Some(1000), ..Quirks::NONE };
    let model = behind(Below::Fast, 1, Sample::default(), Quirks::NONE);
    model.add(Sample::default().part(), BARS, slow);
    model.place(1).part.timing.d3cold = SECOND;
    assert_eq!(time_of(&model, Method::Bus), 1022 * MS);
}

#[test]
fn a_function_out_of_d3hot_is_woken_first() {
    let model = alone(flr(), Quirks::NONE);
    let snapshots = model.snapshots();
    model.place(0).part.device.set(POWER + 4, Width::Word, 0x000b);
    assert_eq!(model.reset_with(&snapshots), Outcome::Ready(Method::Flr));
    assert_eq!(model.violations(), Vec::<String>::new());
    assert_eq!(model.now(), 110 * MS);
}

#[test]
fn requests_under_way_are_waited_for_but_not_for_ever() {
    for (pending, waited) in
        [(1, 100 * MS), (100 * MS, 100 * MS), (301 * MS, 700 * MS), (700 * MS, 700 * MS), (NEVER, 700 * MS)]
    {
        for (sample, method) in [(flr(), Method::Flr), (advanced(), Method::AdvancedFlr)] {
            let model = alone(sample, Quirks::NONE);
            model.place(0).part.timing.pending = pending;
            assert_eq!(time_of(&model, method), waited + 100 * MS, "{pending} us");
        }
    }
}

#[test]
fn a_function_that_asks_for_more_time_gets_a_minute() {
    for (ready, seen) in
        [(1, MS), (MS, MS), (5 * MS, 7 * MS), (1100 * MS, 2023 * MS), (59 * SECOND, 59_023 * MS)]
    {
        let model = alone(flr(), Quirks::NONE);
        model.place(0).part.timing.ready = ready;
        assert_eq!(time_of(&model, Method::Flr), 100 * MS + seen, "{ready} us");
    }
    for below in [Below::Slow(false), Below::Slow(true), Below::Fast, Below::Conventional] {
        let model = behind(below, 1, Sample::default(), Quirks::NONE);
        model.place(0).part.timing.ready = 50 * SECOND;
        assert!(time_of(&model, Method::Bus) < 53 * SECOND);
        let model = behind(below, 1, Sample::default(), Quirks::NONE);
        model.place(0).part.timing.ready = NEVER;
        assert_eq!(model.reset(), Outcome::Quarantined(Reason::NotReady));
        assert_eq!(model.leftovers(), Vec::<String>::new());
        assert!(model.now() >= 60 * SECOND && model.now() <= 63 * SECOND, "{below:?}: {}", model.now());
    }
}

#[test]
fn a_virtual_function_is_polled_by_its_command() {
    let model = alone(flr(), Quirks::NONE);
    {
        let part = &mut model.place(0).part;
        part.virtual_function = true;
        for device in [&mut part.fresh, &mut part.device] {
            device.set(0x00, Width::Dword, u32::MAX);
        }
        part.timing.ready = 5 * MS;
    }
    assert_eq!(time_of(&model, Method::Flr), 107 * MS);
    assert!(
        !model.writes().iter().any(|write| (0x0c..0x40).contains(&write.offset)),
        "its header is written"
    );
}

#[test]
fn nothing_is_reset_before_it_is_time() {
    let model = alone(flr(), Quirks::NONE);
    let snapshots = model.snapshots();
    let request = quirks::reset::Request { not_before: Time(SECOND), ..model.request() };
    let mut reset = Reset::new(request);
    let members = members(&snapshots);
    // It is taken from its domain at once.
    while !model.place(0).withdrawn {
        assert_eq!(reset.step(&model, &members, Time(0)), Next::Again);
    }
    assert_eq!(model.writes().len(), 0);
    assert_eq!(model.run(&mut reset, &members), Outcome::Ready(Method::Flr));
    assert_eq!(model.now(), 1100 * MS);
}

/// The place in `writes` of the last write to `offset` of function `number`.
fn last(model: &Model, writes: &[Write], number: usize, offset: u16) -> usize {
    let sbdf = model.place(number).sbdf;
    let found = writes.iter().rposition(|write| write.sbdf == sbdf && write.offset == offset);
    found.unwrap_or_else(|| panic!("{offset:#x} is not written"))
}

#[test]
fn command_is_written_last_and_the_rest_in_order() {
    let model = behind(Below::Fast, 2, Sample::default(), Quirks::NONE);
    assert_eq!(model.reset(), Outcome::Ready(Method::Bus));
    let writes = model.writes().clone();
    for number in 0..2 {
        let at = |offset| last(&model, &writes, number, offset);
        // Latencies before LTR Enable; PASID, PRI, ATS; sizes before BARs; high halves before low ones.
        assert!(at(0x164) < at(EXPRESS + 0x28));
        assert!(at(0x15e) < at(0x154) && at(0x154) < at(0x14c) && at(0x14c) < at(0x146));
        assert!(at(0x198) < at(0x24) && at(0x24) < at(0x14) && at(0x14) < at(0x10));
        // L1 substates before they are enabled, ASPM after that.
        assert!(at(0x174) < at(0x170) && at(0x170) < at(EXPRESS + 0x10));
    }
    // Both functions' COMMAND when all else of both is done.
    let functions: Vec<_> = writes.iter().filter(|write| write.sbdf != BRIDGE).collect();
    let [.., before, one, two] = functions[..] else { panic!("writes") };
    assert_eq!((one.offset, two.offset), (0x04, 0x04));
    assert_ne!(before.offset, 0x04);
    assert_eq!(one.sbdf, model.place(0).sbdf);
    assert_eq!(two.sbdf, model.place(1).sbdf);
    assert_eq!((one.value, two.value), (0x0502, 0x0502));
}

#[test]
fn nothing_decodes_or_masters_from_the_start_to_the_last_write() {
    let model = alone(power(), Quirks::NONE);
    assert_eq!(model.reset(), Outcome::Ready(Method::Power));
    let commands: Vec<_> =
        model.writes().iter().filter(|write| write.offset == 4).map(|write| write.value).collect();
    assert_eq!(commands, [0x0400, 0x0502]);
    assert_eq!(model.writes()[0].offset, 4, "it is stopped before anything else");
}

#[test]
fn errors_that_the_reset_made_are_cleared() {
    let model = alone(flr(), Quirks::NONE);
    time_of(&model, Method::Flr);
    assert_eq!(model.place(0).part.device.get(0x104, Width::Dword), 0);
}

#[test]
fn a_bus_is_reset_only_with_all_that_is_on_it() {
    // Two functions, both of the reset.
    let model = behind(Below::Fast, 2, Sample::default(), Quirks::NONE);
    let before = model.place(1).part.device.clone();
    time_of(&model, Method::Bus);
    assert_eq!(model.place(1).part.resets, [Kind::Bus]);
    check_restored(&model, 1, &before);
    // The other is somebody's who is not asked.
    let model = behind(Below::Fast, 2, Sample::default(), Quirks::NONE);
    model.place(1).used = true;
    let snapshots = vec![(model.snapshot(0), Quirks::NONE)];
    assert_eq!(model.reset_with(&snapshots), Outcome::Refused(Reason::BusInUse));
    assert_eq!(model.writes().len(), 0);
    assert!(!model.place(0).withdrawn);
    assert_eq!(model.leftovers(), Vec::<String>::new());
    // It is nobody's.
    model.place(1).used = false;
    assert_eq!(model.now(), 0);
}

#[test]
fn more_functions_than_those_of_a_device_are_too_many() {
    let model = behind(Below::Conventional, 9, Sample::default(), Quirks::NONE);
    assert_eq!(model.reset(), Outcome::Refused(Reason::NoMethod));
}

#[test]
fn resets_of_siblings_keep_apart() {
    let model = behind(Below::Fast, 2, EVERYTHING, Quirks::NONE);
    let bus = Quirks { order: Some(Order([Some(Method::Bus), None, None, None, None])), ..Quirks::NONE };
    let both = [(model.snapshot(0), bus), (model.snapshot(1), Quirks::NONE)];
    let other = [(model.snapshot(1), Quirks::NONE)];
    // The second function is in a reset of its own: the bus waits for nobody, it is refused.
    let mut second = Reset::new(model.request());
    let (both, other) = (members(&both), members(&other));
    second.step(&model, &other, Time(0));
    let mut first = Reset::new(model.request());
    assert_eq!(model.run(&mut first, &both), Outcome::Refused(Reason::BusInUse));
    assert_eq!(model.run(&mut second, &other), Outcome::Ready(Method::Flr));
    // The other way round, the function is refused, and so is the same one again.
    let mut first = Reset::new(model.request());
    model.place(0).withdrawn = false;
    while !model.place(0).withdrawn {
        first.step(&model, &both, Time(model.now()));
    }
    for members in [&other, &both] {
        let mut second = Reset::new(model.request());
        assert_eq!(model.run(&mut second, members), Outcome::Refused(Reason::Busy));
    }
    assert_eq!(model.run(&mut first, &both), Outcome::Ready(Method::Bus));
    assert_eq!(model.violations(), Vec::<String>::new());
    assert_eq!(model.leftovers(), Vec::<String>::new());
}

#[test]
fn a_function_in_a_reset_of_its_own_is_not_looked_at() {
    // The first function finds out that only its bus can be reset while the second waits for its first access.
    let model = behind(Below::Fast, 2, flr(), Quirks::NONE);
    let bus = Quirks { order: Some(Order([Some(Method::Bus), None, None, None, None])), ..Quirks::NONE };
    let both = [(model.snapshot(0), bus), (model.snapshot(1), Quirks::NONE)];
    let other = [(model.snapshot(1), Quirks::NONE)];
    let (both, other) = (members(&both), members(&other));
    let mut second = Reset::new(model.request());
    while model.place(1).part.resets.is_empty() {
        second.step(&model, &other, Time(model.now()));
    }
    assert_eq!(model.run(&mut Reset::new(model.request()), &both), Outcome::Refused(Reason::BusInUse));
    assert_eq!(model.run(&mut second, &other), Outcome::Ready(Method::Flr));
    assert_eq!(model.violations(), Vec::<String>::new());
}

#[test]
fn virtual_functions_of_any_function_on_the_bus_are_spared() {
    let model = behind(Below::Fast, 2, Sample::default(), Quirks::NONE);
    let snapshots = model.snapshots();
    model.place(1).part.device.set(SR_IOV + 8, Width::Word, 0x19);
    assert_eq!(model.reset_with(&snapshots), Outcome::Refused(Reason::NoMethod));
    assert_eq!(model.leftovers(), Vec::<String>::new());
}

/// How a function ends that may be reset by these methods.
fn with_methods(model: &Model, methods: Methods) -> Outcome {
    let snapshots = model.snapshots();
    let request = quirks::reset::Request { methods, ..model.request() };
    model.run(&mut Reset::new(request), &members(&snapshots))
}

#[test]
fn a_method_that_is_not_allowed_does_not_apply() {
    let tried = |methods| with_methods(&behind(Below::Fast, 1, EVERYTHING, Quirks::NONE), methods);
    for method in [Method::Flr, Method::AdvancedFlr, Method::Power, Method::Bus] {
        assert_eq!(tried(method.into()), Outcome::Ready(method));
    }
    assert_eq!(tried(Methods::all()), Outcome::Ready(Method::Flr));
    assert_eq!(tried(Methods::all() - Methods::FLR), Outcome::Ready(Method::AdvancedFlr));
    assert_eq!(tried(Methods::DEVICE), Outcome::Refused(Reason::NoMethod));
    assert_eq!(tried(Methods::empty()), Outcome::Refused(Reason::NoMethod));
    // Its bus is the only way, and not asked for.
    let model = behind(Below::Fast, 1, Sample::default(), Quirks::NONE);
    assert_eq!(with_methods(&model, Methods::FUNCTION), Outcome::Refused(Reason::NoMethod));
}

#[test]
fn the_methods_of_a_function_are_those_that_it_is_reset_by() {
    let methods = |sample: Sample, quirks| {
        let model = alone(sample, quirks);
        Member { snapshot: &model.snapshot(0), quirks: &quirks }.methods()
    };
    let function = Methods::FLR | Methods::ADVANCED_FLR | Methods::POWER;
    assert_eq!(methods(EVERYTHING, Quirks::NONE), function | Methods::BUS);
    assert_eq!(methods(flr(), Quirks::NONE), Methods::FLR | Methods::BUS);
    assert_eq!(methods(Sample::default(), Quirks::NONE), Methods::BUS);
    let flags = |flags| methods(EVERYTHING, Quirks { flags, ..Quirks::NONE });
    assert_eq!(flags(Flags::NO_FLR), Methods::POWER | Methods::BUS);
    assert_eq!(flags(Flags::NO_PM_RESET), (function - Methods::POWER) | Methods::BUS);
    assert_eq!(flags(Flags::NO_BUS_RESET), function);
    // Of an order, those that are in it.
    let order = Order([None, Some(Method::Power), Some(Method::Device), None, None]);
    assert_eq!(methods(EVERYTHING, Quirks { order: Some(order), ..Quirks::NONE }), Methods::POWER);
    let reset = Some(DeviceReset::DelayAfterFlr);
    assert_eq!(
        methods(flr(), Quirks { reset, ..Quirks::NONE }),
        Methods::DEVICE | Methods::FLR | Methods::BUS
    );
    // Nobody took one.
    let empty = quirks::reset::Snapshot::new_zeroed();
    assert_eq!(Member { snapshot: &empty, quirks: &Quirks::NONE }.methods(), Methods::empty());
}

#[test]
fn a_function_with_virtual_functions_is_left_alone() {
    let model = alone(flr(), Quirks::NONE);
    let snapshots = model.snapshots();
    model.place(0).part.device.set(SR_IOV + 8, Width::Word, 0x19);
    assert_eq!(model.reset_with(&snapshots), Outcome::Refused(Reason::VirtualFunctions));
    assert_eq!(model.writes().len(), 0);
    assert_eq!(model.leftovers(), Vec::<String>::new());
}

#[test]
fn without_a_snapshot_there_is_no_reset() {
    let model = alone(flr(), Quirks::NONE);
    assert_eq!(model.reset_with(&[]), Outcome::Refused(Reason::NoSnapshot));
    let empty = Box::new(quirks::reset::Snapshot::new_zeroed());
    assert_eq!(model.reset_with(&[(empty, Quirks::NONE)]), Outcome::Refused(Reason::NoSnapshot));
}

#[test]
fn what_does_not_answer_is_reset_by_its_bus_or_not_at_all() {
    let quirks = Quirks { flags: Flags::empty(), ..Quirks::NONE };
    let model = behind(Below::Fast, 1, EVERYTHING, quirks);
    let snapshots = model.snapshots();
    model.place(0).part.stall(0, NEVER);
    assert_eq!(model.reset_with(&snapshots), Outcome::Ready(Method::Bus));
    assert_eq!(model.violations(), Vec::<String>::new());
    let model = alone(EVERYTHING, quirks);
    let snapshots = model.snapshots();
    model.place(0).part.stall(0, NEVER);
    assert_eq!(model.reset_with(&snapshots), Outcome::Quarantined(Reason::Gone));
}

#[test]
fn a_link_that_needs_it_is_retrained_once() {
    let model = behind(Below::Fast, 1, Sample::default(), Quirks::NONE);
    model.bridge().needs_retraining = true;
    let time = time_of(&model, Method::Bus);
    // 2 ms of reset, 1 s without a link, 20 ms of training, 100 ms of delay.
    assert_eq!(time, 1122 * MS);
}

#[test]
fn a_link_that_went_down_in_a_function_level_reset_is_retrained_once() {
    let model = behind(Below::Fast, 1, flr(), Quirks::NONE);
    let snapshots = model.snapshots();
    let members = members(&snapshots);
    let mut reset = Reset::new(model.request());
    while model.place(0).part.resets.is_empty() {
        reset.step(&model, &members, Time(model.now()));
    }
    let now = model.now();
    model.bridge().set_link(now, false);
    model.bridge().needs_retraining = true;
    assert_eq!(model.run(&mut reset, &members), Outcome::Ready(Method::Flr));
    assert!(model.now() < 1300 * MS, "{}", model.now());
}

#[test]
fn another_function_in_its_place_goes_to_nobody() {
    // Class, header type, subsystem, the list's start; an ID, a pointer; MSI's masks; MSI-X: size, table, PBA; the version
    // of PCI Express; an extended capability's pointer, and the length of a vendor's.
    let changes = [
        (0x08, 0x0100_0003, Width::Dword),
        (0x0e, 0x80, Width::Byte),
        (0x2e, 0x1101, Width::Word),
        (0x34, 0x60, Width::Byte),
        (MSI, 0x09, Width::Byte),
        (MSI + 1, 0x00, Width::Byte),
        (MSI + 2, 0x008a, Width::Word),
        (MSIX + 2, 0x0010, Width::Word),
        (MSIX + 4, 0x0000_1002, Width::Dword),
        (MSIX + 8, 0x0000_0803, Width::Dword),
        (EXPRESS + 2, 0x0001, Width::Word),
        (0x142, 0x1581, Width::Word),
        (0x216, 0x0201, Width::Word),
    ];
    for (offset, value, width) in changes {
        let model = alone(flr(), Quirks::NONE);
        let snapshots = model.snapshots();
        model.place(0).part.fresh.set(offset, width, value);
        let outcome = model.reset_with(&snapshots);
        assert_eq!(outcome, Outcome::Quarantined(Reason::Layout), "{offset:#x}");
        assert_eq!(model.place(0).part.device.command() & 7, 0);
    }
}

#[test]
fn the_slots_driver_sees_nothing_of_a_reset_that_went_well() {
    let model = behind(Below::Fast, 1, Sample::default(), Quirks::NONE);
    time_of(&model, Method::Bus);
    assert!(!model.bridge().has_news());
    // And everything of one that did not.
    let model = behind(Below::Fast, 1, Sample::default(), Quirks::NONE);
    model.place(0).part.timing.ready = NEVER;
    assert_eq!(model.reset(), Outcome::Quarantined(Reason::NotReady));
    assert!(model.bridge().has_news());
    assert_eq!(model.leftovers(), Vec::<String>::new());
}

#[test]
fn a_root_port_that_can_tells_of_functions_that_are_not_ready() {
    // (Device/Port Type, Root Capabilities) and whether it tells (PCIe 7.5.3.2, 7.5.3.13).
    for (kind, capable, tells) in [(4, 1, true), (4, 0, false), (6, 1, false), (0, 1, false)] {
        let model = Model::new(None);
        model.add(Sample::default().part(), BARS, Quirks::NONE);
        {
            let device = &mut model.place(0).part.device;
            let at = (0x40..0x100).step_by(4).find(|at| device.get(*at, Width::Byte) == 0x10).unwrap();
            device.set(at + 2, Width::Word, kind << 4 | 2);
            device.set(at + 0x1e, Width::Word, capable);
            device.set(at + 0x1c, Width::Word, 0x0003);
            device.allow(at + 0x1c, Width::Word, 0x001f);
        }
        let sbdf = model.place(0).sbdf;
        assert_eq!(quirks::reset::enable_rrs(&model, sbdf), tells, "type {kind}");
        let device = &model.place(0).part.device;
        let at = (0x40..0x100).step_by(4).find(|at| device.get(*at, Width::Byte) == 0x10).unwrap();
        let control = if tells { 0x0013 } else { 0x0003 };
        assert_eq!(device.get(at + 0x1c, Width::Word), control, "type {kind}");
    }
}
