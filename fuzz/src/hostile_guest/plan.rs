//! How functions are given to a guest, and what is done with them.

use arbitrary::Arbitrary;
use capabilities::id::CapabilityId;
use capabilities::policy::Rule;
use tests::device::Device;
use vpci::VirtualFunction;

use super::rules::RulePlan;
use crate::Size;

const MOST_RULES: usize = 6;

/// Where a BAR is put.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Spot {
    Nowhere,
    /// So many times 32 MiB above where it is in those of the host.
    Moved(u8),
    Anywhere(u64),
}

/// A capability by which a device can be reset.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) enum Way {
    Express { at: u8 },
    Advanced { at: u8, capable: u8 },
    Power { at: u8, state: u8 },
}

impl Way {
    /// The device with it.
    pub(super) fn add(self, device: Device) -> Device {
        let slot = |at: u8, most: u8| 0x40 + at % ((most - 0x40) / 4) * 4;
        match self {
            Self::Express { at } => {
                device.with_capability(slot(at, 0xc4), CapabilityId::EXPRESS.0, &[2, 0, 0, 0, 0, 0x10])
            }
            Self::Advanced { at, capable } => {
                device.with_capability(slot(at, 0xf8), CapabilityId::AF.0, &[6, capable | 3])
            }
            Self::Power { at, state } => {
                device.with_capability(slot(at, 0xf8), CapabilityId::PM.0, &[3, 0, state])
            }
        }
    }
}

/// How a function is given to a guest.
#[derive(Arbitrary, Clone, Debug)]
pub(super) struct Gift {
    pub(super) spots: [Spot; 7],
    pub(super) by_firmware: bool,
    pub(super) vpd: bool,
    pub(super) resettable: bool,
    pub(super) rules: Vec<RulePlan>,
    pub(super) function: Option<FunctionPlan>,
}

impl Gift {
    /// The rules, and what its physical function says of it.
    pub(super) fn parts(&self) -> (Vec<Rule>, Option<VirtualFunction>) {
        let rules = self.rules.iter().take(MOST_RULES).map(RulePlan::rule).collect();
        (rules, self.function.as_ref().map(FunctionPlan::function))
    }
}

/// What a physical function says of a virtual one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct FunctionPlan {
    ids: u32,
    kinds: [u8; 6],
    places: [u32; 6],
    sizes: [u8; 6],
}

impl FunctionPlan {
    pub(super) fn function(&self) -> VirtualFunction {
        VirtualFunction {
            ids: self.ids,
            kinds: self.kinds.map(u32::from),
            addresses: self.places.map(|place| 0xf_0000_0000 | u64::from(place) << 4),
            // Now and then one that is no power of two.
            sizes: self.sizes.map(|size| if size > 0xf0 { u64::from(size) } else { 1 << (size % 30) }),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub(super) enum Operation {
    Attach {
        function: u8,
        gift: Gift,
    },
    Detach {
        function: u8,
    },
    Read {
        function: u8,
        offset: u16,
        size: Size,
    },
    Write {
        function: u8,
        offset: u16,
        size: Size,
        value: u32,
    },
    Command {
        function: u8,
        value: u16,
    },
    Bar {
        function: u8,
        number: u8,
        value: u32,
    },
    Rom {
        function: u8,
        value: u32,
    },
    Step {
        function: u8,
    },
    Settle {
        function: u8,
    },
    ProgramMsi {
        function: u8,
        address: u32,
        data: u16,
        control: u16,
    },
    MsixControl {
        function: u8,
        value: u16,
    },
    MmioRead {
        function: u8,
        pba: bool,
        offset: u16,
        bytes: u8,
    },
    MmioWrite {
        function: u8,
        pba: bool,
        offset: u16,
        bytes: u8,
        value: u64,
    },
    ProgramMsix {
        function: u8,
        entry: u8,
        vector: u8,
        control: u16,
    },
    /// What asks for a reset, by one of the capabilities that have a bit for it.
    Reset {
        function: u8,
        which: u8,
        size: Size,
    },
    Change {
        function: u8,
        offset: u16,
        size: Size,
        value: u32,
    },
    Pull {
        function: u8,
    },
    /// A read and a write where a rule is.
    Ruled {
        function: u8,
        rule: u8,
        at: u8,
        size: Size,
        value: u32,
    },
    /// A write into a capability that the guest has.
    Capability {
        function: u8,
        number: u8,
        at: u8,
        size: Size,
        value: u32,
    },
}
