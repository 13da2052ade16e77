//! The bridge above a function: Secondary Bus Reset, the link below it, and the events of its slot.
//!
//! A bridge is the host's. Each register is read when it is written, as its driver may have changed the rest of it.

use capabilities::header::{self, Layout};
use capabilities::id::CapabilityId;
use capabilities::standard::express;
use capabilities::{ConfigReader, Sbdf, walk};

use super::platform::{Physical, Platform};
use crate::Flags;
use crate::table::{self, Identity, Traits};

/// What is below a bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Below {
    /// A bus of conventional PCI, or one inside a switch.
    Bus,
    /// A link of at most 5.0 GT/s, or one that does not say when it is up.
    Link,
    /// A faster one.
    FastLink,
}

/// The bridge above a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) sbdf: Sbdf,
    pub(crate) below: Below,
    /// The offset of its PCI Express capability; 0 if it has none.
    express: u16,
    /// It says whether the link is up.
    reports_link: bool,
    /// It has a slot that says whether something is in it.
    slot: bool,
}

/// What became of an attempt to write a bit of a bridge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bit {
    /// It is as it was written.
    Done,
    /// It is not.
    Stuck,
    /// The bridge does not answer.
    Gone,
}

/// No register of a bridge reads so.
const GONE: u16 = u16::MAX;

/// Device/Port Type of a root port (PCIe 7.5.3.2).
const ROOT_PORT: u16 = 4;

/// Has a root port tell software that a function below it is not ready yet, if it can (Configuration RRS Software Visibility,
/// PCIe 2.3.1). Without, hardware repeats the configuration read, and the CPU waits for as long as the function takes.
/// Whether `sbdf` is a root port that tells.
///
/// Work: one look at its capability list.
pub fn enable_rrs<P: Platform>(platform: &P, sbdf: Sbdf) -> bool {
    let port = Physical::new(platform, sbdf);
    let found = walk::standard(&port).find(|capability| capability.id == CapabilityId::EXPRESS);
    let Some(at) = found.map(|capability| capability.offset) else { return false };
    let flags = port.read16(at + express::FLAGS);
    if flags >> 4 & 0xf != ROOT_PORT {
        return false;
    }
    let control = port.read16(at + express::ROOT_CONTROL);
    let capable = port.read16(at + express::ROOT_CAPABILITIES) & express::RRS_CAPABLE != 0;
    if capable && control & express::RRS_ENABLE == 0 {
        port.write16(at + express::ROOT_CONTROL, control | express::RRS_ENABLE);
    }
    capable
}

impl Port {
    /// The bridge `sbdf`; `None` if there is none, or it is known for not having its bus reset.
    pub(crate) fn find<P: Platform>(platform: &P, sbdf: Sbdf) -> Option<Self> {
        let bridge = Physical::new(platform, sbdf);
        if bridge.read16(header::VENDOR_ID) == GONE
            || Layout::from_header_type(bridge.read8(header::HEADER_TYPE)) != Some(Layout::Bridge)
        {
            return None;
        }
        let found = walk::standard(&bridge).find(|capability| capability.id == CapabilityId::EXPRESS);
        let express = found.map(|capability| capability.offset);
        let identity = Identity::of(&bridge, sbdf, Traits::empty(), express);
        if table::says(&identity, Flags::NO_BUS_RESET) {
            return None;
        }
        let mut port = Self { sbdf, below: Below::Bus, express: 0, reports_link: false, slot: false };
        let Some(at) = express else { return Some(port) };
        let flags = bridge.read16(at + express::FLAGS);
        // A root port, a downstream port, or a bridge from conventional PCI (PCIe 7.5.3.2).
        if !matches!(flags >> 4 & 0xf, 4 | 6 | 8) {
            return Some(port);
        }
        let length = express::length(flags);
        let speeds = if length > express::LINK_CAPABILITIES_2 {
            bridge.read32(at + express::LINK_CAPABILITIES_2)
        } else {
            0
        };
        let link = bridge.read32(at + express::LINK_CAPABILITIES);
        port.express = at;
        port.reports_link = link & express::LINK_ACTIVE_REPORTING != 0;
        let fast = port.reports_link && speeds & express::SPEEDS_ABOVE_5 != 0;
        port.below = if fast { Below::FastLink } else { Below::Link };
        port.slot = flags & express::SLOT_IMPLEMENTED != 0
            && length > express::SLOT_STATUS
            && bridge.read32(at + express::SLOT_CAPABILITIES) & express::HOT_PLUG_CAPABLE != 0;
        Some(port)
    }

    /// Sets or clears Secondary Bus Reset.
    pub(crate) fn set_reset<P: Platform>(&self, platform: &P, reset: bool) -> Bit {
        let bridge = Physical::new(platform, self.sbdf);
        let old = bridge.read16(header::BRIDGE_CONTROL);
        if old == GONE {
            return Bit::Gone;
        }
        let bit = if reset { header::SECONDARY_BUS_RESET } else { 0 };
        let kept = old & !(header::SECONDARY_BUS_RESET | header::DISCARD_TIMER_STATUS);
        bridge.write16(header::BRIDGE_CONTROL, kept | bit);
        match bridge.read16(header::BRIDGE_CONTROL) {
            GONE => Bit::Gone,
            new if new & header::SECONDARY_BUS_RESET == bit => Bit::Done,
            _ => Bit::Stuck,
        }
    }

    /// Masks the events of the slot that a reset causes. Which of them were not masked.
    pub(crate) fn mask_events<P: Platform>(&self, platform: &P) -> u16 {
        if !self.slot {
            return 0;
        }
        let bridge = Physical::new(platform, self.sbdf);
        let at = self.express + express::SLOT_CONTROL;
        let control = bridge.read16(at);
        let enabled = control & express::SLOT_EVENTS;
        if control == GONE || enabled == 0 {
            return 0;
        }
        bridge.write16(at, control & !express::SLOT_EVENTS);
        enabled
    }

    /// Unmasks `events` of the slot. If the reset went well, what it changed is forgotten before; else the bridge's driver
    /// gets to see it.
    pub(crate) fn unmask_events<P: Platform>(&self, platform: &P, events: u16, forget: bool) {
        let bridge = Physical::new(platform, self.sbdf);
        let at = self.express + express::SLOT_CONTROL;
        let control = bridge.read16(at);
        if events == 0 || control == GONE {
            return;
        }
        if forget {
            bridge.write16(self.express + express::SLOT_STATUS, express::SLOT_CHANGES);
        }
        bridge.write16(at, control | events);
    }

    /// Whether the link is down, as far as the bridge says.
    pub(crate) fn link_is_down<P: Platform>(&self, platform: &P) -> bool {
        let at = self.express + express::LINK_STATUS;
        self.reports_link
            && match Physical::new(platform, self.sbdf).read16(at) {
                GONE => true,
                status => status & express::LINK_ACTIVE == 0,
            }
    }

    /// Whether nothing is in the slot, or the bridge itself is gone.
    pub(crate) fn is_empty<P: Platform>(&self, platform: &P) -> bool {
        let bridge = Physical::new(platform, self.sbdf);
        if bridge.read16(header::VENDOR_ID) == GONE {
            return true;
        }
        let present = || bridge.read16(self.express + express::SLOT_STATUS) & express::PRESENCE_DETECT != 0;
        self.slot && !present() && (!self.reports_link || self.link_is_down(platform))
    }

    /// Has the link trained again.
    pub(crate) fn retrain<P: Platform>(&self, platform: &P) {
        if self.express == 0 {
            return;
        }
        let bridge = Physical::new(platform, self.sbdf);
        let at = self.express + express::LINK_CONTROL;
        let control = bridge.read16(at);
        if control != GONE {
            bridge.write16(at, control | express::RETRAIN_LINK);
        }
    }
}
