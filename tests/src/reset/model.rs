//! The hypervisor that the reset engine runs in, and the hardware that it sees.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeSet;

use capabilities::{Sbdf, Width};
use quirks::reset::{
    Member, Next, Outcome, Platform, Region, Request, Reset, Scope, Snapshot, Subject, Time,
};
use quirks::{Methods, Quirks};
use vpci::Progress;
use zerocopy::FromZeros;

use super::NEVER;
use super::bridge::{Bridge, Change};
use super::function::Part;

/// What can happen while a reset goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The function of this number is pulled.
    Pull(usize),
    /// The bridge, with all below.
    PullBridge,
    /// The function asks for more time for ever.
    Stall(usize),
    /// The link goes down and stays so.
    LinkDown,
    /// The slot is emptied.
    Empty,
    /// The function has other IDs.
    Change(usize),
    /// Its BARs take no value.
    LoseBars(usize),
    /// The bit that ends the bus reset does not clear, so often.
    LoseClears(u32),
}

/// A configuration write that the engine made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Write {
    /// To which function.
    pub sbdf: Sbdf,
    /// Where.
    pub offset: u16,
    /// What.
    pub value: u32,
}

/// A function in the model.
pub struct Place {
    /// Its address.
    pub sbdf: Sbdf,
    /// The hardware.
    pub part: Part,
    /// The host addresses of its BARs.
    pub bars: [Region; 6],
    /// What is known of it.
    pub quirks: Quirks,
    /// Somebody uses it who is not in the reset.
    pub used: bool,
    /// How often its pages are asked for until they are unmapped; [`u32::MAX`] for never.
    pub pages: u32,
    /// It was taken from its domain.
    pub withdrawn: bool,
}

#[derive(Default)]
struct World {
    now: u64,
    calls: u32,
    accesses: u32,
    event: Option<(u32, Event)>,
    bridge: Option<Bridge>,
    places: Vec<Place>,
    claimed: BTreeSet<u32>,
    bus_claimed: bool,
    writes: Vec<Write>,
    violations: Vec<String>,
}

/// All of it.
#[derive(Default)]
pub struct Model {
    world: RefCell<World>,
}

/// Where the bridge is.
pub const BRIDGE: Sbdf = Sbdf::new(0, 0, 1, 0);

impl Model {
    /// A bridge, or none, with functions `0000:01:00.0` and so on, or on the root bus.
    pub fn new(bridge: Option<Bridge>) -> Self {
        let world = World { bridge, ..World::default() };
        Self { world: RefCell::new(world) }
    }

    /// Puts in a function; its number.
    pub fn add(&self, part: Part, bars: [Region; 6], quirks: Quirks) -> usize {
        let mut world = self.world.borrow_mut();
        let number = world.places.len();
        let bus = u8::from(world.bridge.is_some());
        let sbdf = Sbdf::new(0, bus, (number / 8) as u8, (number % 8) as u8); // CAST: few.
        let place = Place { sbdf, part, bars, quirks, used: false, pages: 0, withdrawn: false };
        world.places.push(place);
        number
    }

    /// How many functions there are.
    pub fn functions(&self) -> usize {
        self.world.borrow().places.len()
    }

    /// A function.
    pub fn place(&self, number: usize) -> RefMut<'_, Place> {
        RefMut::map(self.world.borrow_mut(), |world| &mut world.places[number])
    }

    /// The bridge.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn bridge(&self) -> RefMut<'_, Bridge> {
        RefMut::map(self.world.borrow_mut(), |world| world.bridge.as_mut().expect("there is a bridge"))
    }

    /// Whether there is a bridge.
    pub fn has_bridge(&self) -> bool {
        self.world.borrow().bridge.is_some()
    }

    /// The time.
    pub fn now(&self) -> u64 {
        self.world.borrow().now
    }

    /// It is later.
    pub fn pass(&self, microseconds: u64) {
        self.world.borrow_mut().now += microseconds;
    }

    /// `event` happens just before the `call`-th call of the platform from now on.
    pub fn plan(&self, call: u32, event: Event) {
        let mut world = self.world.borrow_mut();
        world.event = Some((world.calls + call, event));
    }

    /// How often the platform was called.
    pub fn calls(&self) -> u32 {
        self.world.borrow().calls
    }

    /// All configuration writes so far.
    pub fn writes(&self) -> Ref<'_, Vec<Write>> {
        Ref::map(self.world.borrow(), |world| &world.writes)
    }

    /// What software did that it may not.
    pub fn violations(&self) -> Vec<String> {
        let world = self.world.borrow();
        let bridge = world.bridge.iter().flat_map(|bridge| &bridge.violations);
        let parts = world.places.iter().flat_map(|place| &place.part.violations);
        world.violations.iter().chain(bridge).chain(parts).cloned().collect()
    }

    /// What a reset left behind.
    pub fn leftovers(&self) -> Vec<String> {
        let world = self.world.borrow();
        let mut left = Vec::new();
        if !world.claimed.is_empty() || world.bus_claimed {
            left.push(format!("claims of {:?}, bus {}", world.claimed, world.bus_claimed));
        }
        if let Some(bridge) = &world.bridge {
            let (in_reset, masked) = bridge.leftovers();
            // Ten tries are enough (docs/reset.md).
            if in_reset && bridge.lost < 10 {
                left.push("the bus is in reset".into());
            }
            if masked {
                left.push("events are masked".into());
            }
        }
        left
    }

    /// Takes a snapshot of the function of this number.
    ///
    /// # Panics
    ///
    /// If there is none to take.
    pub fn snapshot(&self, number: usize) -> Box<Snapshot> {
        let (subject, quirks) = {
            let place = self.place(number);
            let virtual_function = place.part.virtual_function;
            (Subject { sbdf: place.sbdf, virtual_function, bars: place.bars }, place.quirks)
        };
        let mut snapshot = Box::new(Snapshot::new_zeroed());
        snapshot.take(self, &subject, &quirks).expect("a snapshot");
        self.world.borrow_mut().writes.clear();
        snapshot
    }

    /// The same, of all functions, with their quirks.
    pub fn snapshots(&self) -> Vec<(Box<Snapshot>, Quirks)> {
        let count = self.world.borrow().places.len();
        (0..count).map(|number| (self.snapshot(number), self.place(number).quirks)).collect()
    }

    /// What is asked for where nothing special is.
    pub fn request(&self) -> Request {
        let bridge = self.has_bridge().then_some(BRIDGE);
        Request { bridge, methods: Methods::all(), not_before: Time(0) }
    }

    /// The accesses since this was last asked.
    pub fn take_accesses(&self) -> u32 {
        std::mem::take(&mut self.world.borrow_mut().accesses)
    }

    /// Claims a function.
    pub fn claim_function(&self, sbdf: Sbdf) -> bool {
        let mut world = self.world.borrow_mut();
        world.call();
        !world.bus_claimed && world.claimed.insert(sbdf.0)
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// If it was not claimed.
    pub fn release_function(&self, sbdf: Sbdf) {
        let mut world = self.world.borrow_mut();
        world.call();
        assert!(world.claimed.remove(&sbdf.0), "{sbdf} is not claimed");
    }

    /// Claims the bus below `bridge` for a reset of these functions.
    ///
    /// # Panics
    ///
    /// If it is another bridge.
    pub fn claim_bus(&self, bridge: Sbdf, members: &[Sbdf]) -> bool {
        let mut world = self.world.borrow_mut();
        world.call();
        assert_eq!(bridge, BRIDGE);
        let free = world.places.iter().all(|place| {
            let claimed = world.claimed.contains(&place.sbdf.0) && members.first() != Some(&place.sbdf);
            !claimed && (members.contains(&place.sbdf) || !place.used)
        });
        let ok = free && !world.bus_claimed;
        world.bus_claimed |= ok;
        ok
    }

    /// Ends it.
    ///
    /// # Panics
    ///
    /// If it was not claimed.
    pub fn release_bus(&self, bridge: Sbdf) {
        let mut world = self.world.borrow_mut();
        world.call();
        assert_eq!(bridge, BRIDGE);
        assert!(std::mem::take(&mut world.bus_claimed), "the bus is not claimed");
    }

    /// Steps `reset` on time until it is done.
    ///
    /// # Panics
    ///
    /// If it does not end, or a step does too much.
    pub fn run(&self, reset: &mut Reset, members: &[Member<'_>]) -> Outcome {
        for _ in 0..20_000 {
            self.take_accesses();
            let next = reset.step(self, members, Time(self.now()));
            let accesses = self.take_accesses();
            assert!(accesses <= 80, "{accesses} accesses in one step");
            match next {
                Next::Again => {}
                Next::At(at) => {
                    assert!(at.0 > self.now(), "a step that is due is not put off");
                    self.pass(at.0 - self.now());
                }
                Next::Done(outcome) => return outcome,
            }
        }
        panic!("it does not end");
    }

    /// Resets the first function, with all others as members; how it ended.
    pub fn reset(&self) -> Outcome {
        let snapshots = self.snapshots();
        self.reset_with(&snapshots)
    }

    /// Likewise, with these snapshots.
    pub fn reset_with(&self, snapshots: &[(Box<Snapshot>, Quirks)]) -> Outcome {
        let members = members(snapshots);
        self.run(&mut Reset::new(self.request()), &members)
    }
}

/// The members of a reset.
pub fn members(snapshots: &[(Box<Snapshot>, Quirks)]) -> Vec<Member<'_>> {
    snapshots.iter().map(|(snapshot, quirks)| Member { snapshot, quirks }).collect()
}

impl World {
    /// A call of the platform.
    fn call(&mut self) {
        self.calls += 1;
        if let Some((call, event)) = self.event
            && self.calls >= call
        {
            self.event = None;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Pull(number) => self.places[number].part.pull(),
            Event::PullBridge => {
                self.places.iter_mut().for_each(|place| place.part.pull());
                if let Some(bridge) = &mut self.bridge {
                    bridge.pull();
                }
            }
            Event::Stall(number) => {
                let part = &mut self.places[number].part;
                part.timing.ready = NEVER;
                part.stall(now, NEVER);
            }
            Event::LinkDown => {
                if let Some(bridge) = &mut self.bridge {
                    bridge.link = NEVER;
                    bridge.set_link(now, false);
                }
            }
            Event::Empty => {
                self.places.iter_mut().for_each(|place| place.part.pull());
                if let Some(bridge) = &mut self.bridge {
                    (bridge.link, bridge.occupied) = (NEVER, false);
                    bridge.set_link(now, false);
                }
            }
            Event::Change(number) => {
                let part = &mut self.places[number].part;
                part.device.set(0x02, Width::Word, 0xbad0);
                part.fresh.set(0x02, Width::Word, 0xbad0);
            }
            Event::LoseBars(number) => self.places[number].part.lost_bars = u32::MAX,
            Event::LoseClears(times) => {
                if let Some(bridge) = &mut self.bridge {
                    bridge.lost_clears = times;
                }
            }
        }
    }

    fn find(&mut self, sbdf: Sbdf) -> Option<&mut Place> {
        let reached = self.bridge.as_ref().is_none_or(|bridge| bridge.reaches(self.now));
        self.places.iter_mut().find(|place| reached && place.sbdf == sbdf)
    }

    /// A bus goes into reset or leaves it.
    fn change(&mut self, change: Change) {
        let now = self.now;
        let Some(bridge) = &self.bridge else { return };
        for place in &mut self.places {
            match change {
                Change::None => {}
                Change::Enter => {
                    if place.used && !place.withdrawn {
                        self.violations.push(format!("{} is reset in use", place.sbdf));
                    }
                    place.part.enter(now, place.withdrawn);
                }
                Change::Leave => {
                    place.part.leave(now, bridge.earliest(now, place.part.timing.d3cold), now);
                }
                Change::Retrained => place.part.delay(bridge.earliest(now, place.part.timing.d3cold)),
            }
        }
    }
}

impl Platform for Model {
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        let mut world = self.world.borrow_mut();
        world.call();
        world.accesses += 1;
        assert_eq!(offset % u16::from(width.bytes()), 0, "an unaligned access");
        let now = world.now;
        if sbdf == BRIDGE
            && let Some(bridge) = &mut world.bridge
        {
            return bridge.read(now, offset, width);
        }
        let ones = u32::MAX >> (32 - 8 * u32::from(width.bytes()));
        world.find(sbdf).map_or(ones, |place| place.part.read(now, offset, width))
    }

    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        let mut world = self.world.borrow_mut();
        world.call();
        world.accesses += 1;
        assert_eq!(offset % u16::from(width.bytes()), 0, "an unaligned access");
        world.writes.push(Write { sbdf, offset, value });
        let now = world.now;
        if sbdf == BRIDGE {
            let change = world.bridge.as_mut().map_or(Change::None, |b| b.write(now, offset, width, value));
            world.change(change);
            return;
        }
        if world.find(sbdf).is_none() {
            world
                .places
                .iter_mut()
                .filter(|place| place.sbdf == sbdf)
                .for_each(|place| place.part.miss(offset));
        }
        let Some(place) = world.find(sbdf) else { return };
        let resets = place.part.resets.len();
        place.part.write(now, offset, width, value);
        if place.part.resets.len() != resets && !place.withdrawn {
            world.violations.push(format!("{sbdf} is reset in use"));
        }
    }

    fn memory_read(&self, sbdf: Sbdf, address: u64) -> u32 {
        let mut world = self.world.borrow_mut();
        world.call();
        world.accesses += 1;
        let now = world.now;
        let Some(place) = world.find(sbdf) else { return u32::MAX };
        let (bar, offset) = place.locate(address);
        place.part.memory_read(now, bar, offset)
    }

    fn memory_write(&self, sbdf: Sbdf, address: u64, value: u32) {
        let mut world = self.world.borrow_mut();
        world.call();
        world.accesses += 1;
        let now = world.now;
        let Some(place) = world.find(sbdf) else { return };
        let (bar, offset) = place.locate(address);
        place.part.memory_write(now, bar, offset, value);
    }

    fn withdraw(&self, sbdf: Sbdf) -> Progress {
        let mut world = self.world.borrow_mut();
        world.call();
        let Some(place) = world.places.iter_mut().find(|place| place.sbdf == sbdf) else {
            panic!("{sbdf} is no function");
        };
        if place.pages == 0 {
            place.withdrawn = true;
            return Progress::Done;
        }
        if place.pages != u32::MAX {
            place.pages -= 1;
        }
        Progress::Again
    }

    fn claim(&self, scope: Scope<'_>) -> bool {
        match scope {
            Scope::Function(sbdf) => self.claim_function(sbdf),
            Scope::Bus { bridge, members } => {
                let members: Vec<_> = members.iter().map(|member| member.snapshot.sbdf()).collect();
                self.claim_bus(bridge, &members)
            }
        }
    }

    fn release(&self, scope: Scope<'_>) {
        match scope {
            Scope::Function(sbdf) => self.release_function(sbdf),
            Scope::Bus { bridge, .. } => self.release_bus(bridge),
        }
    }
}

impl Place {
    /// What BAR 0 is to hold, its type aside.
    pub const fn low_bar(&self) -> u32 {
        self.bars[0].address as u32 // CAST: the low half.
    }

    /// The BAR that a host address is in, and how far.
    fn locate(&self, address: u64) -> (usize, u64) {
        let found = self.bars.iter().enumerate().find_map(|(number, bar)| {
            let offset = address.checked_sub(bar.address)?;
            (offset + 4 <= bar.size).then_some((number, offset))
        });
        found.unwrap_or_else(|| panic!("{address:#x} is not the function's"))
    }
}
