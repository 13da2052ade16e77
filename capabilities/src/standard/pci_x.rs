//! PCI-X, capability 07h (PCI-X 2.0, 7.2).

/// PCI-X Command of a type 0 function, a word, relative to the capability.
pub const COMMAND: u16 = 0x02;
