//! A function whose server comes and goes while the guest runs.

use super::{
    PORTS,
    servers::{self, CALL, LEAVE, Served, Servers},
    window::Window,
};
use crate::{
    memory::Dma,
    report::{Fault, ensure, result},
    xen,
};

/// Microseconds that a server may take to come.
const PATIENCE: u64 = 60_000_000;

/// It, and how often it comes.
pub(super) struct Visitor {
    served: Served,
    times: u32,
}

impl Visitor {
    /// `00:07.0:ext*2`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let (word, times) = word.split_once('*').unwrap_or((word, "1"));
        Some(Self { served: Served::parse(word)?, times: times.parse().ok()? })
    }

    /// All of its visits.
    pub(super) fn run(&self, window: Window, buffer: Dma, servers: &Servers) {
        let address = self.served.address;
        for _ in 0..self.times {
            if !result(address, "come", self.come(window, servers)) {
                return;
            }
            result(address, "served", self.served.identity(window));
            result(address, "served-widths", self.served.widths(window, 0x84));
            result(address, "extended", self.served.above(window, buffer));
            result(address, "release", servers::release(self.served, window));
            result(address, "leave", self.leave(window, servers));
        }
    }

    /// The first server calls it. Polls are seen by nobody until it is there.
    fn come(&self, window: Window, servers: &Servers) -> Result<u32, Fault> {
        self.served.absent(window)?;
        let first = servers.iter().next().ok_or(Fault("nobody can call it", 0))?;
        ensure(first.ring(CALL, super::BRIDGE) == 0, "it cannot be called", 0_u32)?;
        ensure(xen::wait(PATIENCE, || self.served.answers()), "it did not come", 0_u32)?;
        Ok(1)
    }

    /// It goes, and is gone when the write is done that told it to. The others stay.
    fn leave(&self, window: Window, servers: &Servers) -> Result<u32, Fault> {
        self.served.write(PORTS, servers::DOORBELL, 4, LEAVE << 24);
        self.served.absent(window)?;
        for other in servers.iter() {
            other.read(PORTS, 0, 4);
            other.read(window.access(), 0x40, 4);
        }
        Ok(1)
    }
}
