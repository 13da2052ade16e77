//! A function that can be reset, and needs its time for that.

use capabilities::Width;

use super::memory::Memory;
use super::{MS, NEVER};
use crate::device::Device;

/// How a function was reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Initiate Function Level Reset.
    Flr,
    /// The same by Advanced Features.
    AdvancedFlr,
    /// D3hot to D0.
    Power,
    /// Its bus was.
    Bus,
    /// Something of the device's own.
    Own,
}

/// Where the capabilities of a function are; 0 for none.
#[derive(Clone, Copy, Default, Debug)]
pub struct Places {
    /// PCI Express.
    pub express: u16,
    /// Advanced Features.
    pub advanced: u16,
    /// Power Management.
    pub power: u16,
    /// Advanced Error Reporting.
    pub aer: u16,
}

/// How long things take, in microseconds, and how long they must be waited for.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From the end of a reset to the first access that is answered, [`NEVER`] included.
    pub ready: u64,
    /// Software waits this long between D3hot and D0.
    pub d3hot: u64,
    /// It waits this long after a bus reset.
    pub d3cold: u64,
    /// It waits this long after a function-level reset.
    pub flr: u64,
    /// While it has requests under way, at most this long.
    pub pending: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { ready: 0, d3hot: 10 * MS, d3cold: 100 * MS, flr: 100 * MS, pending: 0 }
    }
}

/// The function.
#[derive(Clone)]
pub struct Part {
    /// Its configuration space.
    pub device: Device,
    /// The same, as a reset leaves it.
    pub fresh: Device,
    /// Its device memory.
    pub memory: Memory,
    /// Where its capabilities are.
    pub places: Places,
    /// Its times.
    pub timing: Timing,
    /// Its header has no IDs, and BARs are elsewhere.
    pub virtual_function: bool,
    /// It resets as Advanced Features and PMCSR say, or does nothing when asked.
    pub deaf: bool,
    /// Until it is reset, it does not leave D3hot.
    pub sleeps: bool,
    /// The next writes to BARs that are lost.
    pub lost_bars: u32,
    /// It may have bus mastering in a function-level reset.
    pub wants_master: bool,
    /// Until it is written to after a reset, its memory does not answer.
    pub forgets_id: bool,
    gone: bool,
    /// It was told nothing since it stopped answering.
    stalled: bool,
    /// It asked for more time after a reset, and software knows.
    told: bool,
    /// It is a reset that it takes its time for.
    recovers: bool,
    in_reset: bool,
    /// No access before.
    earliest: u64,
    ready_at: u64,
    /// Since when it does not master.
    quiet_since: u64,
    /// All resets so far.
    pub resets: Vec<Kind>,
    /// What software may not do.
    pub violations: Vec<String>,
}

impl Part {
    /// A function as it is after a reset, and as it is configured.
    pub fn new(fresh: Device, configured: Device, places: Places) -> Self {
        Self {
            device: configured,
            fresh,
            memory: Memory::Plain,
            places,
            timing: Timing::default(),
            virtual_function: false,
            deaf: false,
            sleeps: false,
            lost_bars: 0,
            wants_master: false,
            forgets_id: false,
            gone: false,
            stalled: false,
            told: false,
            recovers: false,
            in_reset: false,
            earliest: 0,
            ready_at: 0,
            quiet_since: NEVER,
            resets: Vec::new(),
            violations: Vec::new(),
        }
    }

    /// It is pulled.
    pub fn pull(&mut self) {
        self.gone = true;
    }

    /// Whether it is there.
    pub const fn is_there(&self) -> bool {
        !self.gone
    }

    /// It does not answer from now on, for `microseconds`.
    pub const fn stall(&mut self, now: u64, microseconds: u64) {
        self.ready_at = now.saturating_add(microseconds);
        (self.recovers, self.told) = (false, false);
    }

    /// A write does not reach it.
    pub const fn miss(&mut self, offset: u16) {
        self.stalled |= offset == 4;
    }

    fn violation(&mut self, now: u64, what: &str) {
        self.violations.push(format!("{} ms: {what}", now / MS));
    }

    fn look(&mut self, now: u64, what: &str) -> bool {
        if self.in_reset && !self.gone {
            self.violation(now, &format!("{what} while its bus is in reset"));
        } else if now < self.earliest && !self.gone {
            self.violation(now, &format!("{what} {} us too early", self.earliest - now));
        }
        !self.gone && !self.in_reset
    }

    /// Whether it answers.
    pub const fn answers(&self, now: u64) -> bool {
        !self.gone && !self.in_reset && now >= self.ready_at
    }

    /// What a read gives.
    pub fn read(&mut self, now: u64, offset: u16, width: Width) -> u32 {
        let ones = u32::MAX >> (32 - 8 * u32::from(width.bytes()));
        if !self.look(now, "a read") {
            return ones;
        }
        if now < self.ready_at {
            // Request Retry Status, visible to software (PCIe 2.3.2).
            let retried = offset == 0 && width != Width::Byte && !self.virtual_function;
            if self.told && !retried {
                // Hardware may repeat this one for as long as it takes.
                self.violation(now, "a read of a function that asked for more time");
            }
            self.told |= retried && self.recovers;
            return if retried { ones & 0xffff_0001 } else { ones };
        }
        self.told = false;
        let pending = u32::from(self.is_pending(now));
        if self.places.express != 0 {
            self.device.set(self.places.express + 0x0a, Width::Word, pending << 5);
        }
        if self.places.advanced != 0 {
            self.device.set(self.places.advanced + 0x05, Width::Byte, pending);
        }
        self.device.get(offset, width)
    }

    fn is_pending(&self, now: u64) -> bool {
        let says = self.places.express != 0 || self.places.advanced != 0;
        let masters = self.quiet_since == NEVER && self.timing.pending != 0;
        says && (masters || now.saturating_sub(self.quiet_since) < self.timing.pending)
    }

    /// What a write does.
    pub fn write(&mut self, now: u64, offset: u16, width: Width, value: u32) {
        if !self.look(now, "a write") || now < self.ready_at {
            self.miss(offset);
            return;
        }
        let bar = (0x10..0x28).contains(&offset);
        if bar && self.lost_bars != 0 {
            self.lost_bars -= 1;
            return;
        }
        let power = self.power();
        self.device.write(offset, width, value);
        if self.sleeps && power == 3 {
            self.set_power(3);
        }
        self.forgets_id &= offset != 0;
        if offset == 0x04 && value & 4 == 0 && self.quiet_since == NEVER {
            self.quiet_since = now;
        } else if offset == 0x04 && value & 4 != 0 {
            self.quiet_since = NEVER;
        }
        let Places { express, advanced, .. } = self.places;
        if express != 0 && offset == express + 0x08 && value & 0x8000 != 0 && !self.deaf {
            self.reset(now, Kind::Flr);
        }
        if advanced != 0 && offset == advanced + 0x04 && value & 1 != 0 && !self.deaf {
            self.reset(now, Kind::AdvancedFlr);
        }
        let told = offset == self.places.power + 4;
        match (power, self.power()) {
            _ if !told => {}
            (3, 0) if self.device.get(self.places.power + 4, Width::Word) & 8 == 0 && !self.deaf => {
                self.reset(now, Kind::Power);
            }
            (0, 3) | (3, 0) => self.earliest = now + self.timing.d3hot,
            _ => {}
        }
        if self.memory.is_reset_by(offset, value) {
            self.reset(now, Kind::Own);
        }
    }

    fn power(&self) -> u32 {
        if self.places.power == 0 { 0 } else { self.device.get(self.places.power + 4, Width::Word) & 3 }
    }

    /// Brings it to this power state.
    pub fn set_power(&mut self, state: u32) {
        let at = self.places.power + 4;
        let others = self.device.get(at, Width::Word) & !3;
        self.device.set(at, Width::Word, others | state);
    }

    /// Whether it decodes memory.
    pub fn decodes(&self) -> bool {
        self.virtual_function || self.device.command() & 2 != 0
    }

    /// The dword of its memory, `offset` bytes into BAR `bar`.
    pub fn memory_read(&mut self, now: u64, bar: usize, offset: u64) -> u32 {
        if !self.look(now, "a memory read") || now < self.ready_at || !self.decodes() || self.forgets_id {
            return u32::MAX;
        }
        self.memory.read(now, bar, offset)
    }

    /// Writes it.
    pub fn memory_write(&mut self, now: u64, bar: usize, offset: u64, value: u32) {
        if self.look(now, "a memory write") && now >= self.ready_at && self.decodes() {
            self.memory.write(now, bar, offset, value);
        }
    }

    /// Its bus goes into reset; it is `stopped` as far as it can be told.
    pub fn enter(&mut self, now: u64, stopped: bool) {
        if stopped && !std::mem::take(&mut self.stalled) && self.device.command() & 4 != 0 {
            self.violation(now, "a bus reset with bus mastering");
        }
        self.in_reset = true;
    }

    /// Its bus is out of reset: it can be accessed from `earliest` on, and is ready from `ready` on.
    pub fn leave(&mut self, now: u64, earliest: u64, ready: u64) {
        self.in_reset = false;
        self.reset(now, Kind::Bus);
        self.earliest = earliest;
        self.ready_at = ready.saturating_add(self.timing.ready);
    }

    /// It can be accessed from `earliest` on: its link is up after all.
    pub const fn delay(&mut self, earliest: u64) {
        self.earliest = earliest;
    }

    fn reset(&mut self, now: u64, kind: Kind) {
        // Drained, or waited for long enough (the engine's own figure is 700 ms; PCIe 6.6.2 asks for the completion
        // time-out, at most 64 s, or for ignoring what comes).
        let drained = !self.is_pending(now) || now.saturating_sub(self.quiet_since) >= 700 * MS;
        let master = self.device.command() & 4 != 0;
        if !drained && !self.wants_master && kind != Kind::Bus {
            self.violation(now, &format!("{kind:?} with requests pending"));
        }
        let may = self.wants_master && kind == Kind::Flr || kind == Kind::Bus;
        if !std::mem::take(&mut self.stalled) && master && !may {
            self.violation(now, &format!("{kind:?} with bus mastering {master}"));
        }
        self.resets.push(kind);
        (self.recovers, self.told) = (true, false);
        let evidence = self.places.aer;
        self.device = self.fresh.clone();
        self.sleeps = false;
        if evidence != 0 {
            // Sticky: a completion that came late (PCIe 7.8.4.2, Unexpected Completion).
            self.device.set(evidence + 0x04, Width::Dword, 1 << 16);
        }
        self.memory.reset(now);
        self.quiet_since = now;
        self.timing.pending = 0;
        let wait = match kind {
            Kind::Flr | Kind::AdvancedFlr => self.timing.flr,
            Kind::Power => self.timing.d3hot,
            Kind::Bus | Kind::Own => 0,
        };
        self.earliest = now + wait;
        self.ready_at = now.saturating_add(wait).saturating_add(self.timing.ready);
    }
}
