//! Where ECAM is: as the datasheet has it, and as QEMU has it.

use ::tests::datasheet::Pciexbar;

/// From here to 4 GiB nothing is decoded here, and QEMU has devices of its own.
pub(crate) const FIXED: u64 = 0xfec0_0000;
const FOUR_GIB: u64 = 1 << 32;
/// The bits of PCIEXBAR that are a base for any length.
const BASE: u64 = 0xf_f000_0000;

/// Addresses that ECAM has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) base: u64,
    pub(crate) size: u64,
}

impl Window {
    pub(crate) fn offset(self, address: u64) -> Option<u64> {
        address.checked_sub(self.base).filter(|offset| *offset < self.size)
    }
}

/// Which bits below 28 are part of a base, by the length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Masks {
    /// 27 for 128 MB, 27:26 for 64 MB.
    Datasheet,
    /// 26:25 for 128 MB, 25 for 64 MB: QEMU up to 10.2, but for releases that have the correction.
    Shifted,
}

impl Masks {
    fn base(self, length: u64) -> u64 {
        let below = match (self, length >> 20) {
            (Self::Datasheet, 128) => 1 << 27,
            (Self::Datasheet, 64) => 3 << 26,
            (Self::Shifted, 128) => 3 << 25,
            (Self::Shifted, 64) => 1 << 25,
            _ => 0,
        };
        BASE | below
    }
}

/// A window as PCIEXBAR made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decoder {
    masks: Masks,
    /// Whether a reserved length keeps the window even if ECAM is disabled by the same value.
    keeps_disabled: bool,
    pub(crate) window: Option<Window>,
}

impl Decoder {
    /// As the datasheet has it. A reserved length keeps the window.
    pub(crate) fn datasheet() -> Self {
        Self { masks: Masks::Datasheet, keeps_disabled: false, window: None }
    }

    /// As QEMU has it.
    pub(crate) fn qemu(masks: Masks) -> Self {
        Self { masks, keeps_disabled: true, window: None }
    }

    /// Its masks.
    pub(crate) fn masks(self) -> Masks {
        self.masks
    }

    /// PCIEXBAR holds this now.
    pub(crate) fn follow(&mut self, pciexbar: Pciexbar) {
        let enabled = pciexbar.0 & 1 != 0;
        match pciexbar.length() {
            Some(size) if enabled => {
                self.window = Some(Window { base: pciexbar.0 & self.masks.base(size), size });
            }
            None if enabled || self.keeps_disabled => {}
            _ => self.window = None,
        }
    }
}

/// Whether the address is one of the devices below 4 GiB.
pub(crate) fn is_fixed(address: u64) -> bool {
    (FIXED..FOUR_GIB).contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(decoder: &mut Decoder, value: u64) -> Option<u64> {
        decoder.follow(Pciexbar(value));
        decoder.window.map(|window| window.base)
    }

    /// The values that QEMU's windows were seen at.
    #[test]
    fn qemu_has_its_masks_one_bit_too_low() {
        for (value, qemu) in [
            (0xb800_0001, 0xb000_0000),
            (0xb800_0003, 0xb000_0000),
            (0xb400_0003, 0xb400_0000),
            (0xb200_0003, 0xb200_0000),
            (0xbc00_0005, 0xb000_0000),
            (0xb600_0005, 0xb200_0000),
        ] {
            assert_eq!(base(&mut Decoder::qemu(Masks::Shifted), value), Some(qemu), "{value:#x}");
        }
        let mut datasheet = Decoder::datasheet();
        assert_eq!(base(&mut datasheet, 0xbe00_0003), Some(0xb800_0000));
        assert_eq!(base(&mut datasheet, 0xbe00_0005), Some(0xbc00_0000));
        assert_eq!(base(&mut datasheet, 0xa000_0007), Some(0xbc00_0000), "a reserved length keeps it");
        assert_eq!(base(&mut datasheet, 0xa000_0006), None);
    }
}
