//! The bodies of the fuzz targets: plain functions of an input, which panic if the library did wrong.

pub mod accesses;
mod hostile;
pub mod hostile_device;
pub mod hostile_guest;
pub mod msix_mmio;
pub mod q35;
pub mod reset;

use arbitrary::{Arbitrary, Unstructured};
use capabilities::Width;

/// Runs a target on the bytes of a corpus file, as libFuzzer does.
pub fn replay<'b, I: Arbitrary<'b>>(bytes: &'b [u8], run: impl Fn(&I)) {
    if bytes.len() < I::size_hint(0).0 {
        return;
    }
    if let Ok(input) = I::arbitrary_take_rest(Unstructured::new(bytes)) {
        run(&input);
    }
}

/// The width of a register or of a configuration access.
#[derive(Arbitrary, Clone, Copy, Debug)]
#[expect(missing_docs, reason = "named after the widths")]
pub enum Size {
    Byte,
    Word,
    Dword,
}

impl Size {
    /// As the library has it.
    #[must_use]
    pub const fn width(self) -> Width {
        match self {
            Self::Byte => Width::Byte,
            Self::Word => Width::Word,
            Self::Dword => Width::Dword,
        }
    }

    /// `offset` moved down to where a register of this width can be.
    #[must_use]
    pub const fn align(self, offset: u16) -> u16 {
        offset & !(self.width().bytes() as u16 - 1)
    }

    /// `value` cut to this width.
    #[must_use]
    pub const fn cut(self, value: u32) -> u32 {
        value & (u32::MAX >> (32 - 8 * self.width().bytes() as u32))
    }
}
