//! The address of a function: segment, bus, device, function.

use core::fmt;

/// Segment (bits 31:16), bus (15:8), device (7:3) and function (2:0) in one number (PCIe 7.2.2, PCI Firmware 3.3 4.1).
///
/// ```
/// # use capabilities::Sbdf;
/// let sbdf = Sbdf::new(0, 3, 0x1f, 2);
/// assert_eq!((sbdf.bus(), sbdf.device(), sbdf.function()), (3, 0x1f, 2));
/// assert_eq!(sbdf.to_string(), "0000:03:1f.2");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Sbdf(pub u32);

impl Sbdf {
    /// The function at these coordinates; `device` keeps its low 5 bits and `function` its low 3.
    #[must_use]
    pub const fn new(segment: u16, bus: u8, device: u8, function: u8) -> Self {
        // CAST: widening; `From` is not const.
        Self(
            (segment as u32) << 16
                | (bus as u32) << 8
                | ((device & 0x1f) as u32) << 3
                | (function & 7) as u32,
        )
    }

    /// The PCI segment group, 0 to 65535.
    #[must_use]
    pub const fn segment(self) -> u16 {
        (self.0 >> 16) as u16 // CAST: 16 bits are left.
    }

    /// The bus number, 0 to 255.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8 // CAST: bits 7:0 of what is left are the bus.
    }

    /// The device number, 0 to 31.
    #[must_use]
    pub const fn device(self) -> u8 {
        (self.0 >> 3) as u8 & 0x1f // CAST: masked to 5 bits.
    }

    /// The function number, 0 to 7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.0 as u8 & 7 // CAST: masked to 3 bits.
    }
}

impl fmt::Display for Sbdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seg, bus, dev) = (self.segment(), self.bus(), self.device());
        write!(f, "{seg:04x}:{bus:02x}:{dev:02x}.{}", self.function())
    }
}
