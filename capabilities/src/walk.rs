//! Bounded walks over the capability lists of an untrusted device.
//!
//! A pointer that leaves the list's area or comes back to a capability already visited ends the walk; both walks
//! read each register once.

use crate::id::{CapabilityId, ExtendedHeader};
use crate::{CONFIG_SIZE, ConfigReader, EXTENDED_CONFIG_SIZE, header};

/// The first offset that the standard list may use: the header is below it (PCI 6.7).
pub const STANDARD_START: u16 = 0x40;
/// The most standard capabilities: dwords from 0x40 to 0xff.
pub const STANDARD_LIMIT: usize = 48;
/// Where the extended list starts (PCIe 7.6.1).
pub const EXTENDED_START: u16 = CONFIG_SIZE;
/// The most extended capabilities: dwords from 0x100 to 0xfff.
pub const EXTENDED_LIMIT: usize = 960;

/// A capability of the standard list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capability {
    /// The offset of the byte that points to it: the capabilities pointer, or another capability's.
    pub pointer: u16,
    /// Its offset, a multiple of 4 from 0x40 to 0xfc.
    pub offset: u16,
    /// What it is.
    pub id: CapabilityId,
    /// Its Next Capability Pointer as the device gave it, reserved bits included.
    pub next: u8,
}

impl Capability {
    /// The offset of its Next Capability Pointer, a byte (PCI 6.7).
    #[must_use]
    pub const fn next_pointer(&self) -> u16 {
        self.offset + 1
    }
}

/// A capability of the extended list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedCapability {
    /// Its offset, a multiple of 4 from 0x100 to 0xffc.
    pub offset: u16,
    /// Its first dword.
    pub header: ExtendedHeader,
}

/// Walks the standard list. Ends at a null pointer, at the ID 0xff (no device), or where the list is broken.
#[derive(Debug)]
pub struct Standard<'r, R: ConfigReader> {
    reader: &'r R,
    pointer: u16,
    next: u8,
    visited: u64,
}

/// The standard capabilities of the function that `reader` reads; none if its status register says so.
pub fn standard<R: ConfigReader>(reader: &R) -> Standard<'_, R> {
    let status = header::Status::from_bits_retain(reader.read16(header::STATUS));
    let next = if status.contains(header::Status::CAPABILITIES) {
        reader.read8(header::CAPABILITIES_POINTER)
    } else {
        0
    };
    Standard { reader, pointer: header::CAPABILITIES_POINTER, next, visited: 0 }
}

impl<R: ConfigReader> Standard<'_, R> {
    /// The pointer that the walk follows next, or could not follow if it has ended: its offset, and its value as
    /// the device gave it, reserved bits included.
    #[must_use]
    pub const fn pointer(&self) -> (u16, u8) {
        (self.pointer, self.next)
    }
}

impl<R: ConfigReader> Iterator for Standard<'_, R> {
    type Item = Capability;

    fn next(&mut self) -> Option<Capability> {
        let offset = u16::from(self.next & !3);
        let bit = 1u64 << (offset / 4 % 64);
        if !(STANDARD_START..CONFIG_SIZE).contains(&offset) || self.visited & bit != 0 {
            return None;
        }
        self.visited |= bit;
        let [id, next] = self.reader.read16(offset).to_le_bytes();
        if id == 0xff {
            return None;
        }
        let capability = Capability { pointer: self.pointer, offset, id: CapabilityId(id), next };
        self.pointer = capability.next_pointer();
        self.next = next;
        Some(capability)
    }
}

/// Walks the extended list. Ends at a null pointer, at a header that reads 0 or all ones, or where the list is broken.
#[derive(Debug)]
pub struct Extended<'r, R: ConfigReader> {
    reader: &'r R,
    next: u16,
    visited: [u64; 16],
}

/// The extended capabilities of the function that `reader` reads.
pub fn extended<R: ConfigReader>(reader: &R) -> Extended<'_, R> {
    Extended { reader, next: EXTENDED_START, visited: [0; 16] }
}

impl<R: ConfigReader> Iterator for Extended<'_, R> {
    type Item = ExtendedCapability;

    fn next(&mut self) -> Option<ExtendedCapability> {
        let offset = self.next;
        let dword = offset / 4;
        let bit = 1u64 << (dword % 64);
        let visited = self.visited.get_mut(usize::from(dword / 64))?;
        if !(EXTENDED_START..EXTENDED_CONFIG_SIZE).contains(&offset) || *visited & bit != 0 {
            return None;
        }
        *visited |= bit;
        let header = self.reader.read32(offset);
        if header == 0 || header == u32::MAX {
            return None;
        }
        let header = ExtendedHeader(header);
        self.next = header.next();
        Some(ExtendedCapability { offset, header })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::Width;
    use std::vec::Vec;

    struct Space(Vec<u8>);

    impl Space {
        fn new() -> Self {
            let mut space = Self(std::vec![0; 0x1000]);
            space.0[0x06] = 0x10;
            space
        }

        fn standard(mut self, offset: usize, id: u8, next: u8) -> Self {
            self.0[offset] = id;
            self.0[offset + 1] = next;
            self
        }

        fn extended(mut self, offset: usize, header: u32) -> Self {
            self.0[offset..offset + 4].copy_from_slice(&header.to_le_bytes());
            self
        }

        fn pointer(mut self, offset: u8) -> Self {
            self.0[0x34] = offset;
            self
        }

        fn offsets(&self) -> Vec<u16> {
            standard(self).map(|c| c.offset).collect()
        }

        fn extended_offsets(&self) -> Vec<u16> {
            extended(self).map(|c| c.offset).collect()
        }
    }

    impl ConfigReader for Space {
        fn read(&self, offset: u16, width: Width) -> u32 {
            let at = usize::from(offset);
            (0..usize::from(width.bytes())).fold(0, |v, n| v | u32::from(self.0[at + n]) << (8 * n))
        }
    }

    #[test]
    fn a_sound_list_is_walked_in_order() {
        let space = Space::new().pointer(0x50).standard(0x50, 5, 0x43).standard(0x40, 0x11, 0);
        let walked: Vec<_> = standard(&space).collect();
        assert_eq!(walked[0], Capability { pointer: 0x34, offset: 0x50, id: CapabilityId::MSI, next: 0x43 });
        assert_eq!(walked[1], Capability { pointer: 0x51, offset: 0x40, id: CapabilityId::MSIX, next: 0 });
        assert_eq!(walked.len(), 2);
    }

    #[test]
    fn no_list_without_the_status_bit() {
        let mut space = Space::new().pointer(0x50).standard(0x50, 5, 0);
        space.0[0x06] = 0;
        assert_eq!(space.offsets(), []);
    }

    #[test]
    fn broken_standard_lists_end() {
        assert_eq!(Space::new().pointer(0x3c).standard(0x3c, 5, 0).offsets(), []);
        assert_eq!(Space::new().pointer(0x40).standard(0x40, 5, 0x40).offsets(), [0x40]);
        let ring = Space::new().pointer(0x40).standard(0x40, 5, 0x50).standard(0x50, 1, 0x40);
        assert_eq!(ring.offsets(), [0x40, 0x50]);
        assert_eq!(Space::new().pointer(0x40).standard(0x40, 0xff, 0x50).offsets(), []);
        assert_eq!(Space(std::vec![0xff; 0x1000]).offsets(), []);
    }

    #[test]
    fn the_longest_lists_are_walked_whole() {
        let mut space = Space::new().pointer(0x40);
        for offset in (0x40..0x100).step_by(4) {
            space = space.standard(offset, 9, u8::try_from((offset + 4) & 0xff).unwrap());
        }
        assert_eq!(space.offsets().len(), STANDARD_LIMIT);
        for offset in (0x100..0x1000u32).step_by(4) {
            space = space.extended(offset as usize, 0x0001_000b | ((offset + 4) & 0xfff) << 20);
        }
        assert_eq!(space.extended_offsets().len(), EXTENDED_LIMIT);
    }

    #[test]
    fn broken_extended_lists_end() {
        assert_eq!(Space::new().extended_offsets(), []);
        assert_eq!(Space(std::vec![0xff; 0x1000]).extended_offsets(), []);
        assert_eq!(Space::new().extended(0x100, 0x1001_0001).extended_offsets(), [0x100]);
        assert_eq!(Space::new().extended(0x100, 0x0401_0001).extended_offsets(), [0x100]);
        let two = Space::new().extended(0x100, 0x2001_0001).extended(0x200, 0x1001_0003);
        assert_eq!(two.extended_offsets(), [0x100, 0x200]);
    }

    #[test]
    fn header_parts() {
        let header = ExtendedHeader(0x1482_0001);
        assert_eq!((header.id().0, header.next()), (1, 0x148));
        assert_eq!(header.with_next(0).0, 0x0002_0001);
        assert_eq!(header.as_null().0, 0x1480_0000);
    }
}
