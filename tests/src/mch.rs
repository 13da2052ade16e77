//! An MCH in a guest of a few gigabytes, reached by offset and width.

use capabilities::{Access, CONFIG_SIZE};
use q35::{Info, InfoError, Mch, Window};
use zerocopy::FromZeros;

/// 2 GiB of RAM below 4 GiB and 4 GiB above; ECAM where QEMU's firmware puts it.
pub const INFO: Info =
    Info { pciexbar: 0xb000_0001, low_ram_end: 0x8000_0000, high_ram_end: 0x2_0000_0000, address_bits: 39 };

/// An MCH.
pub struct Bridge(pub Box<Mch>);

impl Bridge {
    /// One as it is after a reset.
    ///
    /// # Errors
    ///
    /// As for [`Mch::init`].
    pub fn try_new(info: &Info) -> Result<Self, InfoError> {
        let mut mch = Box::new(Mch::new_zeroed());
        mch.init(info).map(|()| Self(mch))
    }

    /// One as it is after a reset.
    ///
    /// # Panics
    ///
    /// If there can be no such MCH.
    pub fn new(info: &Info) -> Self {
        Self::try_new(info).expect("the platform is valid")
    }

    /// Reads `bytes` bytes.
    ///
    /// # Panics
    ///
    /// If there is no such access.
    pub fn read(&self, offset: u16, bytes: u32) -> u32 {
        self.0.read(Access::new(u32::from(offset), bytes).expect("it is an access"))
    }

    /// Writes `bytes` bytes.
    ///
    /// # Panics
    ///
    /// If there is no such access.
    pub fn write(&mut self, offset: u16, bytes: u32, value: u32) {
        self.0.write(Access::new(u32::from(offset), bytes).expect("it is an access"), value);
    }

    /// All of configuration space that the function has.
    pub fn dwords(&self) -> Vec<u32> {
        (0..CONFIG_SIZE).step_by(4).map(|offset| self.read(offset, 4)).collect()
    }

    /// What PCIEXBAR reads.
    pub fn pciexbar(&self) -> u64 {
        u64::from(self.read(0x64, 4)) << 32 | u64::from(self.read(0x60, 4))
    }

    /// Writes PCIEXBAR as firmware does: disabled while it changes.
    pub fn set_pciexbar(&mut self, value: u64) {
        self.write(0x60, 4, 0);
        self.write(0x64, 4, (value >> 32) as u32); // CAST: the halves.
        self.write(0x60, 4, value as u32);
    }

    /// The base and the size in MiB of what is decoded.
    pub fn window(&self) -> Option<(u64, u32)> {
        self.0.window().map(|window: Window| (window.base(), window.size() >> 20))
    }
}
