//! How long a capability is, by its table or by what the device says.

use crate::{ConfigReader, EXTENDED_CONFIG_SIZE};
use crate::{msi, standard::express, standard::sata};

/// How long a capability is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// So many bytes.
    Bytes(u16),
    /// PCI Express: by version and port type (PCIe 7.5.3).
    Express,
    /// MSI: by its Message Control (PCIe 7.7.1).
    Msi,
    /// SATA: by where its index and data are (AHCI 1.3.1, 2.4).
    Sata,
    /// Its third byte says (PCIe 7.9.4, vendor-specific).
    Byte2,
    /// Bits 31:20 of its second dword say (PCIe 7.9.5, 7.9.6).
    Vendor,
    /// Nothing this table knows: up to the next capability.
    Open,
}

impl Length {
    /// Bytes of the capability at `offset`, its first dword included; `None` where it goes up to the next capability.
    ///
    /// Reads at most one register. What the device says is not judged: it may be 0, or more than there is room for.
    #[must_use]
    pub fn bytes<R: ConfigReader>(self, reader: &R, offset: u16) -> Option<u16> {
        let register = |relative: u16| offset.checked_add(relative).filter(|at| *at < EXTENDED_CONFIG_SIZE);
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Express => register(express::FLAGS).map(|at| express::length(reader.read16(at))),
            Self::Msi => register(msi::CONTROL)
                .map(|at| msi::Layout::of(msi::Control::new_from(reader.read16(at))).length),
            Self::Sata => register(sata::LOCATION).map(|at| sata::length(reader.read32(at))),
            Self::Byte2 => register(2).map(|at| u16::from(reader.read8(at))),
            // CAST: 12 bits are left.
            Self::Vendor => register(4).map(|at| (reader.read32(at) >> 20) as u16),
            Self::Open => None,
        }
    }
}
