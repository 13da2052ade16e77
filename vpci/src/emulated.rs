//! A function that no device is behind.

use capabilities::Access;
use zerocopy::FromZeros;

use crate::map::{self, DefineError, Definition, Index, Source};
use crate::register::Register;

/// A function whose registers, at most `N` dwords of them, are all virtual. What no register has reads 0 and drops
/// writes. All zeros is a function without registers.
///
/// What a write does beyond storing bits is its owner's affair, who looks at the registers afterwards.
#[derive(FromZeros)]
#[repr(C)]
pub struct Emulated<const N: usize> {
    index: Index,
    registers: [Register; N],
}

impl<const N: usize> Emulated<N> {
    /// Adds a register, which is virtual.
    ///
    /// # Errors
    ///
    /// See [`DefineError`]; [`Invalid`](DefineError::Invalid) also if its source is hardware.
    pub fn define(&mut self, definition: &Definition) -> Result<(), DefineError> {
        if definition.source == Source::Hardware {
            return Err(DefineError::Invalid);
        }
        map::define(&mut self.index, &mut self.registers, definition)
    }

    /// Reads. The value stands in the low bits. Work: one lookup.
    #[inline]
    pub fn read(&self, access: Access) -> u32 {
        self.register(access.dword()).map_or(0, |register| register.load(access))
    }

    /// Writes; bits of `value` past the access's width do not count. Work: one lookup.
    #[inline]
    pub fn write(&mut self, access: Access, value: u32) {
        let mask = access.value_mask() << access.shift();
        if let Some(register) = self.register_mut(access.dword()) {
            register.store(value << access.shift(), mask);
        }
    }

    /// What is stored in the dword of this number, 0 to 0x3ff, hidden bits included; 0 if it has no register.
    pub fn value(&self, dword: u16) -> u32 {
        self.register(dword).map_or(0, |register| register.value)
    }

    /// Sets bits of a dword, whoever may write them; what no register has stays 0.
    pub fn set(&mut self, dword: u16, value: u32, mask: u32) {
        if let Some(register) = self.register_mut(dword) {
            register.set(value, mask);
        }
    }

    /// From now on a write changes the bits of a dword under `write` and no others.
    pub fn allow(&mut self, dword: u16, write: u32) {
        if let Some(register) = self.register_mut(dword) {
            register.write = write & !register.hardware;
        }
    }

    /// From now on the bits of a dword under `hidden`, and no others, read 0 and keep what is stored.
    pub fn hide(&mut self, dword: u16, hidden: u32) {
        if let Some(register) = self.register_mut(dword) {
            register.hidden = hidden;
        }
    }

    fn register(&self, dword: u16) -> Option<&Register> {
        self.registers.get(self.index.register(dword)?)
    }

    fn register_mut(&mut self, dword: u16) -> Option<&mut Register> {
        self.registers.get_mut(self.index.register(dword)?)
    }
}
