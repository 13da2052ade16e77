//! A platform with nothing but the MCH on its bus, reached as the hypervisor's glue reaches it: by `CONFIG_ADDRESS` and
//! `CONFIG_DATA`, and through the ECAM window.

use crate::mch::Bridge;
use capabilities::Sbdf;
use q35::{Info, InfoError, Mch};

/// `CONFIG_ADDRESS`.
pub const CONFIG_ADDRESS: u16 = 0xcf8;
/// The first byte of `CONFIG_DATA`.
pub const CONFIG_DATA: u16 = 0xcfc;

/// The MCH at 00:00.0, and the latch at 0xCF8. Where nobody is, reads give all ones and writes are dropped.
pub struct Chipset {
    /// The function.
    pub mch: Box<Mch>,
    config_address: u32,
}

impl Chipset {
    /// The platform after a reset.
    ///
    /// # Errors
    ///
    /// See [`InfoError`].
    pub fn new(info: &Info) -> Result<Self, InfoError> {
        Ok(Self { mch: Bridge::try_new(info)?.0, config_address: 0 })
    }

    /// Reads 1, 2 or 4 bytes at a port. Of `CONFIG_ADDRESS` only all of it can be read.
    pub fn port_read(&self, port: u16, bytes: u32) -> u32 {
        if port == CONFIG_ADDRESS && bytes == 4 {
            return self.config_address;
        }
        self.read(q35::decode_port(self.config_address, port), bytes)
    }

    /// Writes 1, 2 or 4 bytes to a port. `CONFIG_ADDRESS` takes only four at once.
    pub fn port_write(&mut self, port: u16, bytes: u32, value: u32) {
        if port == CONFIG_ADDRESS && bytes == 4 {
            self.config_address = value;
            return;
        }
        self.write(q35::decode_port(self.config_address, port), bytes, value);
    }

    /// Reads 1, 2, 4 or 8 bytes of memory; `None` if they are not in the ECAM window. Eight are two accesses of four, the
    /// lower first.
    pub fn memory_read(&self, address: u64, bytes: u32) -> Option<u64> {
        if bytes == 8 {
            let low = self.memory_read(address, 4)?;
            return Some(low | self.memory_read(address + 4, 4)? << 32);
        }
        let there = self.mch.window()?.decode(address)?;
        Some(u64::from(self.read(Some(there), bytes)))
    }

    /// Writes 1, 2, 4 or 8 bytes of memory, the latter as two times four. Each finds the window as the one before left it.
    pub fn memory_write(&mut self, address: u64, bytes: u32, value: u64) {
        if bytes == 8 {
            self.memory_write(address, 4, value & 0xffff_ffff);
            self.memory_write(address + 4, 4, value >> 32);
            return;
        }
        let there = self.mch.window().and_then(|window| window.decode(address));
        self.write(there, bytes, value as u32); // CAST: at most 4 bytes are written.
    }

    /// A platform reset. It leaves `CONFIG_ADDRESS` alone.
    pub fn reset(&mut self) {
        self.mch.reset();
    }

    fn read(&self, there: Option<(Sbdf, u16)>, bytes: u32) -> u32 {
        let all = u32::MAX >> (32 - 8 * bytes);
        match there {
            Some((Sbdf(0), offset)) => self.mch.read_within(u32::from(offset), bytes) & all,
            _ => all,
        }
    }

    fn write(&mut self, there: Option<(Sbdf, u16)>, bytes: u32, value: u32) {
        if let Some((Sbdf(0), offset)) = there {
            self.mch.write_within(u32::from(offset), bytes, value);
        }
    }
}
