//! The MCH: configuration space of function 00:00.0.

use capabilities::Access;
use vpci::Emulated;
use zerocopy::FromZeros;

use crate::layout::Misfit;
use crate::pciexbar::{Decoded, Window, pciexbar_decode};
use crate::{Image, ImageError};

/// The platform that an MCH is part of. Addresses are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(C)]
pub struct Info {
    /// What PCIEXBAR holds after a reset: a window, or 0.
    pub pciexbar: u64,
    /// The end of RAM below 4 GiB, at most FEC00000.
    pub low_ram_end: u64,
    /// The end of RAM above 4 GiB; 0 if there is none.
    pub high_ram_end: u64,
    /// The width of the guest's physical addresses, 32 to 52.
    pub address_bits: u8,
}

/// Why there can be no such MCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InfoError {
    /// RAM or the address width is out of range.
    Platform,
    /// PCIEXBAR is neither 0 nor what the register would read for a window.
    Pciexbar,
    /// The window is where it may not be.
    Window(Misfit),
}

/// The window in force, as a structure of which all zeros is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(C)]
struct InForce {
    base: u64,
    size: u32,
}

/// The MCH. It lives in memory that the caller provides, zeroed.
#[derive(FromZeros)]
#[repr(C)]
pub struct Mch {
    function: Emulated<64>,
    info: Info,
    window: InForce,
    overlaps: u32,
}

impl Mch {
    /// Makes it, in zeroed memory, as it is after a reset.
    ///
    /// # Errors
    ///
    /// See [`InfoError`]; nothing was changed.
    pub fn init(&mut self, info: &Info) -> Result<(), InfoError> {
        if let Decoded::Window(window) = pciexbar_decode(info.pciexbar) {
            self.window = InForce { base: window.base(), size: window.size() };
        }
        self.info = *info;
        Ok(())
    }

    /// The platform's reset. Nothing else clears `SMRAM.D_LCK`. The counters stay.
    pub fn reset(&mut self) {}

    /// Reads. The value stands in the low bits. From 0x100 on all is ones: the function has no extended space.
    pub fn read(&self, access: Access) -> u32 {
        self.function.read(access)
    }

    /// Writes; what cannot be written is dropped.
    pub fn write(&mut self, access: Access, value: u32) {
        self.function.write(access, value);
    }

    /// What is decoded as ECAM now.
    #[inline]
    pub fn window(&self) -> Option<Window> {
        Window::new(self.window.base, self.window.size)
    }

    /// How many writes made a window that lies, in part, over RAM or from FEC00000 to 4 GiB. It saturates.
    pub fn overlaps(&self) -> u32 {
        self.overlaps
    }

    /// The state, with what `CONFIG_ADDRESS` holds.
    pub fn save(&self, config_address: u32) -> Image {
        let mut image = Image::new_zeroed();
        image.config_address.set(config_address);
        image
    }

    /// Takes the state of another MCH over and returns what `CONFIG_ADDRESS` held. This one has been made by
    /// [`init`](Self::init), for the same platform.
    ///
    /// # Errors
    ///
    /// See [`ImageError`]; nothing was changed.
    pub fn restore(&mut self, image: &[u8]) -> Result<u32, ImageError> {
        if image.len() == Image::SIZE { Err(ImageError::Magic) } else { Err(ImageError::Length) }
    }
}
