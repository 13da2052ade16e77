//! The devices that have a sequence of their own. The facts are those of Linux 6.12 (`drivers/pci/quirks.c`), of Radeon
//! those of QEMU 10 (`hw/vfio/pci-quirks.c`).
//!
//! A sequence is a few turns; each touches a register or two and says what comes next. Addresses are offsets into a
//! BAR of the snapshot, which has to be large enough: a device can have the IDs of another.

use capabilities::header::{self, Command};
use capabilities::{ConfigReader, msix};

use crate::reset::{Facts, MS, Physical, Platform, Snapshot, Time};
use crate::{DeviceReset, Flags};

/// How far a sequence is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    stage: u8,
    /// The end of the wait that it is in.
    until: Time,
}

/// What comes after a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// The next turn, this many microseconds later.
    After(u64),
    /// A function-level reset, and when the function answers, the next turn.
    Flr,
    /// It is over; the function is to be waited for.
    Done,
    /// The device says that this is not its sequence.
    Inapplicable,
    /// The device did not do its part in time.
    Failed,
}

/// Class Code and programming interface of an `NVMe` controller.
const NVME_CLASS: u32 = 0x01_0802;
/// `NVMe` CAP, bits 31:0; bits 31:24 are TO, in 500 ms (`NVMe` 1.4, 3.1.1).
const NVME_CAPABILITIES: u64 = 0x00;
/// `NVMe` CC (3.1.5): EN and SHN.
const NVME_CONFIGURATION: u64 = 0x14;
const NVME_ENABLE: u32 = 1;
const NVME_SHUTDOWN: u32 = 3 << 14;
/// `NVMe` CSTS (3.1.6): RDY.
const NVME_STATUS: u64 = 0x1c;
const NVME_READY: u32 = 1;
const NVME_POLL: u64 = 100 * MS;
const NVME_UNIT: u64 = 500 * MS;

/// Ivy Bridge graphics, in BAR 0: the message channel, south chicken 2, panel power status and control, power state.
const IVB_MESSAGE: u64 = 0x4_5010;
const IVB_SOUTH_CHICKEN: u64 = 0xc_2004;
const IVB_PANEL_STATUS: u64 = 0xc_7200;
const IVB_PANEL_BUSY: u32 = 0xb000_0000;
const IVB_PANEL_CONTROL: u64 = 0xc_7204;
const IVB_POWER_STATE: u64 = 0xd_0100;
const IVB_POLL: u64 = 10 * MS;
const IVB_LIMIT: u64 = 10_000 * MS;

/// HINIC, in BAR 0, big-endian: whether firmware takes part in resets, and whether it still does.
const HINIC_TYPE: u64 = 0x1000;
const HINIC_CAPABLE: u32 = 1 << 30;
const HINIC_OPERATION: u64 = 0xe80;
const HINIC_BUSY: u32 = 1 << 18;
const HINIC_POLL: u64 = 20 * MS;
const HINIC_LIMIT: u64 = 15_000 * MS;

/// Intel's data centre SSDs after a function-level reset.
const FLR_EXTRA: u64 = 250 * MS;

/// Radeon, in BAR 5: index and data of the management controller's registers, the size of memory.
const RADEON_BAR: usize = 5;
const RADEON_INDEX: u64 = 0x200;
const RADEON_DATA: u64 = 0x204;
const RADEON_MEMORY_SIZE: u64 = 0x5428;
/// Registers behind the index: reset, clock, program counter, a fuse, and what the fuse is compared with.
const RADEON_RESET: u32 = 0x8000_0000;
const RADEON_CLOCK: u32 = 0x8000_0004;
const RADEON_COUNTER: u32 = 0x8000_0370;
const RADEON_COUNTER_RUNS: u32 = 0x2_0100;
const RADEON_FUSE: u32 = 0xc00c_0000;
const RADEON_FUSE_WHOLE: u32 = 1 << 6;
const RADEON_MISC: u32 = 0xc000_0010;
const RADEON_MISC_TOGGLE: u32 = 1 << 1;
/// In configuration space: writing the key resets.
const RADEON_CONFIG: u16 = 0x7c;
const RADEON_KEY: u32 = 0x39d5_e86b;
const RADEON_POLL: u64 = 100;
const RADEON_LIMIT: u64 = 100 * MS;

/// Whether the sequence can be tried on a function like this.
pub(crate) fn applies(kind: DeviceReset, snapshot: &Snapshot, flags: Flags) -> bool {
    let flr = !flags.contains(Flags::NO_FLR);
    let has = |bar, last| snapshot.memory(bar, last).is_some();
    match kind {
        DeviceReset::UnadvertisedFlr => flr && snapshot.express().is_some(),
        DeviceReset::DelayAfterFlr => flr && snapshot.is(Facts::FLR),
        DeviceReset::NvmeDisable => {
            flr && snapshot.is(Facts::FLR) && snapshot.class >> 8 == NVME_CLASS && has(0, NVME_STATUS)
        }
        DeviceReset::ChelsioMsix => {
            flr && snapshot.express().is_some() && matches!(snapshot.interrupts_off(), [_, Some(_)])
        }
        DeviceReset::HinicFirmware => flr && snapshot.express().is_some() && has(0, HINIC_TYPE),
        DeviceReset::IvyBridgeGraphics => has(0, IVB_POWER_STATE),
        DeviceReset::RadeonConfig => has(RADEON_BAR, RADEON_MEMORY_SIZE),
    }
}

/// A function in the middle of a sequence.
struct Device<'d, P> {
    config: Physical<'d, P>,
    snapshot: &'d Snapshot,
    bar: usize,
}

impl<P: Platform> Device<'_, P> {
    /// Has the BARs where they belong, and decoded.
    fn open(&self) {
        for saved in self.snapshot.saved_bars() {
            self.config.write(saved.offset, saved.width(), saved.value);
        }
        let command = Command::MEMORY | Command::INTX_DISABLE;
        self.config.write16(header::COMMAND, command.bits());
    }

    fn read(&self, offset: u64) -> u32 {
        self.snapshot.memory(self.bar, offset).map_or(u32::MAX, |address| self.config.memory_read(address))
    }

    fn write(&self, offset: u64, value: u32) {
        if let Some(address) = self.snapshot.memory(self.bar, offset) {
            self.config.memory_write(address, value);
        }
    }

    /// A register behind Radeon's index.
    fn read_indirect(&self, index: u32) -> u32 {
        self.write(RADEON_INDEX, index);
        self.read(RADEON_DATA)
    }

    /// Sets bit 0 of one.
    fn set_indirect(&self, index: u32) {
        let value = self.read_indirect(index);
        self.write(RADEON_DATA, value | 1);
    }
}

impl Sequence {
    /// The next turn.
    pub(crate) fn turn<P: Platform>(
        &mut self,
        kind: DeviceReset,
        platform: &P,
        snapshot: &Snapshot,
        now: Time,
    ) -> Turn {
        let bar = if kind == DeviceReset::RadeonConfig { RADEON_BAR } else { 0 };
        let device = Device { config: Physical::new(platform, snapshot.sbdf()), snapshot, bar };
        let stage = self.stage;
        match kind {
            DeviceReset::UnadvertisedFlr => self.then(stage == 0, Turn::Flr),
            DeviceReset::DelayAfterFlr => match stage {
                0 => self.then(true, Turn::Flr),
                _ => self.then(stage == 1, Turn::After(FLR_EXTRA)),
            },
            DeviceReset::ChelsioMsix => {
                if stage == 0 {
                    enable_chelsio(&device);
                }
                self.then(stage == 0, Turn::Flr)
            }
            DeviceReset::NvmeDisable => self.nvme(&device, now),
            DeviceReset::IvyBridgeGraphics => self.ivy_bridge(&device, now),
            DeviceReset::HinicFirmware => self.hinic(&device, now),
            DeviceReset::RadeonConfig => self.radeon(&device, now),
        }
    }

    /// `turn` and the next stage, or, where that is not so, the end.
    const fn then(&mut self, more: bool, turn: Turn) -> Turn {
        self.stage = self.stage.saturating_add(1);
        if more { turn } else { Turn::Done }
    }

    /// Waits for something that ends at `until`, looking every `poll`: while it is `busy`, this stage, else the next.
    fn poll(&mut self, busy: bool, now: Time, poll: u64) -> Turn {
        if !busy {
            return self.then(true, Turn::After(0));
        }
        if now >= self.until { Turn::Failed } else { Turn::After(poll) }
    }

    fn nvme<P: Platform>(&mut self, device: &Device<'_, P>, now: Time) -> Turn {
        match self.stage {
            0 => {
                device.open();
                let configuration = device.read(NVME_CONFIGURATION);
                if configuration & NVME_ENABLE == 0 {
                    self.stage = 2;
                    return Turn::After(0);
                }
                let units = u64::from(device.read(NVME_CAPABILITIES) >> 24) + 1;
                self.until = now.after(units * NVME_UNIT);
                device.write(NVME_CONFIGURATION, configuration & !(NVME_ENABLE | NVME_SHUTDOWN));
                self.then(true, Turn::After(0))
            }
            1 => {
                let busy = device.read(NVME_STATUS) & NVME_READY != 0;
                // One that does not get there in time is reset all the same.
                match self.poll(busy, now, NVME_POLL) {
                    Turn::Failed => self.then(true, Turn::After(0)),
                    turn => turn,
                }
            }
            2 => self.then(true, Turn::Flr),
            _ => Turn::Done,
        }
    }

    fn ivy_bridge<P: Platform>(&mut self, device: &Device<'_, P>, now: Time) -> Turn {
        match self.stage {
            0 => {
                device.open();
                device.write(IVB_MESSAGE, 2);
                device.write(IVB_SOUTH_CHICKEN, 5);
                device.write(IVB_PANEL_CONTROL, device.read(IVB_PANEL_CONTROL) & !1);
                self.until = now.after(IVB_LIMIT);
                self.then(true, Turn::After(0))
            }
            1 => self.poll(device.read(IVB_PANEL_STATUS) & IVB_PANEL_BUSY != 0, now, IVB_POLL),
            _ => {
                device.write(IVB_POWER_STATE, 2);
                Turn::Done
            }
        }
    }

    fn hinic<P: Platform>(&mut self, device: &Device<'_, P>, now: Time) -> Turn {
        match self.stage {
            0 => {
                device.open();
                let capable = device.read(HINIC_TYPE).swap_bytes();
                if capable & HINIC_CAPABLE == 0 || capable == u32::MAX {
                    return Turn::Inapplicable;
                }
                let operation = device.read(HINIC_OPERATION).swap_bytes();
                device.write(HINIC_OPERATION, (operation | HINIC_BUSY).swap_bytes());
                self.then(true, Turn::Flr)
            }
            1 => {
                // It takes its requester ID from the first configuration write, and answers memory reads after that.
                device.config.write16(header::VENDOR_ID, 0);
                device.open();
                self.until = now.after(HINIC_LIMIT);
                self.then(true, Turn::After(0))
            }
            2 => self.poll(device.read(HINIC_OPERATION).swap_bytes() & HINIC_BUSY != 0, now, HINIC_POLL),
            _ => Turn::Done,
        }
    }

    fn radeon<P: Platform>(&mut self, device: &Device<'_, P>, now: Time) -> Turn {
        match self.stage {
            0 => {
                device.open();
                let stopped = device.read_indirect(RADEON_CLOCK) & 1 != 0;
                let counter = device.read_indirect(RADEON_COUNTER);
                if stopped || counter < RADEON_COUNTER_RUNS {
                    return Turn::Inapplicable;
                }
                // Whether the whole device is reset, or graphics alone, is the fuse, unless it is toggled.
                let whole = device.read_indirect(RADEON_FUSE) & RADEON_FUSE_WHOLE != 0;
                let misc = device.read_indirect(RADEON_MISC);
                if whole == (misc & RADEON_MISC_TOGGLE != 0) {
                    device.write(RADEON_DATA, misc ^ RADEON_MISC_TOGGLE);
                    device.read(RADEON_DATA);
                }
                device.config.write32(RADEON_CONFIG, RADEON_KEY);
                self.until = now.after(RADEON_LIMIT);
                self.then(true, Turn::After(RADEON_POLL))
            }
            1 => {
                // Whether it kept its registers is not known.
                device.open();
                self.poll(device.read(RADEON_MEMORY_SIZE) == u32::MAX, now, RADEON_POLL)
            }
            _ => {
                device.set_indirect(RADEON_RESET);
                device.set_indirect(RADEON_CLOCK);
                Turn::Done
            }
        }
    }
}

/// Without these, a Chelsio T4 does not finish what it has under way, and interrupts from then on are lost.
fn enable_chelsio<P: Platform>(device: &Device<'_, P>) {
    let command = Command::MASTER | Command::INTX_DISABLE;
    device.config.write16(header::COMMAND, command.bits());
    if let [_, Some((at, control))] = device.snapshot.interrupts_off() {
        let enabled = device.config.read16(at) & msix::ENABLE != 0;
        if !enabled {
            device.config.write16(at, control | msix::ENABLE | msix::FUNCTION_MASK);
        }
    }
}
