//! Secondary Bus Reset (PCIe 6.6.1, 7.5.1.3.13).

use super::engine::{Context, Reason, Release, Reset, State};
use super::methods::d3cold_delay;
use super::platform::Platform;
use super::port::{Below, Bit, Port};
use super::times::{BUS_RESET_HOLD, BUS_RESET_RETRY, CONVENTIONAL_WAIT, LINK_LIMIT, LINK_POLL};

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bus {
    /// The slot's events are to be masked.
    Mask,
    /// The bus is to go into reset.
    Assert,
    /// It is to come out; how often that was tried.
    Release { tries: u8 },
    /// The link is to come up.
    Link,
}

impl Reset {
    pub(super) fn advance_bus<P: Platform>(&mut self, context: &Context<'_, P>, bus: Bus) {
        let Some(port) = self.port else {
            self.fail(Reason::NoMethod);
            return;
        };
        match bus {
            Bus::Mask => {
                self.masked = port.mask_events(context.platform);
                self.go(State::Bus(Bus::Assert), 0);
            }
            Bus::Assert => {
                // Whatever becomes of the write, the bus is taken out of reset after it.
                self.asserted = Some(self.now.after(BUS_RESET_HOLD));
                match port.set_reset(context.platform, true) {
                    Bit::Done => self.go(State::Bus(Bus::Release { tries: 0 }), BUS_RESET_HOLD),
                    Bit::Stuck => self.fail(Reason::Bridge),
                    Bit::Gone => self.fail(Reason::Gone),
                }
            }
            Bus::Release { tries } => match self.release_bus(context, tries) {
                Release::Out => self.settle(context, port),
                Release::Again => {
                    let tries = tries.saturating_add(1);
                    self.go(State::Bus(Bus::Release { tries }), BUS_RESET_RETRY);
                }
                Release::Lost(reason) => self.fail(reason),
            },
            Bus::Link => self.await_link(context, port),
        }
    }

    /// What is waited for before the first access.
    fn settle<P: Platform>(&mut self, context: &Context<'_, P>, port: Port) {
        let delays = self.scope(context.members).iter().map(d3cold_delay);
        self.delay = delays.max().unwrap_or(0);
        match port.below {
            Below::Bus => self.go(State::Wait, CONVENTIONAL_WAIT + self.delay),
            Below::Link => self.go(State::Wait, self.delay),
            Below::FastLink => {
                self.retrained = false;
                self.deadline = self.now.after(LINK_LIMIT);
                self.go(State::Bus(Bus::Link), 0);
            }
        }
    }

    /// The delay counts from when a fast link is up (PCIe 6.6.1).
    fn await_link<P: Platform>(&mut self, context: &Context<'_, P>, port: Port) {
        if !port.link_is_down(context.platform) {
            self.go(State::Wait, self.delay);
            return;
        }
        if self.now >= self.deadline {
            if self.retrained {
                let empty = port.is_empty(context.platform);
                self.fail(if empty { Reason::Gone } else { Reason::Link });
                return;
            }
            port.retrain(context.platform);
            self.retrained = true;
            self.deadline = self.now.after(LINK_LIMIT);
        }
        self.go(State::Bus(Bus::Link), LINK_POLL);
    }
}
