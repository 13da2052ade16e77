//! The machine: what comes after what, whatever happens.

use capabilities::header::{self, Command};
use capabilities::{ConfigReader, Sbdf};
use vpci::Progress;

use super::bus::Bus;
use super::platform::{Physical, Platform, Scope};
use super::port::{Bit, Port};
use super::restore::Restore;
use super::snapshot::{Facts, Member};
use super::times::{
    BUS_RESET_RETRY, BUS_RESET_TRIES, READY_FIRST, READY_LIMIT, READY_LINK, READY_STEP, Time, WITHDRAW_LOOKS,
    WITHDRAW_POLL,
};
use crate::device::Sequence;
use crate::{Method, Methods};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// The bridge above the function; `None` on a root bus, whose functions have no bus reset.
    pub bridge: Option<Sbdf>,
    /// The methods that may be used; the others do not apply.
    pub methods: Methods,
    /// The function is withdrawn at once, and reset not before this.
    pub not_before: Time,
}

/// When the next step is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Now, or whenever it suits the caller.
    Again,
    /// Then. A step before that does nothing.
    At(Time),
    /// No more.
    Done(Outcome),
}

/// How a reset ended. Whatever it is, nothing is claimed any more, no bus is in reset, and no event is masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The function was reset so, and all functions that were are as their snapshots have them, without bus mastering.
    Ready(Method),
    /// Nothing was done to the function: it is where and as it was.
    Refused(Reason),
    /// It must go to nobody. It is withdrawn, and as far as it answers it neither decodes nor masters; so are all
    /// functions that were reset with it. After [`Reason::StillMapped`], pages of one of them are still in the p2m, which
    /// decodes memory yet, if it did, and those behind it were not withdrawn.
    Quarantined(Reason),
}

/// Why a function was not reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Reason {
    /// There is no snapshot of it.
    NoSnapshot = 1,
    /// It is in another reset.
    Busy,
    /// It has virtual functions.
    VirtualFunctions,
    /// No method applies.
    NoMethod,
    /// Only a bus reset applies, and another function on that bus is in use.
    BusInUse,
    /// Its pages did not leave the p2m.
    StillMapped,
    /// It does not answer.
    Gone,
    /// It does not leave D3hot.
    Power,
    /// It did not get ready in time.
    NotReady,
    /// Its link did not come up.
    Link,
    /// Its own sequence failed.
    Sequence,
    /// The bridge does not set or clear Secondary Bus Reset.
    Bridge,
    /// A base address register does not take its value.
    Bar,
    /// It is another function now: its IDs or its capabilities changed.
    Layout,
    /// The caller cancelled.
    Cancelled,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Start,
    /// The bridge is to be looked at.
    Find,
    /// A method is to be chosen; if there is none, that is why.
    Choose(Reason),
    Withdraw {
        member: u8,
        looks: u16,
    },
    Hold,
    Wake {
        member: u8,
    },
    Stop {
        member: u8,
    },
    Drain {
        looks: u8,
    },
    Perform,
    /// From D3hot to D0.
    Raise,
    Bus(Bus),
    Sequence,
    /// The reset is over: from now on functions are waited for.
    Wait,
    Ready {
        member: u8,
        wait: u64,
    },
    Restore(Restore),
    Finish {
        tries: u8,
    },
    Done,
}

/// What became of an attempt to take a bus out of reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Release {
    /// It is.
    Out,
    /// It is to be tried again.
    Again,
    /// It was tried often enough, or there is no bridge any more.
    Lost(Reason),
}

/// The reset of one function, or, if nothing less will do, of all functions behind its bridge.
///
/// It is [stepped](Self::step) until it is done; it must not be dropped before.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    pub(super) request: Request,
    pub(super) state: State,
    pub(super) now: Time,
    due: Time,
    pub(super) port: Option<Port>,
    pub(super) method: Option<Method>,
    /// The place in the order of methods from which the next one is looked for.
    pub(super) place: u8,
    claimed: bool,
    pub(super) claimed_bus: bool,
    pub(super) bus_in_use: bool,
    /// So many of the functions were asked to leave their domain, from the first one on. 0: nothing was done yet.
    withdrawn: u8,
    /// The first function does not answer.
    pub(super) absent: bool,
    /// The bus is in reset, at least until then.
    pub(super) asserted: Option<Time>,
    /// The events of the port's slot that are masked.
    pub(super) masked: u16,
    pub(super) retrained: bool,
    /// The longest delay of the functions in this step, in microseconds.
    pub(super) delay: u64,
    /// When the wait that is going on started, and when it has to end.
    since: Time,
    pub(super) deadline: Time,
    pub(super) sequence: Option<Sequence>,
    cancelled: bool,
    /// From when on functions that go into quarantine can be told to be quiet; `None` if they are.
    hush: Option<Time>,
    outcome: Outcome,
}

// A caller has one for each reset that is going on.
static_assertions::const_assert!(size_of::<Reset>() <= 256);

/// What a step has at hand.
pub(super) struct Context<'c, P> {
    pub(super) platform: &'c P,
    pub(super) members: &'c [Member<'c>],
}

impl<'c, P: Platform> Context<'c, P> {
    pub(super) const fn config(&self, member: &Member<'_>) -> Physical<'c, P> {
        Physical::new(self.platform, member.snapshot.sbdf())
    }

    /// Whether the function answers: neither Request Retry Status (Vendor ID 0001h, PCIe 2.3.2) nor all ones.
    pub(super) fn answers(&self, member: &Member<'_>) -> bool {
        let device = self.config(member);
        // CAST: the Vendor ID is the low word.
        let vendor = || device.read32(header::VENDOR_ID) as u16;
        let known = member.snapshot.is(Facts::VIRTUAL) || !matches!(vendor(), 1 | u16::MAX);
        known && device.read16(header::COMMAND) != u16::MAX
    }
}

impl Request {
    /// No method may be used.
    pub const NONE: Self = Self { bridge: None, methods: Methods::empty(), not_before: Time(0) };
}

impl Reset {
    /// A reset that has not started.
    #[must_use]
    pub const fn new(request: Request) -> Self {
        Self {
            request,
            state: State::Start,
            now: Time(0),
            due: Time(0),
            port: None,
            method: None,
            place: 0,
            claimed: false,
            claimed_bus: false,
            bus_in_use: false,
            withdrawn: 0,
            absent: false,
            asserted: None,
            masked: 0,
            retrained: false,
            delay: 0,
            since: Time(0),
            deadline: Time(0),
            sequence: None,
            cancelled: false,
            hush: None,
            outcome: Outcome::Refused(Reason::Cancelled),
        }
    }

    /// Does what is due at `now`, and says when the next step is.
    ///
    /// The function is the first of `members`; the others are all other functions behind its bridge, which are reset
    /// with it if it comes to that: at most [`MEMBERS`](super::MEMBERS) together. They are the same in each step, and so
    /// are their snapshots.
    ///
    /// Work: at most 80 accesses of configuration space or device memory, and one call of each other method of
    /// [`Platform`] for each member.
    pub fn step<P: Platform>(&mut self, platform: &P, members: &[Member<'_>], now: Time) -> Next {
        self.now = self.now.max(now);
        if self.cancelled && self.is_under_way() {
            self.fail(Reason::Cancelled);
        }
        if self.now >= self.due {
            self.advance(&Context { platform, members });
        }
        match self.state {
            State::Done => Next::Done(self.outcome),
            _ if self.now < self.due => Next::At(self.due),
            _ => Next::Again,
        }
    }

    /// The reset is no longer wanted. It ends when the function may next be accessed and its bus is out of reset, with the
    /// function in quarantine if it had been touched.
    pub const fn cancel(&mut self) {
        self.cancelled = true;
    }

    /// Whether it can be cancelled now. A function that is on its way out of its domain leaves it first.
    const fn is_under_way(&self) -> bool {
        match self.state {
            State::Finish { .. } | State::Done => false,
            State::Withdraw { .. } => self.withdrawn == 0,
            _ => true,
        }
    }

    /// Goes on with `state`, `delay` microseconds from now.
    pub(super) fn go(&mut self, state: State, delay: u64) {
        self.state = state;
        self.due = self.now.after(delay);
    }

    /// Goes on with `state` at `at`.
    pub(super) fn go_at(&mut self, state: State, at: Time) {
        self.state = state;
        self.due = at.max(self.now);
    }

    /// Ends with nothing but clearing up.
    pub(super) fn fail(&mut self, reason: Reason) {
        let touched = self.withdrawn != 0;
        self.end(if touched { Outcome::Quarantined(reason) } else { Outcome::Refused(reason) });
    }

    pub(super) fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        let waits = self.now < self.due;
        match self.state {
            // It must not be accessed before.
            State::Stop { .. } | State::Raise | State::Wait if waits => self.hush = Some(self.due),
            // COMMAND was taken from it, and its bus is or was in reset.
            State::Bus(Bus::Release { .. } | Bus::Link) => self.hush = None,
            _ => self.hush = Some(self.now),
        }
        self.go(State::Finish { tries: 0 }, 0);
    }

    /// The functions that this reset is of so far.
    pub(super) fn scope<'m>(&self, members: &'m [Member<'m>]) -> &'m [Member<'m>] {
        if self.claimed_bus { members } else { members.get(..1).unwrap_or_default() }
    }

    /// The member after `member`, if there is one.
    pub(super) fn following(&self, members: &[Member<'_>], member: u8) -> Option<u8> {
        let next = member.saturating_add(1);
        (usize::from(next) < self.scope(members).len()).then_some(next)
    }

    fn advance<P: Platform>(&mut self, context: &Context<'_, P>) {
        match self.state {
            State::Start => self.start(context),
            State::Find => {
                self.port = self.request.bridge.and_then(|bridge| Port::find(context.platform, bridge));
                self.go(State::Choose(Reason::NoMethod), 0);
            }
            State::Choose(reason) => self.next_method(context, reason),
            State::Withdraw { member, looks } => self.withdraw(context, member, looks),
            State::Hold => {
                self.delay = 0;
                self.go_at(State::Wake { member: 0 }, self.request.not_before);
            }
            State::Wake { member } => self.wake(context, member),
            State::Stop { member } => self.stop(context, member),
            State::Drain { looks } => self.drain(context, looks),
            State::Perform => self.perform(context),
            State::Raise => self.raise(context),
            State::Bus(bus) => self.advance_bus(context, bus),
            State::Sequence => self.advance_sequence(context),
            State::Wait => {
                self.since = self.now;
                self.deadline = self.now.after(READY_LIMIT);
                self.retrained = false;
                self.go(State::Ready { member: 0, wait: READY_FIRST }, 0);
            }
            State::Ready { member, wait } => self.ready(context, member, wait),
            State::Restore(restore) => self.restore(context, restore),
            State::Finish { tries } => self.finish(context, tries),
            State::Done => {}
        }
    }

    fn start<P: Platform>(&mut self, context: &Context<'_, P>) {
        let first = context.members.first().filter(|member| member.snapshot.is_taken());
        let Some(first) = first else {
            self.fail(Reason::NoSnapshot);
            return;
        };
        if !context.platform.claim(Scope::Function(first.snapshot.sbdf())) {
            self.fail(Reason::Busy);
            return;
        }
        self.claimed = true;
        if super::methods::has_virtual_functions(context, first) {
            self.fail(Reason::VirtualFunctions);
            return;
        }
        self.go(State::Find, 0);
    }

    /// Goes on with the next method that applies; if there is none, that is `reason`.
    fn next_method<P: Platform>(&mut self, context: &Context<'_, P>, reason: Reason) {
        self.method = self.choose(context);
        if self.method.is_none() {
            self.fail(if self.bus_in_use { Reason::BusInUse } else { reason });
            return;
        }
        self.go(State::Withdraw { member: 0, looks: 0 }, 0);
    }

    fn withdraw<P: Platform>(&mut self, context: &Context<'_, P>, member: u8, looks: u16) {
        self.withdrawn = self.withdrawn.max(member.saturating_add(1));
        let scope = self.scope(context.members);
        let Some(of) = scope.get(usize::from(member)) else {
            self.fail(Reason::NoSnapshot);
            return;
        };
        if context.platform.withdraw(of.snapshot.sbdf()) == Progress::Again {
            let looks = looks.saturating_add(1);
            if looks <= WITHDRAW_LOOKS {
                self.go(State::Withdraw { member, looks }, WITHDRAW_POLL);
            } else {
                self.fail(Reason::StillMapped);
            }
            return;
        }
        match self.following(context.members, member) {
            Some(member) => self.go(State::Withdraw { member, looks }, 0),
            None => self.go(State::Hold, 0),
        }
    }

    /// Looks at one function after the other until all answer.
    fn ready<P: Platform>(&mut self, context: &Context<'_, P>, member: u8, wait: u64) {
        let scope = self.scope(context.members);
        if scope.get(usize::from(member)).is_none_or(|of| context.answers(of)) {
            match self.following(context.members, member) {
                Some(member) => self.go(State::Ready { member, wait }, 0),
                None if self.sequence.is_some() => self.go(State::Sequence, 0),
                None => self.go(State::Restore(Restore::FIRST), 0),
            }
            return;
        }
        let mut wait = wait;
        if self.now >= self.since.after(READY_LINK)
            && let Some(port) = self.port
        {
            if port.is_empty(context.platform) {
                self.fail(Reason::Gone);
                return;
            }
            let down = port.link_is_down(context.platform);
            if down && self.method == Some(Method::Bus) {
                self.fail(Reason::Link);
                return;
            }
            if down && !self.retrained {
                port.retrain(context.platform);
                self.retrained = true;
                wait = READY_FIRST;
            }
        }
        if self.now >= self.deadline {
            self.fail(Reason::NotReady);
            return;
        }
        let at = self.now.after(wait).min(self.deadline);
        self.go_at(State::Ready { member, wait: wait.saturating_mul(2).min(READY_STEP) }, at);
    }

    /// Gives back all that is held: the bus first.
    fn finish<P: Platform>(&mut self, context: &Context<'_, P>, tries: u8) {
        if let Some(until) = self.asserted {
            if self.now < until {
                self.go_at(State::Finish { tries }, until);
                return;
            }
            match self.release_bus(context, tries) {
                Release::Out => {}
                Release::Again => {
                    self.go(State::Finish { tries: tries.saturating_add(1) }, BUS_RESET_RETRY);
                    return;
                }
                Release::Lost(reason) => {
                    self.outcome = Outcome::Quarantined(reason);
                    self.hush = None;
                }
            }
        }
        let scope = self.scope(context.members);
        if let (Outcome::Quarantined(_), Some(from)) = (self.outcome, self.hush) {
            if self.now < from {
                self.go_at(State::Finish { tries }, from);
                return;
            }
            // Those behind one whose pages did not go are in use; what is mapped of that one is answered (XSA-120).
            let mapped = self.outcome == Outcome::Quarantined(Reason::StillMapped);
            for (number, member) in (1..=self.withdrawn).zip(scope) {
                let device = context.config(member);
                let kept = if mapped && number == self.withdrawn {
                    device.read16(header::COMMAND) & Command::MEMORY.bits()
                } else {
                    0
                };
                device.write16(header::COMMAND, kept | Command::INTX_DISABLE.bits());
            }
        }
        let good = matches!(self.outcome, Outcome::Ready(_));
        if let Some(port) = self.port {
            port.unmask_events(context.platform, self.masked, good);
            self.masked = 0;
        }
        if let (true, Some(port)) = (self.claimed_bus, self.port) {
            context.platform.release(Scope::Bus { bridge: port.sbdf, members: context.members });
        }
        if let (true, Some(first)) = (self.claimed, scope.first()) {
            context.platform.release(Scope::Function(first.snapshot.sbdf()));
        }
        self.go(State::Done, 0);
    }

    /// Takes the bus out of reset, for the `tries`-th time.
    pub(super) fn release_bus<P: Platform>(&mut self, context: &Context<'_, P>, tries: u8) -> Release {
        let bit = self.port.map_or(Bit::Gone, |port| port.set_reset(context.platform, false));
        let release = match bit {
            Bit::Done => Release::Out,
            Bit::Stuck if tries.saturating_add(1) < BUS_RESET_TRIES => return Release::Again,
            Bit::Stuck => Release::Lost(Reason::Bridge),
            Bit::Gone => Release::Lost(Reason::Gone),
        };
        self.asserted = None;
        release
    }
}
