//! A bridge: its Secondary Bus Reset, its link and its slot.

use capabilities::Width;

use super::{MS, NEVER, SECOND};
use crate::device::Device;

/// Where its PCI Express capability is.
const EXPRESS: u16 = 0x40;
/// Presence Detect Changed Enable and Data Link Layer State Changed Enable.
const EVENTS: u32 = 1 << 3 | 1 << 12;

/// What is below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Below {
    /// Conventional PCI.
    Conventional,
    /// A link of 5.0 GT/s; whether it says when it is up.
    Slow(bool),
    /// One of 16.0 GT/s.
    Fast,
}

/// The bridge.
pub struct Bridge {
    /// Its configuration space.
    pub device: Device,
    /// What is below.
    pub below: Below,
    /// Microseconds that the link takes to come up.
    pub link: u64,
    /// It has to be retrained before it comes up.
    pub needs_retraining: bool,
    /// So many writes that clear Secondary Bus Reset are lost.
    pub lost_clears: u32,
    /// So many were, since the bus went into reset.
    pub lost: u32,
    /// Secondary Bus Reset cannot be set.
    pub read_only: bool,
    /// Something is in the slot.
    pub occupied: bool,
    gone: bool,
    /// Since when the bus is in reset.
    since: Option<u64>,
    up_at: u64,
    /// The events as its driver enabled them.
    enabled: u32,
    /// What software may not do.
    pub violations: Vec<String>,
}

/// What became of the bus below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing.
    None,
    /// It goes into reset.
    Enter,
    /// It leaves it.
    Leave,
    /// The link was retrained.
    Retrained,
}

impl Bridge {
    /// A bridge with this below it; a port has a slot whose events are enabled.
    pub fn new(below: Below) -> Self {
        let mut device = Device::bridge(0x8086, 0x1234).with_command(0x0407);
        device.set(0x3e, Width::Word, 0x0003);
        let mut enabled = 0;
        if below != Below::Conventional {
            let mut body = vec![0; 0x3a];
            // Version 2, root port, slot.
            body[..2].copy_from_slice(&0x0142u16.to_le_bytes());
            device = device.with_capability(EXPRESS as u8, 0x10, &body);
            let reports = below == Below::Fast || below == Below::Slow(true);
            let speed = if below == Below::Fast { 4 } else { 2 };
            device.set(EXPRESS + 0x0c, Width::Dword, u32::from(reports) << 20 | speed);
            device.set(EXPRESS + 0x2c, Width::Dword, if below == Below::Fast { 0x1e } else { 0x06 });
            device.set(EXPRESS + 0x14, Width::Dword, 1 << 6);
            device.allow(EXPRESS + 0x10, Width::Word, 0x0fc3);
            device.allow(EXPRESS + 0x18, Width::Word, 0x1fff);
            enabled = EVENTS | 1 << 5;
            device.set(EXPRESS + 0x18, Width::Word, enabled);
        }
        Self {
            device,
            below,
            link: 20 * MS,
            needs_retraining: false,
            lost_clears: 0,
            lost: 0,
            read_only: false,
            occupied: true,
            gone: false,
            since: None,
            up_at: 0,
            enabled,
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

    /// The link goes down for good, or comes up.
    pub const fn set_link(&mut self, now: u64, up: bool) {
        self.up_at = if up { now } else { NEVER };
    }

    /// Whether what is below can be reached.
    pub const fn reaches(&self, now: u64) -> bool {
        !self.gone && (matches!(self.below, Below::Conventional) || now >= self.up_at)
    }

    /// Whether the bus is in reset, and whether the events of its slot are not as its driver enabled them.
    pub fn leftovers(&self) -> (bool, bool) {
        let events = self.device.get(EXPRESS + 0x18, Width::Word);
        let masked = self.below != Below::Conventional && events != self.enabled;
        (!self.gone && self.since.is_some(), !self.gone && masked)
    }

    /// What a read gives.
    pub fn read(&mut self, now: u64, offset: u16, width: Width) -> u32 {
        if self.gone {
            return u32::MAX >> (32 - 8 * u32::from(width.bytes()));
        }
        if self.below != Below::Conventional {
            let reports = self.below == Below::Fast || self.below == Below::Slow(true);
            let active = u32::from(reports && self.since.is_none() && now >= self.up_at);
            self.device.set(EXPRESS + 0x12, Width::Word, active << 13);
            let changes = self.device.get(EXPRESS + 0x1a, Width::Word) & !(1 << 6);
            self.device.set(EXPRESS + 0x1a, Width::Word, changes | u32::from(self.occupied) << 6);
        }
        self.device.get(offset, width)
    }

    /// What a write does.
    pub fn write(&mut self, now: u64, offset: u16, width: Width, value: u32) -> Change {
        if self.gone {
            return Change::None;
        }
        let express = self.below != Below::Conventional;
        if express && offset == EXPRESS + 0x1a {
            let left = self.device.get(offset, width) & !(value & 0x011f);
            self.device.set(offset, width, left);
            return Change::None;
        }
        if express && offset == EXPRESS + 0x10 && value & 1 << 5 != 0 && self.needs_retraining {
            self.up_at = now.saturating_add(self.link);
            return Change::Retrained;
        }
        if offset != 0x3e {
            self.device.write(offset, width, value);
            return Change::None;
        }
        let old = self.device.get(0x3e, Width::Word);
        if (old ^ value) & !0x40 != 0 {
            self.violations.push(format!("bridge control {old:#x} became {value:#x}"));
        }
        match (self.since, value & 0x40 != 0) {
            (None, true) if !self.read_only => {
                if express && self.device.get(EXPRESS + 0x18, Width::Word) & EVENTS != 0 {
                    self.violations.push("an event of the slot is on its way to its driver".into());
                }
                self.device.write(offset, width, value);
                (self.since, self.lost) = (Some(now), 0);
                if express {
                    self.device.set(EXPRESS + 0x1a, Width::Word, 1 << 3 | 1 << 8);
                }
                Change::Enter
            }
            (Some(_), false) if self.lost_clears != 0 => {
                self.lost_clears -= 1;
                self.lost += 1;
                Change::None
            }
            (Some(since), false) => {
                if now - since < MS {
                    self.violations.push(format!("a bus in reset for {} us", now - since));
                }
                self.device.write(offset, width, value);
                self.since = None;
                let trained = if self.needs_retraining { NEVER } else { now.saturating_add(self.link) };
                self.up_at = if express { trained } else { now };
                Change::Leave
            }
            _ => Change::None,
        }
    }

    /// When a function below may be accessed that has to be given `delay`, the bus being out of reset at `now`.
    pub fn earliest(&self, now: u64, delay: u64) -> u64 {
        match self.below {
            // Trhfa (PCI 4.3.2).
            Below::Conventional => now + SECOND,
            Below::Slow(_) => now + delay,
            Below::Fast => self.up_at.saturating_add(delay),
        }
    }

    /// Whether an event would now be delivered that a reset caused.
    pub fn has_news(&self) -> bool {
        self.below != Below::Conventional
            && self.device.get(EXPRESS + 0x1a, Width::Word) & (1 << 3 | 1 << 8) != 0
    }
}
