//! The memory of devices that have a reset of their own, as far as that goes. The facts are the quirk table's.

use super::{MS, NEVER};

/// What is behind the BARs.
#[derive(Clone, Debug)]
pub enum Memory {
    /// Nothing that matters.
    Plain,
    /// An `NVMe` controller.
    Nvme {
        /// CC.
        configuration: u32,
        /// CAP.TO.
        timeout: u32,
        /// How long it takes to be disabled.
        takes: u64,
        /// When it is.
        idle_at: u64,
    },
    /// Ivy Bridge graphics: what was written, in order, and when the panel is off.
    IvyBridge {
        /// Addresses and values.
        written: Vec<(u64, u32)>,
        /// How long the panel takes.
        takes: u64,
        /// When it is off.
        off_at: u64,
    },
    /// A HINIC virtual function.
    Hinic {
        /// Its firmware takes part.
        capable: bool,
        /// It was told to.
        busy: bool,
        /// How long it takes after the reset.
        takes: u64,
        /// When it is done.
        done_at: u64,
    },
    /// A Radeon.
    Radeon {
        /// The management controller runs.
        runs: bool,
        /// What the index points to.
        index: u32,
        /// The bit that the fuse is compared with.
        misc: u32,
        /// The fuse.
        fuse: u32,
        /// How long its memory takes to come back.
        takes: u64,
        /// When it is back.
        back_at: u64,
        /// What was set after that: reset, clock.
        set: [bool; 2],
        /// The scope of the reset was graphics alone.
        graphics_only: bool,
    },
}

impl Memory {
    /// The dword at `offset` of `bar`.
    pub fn read(&self, now: u64, bar: usize, offset: u64) -> u32 {
        match (self, bar, offset) {
            (Self::Nvme { timeout, .. }, 0, 0x00) => timeout << 24 | 0xffff,
            (Self::Nvme { configuration, .. }, 0, 0x14) => *configuration,
            (Self::Nvme { idle_at, .. }, 0, 0x1c) => u32::from(now < *idle_at),
            (Self::IvyBridge { off_at, .. }, 0, 0xc_7200) => u32::from(now < *off_at) << 31,
            (Self::IvyBridge { .. }, 0, 0xc_7204) => 0xabcd_0003,
            (Self::Hinic { capable, .. }, 0, 0x1000) => (u32::from(*capable) << 30).swap_bytes(),
            (Self::Hinic { busy, done_at, .. }, 0, 0xe80) => {
                (u32::from(*busy && now < *done_at) << 18 | 0x21).swap_bytes()
            }
            (Self::Radeon { runs, index, misc, fuse, .. }, 5, 0x204) => match index {
                0x8000_0004 => u32::from(!runs),
                0x8000_0370 => 0x2_0100,
                0xc00c_0000 => *fuse,
                0xc000_0010 => *misc,
                _ => 0,
            },
            (Self::Radeon { back_at, .. }, 5, 0x5428) => {
                if now < *back_at {
                    u32::MAX
                } else {
                    0x1000
                }
            }
            _ => 0,
        }
    }

    /// Writes it.
    pub fn write(&mut self, now: u64, bar: usize, offset: u64, value: u32) {
        match (self, bar, offset) {
            (Self::Nvme { configuration, takes, idle_at, .. }, 0, 0x14) => {
                if *configuration & 1 != 0 && value & 1 == 0 {
                    *idle_at = now.saturating_add(*takes);
                }
                *configuration = value;
            }
            (Self::IvyBridge { written, takes, off_at }, 0, _) => {
                written.push((offset, value));
                if offset == 0xc_7204 && value & 1 == 0 {
                    *off_at = now.saturating_add(*takes);
                }
            }
            (Self::Hinic { busy, .. }, 0, 0xe80) => *busy = value.swap_bytes() & 1 << 18 != 0,
            (Self::Radeon { index, .. }, 5, 0x200) => *index = value,
            (Self::Radeon { index, misc, set, .. }, 5, 0x204) => match index {
                0xc000_0010 => *misc = value,
                0x8000_0000 => set[0] |= value & 1 != 0,
                0x8000_0004 => set[1] |= value & 1 != 0,
                _ => {}
            },
            _ => {}
        }
    }

    /// Whether a write to configuration space resets the device.
    pub fn is_reset_by(&self, offset: u16, value: u32) -> bool {
        matches!(self, Self::Radeon { .. }) && (offset, value) == (0x7c, 0x39d5_e86b)
    }

    /// The function is reset.
    pub fn reset(&mut self, now: u64) {
        match self {
            Self::Plain | Self::IvyBridge { .. } => {}
            Self::Nvme { configuration, idle_at, .. } => (*configuration, *idle_at) = (0, 0),
            Self::Hinic { takes, done_at, .. } => *done_at = now.saturating_add(*takes),
            Self::Radeon { takes, back_at, fuse, misc, graphics_only, .. } => {
                *back_at = now.saturating_add(*takes);
                *graphics_only = (*fuse & 64 != 0) != (*misc & 2 != 0);
            }
        }
    }

    /// An enabled `NVMe` controller that takes this long to be disabled.
    pub const fn nvme(timeout: u32, takes: u64) -> Self {
        Self::Nvme { configuration: 0x0046_4001, timeout, takes, idle_at: NEVER }
    }

    /// Ivy Bridge graphics whose panel takes this long.
    pub const fn ivy_bridge(takes: u64) -> Self {
        Self::IvyBridge { written: Vec::new(), takes, off_at: NEVER }
    }

    /// A HINIC virtual function whose firmware takes this long.
    pub const fn hinic(capable: bool, takes: u64) -> Self {
        Self::Hinic { capable, busy: false, takes, done_at: 0 }
    }

    /// A Radeon whose memory takes this long.
    pub const fn radeon(runs: bool, fuse: u32, takes: u64) -> Self {
        let back_at = 0;
        let (index, misc, set) = (0, 0, [false; 2]);
        Self::Radeon { runs, index, misc, fuse, takes, back_at, set, graphics_only: false }
    }

    /// A time that is fine for all of them.
    pub const SOON: u64 = 30 * MS;
}
