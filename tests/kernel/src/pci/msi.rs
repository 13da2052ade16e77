//! MSI (PCIe 6.0, 7.7.1) and MSI-X (7.7.2), used as a driver uses them.

use super::{Function, bar, function};
use crate::{
    interrupts,
    memory::{read32, write32},
    report::Fault,
};

/// Bits of MSI's message control.
pub(crate) const MSI_ENABLE: u16 = 1;
pub(crate) const MSI_WIDE: u16 = 0x80;
pub(crate) const MSI_MASKS: u16 = 0x100;

/// An MSI capability that is enabled.
#[derive(Clone, Copy)]
pub(crate) struct Msi {
    pub function: Function,
    pub at: u16,
    /// The first vector.
    pub vector: u8,
}

impl Msi {
    /// Programs the message, for as many vectors (a power of two) as the device has but no more than wanted, and enables it.
    pub(crate) fn enable(function: Function, log: u16) -> Result<Self, Fault> {
        let at = function.capability(function::MSI).ok_or(Fault("no MSI capability", 0))?;
        let control = function.read16(at + 2);
        let log = log.min(control >> 1 & 7);
        let vector = interrupts::vectors(1 << log);
        let msi = Self { function, at, vector };
        function.write16(at + 2, control & !MSI_ENABLE);
        let (address, data) = interrupts::message(vector);
        function.write32(at + 4, address as u32);
        if control & MSI_WIDE != 0 {
            function.write32(at + 8, (address >> 32) as u32);
        }
        function.write16(msi.data_register(), data as u16);
        if control & MSI_MASKS != 0 {
            function.write32(msi.mask_register(), 0);
        }
        function.write16(at + 2, control & !0x70 | log << 4 | MSI_ENABLE);
        Ok(msi)
    }

    /// Where the message's data is.
    pub(crate) fn data_register(&self) -> u16 {
        self.at + if self.function.read16(self.at + 2) & MSI_WIDE == 0 { 8 } else { 12 }
    }

    /// Where the mask bits are, if there are any.
    pub(crate) fn mask_register(&self) -> u16 {
        self.data_register() + 4
    }

    /// Disables it.
    pub(crate) fn disable(&self) {
        let control = self.function.read16(self.at + 2);
        self.function.write16(self.at + 2, control & !MSI_ENABLE);
    }
}

/// Bits of MSI-X's message control.
pub(crate) const MSIX_ENABLE: u16 = 0x8000;
pub(crate) const MSIX_MASK_ALL: u16 = 0x4000;

/// An MSI-X capability and its table.
#[derive(Clone, Copy)]
pub(crate) struct Msix {
    pub function: Function,
    pub at: u16,
    /// How many entries there are.
    pub entries: u16,
    /// The address of the table.
    pub table: u64,
    /// The address of the pending bits.
    pub pending: u64,
}

impl Msix {
    /// Finds it. Memory decoding has to be on before the table is used.
    pub(crate) fn find(function: Function) -> Result<Self, Fault> {
        let at = function.capability(function::MSIX).ok_or(Fault("no MSI-X capability", 0))?;
        let entries = (function.read16(at + 2) & 0x7ff) + 1;
        let bars = bar::bars(function);
        let place = |register: u32| {
            let bar = bars.get(register as usize & 7).copied().flatten();
            bar.map(|b| b.address + u64::from(register & !7))
                .ok_or(Fault("no BAR for MSI-X", u64::from(register)))
        };
        let table = place(function.read32(at + 4))?;
        let pending = place(function.read32(at + 8))?;
        Ok(Self { function, at, entries, table, pending })
    }

    /// Enables it, with every entry masked.
    pub(crate) fn enable(&self) {
        for entry in 0..self.entries {
            self.mask(entry, true);
        }
        let control = self.function.read16(self.at + 2);
        self.function.write16(self.at + 2, control & !MSIX_MASK_ALL | MSIX_ENABLE);
    }

    /// Disables it.
    pub(crate) fn disable(&self) {
        let control = self.function.read16(self.at + 2);
        self.function.write16(self.at + 2, control & !MSIX_ENABLE);
    }

    /// Where an entry is.
    pub(crate) fn entry(&self, number: u16) -> u64 {
        self.table + 16 * u64::from(number)
    }

    /// Programs an entry with a new vector, and unmasks it.
    pub(crate) fn aim(&self, number: u16) -> u8 {
        let vector = interrupts::vectors(1);
        let (address, data) = interrupts::message(vector);
        let entry = self.entry(number);
        self.mask(number, true);
        write32(entry, address as u32);
        write32(entry + 4, (address >> 32) as u32);
        write32(entry + 8, data);
        self.mask(number, false);
        vector
    }

    /// Masks or unmasks an entry.
    pub(crate) fn mask(&self, number: u16, masked: bool) {
        let control = self.entry(number) + 12;
        write32(control, read32(control) & !1 | u32::from(masked));
    }

    /// Whether an entry's interrupt is pending.
    pub(crate) fn is_pending(&self, number: u16) -> bool {
        read32(self.pending + 4 * u64::from(number / 32)) >> (number % 32) & 1 != 0
    }
}
