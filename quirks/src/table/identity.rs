//! What a function is, as far as rows ask for it.

use bitflags::bitflags;
use capabilities::header;
use capabilities::id::CapabilityId;
use capabilities::standard::express;
use capabilities::{ConfigReader, Sbdf, walk};

bitflags! {
    /// What a row can ask of a function that is not in its identifiers.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Traits: u16 {
        /// It is on a root bus.
        const ROOT_BUS = 1 << 0;
        /// Its device has several functions (Header Type, bit 7).
        const MULTI_FUNCTION = 1 << 1;
        /// It is not function 0 of its device.
        const LATER_FUNCTION = 1 << 2;
        /// It is a virtual function.
        const VIRTUAL = 1 << 3;
        /// A root port (PCIe 7.5.3.2).
        const ROOT_PORT = 1 << 4;
        /// A downstream port of a switch.
        const DOWNSTREAM_PORT = 1 << 5;
        /// An endpoint that is part of the root complex.
        const ROOT_COMPLEX_ENDPOINT = 1 << 6;
        /// An AMD IOMMU translates for the machine (there is an IVRS table).
        const AMD_IOMMU = 1 << 7;
        /// The chip set was told not to pass requests between its ports, and to check their requester IDs (UPDCR and MPC
        /// of Intel's PCH).
        const PEERS_CLOSED = 1 << 8;
        /// It is part of an SB700: the `SMBus` controller 1002:4385 has a Revision ID from 30h to 3Ah.
        const SB700 = 1 << 9;
    }
}

/// What a function is, to be compared with rows. A virtual function's identifiers are those that its physical function
/// says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// Vendor ID.
    pub vendor: u16,
    /// Device ID.
    pub device: u16,
    /// The dword at 08h: Class Code and Revision ID.
    pub class: u32,
    /// The dword at 2Ch: Subsystem ID and Subsystem Vendor ID.
    pub subsystem: u32,
    /// All else.
    pub traits: Traits,
    /// The minor version of the firmware of a Mellanox device: bits 31:16 of the big-endian dword at the start of BAR 0.
    /// `None` if it was not read; a row that depends on it matches then.
    pub firmware: Option<u16>,
}

/// Device/Port Type in PCI Express Capabilities, bits 7:4 (PCIe 7.5.3.2).
const ROOT_PORT: u16 = 4;
const DOWNSTREAM_PORT: u16 = 6;
const ROOT_COMPLEX_ENDPOINT: u16 = 9;

impl Identity {
    /// What the configuration space of `sbdf` tells; `known` is what it does not, and the firmware is not read. Of a
    /// virtual function, identifiers that it does not have are 0.
    #[must_use]
    pub fn read<R: ConfigReader>(device: &R, sbdf: Sbdf, known: Traits) -> Self {
        let express = walk::standard(device).find(|found| found.id == CapabilityId::EXPRESS);
        Self::of(device, sbdf, known, express.map(|found| found.offset))
    }

    /// Likewise, of a function whose PCI Express capability is there.
    pub(crate) fn of<R: ConfigReader>(device: &R, sbdf: Sbdf, known: Traits, express: Option<u16>) -> Self {
        let ids = device.read32(header::VENDOR_ID);
        let header_type = device.read8(header::HEADER_TYPE);
        let endpoint = header_type & !header::MULTI_FUNCTION == 0;
        let mut traits = known;
        if sbdf.function() != 0 && !known.contains(Traits::VIRTUAL) {
            traits |= Traits::LATER_FUNCTION | Traits::MULTI_FUNCTION;
        }
        if header_type & header::MULTI_FUNCTION != 0 {
            traits |= Traits::MULTI_FUNCTION;
        }
        if let Some(at) = express {
            let flags = device.read16(at.saturating_add(express::FLAGS));
            traits |= match flags >> 4 & 0xf {
                ROOT_PORT => Traits::ROOT_PORT,
                DOWNSTREAM_PORT => Traits::DOWNSTREAM_PORT,
                ROOT_COMPLEX_ENDPOINT => Traits::ROOT_COMPLEX_ENDPOINT,
                _ => Traits::empty(),
            };
        }
        Self {
            vendor: ids as u16,         // CAST: bits 15:0.
            device: (ids >> 16) as u16, // CAST: 16 bits are left.
            class: device.read32(header::CLASS),
            // A bridge has other registers there.
            subsystem: if endpoint { device.read32(header::SUBSYSTEM) } else { 0 },
            traits,
            firmware: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use capabilities::Width;

    /// A function with a PCI Express capability at 40h.
    struct Function {
        header_type: u32,
        kind: u32,
    }

    impl ConfigReader for Function {
        fn read(&self, offset: u16, width: Width) -> u32 {
            let dword = match offset & !3 {
                0x00 => 0x1533_8086,
                0x04 => 0x0010_0000,
                0x08 => 0x0200_0003,
                0x0c => self.header_type << 16,
                0x2c => 0x0001_8086,
                0x34 => 0x40,
                0x40 => (self.kind << 4 | 2) << 16 | 0x10,
                _ => 0,
            };
            let value = dword >> (8 * (offset & 3));
            match width {
                Width::Byte => value & 0xff,
                Width::Word => value & 0xffff,
                Width::Dword => value,
            }
        }
    }

    fn identity(header_type: u32, kind: u32, function: u8, known: Traits) -> Identity {
        Identity::read(&Function { header_type, kind }, Sbdf::new(0, 1, 0, function), known)
    }

    #[test]
    fn an_endpoint_has_identifiers() {
        let plain = Identity {
            vendor: 0x8086,
            device: 0x1533,
            class: 0x0200_0003,
            subsystem: 0x0001_8086,
            traits: Traits::empty(),
            firmware: None,
        };
        assert_eq!(identity(0x00, 0, 0, Traits::empty()), plain);
        let several = Traits::MULTI_FUNCTION;
        assert_eq!(identity(0x80, 0, 0, Traits::empty()), Identity { traits: several, ..plain });
        let later = Traits::MULTI_FUNCTION | Traits::LATER_FUNCTION;
        assert_eq!(identity(0x00, 0, 1, Traits::empty()), Identity { traits: later, ..plain });
        // The number of a virtual function is one of its device's routing identifiers.
        assert_eq!(identity(0x00, 0, 1, Traits::VIRTUAL), Identity { traits: Traits::VIRTUAL, ..plain });
    }

    #[test]
    fn ports_are_told_by_their_type() {
        let bus = Traits::ROOT_BUS;
        for (kind, traits) in [
            (0, bus),
            (4, bus | Traits::ROOT_PORT),
            (5, bus),
            (6, bus | Traits::DOWNSTREAM_PORT),
            (9, bus | Traits::ROOT_COMPLEX_ENDPOINT),
        ] {
            let port = identity(0x01, kind, 0, bus);
            assert_eq!((port.traits, port.subsystem), (traits, 0), "type {kind}");
        }
    }
}
