//! Configuration space in a BAR: ATI's display controllers show their first 256 bytes from F00h of BAR 2 on, as QEMU's
//! `ati-vga` does. A guest finds there what configuration space shows it, and what it writes there is written so.

use core::ops::RangeInclusive;

use crate::{
    cpu, memory,
    pci::{
        Function,
        bar::{self, Bar},
        function::{BAR0, BUS_MASTER, COMMAND, MEMORY_SPACE},
    },
    report::{Fault, ensure},
};

const ATI: u32 = 0x1002;
const DISPLAY: u32 = 0x03;
/// Where it is in BAR 2, and how many bytes.
const MIRROR: u64 = 0xf00;
const BYTES: u16 = 0x100;
/// The size of the frame buffer, which is BAR 0: a register of the same page.
const MEMORY_SIZE: u64 = 0xf8;
/// VGA's ports: ATI's way to configuration space is 3C3h, NVIDIA's 3D0h and 3D4h.
const VGA: RangeInclusive<u16> = 0x3b0..=0x3df;

/// Whether it is one of those.
pub(crate) fn has(function: Function) -> bool {
    function.ids() & 0xffff == ATI && function.class() >> 16 == DISPLAY
}

/// Compares and writes. How many dwords were compared.
pub(crate) fn check(function: Function) -> Result<u32, Fault> {
    let bars = bar::bars(function);
    let registers = bars[2].filter(|bar| !bar.io && !bar.wide && bar.size > MIRROR);
    let registers = registers.ok_or(Fault("BAR 2 has no place for it", 0))?;
    let buffer = bars[0].ok_or(Fault("there is no BAR 0", 0))?;
    let mirror = registers.address + MIRROR;
    function.command(MEMORY_SPACE, BUS_MASTER);
    let mut compared = same(function, mirror)?;
    // The rest of the page is the device's.
    let size = u64::from(memory::read32(registers.address + MEMORY_SIZE));
    ensure(size == buffer.size, "the device says another size of BAR 0", size)?;
    moves_nothing(function, mirror, &buffer)?;
    // Bus Master Enable is the guest's to write; the device itself would drop it here.
    memory::write16(mirror + u64::from(COMMAND), MEMORY_SPACE | BUS_MASTER);
    let command = function.read16(COMMAND);
    ensure(command & BUS_MASTER != 0, "a write of COMMAND was dropped", command)?;
    compared += same(function, mirror)?;
    // Memory Space Enable takes away the page that it is written through.
    memory::write8(mirror + u64::from(COMMAND), 0);
    let command = function.read16(COMMAND);
    ensure(command & (MEMORY_SPACE | BUS_MASTER) == 0, "it decodes still", command)?;
    ensure(memory::read32(mirror) == u32::MAX, "the page is there still", memory::read32(mirror))?;
    function.command(MEMORY_SPACE, 0);
    compared += same(function, mirror)?;
    function.command(0, MEMORY_SPACE);
    Ok(compared)
}

/// VGA's ports, behind which such a controller shows configuration space as well, are not there. How many.
pub(crate) fn legacy_ports() -> Result<u32, Fault> {
    for port in VGA {
        let seen = cpu::port_read(port, 1);
        ensure(seen == 0xff, "a port of VGA's shows something", u64::from(port) << 32 | u64::from(seen))?;
    }
    for port in VGA.step_by(4) {
        let seen = cpu::port_read(port, 4);
        ensure(seen == u32::MAX, "ports of VGA's show something", u64::from(port) << 32 | u64::from(seen))?;
    }
    Ok(VGA.count() as u32)
}

/// Fills the start of the frame buffer and reads it back. How many dwords.
pub(crate) fn fill(function: Function) -> Result<u32, Fault> {
    let buffer = bar::memory_bar(function, 0).ok_or(Fault("there is no BAR 0", 0))?;
    function.command(MEMORY_SPACE, 0);
    let pattern = |n: u32| n.wrapping_mul(0x9e37_79b9);
    let place = |n: u32| buffer.address + 4 * u64::from(n);
    (0..1024).for_each(|n| memory::write32(place(n), pattern(n)));
    for n in 0..1024 {
        ensure(memory::read32(place(n)) == pattern(n), "the buffer has something else", place(n))?;
    }
    function.command(0, MEMORY_SPACE);
    Ok(1024)
}

/// Every width shows the same as configuration space.
fn same(function: Function, mirror: u64) -> Result<u32, Fault> {
    let differ = |offset: u16, seen: u32, due: u32| {
        ensure(seen == due, "the mirror shows something else", u64::from(offset) << 32 | u64::from(seen))
    };
    for offset in 0..BYTES {
        let at = mirror + u64::from(offset);
        differ(offset, memory::read8(at).into(), function.read8(offset).into())?;
        if offset.is_multiple_of(2) {
            differ(offset, memory::read16(at).into(), function.read16(offset).into())?;
        }
        if offset.is_multiple_of(4) {
            differ(offset, memory::read32(at), function.read32(offset))?;
        }
        if offset.is_multiple_of(8) {
            differ(offset, memory::read64(at) as u32, function.read32(offset))?;
            differ(offset + 4, (memory::read64(at) >> 32) as u32, function.read32(offset + 4))?;
        }
    }
    Ok(u32::from(BYTES) / 4)
}

/// A BAR does not move, in whole or in part.
fn moves_nothing(function: Function, mirror: u64, buffer: &Bar) -> Result<(), Fault> {
    let register = mirror + u64::from(BAR0);
    memory::write32(register, 0x1230_0000);
    memory::write64(register, 0x4560_0000_1230_0000);
    memory::write8(register + 3, 0x55);
    let address = buffer.placed(function);
    ensure(address == buffer.address, "a BAR moved", address)
}
