//! Functions to reset, with every register that a reset loses.

use capabilities::Width;
use quirks::reset::Region;

use super::function::{Part, Places};
use crate::device::Device;

/// What a function has.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Vendor ID and Device ID.
    pub ids: (u16, u16),
    /// Class Code, 24 bits.
    pub class: u32,
    /// PCI Express.
    pub express: bool,
    /// Function Level Reset Capability.
    pub flr: bool,
    /// Advanced Features.
    pub advanced: bool,
    /// Power Management, with D3hot as a reset.
    pub soft_reset: bool,
    /// Immediate Readiness.
    pub at_once: bool,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            ids: (0x1af4, 0x1041),
            class: 0x02_0000,
            express: true,
            flr: false,
            advanced: false,
            soft_reset: false,
            at_once: false,
        }
    }
}

/// BARs 0 (64 bits), 2 and 5.
pub const BARS: [Region; 6] = {
    let none = Region { address: 0, size: 0 };
    [
        Region { address: 0x40_f000_0000, size: 0x10_0000 },
        none,
        Region { address: 0xf100_0000, size: 0x1_0000 },
        none,
        none,
        Region { address: 0xf200_0000, size: 0x4_0000 },
    ]
};

/// Where the capabilities of a sample are.
pub const POWER: u16 = 0x40;
/// MSI.
pub const MSI: u16 = 0x48;
/// MSI-X.
pub const MSIX: u16 = 0x60;
/// PCI Express.
pub const EXPRESS: u16 = 0x80;
/// Advanced Features.
pub const ADVANCED: u16 = 0xc0;
/// Resizable BAR.
pub const REBAR: u16 = 0x190;
/// SR-IOV.
pub const SR_IOV: u16 = 0x1a0;

/// Writable registers that a reset loses: offset, bytes, bits.
const EXTENDED: [(u16, Width, u32); 26] = [
    // AER: mask, severity, correctable mask, control.
    (0x108, Width::Dword, 0x07ff_f030),
    (0x10c, Width::Dword, 0x07ff_f030),
    (0x114, Width::Dword, 0x0000_f1c1),
    (0x118, Width::Dword, 0x0000_0540),
    // ATS, PRI allocation and control, PASID.
    (0x146, Width::Word, 0x801f),
    (0x154, Width::Dword, 0x0000_00ff),
    (0x14c, Width::Word, 0x0001),
    (0x15e, Width::Word, 0x0007),
    // LTR, L1 substates.
    (0x164, Width::Dword, 0x1fff_1fff),
    (0x170, Width::Dword, 0xe3ff_ff0f),
    (0x174, Width::Dword, 0x0000_00fb),
    // PTM, ACS, ReBAR.
    (0x180, Width::Dword, 0x0000_ff03),
    (0x18a, Width::Word, 0x007f),
    (0x198, Width::Dword, 0x0000_3f00),
    // SR-IOV: ARI Capable Hierarchy, page size, VF BARs.
    (0x1a8, Width::Word, 0x0019),
    (0x1c0, Width::Dword, 0x0000_0fff),
    (0x1c4, Width::Dword, 0xffff_c000),
    (0x1c8, Width::Dword, 0xffff_ffff),
    (0x1cc, Width::Dword, 0xffff_c000),
    (0x1d0, Width::Dword, 0xffff_ffff),
    (0x1d4, Width::Dword, 0xffff_c000),
    (0x1d8, Width::Dword, 0xffff_ffff),
    // VC 0 and VC 1.
    (0x1f4, Width::Dword, 0x0000_00fe),
    (0x200, Width::Dword, 0x870e_00fe),
    (0x1ec, Width::Word, 0x0000),
    (0x1ee, Width::Word, 0x0000),
];

impl Sample {
    fn places(&self) -> Places {
        let at = |there: bool, offset: u16| if there { offset } else { 0 };
        Places {
            express: at(self.express, EXPRESS),
            advanced: at(self.advanced, ADVANCED),
            power: POWER,
            aer: at(self.express, 0x100),
        }
    }

    /// As a reset leaves it.
    fn fresh(&self) -> Device {
        let mut device = Device::endpoint(self.ids.0, self.ids.1)
            .with_bar64(0, 0, BARS[0].size)
            .with_bar32(2, 0, 0x1_0000)
            .with_bar32(5, 0, 0x4_0000)
            .with_rom(0, 0x8000);
        device.set(0x08, Width::Dword, self.class << 8 | 0x03);
        device.set(0x2c, Width::Dword, 0x1100_1af4);
        device.set(0x3d, Width::Byte, 1);
        let power = if self.soft_reset { 0u16 } else { 8 };
        let mut body = 0x0003u16.to_le_bytes().to_vec();
        body.extend(power.to_le_bytes());
        device = device.with_capability(POWER as u8, 0x01, &body);
        device.allow(POWER + 4, Width::Word, 0x0103);
        device = device.with_msi(MSI as u8, 0x018a).with_msix(MSIX as u8, 16, (2, 0), (2, 0x800));
        if self.express {
            let mut body = vec![0; 0x32];
            body[0] = 2;
            device = device.with_capability(EXPRESS as u8, 0x10, &body);
            device.set(EXPRESS + 4, Width::Dword, u32::from(self.flr) << 28 | 0x8001);
            device.set(EXPRESS + 8, Width::Word, 0x2810);
            device.allow(EXPRESS + 8, Width::Word, 0x7dff);
            device.allow(EXPRESS + 0x10, Width::Word, 0x03cb);
            device.allow(EXPRESS + 0x28, Width::Word, 0x041f);
            device.allow(EXPRESS + 0x30, Width::Word, 0x003f);
        }
        if self.advanced {
            device = device.with_capability(ADVANCED as u8, 0x13, &[6, 3, 0, 0]);
        }
        if self.express {
            device = extended(device);
        }
        device.set(0x06, Width::Word, 0x0010 | u32::from(self.at_once));
        device
    }

    /// The function, configured by someone who is trusted.
    pub fn part(&self) -> Part {
        let fresh = self.fresh();
        let mut device = fresh.clone();
        for offset in (0x10..0x1000).step_by(4) {
            let bits = device.writable(offset, Width::Dword);
            // Any pattern will do that is neither what a reset leaves nor the same everywhere.
            let pattern = u32::from(offset).wrapping_mul(0x0101_0101) ^ 0x5a3c_96e1;
            let old = device.get(offset, Width::Dword);
            device.set(offset, Width::Dword, old & !bits | pattern & bits);
        }
        for (number, value) in [(0, 0xf000_000c), (1, 0x40), (2, 0xf100_0000), (5, 0xf200_0000)] {
            device.set(0x10 + number * 4, Width::Dword, value);
        }
        device.set(0x04, Width::Word, 0x0506);
        device.set(0x0c, Width::Byte, 0x10);
        device.set(0x30, Width::Dword, 0xf300_0000);
        // In D0; nothing of interrupts is on; no virtual functions.
        device.set(POWER + 4, Width::Word, fresh.get(POWER + 4, Width::Word));
        device.set(MSI + 2, Width::Word, 0x018a);
        device.set(MSIX + 2, Width::Word, 15);
        if self.express {
            let control = device.get(SR_IOV + 8, Width::Word) & !9 | 0x10;
            device.set(SR_IOV + 8, Width::Word, control);
        }
        Part::new(fresh, device, self.places())
    }
}

fn extended(device: Device) -> Device {
    let capabilities = [
        (0x100, 0x01, 0x2c),
        (0x140, 0x0f, 8),
        (0x148, 0x13, 0x10),
        (0x158, 0x1b, 8),
        (0x160, 0x18, 8),
        (0x168, 0x1e, 0x10),
        (0x178, 0x1f, 0x0c),
        (0x184, 0x0d, 8),
        (REBAR, 0x15, 0x10),
        (SR_IOV, 0x10, 0x40),
        (0x1e0, 0x02, 0x30),
        (0x210, 0x23, 0x10),
    ];
    let mut device = capabilities
        .into_iter()
        .fold(device, |device, (offset, id, length)| device.with_extended(offset, id, length, 0));
    for (offset, width, bits) in EXTENDED {
        device.allow(offset, width, bits);
    }
    device.clear_by_one(0x104, Width::Dword, 0x07ff_f030);
    device.clear_by_one(0x110, Width::Dword, 0x0000_f1c1);
    // One VC beside VC 0; one resizable BAR; a vendor's header.
    device.set(0x1e4, Width::Dword, 1);
    device.set(REBAR + 8, Width::Dword, 1 << 5);
    device.set(0x214, Width::Dword, 0x0101_1af4);
    device
}
