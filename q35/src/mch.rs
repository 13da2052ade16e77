//! The MCH: configuration space of function 00:00.0.

use capabilities::{Access, CONFIG_SIZE, Width};
use vpci::{Definition, Emulated, Source};
use zerocopy::FromZeros;

use crate::layout::{Misfit, Platform};
use crate::pciexbar::{ADDRESS_BITS, Decoded, InForce, Window, address_mask, pciexbar_decode};
use crate::registers::{DWORDS, Dword, USED, dword};

/// The dwords of the registers that act.
pub(crate) const PCIEXBAR: u16 = dword(0x60);
pub(crate) const PCIEXBAR_HIGH: u16 = dword(0x64);
pub(crate) const SMRAM: u16 = dword(0x9d);
/// SMRAM bits 4 and 6, in its dword.
pub(crate) const D_LCK: u32 = 1 << (8 + 4);
pub(crate) const D_OPEN: u32 = 1 << (8 + 6);

/// What the toolstack says of a guest that gets an MCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug, FromZeros)]
#[repr(C)]
pub struct Info {
    /// What PCIEXBAR holds after a reset: a window, or disabled.
    pub pciexbar: u64,
    /// The end of RAM below 4 GiB, in bytes, at most FEC00000.
    pub low_ram_end: u64,
    /// The end of RAM above 4 GiB, in bytes; 0 if there is none.
    pub high_ram_end: u64,
    /// The width of the guest's physical addresses, 32 to 52.
    pub address_bits: u8,
}

impl Info {
    pub(crate) const fn platform(&self) -> Platform {
        let Self { low_ram_end, high_ram_end, address_bits, .. } = *self;
        Platform { low_ram_end, high_ram_end, address_bits }
    }
}

/// Why there can be no such MCH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InfoError {
    /// RAM or the address width is out of range.
    Platform,
    /// PCIEXBAR is not what the register would read: a bit is set that it does not have, or the length is reserved.
    Pciexbar,
    /// The window is where it may not be when a guest starts.
    Window(Misfit),
}

/// The MCH. It lives in memory that the caller provides, zeroed.
#[derive(FromZeros)]
#[repr(C)]
pub struct Mch {
    pub(crate) function: Emulated<USED>,
    pub(crate) info: Info,
    pub(crate) window: InForce,
    pub(crate) overlaps: u32,
}

// A domain has one in half a page.
static_assertions::const_assert!(size_of::<Mch>() <= 2048);

impl Mch {
    /// Makes it, in zeroed memory, as it is after a reset. Until the guest runs it may be made anew.
    ///
    /// # Errors
    ///
    /// See [`InfoError`]; nothing was changed.
    pub fn init(&mut self, info: &Info) -> Result<(), InfoError> {
        let platform = info.platform();
        if !platform.is_valid() {
            return Err(InfoError::Platform);
        }
        let low = u64::from(bits(PCIEXBAR, info).write);
        let high = u64::from(bits(PCIEXBAR_HIGH, info).write);
        if info.pciexbar & (!(high << 32 | low) | address_mask(info.pciexbar)) != 0 {
            return Err(InfoError::Pciexbar);
        }
        match pciexbar_decode(info.pciexbar) {
            Decoded::Disabled => {}
            Decoded::Reserved => return Err(InfoError::Pciexbar),
            Decoded::Window(window) => platform.check(window).map_err(InfoError::Window)?,
        }
        self.info = *info;
        self.overlaps = 0;
        for (number, dword) in numbered() {
            if !dword.is_empty() {
                let Dword { write, clear, .. } = dword;
                let read_only = !(write | clear);
                let source = Source::Virtual(dword.reset);
                let register =
                    Definition { read_only, clear, ..Definition::new(4 * number, Width::Dword, source) };
                // The table was counted, so there is room; what is there already is as in the table.
                let _ = self.function.define(&register);
            }
        }
        self.reset();
        Ok(())
    }

    /// The platform's reset. Nothing else clears `SMRAM.D_LCK`. The counter stays.
    pub fn reset(&mut self) {
        for (number, _) in numbered() {
            self.function.set(number, bits(number, &self.info).reset, u32::MAX);
        }
        self.lock();
        self.follow();
    }

    /// Reads. The value stands in the low bits. From 0x100 on all is ones: the function has no extended space.
    ///
    /// Work: one lookup.
    #[inline]
    pub fn read(&self, access: Access) -> u32 {
        if access.offset() < CONFIG_SIZE { self.function.read(access) } else { access.value_mask() }
    }

    /// Writes; bits of `value` past the access's width do not count, and what cannot be written is dropped.
    ///
    /// Work: one lookup; for PCIEXBAR and SMRAM bounded by the number of registers.
    pub fn write(&mut self, access: Access, value: u32) {
        self.function.write(access, value);
        match access.dword() {
            PCIEXBAR | PCIEXBAR_HIGH => {
                let before = self.window();
                self.follow();
                let after = self.window();
                if let Some(window) = after.filter(|_| after != before)
                    && self.info.platform().check(window).is_err()
                {
                    self.overlaps = self.overlaps.saturating_add(1);
                }
            }
            SMRAM if self.is_locked() => self.lock(),
            _ => {}
        }
    }

    /// Reads `bytes`, 1, 2 or 4 within one dword, at `offset`, which need not be aligned. All ones for any other access.
    pub fn read_within(&self, offset: u32, bytes: u32) -> u32 {
        match Access::aligned(offset, bytes) {
            [Some(low), Some(high)] => self.read(low) | self.read(high) << 8,
            [Some(whole), None] => self.read(whole),
            _ => u32::MAX,
        }
    }

    /// Writes likewise; any other access is dropped.
    pub fn write_within(&mut self, offset: u32, bytes: u32, value: u32) {
        let [low, high] = Access::aligned(offset, bytes);
        if let Some(access) = low {
            self.write(access, value);
        }
        if let Some(access) = high {
            self.write(access, value >> 8);
        }
    }

    /// What is decoded as ECAM now.
    #[inline]
    pub fn window(&self) -> Option<Window> {
        self.window.window()
    }

    /// What [`Window::decode`] finds of the window that there is, in one number: the function in bits 27:12, the byte offset
    /// in bits 11:0.
    #[inline]
    pub fn position(&self, address: u64) -> Option<u32> {
        self.window.position(address)
    }

    /// How many writes made a window that lies, in part, over RAM or from FEC00000 to 4 GiB: what is there is not
    /// decoded. It saturates.
    pub fn overlaps(&self) -> u32 {
        self.overlaps
    }

    /// What PCIEXBAR holds, bits that read 0 because of its length included.
    fn pciexbar(&self) -> u64 {
        u64::from(self.function.value(PCIEXBAR_HIGH)) << 32 | u64::from(self.function.value(PCIEXBAR))
    }

    /// Makes the window, and what PCIEXBAR reads, what the register says. The reserved length leaves the window as it
    /// is.
    pub(crate) fn follow(&mut self) {
        let value = self.pciexbar();
        // CAST: bits 27:26.
        self.function.hide(PCIEXBAR, address_mask(value) as u32);
        match pciexbar_decode(value) {
            Decoded::Disabled => self.window.set(None),
            Decoded::Reserved => {}
            Decoded::Window(window) => self.window.set(Some(window)),
        }
    }

    fn is_locked(&self) -> bool {
        self.function.value(SMRAM) & D_LCK != 0
    }

    /// Makes the bits that a write changes those that `SMRAM.D_LCK` leaves; if it is set, `D_OPEN` is not.
    pub(crate) fn lock(&mut self) {
        let locked = self.is_locked();
        if locked {
            self.function.set(SMRAM, 0, D_OPEN);
        }
        for (number, _) in numbered() {
            let Dword { write, locked: by_lock, .. } = bits(number, &self.info);
            self.function.allow(number, if locked { write & !by_lock } else { write });
        }
    }
}

/// The dwords of the table with their numbers.
fn numbered() -> impl Iterator<Item = (u16, Dword)> {
    (0..).zip(DWORDS.iter().copied())
}

/// The dword of this number as this guest has it: PCIEXBAR's addresses are no wider than the guest's, and its reset
/// value is the toolstack's.
pub(crate) fn bits(number: u16, info: &Info) -> Dword {
    let dword = DWORDS.get(usize::from(number)).copied().unwrap_or(Dword::EMPTY);
    let width = u32::from(info.address_bits.min(ADDRESS_BITS));
    // CAST: the halves of the register.
    match number {
        PCIEXBAR => Dword { reset: info.pciexbar as u32, ..dword },
        PCIEXBAR_HIGH => {
            let write = dword.write & ((1 << width.saturating_sub(32)) - 1);
            Dword { reset: (info.pciexbar >> 32) as u32, write, ..dword }
        }
        _ => dword,
    }
}
