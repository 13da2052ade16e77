//! Base address registers (PCIe 6.0, 7.5.1.2.1): what is there, how large, where.

use super::{Function, function};

/// One BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bar {
    /// The first of its registers, 0 to 5.
    pub index: u8,
    pub io: bool,
    /// It has two registers.
    pub wide: bool,
    /// The low bits: its type.
    pub flags: u32,
    pub address: u64,
    pub size: u64,
}

impl Bar {
    /// The offset of the register.
    pub(crate) fn register(&self) -> u16 {
        function::BAR0 + 4 * u16::from(self.index)
    }

    /// Writes an address.
    pub(crate) fn place(&self, function: Function, address: u64) {
        function.write32(self.register(), address as u32 | self.flags);
        if self.wide {
            function.write32(self.register() + 4, (address >> 32) as u32);
        }
    }

    /// Reads the address.
    pub(crate) fn placed(&self, function: Function) -> u64 {
        let mask = if self.io { !3 } else { !0xf };
        let low = u64::from(function.read32(self.register()) & mask);
        let high = if self.wide { u64::from(function.read32(self.register() + 4)) } else { 0 };
        high << 32 | low
    }
}

/// All BARs of a function.
pub(crate) type Bars = [Option<Bar>; 6];

/// Reads and sizes all BARs, with decoding off for as long.
pub(crate) fn bars(function: Function) -> Bars {
    let count = if function.is_bridge() { 2 } else { 6 };
    let command = function.read16(function::COMMAND);
    function.command(0, function::IO_SPACE | function::MEMORY_SPACE);
    let mut all: Bars = [None; 6];
    let mut index = 0;
    while index < count {
        let mut bar = Bar { index, io: false, wide: false, flags: 0, address: 0, size: 0 };
        let register = bar.register();
        let value = function.read32(register);
        bar.io = value & 1 != 0;
        bar.wide = value & 7 == 4 && index + 1 < count;
        bar.flags = value & if bar.io { 3 } else { 0xf };
        bar.address = bar.placed(function);
        let mask = sizing(function, &bar);
        bar.place(function, bar.address);
        // The lowest address bit that can be set.
        bar.size = mask & mask.wrapping_neg();
        if bar.size != 0 {
            all[usize::from(index)] = Some(bar);
        }
        index += if bar.wide { 2 } else { 1 };
    }
    function.write16(function::COMMAND, command);
    all
}

/// What reads back after all ones were written: the address bits that can be set.
fn sizing(function: Function, bar: &Bar) -> u64 {
    let register = bar.register();
    function.write32(register, u32::MAX);
    let mut low = function.read32(register) & if bar.io { !3 } else { !0xf };
    if bar.io && low >> 16 == 0 {
        // The upper half of an I/O BAR may be fixed to 0.
        low |= if low == 0 { 0 } else { 0xffff_0000 };
    }
    if !bar.wide {
        return u64::from(low) | if low == 0 { 0 } else { u64::from(u32::MAX) << 32 };
    }
    function.write32(register + 4, u32::MAX);
    u64::from(function.read32(register + 4)) << 32 | u64::from(low)
}

/// Reads a device's dword at an offset of a memory BAR.
pub(crate) fn memory_bar(function: Function, index: u8) -> Option<Bar> {
    bars(function)[usize::from(index)].filter(|bar| !bar.io)
}
