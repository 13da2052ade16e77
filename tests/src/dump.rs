//! Configuration spaces in the format of `lspci -x`: lines of an offset and up to 16 bytes, in hexadecimal.

use crate::device::Device;

/// The bytes of the first function in `text`, 64, 256 or 4096 of them.
///
/// # Errors
///
/// A line is malformed, or the bytes do not follow one another.
pub fn parse(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let Some((offset, rest)) = line.split_once(": ") else { continue };
        let Ok(offset) = usize::from_str_radix(offset, 16) else { continue };
        if offset == 0 && !bytes.is_empty() {
            break;
        }
        if offset != bytes.len() {
            return Err(format!("offset {offset:#x} follows {:#x} bytes", bytes.len()));
        }
        for byte in rest.split_whitespace() {
            bytes.push(u8::from_str_radix(byte, 16).map_err(|error| format!("{byte}: {error}"))?);
        }
    }
    if matches!(bytes.len(), 64 | 256 | 4096) { Ok(bytes) } else { Err(format!("{} bytes", bytes.len())) }
}

/// The size of a BAR at `address`, of which a dump says nothing: as much as its alignment allows, from a page to
/// 16 MiB.
pub const fn guess_size(address: u64) -> u64 {
    let aligned = 1 << address.trailing_zeros();
    if aligned < 0x1000 {
        0x1000
    } else if aligned > 0x100_0000 {
        0x100_0000
    } else {
        aligned
    }
}

/// The function whose configuration space these bytes are.
pub fn device(bytes: &[u8]) -> Device {
    Device::from_bytes(bytes, guess_size)
}
