//! What the registers of a function shall do, said byte by byte and with no regard to speed.

use std::collections::BTreeMap;

use capabilities::Width;
use vpci::{DefineError, Definition, Source};

use crate::device::Device;

/// A register and its virtual value.
#[derive(Clone, Copy)]
struct Entry {
    definition: Definition,
    value: u32,
}

/// The registers of a function, by offset, on top of a physical one.
pub struct Model {
    registers: BTreeMap<u16, Entry>,
    /// The physical function.
    pub device: Device,
}

impl Model {
    /// A function that nothing mediates.
    pub const fn new(device: Device) -> Self {
        Self { registers: BTreeMap::new(), device }
    }

    /// The register that the byte at `offset` belongs to.
    fn covering(&self, offset: u16) -> Option<(u16, Entry)> {
        let (&start, &entry) = self.registers.range(..=offset).next_back()?;
        (offset - start < u16::from(entry.definition.width.bytes())).then_some((start, entry))
    }

    /// The byte range of the register that the byte at `offset` belongs to, and whether it is the device's.
    pub fn register_at(&self, offset: u16) -> Option<(u16, Width, bool)> {
        let (start, entry) = self.covering(offset)?;
        Some((start, entry.definition.width, entry.definition.source == Source::Hardware))
    }

    /// Adds a register.
    ///
    /// # Errors
    ///
    /// The register cannot be, or overlaps another.
    pub fn define(&mut self, definition: &Definition) -> Result<(), DefineError> {
        let Definition { offset, width, read_only, clear, preserved, zeroed, source } = *definition;
        let bytes = u16::from(width.bytes());
        if offset % bytes != 0 || offset >= 0x1000 {
            return Err(DefineError::Invalid);
        }
        for bit in 0..32 {
            let claims =
                [read_only, clear, preserved, zeroed].iter().filter(|mask| *mask >> bit & 1 != 0).count();
            if claims > 1 || claims == 1 && bit >= 8 * bytes {
                return Err(DefineError::Invalid);
            }
        }
        if (offset..offset + bytes).any(|offset| self.covering(offset).is_some()) {
            return Err(DefineError::Exists);
        }
        let value = if let Source::Virtual(value) = source { value } else { 0 };
        self.registers.insert(offset, Entry { definition: *definition, value });
        Ok(())
    }

    fn whole(&self, offset: u16, entry: &Entry) -> u32 {
        match entry.definition.source {
            Source::Virtual(_) => entry.value,
            Source::Hardware => self.device.get(offset, entry.definition.width),
        }
    }

    fn read_byte(&self, offset: u16) -> u8 {
        let Some((start, entry)) = self.covering(offset) else {
            return self.device.get(offset, Width::Byte).to_le_bytes()[0];
        };
        let hidden = entry.definition.preserved | entry.definition.zeroed;
        let value = self.whole(start, &entry) & !hidden;
        value.to_le_bytes()[usize::from(offset - start)]
    }

    /// Reads as the domain does.
    pub fn read(&self, offset: u16, width: Width) -> u32 {
        let bytes = u16::from(width.bytes());
        (0..bytes).fold(0, |value, n| value | u32::from(self.read_byte(offset + n)) << (8 * n))
    }

    /// Writes as the domain does.
    pub fn write(&mut self, offset: u16, width: Width, value: u32) {
        let end = offset + u16::from(width.bytes());
        let data = value.to_le_bytes();
        let mut at = offset;
        while at < end {
            let Some((start, entry)) = self.covering(at) else {
                let byte = u32::from(data[usize::from(at - offset)]);
                self.device.write(at, Width::Byte, byte);
                at += 1;
                continue;
            };
            let stop = start + u16::from(entry.definition.width.bytes());
            // Bytes that the access does not have keep their value.
            let old = self.whole(start, &entry);
            let mut bytes = old.to_le_bytes();
            let mut enabled = [0u8; 4];
            for lane in at..stop.min(end) {
                bytes[usize::from(lane - start)] = data[usize::from(lane - offset)];
                enabled[usize::from(lane - start)] = 0xff;
            }
            self.store(start, &entry, old, u32::from_le_bytes(bytes), u32::from_le_bytes(enabled));
            at = stop;
        }
    }

    /// Writes a register, bit by bit, by its classes (PCIe 7.4).
    fn store(&mut self, offset: u16, entry: &Entry, old: u32, new: u32, enabled: u32) {
        let Definition { width, source, read_only, clear, preserved, zeroed, .. } = entry.definition;
        let mut result = 0;
        for bit in 0..8 * u32::from(width.bytes()) {
            let is = |mask: u32| mask >> bit & 1 != 0;
            let bit_value = if is(read_only) || is(preserved) {
                is(old)
            } else if is(zeroed) {
                false
            } else if is(clear) {
                // The device clears what it is written as 1; a virtual bit is cleared here.
                if source == Source::Hardware {
                    is(enabled) && is(new)
                } else {
                    is(old) && !(is(enabled) && is(new))
                }
            } else {
                is(new)
            };
            result |= u32::from(bit_value) << bit;
        }
        match source {
            Source::Hardware => self.device.write(offset, width, result),
            Source::Virtual(_) => {
                self.registers.insert(offset, Entry { value: result, ..*entry });
            }
        }
    }
}
