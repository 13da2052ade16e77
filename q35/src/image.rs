//! The MCH as a guest left it, in bytes that another host can read.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::mch::{D_LCK, D_OPEN, Mch, PCIEXBAR, PCIEXBAR_HIGH, SMRAM, bits};
use crate::pciexbar::{Decoded, pciexbar_decode, pciexbar_encode};
use crate::registers::COUNT;

/// "MCHS".
const MAGIC: u32 = u32::from_le_bytes(*b"MCHS");
const VERSION: u32 = 1;

/// The state of an [`Mch`] and of `CONFIG_ADDRESS`, for save, restore and migration. Little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Image {
    magic: U32,
    version: U32,
    /// Bytes of the whole image.
    length: U32,
    config_address: U32,
    /// What is stored in the dwords of configuration space below 0x100, bits that read 0 because of PCIEXBAR's length
    /// included.
    registers: [U32; COUNT],
    /// What is decoded, as PCIEXBAR would have it; 0 for nothing. It differs from the register if that has the reserved
    /// length.
    window: U64,
    overlaps: U32,
    reserved: U32,
}

static_assertions::const_assert_eq!(size_of::<Image>(), Image::SIZE);

impl Image {
    /// Its size in bytes.
    pub const SIZE: usize = 288;

    /// What is stored in the dword of this number.
    fn register(&self, number: u16) -> u32 {
        self.registers.get(usize::from(number)).map_or(0, |register| register.get())
    }

    fn pciexbar(&self) -> u64 {
        u64::from(self.register(PCIEXBAR_HIGH)) << 32 | u64::from(self.register(PCIEXBAR))
    }
}

/// Why an image is refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// It is not [`Image::SIZE`] bytes long, or says another length.
    Length,
    /// It is no image of an MCH.
    Magic,
    /// Its version is unknown: a newer library made it.
    Version,
    /// It holds what no sequence of writes to this MCH can lead to.
    Content,
}

impl Mch {
    /// The state, with what `CONFIG_ADDRESS` holds.
    pub fn save(&self, config_address: u32) -> Image {
        let mut image = Image::new_zeroed();
        image.magic.set(MAGIC);
        image.version.set(VERSION);
        image.length.set(Image::SIZE as u32); // CAST: it is 288.
        image.config_address.set(config_address);
        for (number, register) in (0..).zip(&mut image.registers) {
            register.set(self.function.value(number));
        }
        image.window.set(self.window().map_or(0, pciexbar_encode));
        image.overlaps.set(self.overlaps());
        image
    }

    /// Takes the state of another MCH over and returns what `CONFIG_ADDRESS` held. This one has been made by
    /// [`init`](Self::init) with the same [`Info`](crate::Info), which is not in the image: it is the toolstack's.
    ///
    /// # Errors
    ///
    /// See [`ImageError`]; nothing was changed.
    pub fn restore(&mut self, image: &[u8]) -> Result<u32, ImageError> {
        let image = Image::ref_from_bytes(image).map_err(|_| ImageError::Length)?;
        if image.magic != MAGIC {
            return Err(ImageError::Magic);
        }
        if image.version != VERSION {
            return Err(ImageError::Version);
        }
        if image.length != Image::SIZE as u32 {
            // CAST: it is 288.
            return Err(ImageError::Length);
        }
        if !self.could_be(image) {
            return Err(ImageError::Content);
        }
        for (number, register) in (0..).zip(&image.registers) {
            self.function.set(number, register.get(), u32::MAX);
        }
        self.overlaps = image.overlaps.get();
        self.lock();
        self.window.set(match pciexbar_decode(image.window.get()) {
            Decoded::Window(window) => Some(window),
            Decoded::Disabled | Decoded::Reserved => None,
        });
        self.follow();
        Ok(image.config_address.get())
    }

    /// Whether writes to this MCH can lead to what the image holds.
    fn could_be(&self, image: &Image) -> bool {
        let info = &self.info;
        // No error is ever reported, so RW1C bits stay as they are after a reset.
        let kept = (0..).zip(&image.registers).all(|(number, register)| {
            let bits = bits(number, info);
            (register.get() ^ bits.reset) & !bits.write == 0
        });
        let lock = image.register(SMRAM) & (D_LCK | D_OPEN);
        let window = image.window.get();
        let window_is_possible = match pciexbar_decode(image.pciexbar()) {
            Decoded::Disabled => window == 0,
            Decoded::Window(inside) => window == pciexbar_encode(inside),
            // Any that was in force before.
            Decoded::Reserved => match pciexbar_decode(window) {
                Decoded::Disabled => window == 0,
                Decoded::Reserved => false,
                Decoded::Window(before) => {
                    // CAST: the high half of the register.
                    let high = (window >> 32) as u32;
                    window == pciexbar_encode(before) && high & !bits(PCIEXBAR_HIGH, info).write == 0
                }
            },
        };
        // A guest starts with no such window.
        let overlap_is_counted = match pciexbar_decode(window) {
            Decoded::Window(window) => info.platform().check(window).is_ok() || image.overlaps != 0,
            Decoded::Disabled | Decoded::Reserved => true,
        };
        kept && lock != D_LCK | D_OPEN && window_is_possible && overlap_is_counted && image.reserved == 0
    }
}
