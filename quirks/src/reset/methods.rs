//! Stopping functions, choosing a method, and the methods of a function alone.

use capabilities::ConfigReader;
use capabilities::Width;
use capabilities::extended::control;
use capabilities::header::{self, Command};
use capabilities::standard::{advanced, express, pm};

use super::bus::Bus;
use super::engine::{Context, Reason, Reset, State};
use super::platform::{Platform, Scope};
use super::snapshot::{Facts, Member};
use super::times::{D3COLD_DELAY, D3HOT_DELAY, DELAY_LIMIT, DRAIN_LOOKS, DRAIN_WAIT, FLR_WAIT, MEMBERS, MS};
use crate::device::{self, Sequence, Turn};
use crate::{Flags, Method, Methods, Quirks};

/// D0 and D3hot in PMCSR.
const D0: u16 = 0;
const D3HOT: u16 = pm::POWER_STATE as u16; // CAST: two bits.

/// Whether virtual functions of it are enabled: they would be lost.
pub(super) fn has_virtual_functions<P: Platform>(context: &Context<'_, P>, member: &Member<'_>) -> bool {
    member.snapshot.sr_iov().is_some_and(|at| {
        let value = context.config(member).read16(at + control::SR_IOV_CONTROL);
        value != u16::MAX && value & control::VF_ENABLE != 0
    })
}

fn delay(quirk: Option<u16>, usual: u64) -> u64 {
    quirk.map_or(usual, |ms| u64::from(ms) * MS).min(DELAY_LIMIT)
}

/// Microseconds between D3hot and D0.
fn d3hot_delay(member: &Member<'_>) -> u64 {
    delay(member.quirks.d3hot_delay_ms, D3HOT_DELAY)
}

/// Microseconds after the reset of a bus.
pub(super) fn d3cold_delay(member: &Member<'_>) -> u64 {
    delay(member.quirks.d3cold_delay_ms, D3COLD_DELAY)
}

impl Member<'_> {
    /// The methods that apply to the function, as far as it depends on nothing else: what its snapshot has, no quirk
    /// forbids, and is in its order. [`Methods::BUS`] says only that nothing about the function is against it.
    #[must_use]
    pub fn methods(&self) -> Methods {
        let order = self.quirks.order().0.into_iter().flatten();
        order.filter(|method| self.allows(*method)).map(Methods::from).collect()
    }

    /// Whether nothing about the function is against this method.
    fn allows(&self, method: Method) -> bool {
        let Quirks { flags, reset, .. } = *self.quirks;
        let is = |facts, unless| self.snapshot.is(facts) && !flags.intersects(unless);
        match method {
            Method::Device => reset.is_some_and(|kind| device::applies(kind, self.snapshot, flags)),
            Method::Flr => is(Facts::FLR, Flags::NO_FLR),
            Method::AdvancedFlr => is(Facts::ADVANCED_FLR, Flags::NO_FLR),
            Method::Power => is(Facts::SOFT_RESET, Flags::NO_PM_RESET | Flags::NO_D3),
            Method::Bus => {
                let own = self.snapshot.is_taken() && !self.snapshot.is(Facts::VIRTUAL);
                own && !flags.contains(Flags::NO_BUS_RESET)
            }
        }
    }
}

impl Reset {
    /// The next method that applies.
    pub(super) fn choose<P: Platform>(&mut self, context: &Context<'_, P>) -> Option<Method> {
        let first = context.members.first()?;
        let order = first.quirks.order().0;
        for method in order.into_iter().skip(usize::from(self.place)) {
            self.place = self.place.saturating_add(1);
            if let Some(method) = method
                && self.applies(context, first, method)
            {
                return Some(method);
            }
        }
        None
    }

    fn applies<P: Platform>(&mut self, context: &Context<'_, P>, first: &Member<'_>, method: Method) -> bool {
        let allowed = self.request.methods.contains(method.into()) && first.allows(method);
        allowed && (method != Method::Bus || self.may_reset_bus(context))
    }

    /// Whether the bus can be reset with all that is on it; it is claimed then.
    fn may_reset_bus<P: Platform>(&mut self, context: &Context<'_, P>) -> bool {
        let members = context.members;
        let Some(port) = self.port else { return false };
        if members.len() > MEMBERS || !members.iter().all(|member| member.allows(Method::Bus)) {
            return false;
        }
        let scope = Scope::Bus { bridge: port.sbdf, members };
        self.claimed_bus = context.platform.claim(scope);
        self.bus_in_use = !self.claimed_bus;
        // Only now are the others not in a reset of their own.
        if self.claimed_bus && members.iter().any(|member| has_virtual_functions(context, member)) {
            context.platform.release(scope);
            self.claimed_bus = false;
        }
        self.claimed_bus
    }

    /// Has one function in D0, or on its way there.
    pub(super) fn wake<P: Platform>(&mut self, context: &Context<'_, P>, member: u8) {
        let scope = self.scope(context.members);
        if let Some(of) = scope.get(usize::from(member))
            && let Some(at) = of.snapshot.power()
        {
            let device = context.config(of);
            let at = at + pm::CONTROL_STATUS;
            let value = device.read16(at);
            if value != u16::MAX && value & D3HOT != D0 {
                // So that it does not go on with what it did before it slept.
                device.write16(header::COMMAND, Command::INTX_DISABLE.bits());
                device.write16(at, of.snapshot.power_control(D0));
                self.delay = self.delay.max(d3hot_delay(of));
            }
        }
        match self.following(context.members, member) {
            Some(member) => self.go(State::Wake { member }, 0),
            None => self.go(State::Stop { member: 0 }, self.delay),
        }
    }

    /// Takes decoding, bus mastering and interrupts from one function.
    pub(super) fn stop<P: Platform>(&mut self, context: &Context<'_, P>, member: u8) {
        if let Some(of) = self.scope(context.members).get(usize::from(member)) {
            let device = context.config(of);
            device.write16(header::COMMAND, Command::INTX_DISABLE.bits());
            for (at, value) in of.snapshot.interrupts_off().into_iter().flatten() {
                device.write16(at, value);
            }
            if member == 0 {
                // What does not answer does not hear either.
                self.absent = !context.answers(of);
            }
        }
        match self.following(context.members, member) {
            Some(member) => self.go(State::Stop { member }, 0),
            None if self.absent && self.method != Some(Method::Bus) => {
                self.go(State::Choose(Reason::Gone), 0);
            }
            None => self.go(State::Drain { looks: 0 }, 0),
        }
    }

    /// Waits some time for what the functions have under way.
    pub(super) fn drain<P: Platform>(&mut self, context: &Context<'_, P>, looks: u8) {
        let pending = self.scope(context.members).iter().any(|of| is_pending(context, of));
        let looks = looks.saturating_add(1);
        if pending && looks < DRAIN_LOOKS {
            self.go(State::Drain { looks }, DRAIN_WAIT << (looks - 1));
        } else {
            self.go(State::Perform, 0);
        }
    }

    /// Starts the method.
    pub(super) fn perform<P: Platform>(&mut self, context: &Context<'_, P>) {
        let Some(of) = context.members.first() else { return };
        match self.method {
            Some(Method::Device) => {
                self.sequence = Some(Sequence::default());
                self.go(State::Sequence, 0);
            }
            Some(Method::Flr) => self.flr(context),
            Some(Method::AdvancedFlr) => {
                if let Some(at) = of.snapshot.advanced() {
                    let value = u32::from(advanced::INITIATE_FLR);
                    context.config(of).write(at + advanced::CONTROL, Width::Byte, value);
                }
                self.go(State::Wait, FLR_WAIT);
            }
            Some(Method::Power) => self.lower(context, of),
            Some(Method::Bus) => self.go(State::Bus(Bus::Mask), 0),
            None => self.fail(Reason::NoMethod),
        }
    }

    fn flr<P: Platform>(&mut self, context: &Context<'_, P>) {
        let Some(of) = context.members.first() else { return };
        if let Some(at) = of.snapshot.express() {
            let value = of.snapshot.device_control | express::INITIATE_FLR;
            context.config(of).write16(at + express::DEVICE_CONTROL, value);
        }
        let at_once = of.snapshot.is(Facts::READY_AT_ONCE);
        self.go(State::Wait, if at_once { 0 } else { FLR_WAIT });
    }

    /// From D0 to D3hot.
    fn lower<P: Platform>(&mut self, context: &Context<'_, P>, of: &Member<'_>) {
        let Some(at) = of.snapshot.power() else { return };
        let device = context.config(of);
        if device.read16(at + pm::CONTROL_STATUS) & D3HOT != D0 {
            self.differs(context, of, Reason::Power);
            return;
        }
        device.write16(at + pm::CONTROL_STATUS, of.snapshot.power_control(D3HOT));
        self.go(State::Raise, d3hot_delay(of));
    }

    pub(super) fn raise<P: Platform>(&mut self, context: &Context<'_, P>) {
        let Some(of) = context.members.first() else { return };
        if let Some(at) = of.snapshot.power() {
            let value = of.snapshot.power_control(D0);
            context.config(of).write16(at + pm::CONTROL_STATUS, value);
        }
        self.go(State::Wait, d3hot_delay(of));
    }

    pub(super) fn advance_sequence<P: Platform>(&mut self, context: &Context<'_, P>) {
        let first = context.members.first();
        let (Some(of), Some(mut sequence)) = (first, self.sequence) else { return };
        let Some(kind) = of.quirks.reset else { return };
        let turn = sequence.turn(kind, context.platform, of.snapshot, self.now);
        self.sequence = Some(sequence);
        match turn {
            Turn::After(delay) => self.go(State::Sequence, delay),
            Turn::Flr => self.flr(context),
            Turn::Done => {
                self.sequence = None;
                self.go(State::Wait, 0);
            }
            Turn::Inapplicable => {
                self.sequence = None;
                self.go(State::Choose(Reason::NoMethod), 0);
            }
            Turn::Failed => self.fail(Reason::Sequence),
        }
    }
}

/// Whether the function waits for completions of requests that it made (PCIe 7.5.3.5, 7.9.21.5).
fn is_pending<P: Platform>(context: &Context<'_, P>, of: &Member<'_>) -> bool {
    let device = context.config(of);
    if let Some(at) = of.snapshot.express() {
        let status = device.read16(at + express::DEVICE_STATUS);
        status != u16::MAX && status & express::TRANSACTIONS_PENDING != 0
    } else if let Some(at) = of.snapshot.advanced().filter(|_| of.snapshot.is(Facts::ADVANCED_FLR)) {
        let status = device.read8(at + advanced::STATUS);
        status != u8::MAX && status & advanced::TRANSACTIONS_PENDING != 0
    } else {
        false
    }
}
