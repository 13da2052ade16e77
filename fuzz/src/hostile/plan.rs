//! What a device looks like while it tells the truth.

use arbitrary::Arbitrary;
use capabilities::{Access, Width};
use tests::device::Device;

use crate::Size;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum BarPlan {
    None,
    Io,
    Memory32 { page: u16, size: u8 },
    Memory64 { page: u16, high: u32, size: u8 },
}

/// A capability at a dword of the standard space from 0x40 on.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum CapabilityPlan {
    Msi { at: u8, control: u16 },
    Msix { at: u8, control: u16, table: u32, pba: u32 },
    Other { at: u8, id: u8 },
}

/// A value that the device has, and the bits of it that software can write.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Poke {
    offset: u16,
    size: Size,
    value: u32,
    writable: u32,
}

/// A device.
#[derive(Arbitrary, Clone, Debug)]
pub(crate) struct Plan {
    bridge: bool,
    command: u16,
    bars: [BarPlan; 6],
    rom: Option<(u8, u8)>,
    capabilities: Vec<CapabilityPlan>,
    extended: Vec<(u8, u16)>,
    pokes: Vec<Poke>,
}

const fn slot(at: u8) -> u8 {
    0x40 + at % 48 * 4
}

impl Plan {
    pub(crate) fn device(&self) -> Device {
        let mut device = if self.bridge { Device::bridge(0x1234, 1) } else { Device::endpoint(0x1234, 2) };
        device = device.with_command(self.command & 0x0547);
        let bars = if self.bridge { 2 } else { 6 };
        let mut number = 0;
        while number < bars {
            let mut take = 1;
            // Few pages, so that BARs of several functions meet.
            let address = |page: u16, size: u8| {
                let size = 1u32 << (4 + size % 20);
                ((0xf000_0000 | (u32::from(page) & 0xfff) << 9) & !(size - 1), size)
            };
            match self.bars[usize::from(number)] {
                BarPlan::None => {}
                BarPlan::Io => device = device.with_io(number, 0xc000 + u32::from(number) * 0x100, 0x100),
                BarPlan::Memory32 { page, size } => {
                    let (address, size) = address(page, size);
                    device = device.with_bar32(number, address, size);
                }
                BarPlan::Memory64 { page, high, size } if number + 1 < bars => {
                    let (low, small) = address(page, size);
                    // Now and then one that is larger than any memory.
                    let size = if size < 200 { u64::from(small) } else { 1 << (size % 60).max(4) };
                    let address = (u64::from(high) << 32 | u64::from(low)) & !(size - 1);
                    device = device.with_bar64(number, address, size);
                    take = 2;
                }
                BarPlan::Memory64 { .. } => device.set(0x10 + number * 4, Width::Dword, 4),
            }
            number += take;
        }
        if let Some((page, size)) = self.rom {
            let size = 0x800 << (size % 6);
            let enable = u32::from(page & 1);
            device = device.with_rom((0xf000_0000 | u32::from(page) << 11) & !(size - 1) | enable, size);
        }
        for capability in self.capabilities.iter().take(8) {
            device = match *capability {
                CapabilityPlan::Msi { at, control } => device.with_msi(slot(at).min(0xe4), control),
                CapabilityPlan::Msix { at, control, table, pba } => {
                    let place = |value: u32| (value & 7, value & 0x3fff8);
                    let entries = control % 0x800 + 1;
                    device.with_msix(slot(at).min(0xf0), entries, place(table), place(pba))
                }
                CapabilityPlan::Other { at, id } => device.with_capability(slot(at), id, &[]),
            };
        }
        if let Some((_, id)) = self.extended.first() {
            device = device.with_extended(0x100, *id, 8, 0x55);
        }
        for (at, id) in self.extended.iter().take(8).skip(1) {
            device = device.with_extended(0x110 + u16::from(*at) * 8, *id, 8, 0x55);
        }
        for poke in self.pokes.iter().take(16) {
            let (offset, width) = (poke.size.align(poke.offset & 0xfff), poke.size.width());
            if Access::new(u32::from(offset), u32::from(width.bytes())).is_some() {
                device.set(offset, width, poke.size.cut(poke.value));
                device.allow(offset, width, poke.size.cut(poke.writable));
            }
        }
        device
    }
}
