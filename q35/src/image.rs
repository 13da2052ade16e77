//! The MCH as a guest left it, in bytes that another host can read.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The state of an [`Mch`](crate::Mch) and of `CONFIG_ADDRESS`, for save, restore and migration. Little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Image {
    pub(crate) magic: U32,
    pub(crate) version: U32,
    /// Bytes of the whole image.
    pub(crate) length: U32,
    pub(crate) config_address: U32,
    /// What is stored in the 64 dwords of configuration space.
    pub(crate) registers: [U32; 64],
    /// The window in force as PCIEXBAR has it; 0 for none. It differs from the register if that has the reserved length.
    pub(crate) window: U64,
    pub(crate) overlaps: U32,
    pub(crate) reserved: U32,
}

static_assertions::const_assert_eq!(size_of::<Image>(), Image::SIZE);

impl Image {
    /// Its size in bytes.
    pub const SIZE: usize = 288;
}

/// Why an image is refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// It is not [`Image::SIZE`] bytes long, or says another length.
    Length,
    /// It is no image of an MCH.
    Magic,
    /// Its version is unknown: it was made by a newer library.
    Version,
    /// It holds what no sequence of writes can lead to.
    Content,
}
