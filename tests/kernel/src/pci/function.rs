//! A function, its registers (PCIe 6.0, 7.5.1) and its capabilities, and how all functions are found.

use core::fmt;

use super::{Access, Address};

pub(crate) const VENDOR: u16 = 0x00;
pub(crate) const COMMAND: u16 = 0x04;
pub(crate) const STATUS: u16 = 0x06;
pub(crate) const REVISION: u16 = 0x08;
pub(crate) const HEADER_TYPE: u16 = 0x0e;
pub(crate) const BAR0: u16 = 0x10;
pub(crate) const SECONDARY_BUS: u16 = 0x19;
pub(crate) const ROM: u16 = 0x30;
pub(crate) const CAPABILITIES: u16 = 0x34;

pub(crate) const IO_SPACE: u16 = 1;
pub(crate) const MEMORY_SPACE: u16 = 2;
pub(crate) const BUS_MASTER: u16 = 4;
pub(crate) const INTX_DISABLE: u16 = 0x400;

/// Ids of capabilities.
pub(crate) const POWER_MANAGEMENT: u8 = 0x01;
pub(crate) const VITAL_PRODUCT_DATA: u8 = 0x03;
pub(crate) const MSI: u8 = 0x05;
pub(crate) const SUBSYSTEM: u8 = 0x0d;
pub(crate) const PCIE: u8 = 0x10;
pub(crate) const MSIX: u8 = 0x11;
pub(crate) const SATA: u8 = 0x12;
pub(crate) const ADVANCED_FEATURES: u8 = 0x13;

/// A function, and the way to it.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    pub address: Address,
    pub access: Access,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Function {
    pub(crate) fn read8(self, offset: u16) -> u8 {
        self.access.read(self.address, offset, 1) as u8
    }

    pub(crate) fn read16(self, offset: u16) -> u16 {
        self.access.read(self.address, offset, 2) as u16
    }

    pub(crate) fn read32(self, offset: u16) -> u32 {
        self.access.read(self.address, offset, 4)
    }

    pub(crate) fn write8(self, offset: u16, value: u8) {
        self.access.write(self.address, offset, 1, u32::from(value));
    }

    pub(crate) fn write16(self, offset: u16, value: u16) {
        self.access.write(self.address, offset, 2, u32::from(value));
    }

    pub(crate) fn write32(self, offset: u16, value: u32) {
        self.access.write(self.address, offset, 4, value);
    }

    /// If there is one.
    pub(crate) fn exists(self) -> bool {
        self.read16(VENDOR) != 0xffff
    }

    /// Vendor and, in the upper half, device.
    pub(crate) fn ids(self) -> u32 {
        self.read32(VENDOR)
    }

    /// Class, subclass and programming interface.
    pub(crate) fn class(self) -> u32 {
        self.read32(REVISION) >> 8
    }

    /// If the header is a bridge's (type 1).
    pub(crate) fn is_bridge(self) -> bool {
        self.read8(HEADER_TYPE) & 0x7f == 1
    }

    /// Sets bits of COMMAND, and clears others.
    pub(crate) fn command(self, set: u16, clear: u16) {
        self.write16(COMMAND, self.read16(COMMAND) & !clear | set);
    }

    /// Walks the list of capabilities: offset and id of each. A list that does not end stops after as many as there is room for.
    pub(crate) fn capabilities(self) -> impl Iterator<Item = (u16, u8)> {
        let listed = self.read16(STATUS) & 0x10 != 0;
        let mut next = if listed { u16::from(self.read8(CAPABILITIES)) & 0xfc } else { 0 };
        let mut left = 48;
        core::iter::from_fn(move || {
            if next < 0x40 || left == 0 {
                return None;
            }
            left -= 1;
            let at = next;
            let header = self.read16(at);
            next = header >> 8 & 0xfc;
            Some((at, header as u8))
        })
    }

    /// Where the first capability with this id is.
    pub(crate) fn capability(self, id: u8) -> Option<u16> {
        self.capabilities().find(|(_, found)| *found == id).map(|(at, _)| at)
    }

    /// How long a capability that a guest may see is; 0 for any other.
    pub(crate) fn capability_length(self, at: u16, id: u8) -> u16 {
        match id {
            POWER_MANAGEMENT | VITAL_PRODUCT_DATA | SUBSYSTEM | SATA | ADVANCED_FEATURES => 8,
            MSI => match self.read16(at + 2) >> 7 & 3 {
                0 => 12,
                1 => 16,
                2 => 20,
                _ => 24,
            },
            MSIX => 12,
            // Version 1 ends after the link registers (PCIe 1.1, 7.8).
            PCIE if self.read8(at + 2) & 0xf < 2 => 0x14,
            PCIE => 0x3c,
            _ => 0,
        }
    }

    /// Walks the list of extended capabilities: offset and id of each. None by the ports.
    pub(crate) fn extended_capabilities(self) -> impl Iterator<Item = (u16, u16)> {
        let mut next = if self.access.reaches(self.address, 0x100) { 0x100 } else { 0 };
        let mut left = 960;
        core::iter::from_fn(move || {
            if next < 0x100 || left == 0 {
                return None;
            }
            left -= 1;
            let at = next;
            let header = self.read32(at);
            next = (header >> 20) as u16 & 0xffc;
            (header != 0 && header != u32::MAX).then_some((at, header as u16))
        })
    }
}

/// All functions of a bus, and of the buses behind its bridges.
pub(crate) fn scan(access: Access, bus: u8, found: &mut impl FnMut(Function)) {
    for device in 0..32 {
        let first = Function { address: Address::new(bus, device, 0), access };
        if !first.exists() {
            continue;
        }
        let count = if first.read8(HEADER_TYPE) & 0x80 == 0 { 1 } else { 8 };
        for number in 0..count {
            let function = Function { address: Address::new(bus, device, number), access };
            if !function.exists() {
                continue;
            }
            found(function);
            let secondary = function.read8(SECONDARY_BUS);
            if function.is_bridge() && secondary > bus {
                scan(access, secondary, found);
            }
        }
    }
}

/// The functions there are, in the order found.
pub(crate) struct Functions {
    all: [Option<Function>; 64],
}

impl Functions {
    /// Finds them: bus 0 and what is behind it.
    pub(crate) fn find(access: Access) -> Self {
        let (mut all, mut used) = ([None; 64], 0);
        scan(access, 0, &mut |function| {
            if let Some(place) = all.get_mut(used) {
                *place = Some(function);
                used += 1;
            }
        });
        Self { all }
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Function> {
        self.all.iter().flatten().copied()
    }
}
