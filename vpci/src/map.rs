//! The map from a function's 1024 dwords to its registers.

use capabilities::{Lanes, Width};
use zerocopy::FromZeros;

use crate::register::{Effect, Register};

/// Registers of one page of the map are numbered from its base on.
const PAGE_DWORDS: u16 = 64;
const PAGES: usize = 16;
const DWORDS: usize = 1024;

/// An index of this value stands for a dword that reads 0 and drops writes.
const HIDDEN: u8 = 0xff;

/// One byte for each dword: 0 for a dword that nobody mediates, [`HIDDEN`], or the number of its register in the
/// page of 64 dwords, counted from 1. A page's registers stand together; `bases` says where.
#[derive(FromZeros)]
#[repr(C)]
pub(crate) struct Index {
    slots: [u8; DWORDS],
    bases: [u16; PAGES],
    len: u16,
}

/// What a dword is served by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// Hardware alone.
    Gap,
    /// Nothing: it reads 0 and drops writes.
    Hidden,
    /// The register of this number.
    Register(usize),
}

impl Index {
    pub(crate) fn find(&self, dword: u16) -> Found {
        match self.register(dword) {
            Some(at) => Found::Register(at),
            None if self.slots.get(usize::from(dword)) == Some(&HIDDEN) => Found::Hidden,
            None => Found::Gap,
        }
    }

    /// The number of the dword's register, if it has one.
    #[inline]
    pub(crate) fn register(&self, dword: u16) -> Option<usize> {
        // 0 and HIDDEN become the two largest.
        let number = self.slots.get(usize::from(dword))?.wrapping_sub(1);
        let base = self.bases.get(usize::from(dword / PAGE_DWORDS))?;
        (number < HIDDEN - 1).then(|| usize::from(*base) + usize::from(number))
    }

    /// The number of registers.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize // CAST: widening; `From` is not const.
    }

    /// The dword reads 0 from now on and drops writes. Its register, if it has one, is not used again.
    pub(crate) fn hide(&mut self, dword: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(dword)) {
            *slot = HIDDEN;
        }
    }

    /// The register of `dword`, made [`Register::RAW`] if there was none. `None` if the dword is hidden, or if
    /// `registers` is full.
    pub(crate) fn ensure<'r>(
        &mut self,
        registers: &'r mut [Register],
        dword: u16,
    ) -> Option<&'r mut Register> {
        match self.find(dword) {
            Found::Hidden => return None,
            Found::Register(at) => return registers.get_mut(at),
            Found::Gap => {}
        }
        let page = usize::from(dword / PAGE_DWORDS);
        let base = *self.bases.get(page)?;
        let end = self.bases.get(page + 1).copied().unwrap_or(self.len);
        // The new register goes to the end of its page's, and those of later pages move up by one.
        let tail = registers.get_mut(usize::from(end)..=usize::from(self.len))?;
        let mut moving = Register::RAW;
        for register in tail {
            core::mem::swap(register, &mut moving);
        }
        // CAST: a page has 64 dwords, so at most 64 registers.
        *self.slots.get_mut(usize::from(dword))? = (end - base) as u8 + 1;
        for base in self.bases.iter_mut().skip(page + 1) {
            *base += 1;
        }
        self.len += 1;
        registers.get_mut(usize::from(end))
    }
}

/// Where the bits of a defined register come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// Bits that the library keeps, starting with this value.
    Virtual(u32),
    /// The physical register, which is always read and written in its whole width.
    Hardware,
}

/// A register of 1, 2 or 4 bytes, its bits in four classes; bits in none of them are read-write (PCIe 7.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Definition {
    /// Byte offset, 0 to 0xfff, aligned to the width.
    pub offset: u16,
    /// Width.
    pub width: Width,
    /// Where its bits come from.
    pub source: Source,
    /// Read-only bits (RO).
    pub read_only: u32,
    /// Bits that a write of 1 clears (RW1C).
    pub clear: u32,
    /// Bits that read 0 and keep their value (`RsvdP`).
    pub preserved: u32,
    /// Bits that read 0 and are written as 0 (`RsvdZ`).
    pub zeroed: u32,
}

impl Definition {
    /// A read-write register.
    #[must_use]
    pub const fn new(offset: u16, width: Width, source: Source) -> Self {
        Self { offset, width, source, read_only: 0, clear: 0, preserved: 0, zeroed: 0 }
    }
}

/// Why a register cannot be defined. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefineError {
    /// The offset is not aligned or not below 0x1000, two classes share a bit, or a bit is outside the register.
    Invalid,
    /// The register overlaps another, or is hidden.
    Exists,
    /// The function's memory holds no more registers.
    Full,
}

/// Adds a register to the map.
///
/// # Errors
///
/// See [`DefineError`].
pub(crate) fn define(
    index: &mut Index,
    registers: &mut [Register],
    definition: &Definition,
) -> Result<(), DefineError> {
    let Definition { offset, width, source, read_only, clear, preserved, zeroed } = *definition;
    let access = capabilities::Access::new(u32::from(offset), u32::from(width.bytes()));
    let access = access.ok_or(DefineError::Invalid)?;
    let (mut all, mut shared) = (0, 0);
    for class in [read_only, clear, preserved, zeroed] {
        shared |= all & class;
        all |= class;
    }
    if all & !access.value_mask() != 0 || shared != 0 {
        return Err(DefineError::Invalid);
    }
    let found = index.find(access.dword());
    let taken = match found {
        Found::Gap => Lanes::NONE,
        Found::Hidden => Lanes::ALL,
        Found::Register(at) => registers.get(at).map_or(Lanes::ALL, Register::taken),
    };
    let lanes = access.lanes();
    if !taken.and(lanes).is_empty() {
        return Err(DefineError::Exists);
    }
    let register = index.ensure(registers, access.dword()).ok_or(DefineError::Full)?;
    let (shift, mask) = (access.shift(), access.value_mask());
    let field = mask << shift;
    let put = |all: u32, bits: u32| all & !field | bits << shift;
    match source {
        Source::Virtual(value) => {
            register.hardware &= !field;
            register.value = put(register.value, value & mask & !zeroed);
        }
        Source::Hardware => {
            register.hardware |= field;
            register.value &= !field;
        }
    }
    register.hidden = put(register.hidden, preserved | zeroed);
    // RsvdZ of a physical register is written, as 0; virtual bits are 0 already and stay so.
    let fixed = if source == Source::Hardware { 0 } else { zeroed };
    register.write = put(register.write, mask & !(read_only | clear | preserved | fixed));
    register.clear = put(register.clear, clear);
    register.mediated |= lanes.bits();
    register.starts |= 1 << lanes.first();
    let plain = register.mediated() == Lanes::ALL && register.hardware == 0;
    if register.effect == Effect::None && plain {
        register.effect = Effect::Plain;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn index() -> Index {
        FromZeros::new_zeroed()
    }

    #[test]
    fn any_dword_in_any_order_finds_its_own_register() {
        let mut index = index();
        let mut registers = std::vec![Register::RAW; DWORDS];
        let mut order: std::vec::Vec<u16> = (0..1024).collect();
        // A fixed permutation: 389 and 1024 have no common factor.
        order.sort_by_key(|n| u32::from(*n) * 389 % 1024);
        for dword in &order {
            index.ensure(&mut registers, *dword).unwrap().value = u32::from(*dword);
        }
        for dword in 0..1024 {
            let Found::Register(at) = index.find(dword) else { panic!("{dword} lost") };
            assert_eq!(registers[at].value, u32::from(dword));
        }
        index.hide(7);
        assert_eq!(index.find(7), Found::Hidden);
        assert!(index.ensure(&mut registers, 7).is_none());
    }

    #[test]
    fn a_full_map_refuses_and_stays_whole() {
        let mut index = index();
        let mut registers = [Register::RAW; 2];
        let define = |index: &mut Index, registers: &mut [Register], offset| {
            let source = Source::Virtual(u32::from(offset));
            super::define(index, registers, &Definition::new(offset, Width::Dword, source))
        };
        assert_eq!(define(&mut index, &mut registers, 0x100), Ok(()));
        assert_eq!(define(&mut index, &mut registers, 0x40), Ok(()));
        assert_eq!(define(&mut index, &mut registers, 0x44), Err(DefineError::Full));
        assert_eq!(define(&mut index, &mut registers, 0x40), Err(DefineError::Exists));
        let Found::Register(at) = index.find(0x40) else { panic!() };
        assert_eq!(registers[at].value, 0x100);
        assert_eq!(index.find(0x11), Found::Gap);
    }
}
