//! Configuration accesses that firmware and systems made on a Q35 machine of QEMU's, recorded one a line:
//!
//! ```text
//! CF8 R 00:00.0 090 4 0x0
//! ECAM@b0000000 W 00:1f.2 004 2 0x7
//! ```
//!
//! A line is: the mechanism, the direction, the function, the register in hexadecimal, the bytes, the value. Lines of
//! `IDX` are accesses to `CONFIG_ADDRESS` itself; the writes of most others to it are not recorded, so they tell nothing.

use capabilities::Sbdf;

use crate::chipset::{CONFIG_ADDRESS, CONFIG_DATA, Chipset};
use crate::dump;

/// How a register was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// By the ports 0xCF8 and 0xCFC.
    Ports,
    /// Through the window at this address.
    Ecam(u64),
}

/// One access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// How.
    pub mechanism: Mechanism,
    /// Whether it is a write.
    pub write: bool,
    /// The function.
    pub sbdf: Sbdf,
    /// The byte offset.
    pub register: u16,
    /// 1, 2 or 4.
    pub bytes: u32,
    /// What was read or written.
    pub value: u32,
}

/// All accesses in a text, each with the number of its line, counted from 1.
///
/// # Errors
///
/// The line that is none.
pub fn parse(text: &str) -> Result<Vec<(usize, Line)>, String> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with("IDX "));
    lines
        .map(|(number, line)| match access(line) {
            Some(access) => Ok((number, access)),
            None => Err(format!("line {number}: {line}")),
        })
        .collect()
}

fn access(line: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    let &[mechanism, direction, function, register, bytes, value] = words.as_slice() else { return None };
    let mechanism = match mechanism.strip_prefix("ECAM@") {
        Some(base) => Mechanism::Ecam(u64::from_str_radix(base, 16).ok()?),
        None if mechanism == "CF8" => Mechanism::Ports,
        None => return None,
    };
    let write = match direction {
        "R" => false,
        "W" => true,
        _ => return None,
    };
    let (bus, rest) = function.split_once(':').filter(|_| dump::is_slot(function))?;
    let (device, function) = rest.split_once('.')?;
    let number = |text: &str| u8::from_str_radix(text, 16).ok();
    Some(Line {
        mechanism,
        write,
        sbdf: Sbdf::new(0, number(bus)?, number(device)?, number(function)?),
        register: u16::from_str_radix(register, 16).ok()?,
        bytes: bytes.parse().ok().filter(|bytes| matches!(bytes, 1 | 2 | 4))?,
        // CAST: all ones are written with 64 bits, however many were read.
        value: u64::from_str_radix(value.strip_prefix("0x")?, 16).ok()? as u32,
    })
}

impl Line {
    /// Where in memory the register is, if it was reached through a window.
    pub const fn address(&self) -> Option<u64> {
        match self.mechanism {
            Mechanism::Ports => None,
            // CAST: widening.
            Mechanism::Ecam(base) => Some(base + ((self.sbdf.0 as u64) << 12) + self.register as u64),
        }
    }

    /// What the library takes the access for: a function and a register.
    pub fn decode(&self, chipset: &Chipset) -> Option<(Sbdf, u16)> {
        match self.address() {
            Some(address) => chipset.mch.window()?.decode(address),
            None => q35::decode_port(self.config_address(), self.data_port()),
        }
    }

    /// Makes the access. What is read.
    pub fn make(&self, chipset: &mut Chipset) -> Option<u32> {
        match self.address() {
            Some(address) if self.write => {
                chipset.memory_write(address, self.bytes, u64::from(self.value));
                None
            }
            // CAST: at most 4 bytes are read.
            Some(address) => chipset.memory_read(address, self.bytes).map(|value| value as u32),
            None => {
                chipset.port_write(CONFIG_ADDRESS, 4, self.config_address());
                if self.write {
                    chipset.port_write(self.data_port(), self.bytes, self.value);
                    return None;
                }
                Some(chipset.port_read(self.data_port(), self.bytes))
            }
        }
    }

    /// The dword of the register, as `CONFIG_ADDRESS` has it.
    const fn config_address(&self) -> u32 {
        1 << 31 | self.sbdf.0 << 8 | self.register as u32 & 0xfc // CAST: widening.
    }

    const fn data_port(&self) -> u16 {
        CONFIG_DATA | self.register & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let lines =
            parse("IDX R 0xcf8 4 0x0\nCF8 R 00:1f.2 02e 2 0x1100\nECAM@b0000000 W 01:00.0 104 4 0xff\n")
                .unwrap();
        let (number, first) = lines[0];
        assert_eq!(
            (number, first.mechanism, first.write, first.sbdf),
            (2, Mechanism::Ports, false, Sbdf(0xfa))
        );
        assert_eq!((first.register, first.bytes, first.value, first.address()), (0x2e, 2, 0x1100, None));
        assert_eq!((lines[1].1.write, lines[1].1.address()), (true, Some(0xb010_0104)));
        for wrong in ["", "CF8 R 00:00.0 000 3 0x0", "CF8 X 00:00.0 000 4 0x0", "ECAM R 00:00.0 000 4 0x0"] {
            assert!(access(wrong).is_none(), "{wrong}");
        }
    }
}
