//! Any functions, any quirks, any schedule: two resets behind one bridge, stepped late and early, cancelled, and with
//! hardware that fails when it likes. A source of numbers says what; it is a generator or a fuzzer.

use quirks::reset::{BOUND, Member, Next, Outcome, Reason, Request, Reset, Time};
use quirks::{DeviceReset, Flags, Method, Methods, Order, Quirks};

use super::bridge::{Below, Bridge};
use super::function::Part;
use super::memory::Memory;
use super::model::{BRIDGE, Event, Model, members};
use super::sample::{BARS, Sample};
use super::{MS, NEVER, SECOND};

/// Numbers that decide.
pub trait Choices {
    /// A number below `end`, which is not 0.
    fn below(&mut self, end: u32) -> u32;

    /// One of them.
    fn pick<T: Copy>(&mut self, from: &[T]) -> T
    where
        Self: Sized,
    {
        from[self.below(u32::try_from(from.len()).expect("few")) as usize]
    }

    /// True in one of `n` cases.
    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == n - 1
    }
}

impl Choices for crate::random::Random {
    fn below(&mut self, end: u32) -> u32 {
        Self::below(self, end)
    }
}

/// The longest run: more steps than all polls of two resets take.
const STEPS: u32 = 60_000;
/// So many steps are any; those after them are on time, so that it ends.
const WILD: u32 = 300;

fn any_order(choices: &mut impl Choices) -> Option<Order> {
    choices.one_in(3).then(|| {
        Order(std::array::from_fn(|_| Method::from_number(choices.below(6) as u8))) // CAST: below 6.
    })
}

fn any_reset(choices: &mut impl Choices) -> Option<DeviceReset> {
    choices.one_in(2).then(|| {
        choices.pick(&[
            DeviceReset::UnadvertisedFlr,
            DeviceReset::DelayAfterFlr,
            DeviceReset::NvmeDisable,
            DeviceReset::IvyBridgeGraphics,
            DeviceReset::ChelsioMsix,
            DeviceReset::HinicFirmware,
            DeviceReset::RadeonConfig,
        ])
    })
}

fn any_delay(choices: &mut impl Choices) -> Option<u16> {
    choices.one_in(2).then(|| choices.pick(&[0, 20, 120, 1000]))
}

fn any_quirks(choices: &mut impl Choices) -> Quirks {
    let flags = [
        Flags::NO_FLR,
        Flags::NO_PM_RESET,
        Flags::NO_BUS_RESET,
        Flags::NO_D3,
        Flags::NO_ATS,
        Flags::CAP_LIST_TRUNCATED,
    ];
    Quirks {
        flags: flags.into_iter().filter(|_| choices.one_in(5)).collect(),
        d3hot_delay_ms: any_delay(choices),
        d3cold_delay_ms: any_delay(choices),
        vpd_len: None,
        reset: any_reset(choices),
        order: any_order(choices),
    }
}

fn any_time(choices: &mut impl Choices) -> u64 {
    choices.pick(&[0, 1, MS, 40 * MS, 99 * MS, 700 * MS, 3 * SECOND, 30 * SECOND, 59 * SECOND, NEVER])
}

fn any_part(choices: &mut impl Choices, quirks: &Quirks) -> Part {
    let class = choices.pick(&[0x02_0000, 0x01_0802]);
    let mut even = || choices.one_in(2);
    let sample = Sample {
        class,
        express: even(),
        flr: even(),
        advanced: even(),
        soft_reset: even(),
        at_once: false,
        ..Sample::default()
    };
    let mut part = sample.part();
    part.timing.ready = any_time(choices);
    part.timing.pending = any_time(choices);
    // A device needs what its quirks say, or less.
    let delay = |ms: Option<u16>, usual: u64| ms.map_or(usual, |ms| u64::from(ms) * MS);
    part.timing.d3hot = delay(quirks.d3hot_delay_ms, 10 * MS);
    part.timing.d3cold = delay(quirks.d3cold_delay_ms, 100 * MS);
    part.wants_master = quirks.reset == Some(DeviceReset::ChelsioMsix);
    part.deaf = choices.one_in(8);
    let takes = any_time(choices);
    part.memory = match quirks.reset {
        Some(DeviceReset::NvmeDisable) => Memory::nvme(choices.below(256), takes),
        Some(DeviceReset::IvyBridgeGraphics) => Memory::ivy_bridge(takes),
        Some(DeviceReset::HinicFirmware) => Memory::hinic(!choices.one_in(3), takes),
        Some(DeviceReset::RadeonConfig) => Memory::radeon(!choices.one_in(3), choices.pick(&[0, 64]), takes),
        _ => Memory::Plain,
    };
    part
}

fn any_event(choices: &mut impl Choices, parts: usize) -> Event {
    let number = choices.below(parts as u32) as usize; // CAST: few.
    match choices.below(9) {
        0 => Event::Pull(number),
        1 => Event::PullBridge,
        2 | 3 => Event::Stall(number),
        4 => Event::LinkDown,
        5 => Event::Empty,
        6 => Event::Change(number),
        7 => Event::LoseBars(number),
        _ => Event::LoseClears(choices.pick(&[1, 9, 10, u32::MAX])),
    }
}

fn any_model(choices: &mut impl Choices) -> Model {
    let belows = [
        None,
        Some(Below::Fast),
        Some(Below::Slow(true)),
        Some(Below::Slow(false)),
        Some(Below::Conventional),
    ];
    let below = choices.pick(&belows);
    let model = Model::new(below.map(Bridge::new));
    for _ in 0..=choices.below(3) {
        let quirks = any_quirks(choices);
        let number = model.add(any_part(choices, &quirks), BARS, quirks);
        let mut place = model.place(number);
        place.pages = choices.pick(&[0, 0, 1, 5, u32::MAX]);
        place.used = number == 2 && choices.one_in(2);
    }
    if below.is_some() {
        let mut bridge = model.bridge();
        bridge.link = choices.pick(&[0, MS, 20 * MS, 900 * MS, 5 * SECOND, NEVER]);
        bridge.needs_retraining = below == Some(Below::Fast) && choices.one_in(5);
        bridge.read_only = choices.one_in(20);
    }
    model
}

/// A reset that goes on, and what is known of its times.
struct Run<'r> {
    reset: Reset,
    members: Vec<Member<'r>>,
    number: usize,
    due: u64,
    started: u64,
    late: u64,
    outcome: Option<Outcome>,
}

impl Run<'_> {
    fn step(&mut self, model: &Model) {
        let now = model.now();
        if self.outcome.is_some() {
            return;
        }
        self.late += now.saturating_sub(self.due);
        model.take_accesses();
        let next = self.reset.step(model, &self.members, Time(now));
        let accesses = model.take_accesses();
        assert!(accesses <= 80, "{accesses} accesses in one step");
        match next {
            Next::Again => self.due = self.due.max(now),
            Next::At(at) => self.due = at.0,
            Next::Done(outcome) => self.end(model, outcome),
        }
    }

    fn end(&mut self, model: &Model, outcome: Outcome) {
        self.outcome = Some(outcome);
        let now = model.now();
        let time = now - self.started;
        assert!(time <= BOUND + self.late, "{time} us, of which {} late: {outcome:?}", self.late);
        let reachable = !model.has_bridge() || model.bridge().reaches(now);
        let last = {
            let sbdf = model.place(self.number).sbdf;
            model.writes().iter().rfind(|write| write.sbdf == sbdf).map(|write| write.offset)
        };
        let place = model.place(self.number);
        let answers = reachable && place.part.answers(now);
        let command = place.part.device.command();
        match outcome {
            Outcome::Ready(_) => {
                assert_eq!(last, Some(4), "COMMAND is not last");
                assert!(place.withdrawn);
                assert!(!answers || command & 4 == 0, "it masters");
            }
            Outcome::Quarantined(reason) => {
                let bus = reason == Reason::Bridge;
                // What is mapped is answered (XSA-120).
                let decodes = if reason == Reason::StillMapped { 2 } else { 0 };
                assert!(
                    bus || !answers || command & 7 & !decodes == 0,
                    "{outcome:?}: COMMAND is {command:#x}"
                );
            }
            Outcome::Refused(_) => {}
        }
    }
}

/// Runs one schedule to its end; how both resets ended.
///
/// # Panics
///
/// If it does not end, is too slow, does what software may not, or leaves something behind.
pub fn run(choices: &mut impl Choices) -> [Outcome; 2] {
    let model = any_model(choices);
    let snapshots = model.snapshots();
    for number in 0..snapshots.len() {
        if choices.one_in(8) {
            let part = &mut model.place(number).part;
            part.sleeps = true;
            part.set_power(3);
        }
    }
    let all = members(&snapshots);
    let parts = all.len();
    let mut turned = all.clone();
    turned.rotate_left(1);
    let single = choices.one_in(2);
    let mut any_request = || Request {
        bridge: model.has_bridge().then_some(BRIDGE),
        methods: choices.pick(&[Methods::all(), Methods::all(), Methods::FUNCTION, Methods::BUS]),
        not_before: Time(0),
    };
    let run = |members: Vec<_>, number, request| Run {
        reset: Reset::new(request),
        members,
        number,
        due: model.now(),
        started: model.now(),
        late: 0,
        outcome: None,
    };
    let other = if single { turned[..1].to_vec() } else { turned.clone() };
    let mut runs = [run(all, 0, any_request()), run(other, 1 % parts, any_request())];
    let mut events = choices.below(4);
    for count in 0..STEPS {
        if let [Some(one), Some(other)] = runs.each_ref().map(|run| run.outcome) {
            assert_eq!(model.violations(), Vec::<String>::new());
            assert_eq!(model.leftovers(), Vec::<String>::new());
            return [one, other];
        }
        let wild = count < WILD;
        if wild && events != 0 && choices.one_in(16) {
            events -= 1;
            let event = any_event(choices, parts);
            model.plan(1 + choices.below(40), event);
        }
        if wild && choices.one_in(200) {
            runs[choices.below(2) as usize].reset.cancel();
        }
        let which = (count % 2) as usize;
        let late = if wild { choices.pick(&[0, 0, 0, 0, 1, 500, 20 * MS, 2 * SECOND]) } else { 0 };
        // A step before its time is fine as well.
        if !(wild && choices.one_in(8)) {
            let dues = runs.iter().filter(|run| run.outcome.is_none()).map(|run| run.due);
            let due = dues.min().unwrap_or(0);
            model.pass(due.saturating_sub(model.now()) + late);
        }
        runs[which].step(&model);
    }
    panic!("it does not end");
}
