//! The PCI vocabulary: addresses, header registers, capability layouts and the bounded capability walk.
//!
//! Nothing here holds state or decides anything; the only contact with a device is a [`ConfigReader`].
//! "PCIe" below is the PCI Express Base Specification 6.0, "PCI" the PCI Local Bus Specification 3.0.
#![no_std]

mod access;
pub mod extended;
pub mod header;
pub mod id;
pub mod policy;
mod sbdf;
pub mod standard;
pub mod walk;

pub use access::{Access, Lanes, Width};
pub use sbdf::Sbdf;
pub use standard::{msi, msix};

/// Bytes of configuration space that PCI defines (PCI 6.1), and the end of the standard capability list.
pub const CONFIG_SIZE: u16 = 0x100;
/// Bytes of configuration space that PCIe defines (PCIe 7.2.2).
pub const EXTENDED_CONFIG_SIZE: u16 = 0x1000;

/// Reads a function's configuration space.
///
/// `offset` is a byte offset below [`EXTENDED_CONFIG_SIZE`], aligned to `width`. A register that does not exist
/// reads as all ones. Two reads of one register may differ: the device is not trusted.
pub trait ConfigReader {
    /// Reads `width` bytes at `offset`, zero-extended.
    fn read(&self, offset: u16, width: Width) -> u32;

    /// Reads one byte at `offset`.
    fn read8(&self, offset: u16) -> u8 {
        // CAST: an access of one byte gives at most 8 bits.
        self.read(offset, Width::Byte) as u8
    }

    /// Reads the word at `offset`.
    fn read16(&self, offset: u16) -> u16 {
        // CAST: an access of two bytes gives at most 16 bits.
        self.read(offset, Width::Word) as u16
    }

    /// Reads the dword at `offset`.
    fn read32(&self, offset: u16) -> u32 {
        self.read(offset, Width::Dword)
    }
}
