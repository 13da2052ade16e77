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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Width;
    use crate::id::{CapabilityId, ExtendedId};
    use crate::policy::{extended, standard};

    /// A function whose every dword reads so.
    struct Same(u32);

    impl ConfigReader for Same {
        fn read(&self, offset: u16, width: Width) -> u32 {
            let aligned = u32::from(offset).is_multiple_of(u32::from(width.bytes()));
            assert!(offset < EXTENDED_CONFIG_SIZE && aligned, "{offset:#x}");
            let value = self.0 >> (8 * (offset % 4));
            match width {
                Width::Byte => value & 0xff,
                Width::Word => value & 0xffff,
                Width::Dword => value,
            }
        }
    }

    fn bytes(id: u8, value: u32) -> Option<u16> {
        standard(CapabilityId(id)).length.bytes(&Same(value), 0x40)
    }

    fn extended_bytes(id: u16, value: u32) -> Option<u16> {
        extended(ExtendedId(id)).length.bytes(&Same(value), 0x100)
    }

    #[test]
    fn the_table_says() {
        assert_eq!((bytes(0x01, 0), bytes(0x11, u32::MAX), bytes(0x13, 0)), (Some(8), Some(12), Some(6)));
        assert_eq!((extended_bytes(0x0001, 0), extended_bytes(0x0003, 0)), (Some(0x2c), Some(0x0c)));
    }

    #[test]
    fn the_device_says() {
        assert_eq!((bytes(0x05, 0x0180_0005), bytes(0x05, 0x0000_0005)), (Some(0x18), Some(0x0a)));
        assert_eq!((bytes(0x10, 0x0002_0010), bytes(0x10, 0x0091_0010)), (Some(0x34), Some(0x0c)));
        assert_eq!((bytes(0x12, 0x0000_000f), bytes(0x12, 0x0010_0048)), (Some(0x10), Some(8)));
        assert_eq!((bytes(0x09, 0x0114_0009), bytes(0x09, 0)), (Some(0x14), Some(0)));
        assert_eq!((extended_bytes(0x000b, 0x0181_0023), extended_bytes(0x0023, 0)), (Some(0x18), Some(0)));
        assert_eq!(extended_bytes(0x000b, u32::MAX), Some(0xfff));
    }

    #[test]
    fn nobody_says() {
        assert_eq!((bytes(0x14, u32::MAX), bytes(0x80, 0)), (None, None));
        assert_eq!((extended_bytes(0x0002, 0), extended_bytes(0xffff, 0)), (None, None));
    }

    #[test]
    fn no_register_outside_the_function_is_read() {
        for offset in [0xffc, 0x1000, 0xfffc] {
            assert_eq!(Length::Vendor.bytes(&Same(u32::MAX), offset), None);
            assert_eq!(Length::Sata.bytes(&Same(u32::MAX), offset), None);
        }
        for length in [Length::Express, Length::Msi, Length::Byte2] {
            assert_eq!(length.bytes(&Same(u32::MAX), 0xfffc), None);
        }
        assert_eq!(Length::Byte2.bytes(&Same(u32::MAX), 0xffc), Some(0xff));
    }
}
