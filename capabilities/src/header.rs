//! The configuration header, types 0 and 1 (PCIe 7.5.1).

use bitflags::bitflags;

/// Bytes of a header, of either type.
pub const LENGTH: u16 = 0x40;
/// The base address registers of a type 0 header.
pub const BARS: u16 = 6;

/// Vendor ID, word. All ones where no function answers.
pub const VENDOR_ID: u16 = 0x00;
/// Command, word (PCIe 7.5.1.1.3).
pub const COMMAND: u16 = 0x04;
/// Status, word (PCIe 7.5.1.1.4).
pub const STATUS: u16 = 0x06;
/// Revision ID and Class Code, dword (PCIe 7.5.1.1.5, 7.5.1.1.6).
pub const CLASS: u16 = 0x08;
/// Cache Line Size and Latency Timer, word (PCIe 7.5.1.1.7, 7.5.1.1.8).
pub const CACHE_LINE_SIZE: u16 = 0x0c;
/// Header type, byte (PCIe 7.5.1.1.9).
pub const HEADER_TYPE: u16 = 0x0e;
/// [`HEADER_TYPE`]: the device has more than one function.
pub const MULTI_FUNCTION: u8 = 1 << 7;
/// First base address register, dword (PCIe 7.5.1.2.1).
pub const BAR0: u16 = 0x10;
/// Subsystem Vendor ID and Subsystem ID of a type 0 header, dword (PCIe 7.5.1.2.3).
pub const SUBSYSTEM: u16 = 0x2c;
/// Expansion ROM base address of a type 0 header, dword (PCIe 7.5.1.2.4).
pub const ROM_TYPE0: u16 = 0x30;
/// Capabilities pointer, byte (PCIe 7.5.1.1.11).
pub const CAPABILITIES_POINTER: u16 = 0x34;
/// Expansion ROM base address of a type 1 header, dword (PCIe 7.5.1.3.16).
pub const ROM_TYPE1: u16 = 0x38;
/// Interrupt Line, byte (PCIe 7.5.1.1.12).
pub const INTERRUPT_LINE: u16 = 0x3c;
/// Bridge Control of a type 1 header, word (PCIe 7.5.1.3.13).
pub const BRIDGE_CONTROL: u16 = 0x3e;
/// [`BRIDGE_CONTROL`]: Secondary Bus Reset.
pub const SECONDARY_BUS_RESET: u16 = 1 << 6;
/// [`BRIDGE_CONTROL`]: Discard Timer Status, which a write of 1 clears (PCI-to-PCI Bridge 1.2, 3.2.5.18).
pub const DISCARD_TIMER_STATUS: u16 = 1 << 10;

/// The layout of a header (bits 6:0 of [`HEADER_TYPE`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Type 0: an endpoint, with six BARs.
    Endpoint,
    /// Type 1: a bridge, with two BARs.
    Bridge,
}

impl Layout {
    /// The layout that the header type byte names; `None` for `CardBus` (2) and what is reserved.
    #[must_use]
    pub const fn from_header_type(header_type: u8) -> Option<Self> {
        match header_type & 0x7f {
            0 => Some(Self::Endpoint),
            1 => Some(Self::Bridge),
            _ => None,
        }
    }

    /// The number of BAR registers: 6 or 2.
    #[must_use]
    pub const fn bars(self) -> u8 {
        match self {
            Self::Endpoint => 6,
            Self::Bridge => 2,
        }
    }

    /// The offset of the expansion ROM base address register.
    #[must_use]
    pub const fn rom(self) -> u16 {
        match self {
            Self::Endpoint => ROM_TYPE0,
            Self::Bridge => ROM_TYPE1,
        }
    }
}

bitflags! {
    /// The command register (PCIe 7.5.1.1.3); bits 3 to 5, 7 and 9 are those of conventional PCI (PCI 6.2.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Command: u16 {
        /// Answers I/O space accesses.
        const IO = 1 << 0;
        /// Answers memory space accesses: BARs and ROM decode.
        const MEMORY = 1 << 1;
        /// May issue memory and I/O requests, MSI included.
        const MASTER = 1 << 2;
        /// Monitors special cycles.
        const SPECIAL = 1 << 3;
        /// May use Memory Write and Invalidate.
        const INVALIDATE = 1 << 4;
        /// Snoops VGA palette writes.
        const VGA_PALETTE = 1 << 5;
        /// Reacts to parity errors.
        const PARITY = 1 << 6;
        /// Address stepping.
        const WAIT = 1 << 7;
        /// Reports system errors.
        const SERR = 1 << 8;
        /// May use fast back-to-back cycles.
        const FAST_BACK = 1 << 9;
        /// Does not assert INTx.
        const INTX_DISABLE = 1 << 10;
    }

    /// The status register (PCIe 7.5.1.1.4).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Status: u16 {
        /// It can be accessed as soon as a reset is over.
        const IMMEDIATE_READINESS = 1 << 0;
        /// The capabilities pointer is valid.
        const CAPABILITIES = 1 << 4;
    }
}

/// I/O space indicator of a BAR, bit 0 (PCIe 7.5.1.2.1).
pub const BAR_IO: u32 = 1 << 0;
/// Memory type of a memory BAR, bits 2:1.
pub const BAR_TYPE: u32 = 3 << 1;
/// [`BAR_TYPE`]: the BAR takes two registers, 64 bits.
pub const BAR_TYPE_64: u32 = 2 << 1;
/// Prefetchable, bit 3.
pub const BAR_PREFETCHABLE: u32 = 1 << 3;
/// The address bits of an I/O BAR's register, 31:2.
pub const BAR_IO_ADDRESS: u32 = !0x3;
/// The address bits of a memory BAR's register, 31:4.
pub const BAR_ADDRESS: u32 = !0xf;
/// Expansion ROM enable, bit 0 (PCIe 7.5.1.2.4).
pub const ROM_ENABLE: u32 = 1 << 0;
/// The address bits of the expansion ROM register, 31:11.
pub const ROM_ADDRESS: u32 = !0x7ff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_types() {
        assert_eq!(Layout::from_header_type(0x80), Some(Layout::Endpoint));
        assert_eq!(Layout::from_header_type(0x01), Some(Layout::Bridge));
        assert_eq!(Layout::from_header_type(0x02), None);
        assert_eq!(Layout::from_header_type(0xff), None);
        assert_eq!((Layout::Endpoint.bars(), Layout::Endpoint.rom()), (6, 0x30));
        assert_eq!((Layout::Bridge.bars(), Layout::Bridge.rom()), (2, 0x38));
    }
}
