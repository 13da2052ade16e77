//! The two ways to configuration space: ports 0xCF8/0xCFC (PCI 3.0, 3.2.2.3.2) and ECAM (PCIe 6.0, 7.2.2).

use core::fmt;

use crate::{
    cpu, memory,
    report::{Fault, ensure},
    start_info::StartInfo,
};

/// Bus, device, function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub u16);

impl Address {
    /// From its parts.
    pub(crate) fn new(bus: u8, device: u8, function: u8) -> Self {
        Self(u16::from(bus) << 8 | u16::from(device & 31) << 3 | u16::from(function & 7))
    }

    /// The bus.
    pub(crate) fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.0 >> 8, self.0 >> 3 & 31, self.0 & 7)
    }
}

pub(crate) const CONFIG_ADDRESS: u16 = 0xcf8;
pub(crate) const CONFIG_DATA: u16 = 0xcfc;
const ENABLE: u32 = 1 << 31;

/// A way to configuration space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// By the ports: the first 256 bytes.
    Ports,
    /// By memory at this address, from bus 0 to this one: all 4096 bytes.
    Ecam(u64, u8),
}

impl Access {
    /// ECAM, where ACPI's MCFG table says that it is (PCI Firmware 3.3, 4.1.2).
    pub(crate) fn ecam(info: StartInfo) -> Result<Self, Fault> {
        let table = info.acpi_table(*b"MCFG")?;
        let entry = table + 44;
        let base = u64::from(memory::read32(entry + 4)) << 32 | u64::from(memory::read32(entry));
        let (segment, first, last) =
            (memory::read16(entry + 8), memory::read8(entry + 10), memory::read8(entry + 11));
        ensure(segment == 0 && first == 0, "MCFG starts elsewhere", first)?;
        Ok(Self::Ecam(base, last))
    }

    /// Whether it reaches this offset of this bus.
    pub(crate) fn reaches(self, address: Address, offset: u16) -> bool {
        match self {
            Self::Ports => offset < 0x100,
            Self::Ecam(_, last) => address.bus() <= last && offset < 0x1000,
        }
    }

    /// Reads 1, 2 or 4 bytes with one access.
    pub(crate) fn read(self, address: Address, offset: u16, bytes: u32) -> u32 {
        match self {
            Self::Ports => {
                select(address, offset);
                cpu::port_read(CONFIG_DATA + (offset & 3), bytes)
            }
            Self::Ecam(base, _) => {
                let place = place(base, address, offset);
                match bytes {
                    1 => u32::from(memory::read8(place)),
                    2 => u32::from(memory::read16(place)),
                    _ => memory::read32(place),
                }
            }
        }
    }

    /// Writes 1, 2 or 4 bytes with one access.
    pub(crate) fn write(self, address: Address, offset: u16, bytes: u32, value: u32) {
        match self {
            Self::Ports => {
                select(address, offset);
                cpu::port_write(CONFIG_DATA + (offset & 3), bytes, value);
            }
            Self::Ecam(base, _) => {
                let place = place(base, address, offset);
                match bytes {
                    1 => memory::write8(place, value as u8),
                    2 => memory::write16(place, value as u16),
                    _ => memory::write32(place, value),
                }
            }
        }
    }
}

/// Where a function's register is in the ECAM window.
pub(crate) fn place(base: u64, address: Address, offset: u16) -> u64 {
    base + (u64::from(address.0) << 12) + u64::from(offset)
}

fn select(address: Address, offset: u16) {
    cpu::port_write(CONFIG_ADDRESS, 4, selector(address, offset));
}

/// What port 0xCF8 holds for a dword.
pub(crate) fn selector(address: Address, offset: u16) -> u32 {
    ENABLE | u32::from(address.0) << 8 | u32::from(offset & 0xfc)
}
