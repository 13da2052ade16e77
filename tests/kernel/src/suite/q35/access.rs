//! Accesses of all widths, and the address port.

use super::{ACROSS, BRIDGE, LANES, PORTS, load, ones, store, window::Window};
use crate::{
    cpu,
    memory::{self, Dma},
    pci::config::{CONFIG_ADDRESS, CONFIG_DATA, place, selector},
    report::{Fault, ensure},
};

/// A dword that only keeps what is written (datasheet: SKPD).
const SCRATCHPAD: u16 = 0xdc;

fn scratchpad() -> u32 {
    PORTS.read(BRIDGE, SCRATCHPAD, 4)
}

/// Every byte reads the same at every width, aligned or not, by both ways.
pub(super) fn widths(window: Window) -> Result<u32, Fault> {
    let mut count = 0;
    for offset in (0..0x100).step_by(4) {
        let dword = PORTS.read(BRIDGE, offset, 4);
        for (at, bytes) in LANES {
            let wanted = dword >> (8 * at) & ones(bytes);
            for access in [PORTS, window.access()] {
                let found = load(access, BRIDGE, offset + at, bytes);
                let place = u64::from(offset + at) << 40 | u64::from(bytes) << 32 | u64::from(found);
                ensure(found == wanted, "a part of a dword differs", place)?;
                count += 1;
            }
        }
        let next = if offset == 0xfc { u32::MAX } else { PORTS.read(BRIDGE, offset + 4, 4) };
        let found = memory::unaligned_read(place(window.base, BRIDGE, offset), 8);
        ensure(found == u64::from(next) << 32 | u64::from(dword), "a qword is not two dwords", offset)?;
        count += 1;
    }
    Ok(count)
}

/// A write of any width changes its bytes and no other.
pub(super) fn writes(window: Window) -> Result<u32, Fault> {
    let (mut model, mut value, mut count) = (0, 1, 0);
    PORTS.write(BRIDGE, SCRATCHPAD, 4, model);
    for access in [PORTS, window.access()] {
        for (at, bytes) in LANES.into_iter().chain(LANES) {
            value = memory::next(value);
            let lanes = ones(bytes) << (8 * at);
            store(access, BRIDGE, SCRATCHPAD + at, bytes, value);
            model = model & !lanes | value << (8 * at) & lanes;
            ensure(scratchpad() == model, "a write changed other bytes than its own", scratchpad())?;
            count += 1;
        }
    }
    for (offset, wanted) in [(SCRATCHPAD, 0x1357_9bdf), (SCRATCHPAD - 4, 0x0246_8ace)] {
        memory::unaligned_write(place(window.base, BRIDGE, offset), 8, 0x0246_8ace_1357_9bdf);
        ensure(scratchpad() == wanted, "a qword is not two dwords", scratchpad())?;
        count += 1;
    }
    Ok(count)
}

/// An access that leaves its dword is nobody's.
pub(super) fn across(window: Window) -> Result<u32, Fault> {
    let mut count = 0;
    for access in [PORTS, window.access()] {
        for offset in [0x00, 0x04, 0x60, SCRATCHPAD - 4, SCRATCHPAD] {
            for (at, bytes) in ACROSS {
                let found = load(access, BRIDGE, offset + at, bytes);
                ensure(found == ones(bytes), "an access across dwords answers", found)?;
                count += 1;
            }
        }
        let before = scratchpad();
        for offset in [SCRATCHPAD - 4, SCRATCHPAD] {
            for (at, bytes) in ACROSS {
                store(access, BRIDGE, offset + at, bytes, !before);
                ensure(scratchpad() == before, "an access across dwords writes", scratchpad())?;
                count += 1;
            }
        }
    }
    for at in 1..4 {
        let place = place(window.base, BRIDGE, SCRATCHPAD - 4 + at);
        let (before, found) = (scratchpad(), memory::unaligned_read(place, 8));
        ensure(found == u64::MAX, "a qword across dwords answers", found)?;
        memory::unaligned_write(place, 8, !u64::from(before));
        ensure(scratchpad() == before, "a qword across dwords writes", scratchpad())?;
        count += 2;
    }
    Ok(count)
}

/// An address that has no memory and no device.
const NOWHERE: u64 = 0xfeb0_0000;

/// String instructions do the same as the single accesses that they are made of.
pub(super) fn strings(window: Window, buffer: Dma) -> Result<u32, Fault> {
    const COUNT: u64 = 16;
    // Two dwords that keep what is written.
    const PAM: [(u64, u32); 2] = [(0, 0x1122_3300), (4, 0x0033_1122)];
    let start = place(window.base, BRIDGE, 0);
    for bytes in [4, 8] {
        buffer.fill(0);
        memory::copy_string(start, buffer.address(), 4 * COUNT / bytes, bytes);
        for offset in (0..4 * COUNT).step_by(4) {
            let wanted = PORTS.read(BRIDGE, offset as u16, 4);
            ensure(buffer.get(offset) == wanted, "a string of reads differs", buffer.get(offset))?;
        }
    }
    for (offset, value) in PAM {
        buffer.set(offset, value);
    }
    memory::copy_string(buffer.address(), start + 0x90, 2, 4);
    for (offset, value) in PAM {
        let found = PORTS.read(BRIDGE, 0x90 + offset as u16, 4);
        ensure(found == value, "a string of writes differs", found)?;
        PORTS.write(BRIDGE, 0x90 + offset as u16, 4, 0);
    }
    // From where nothing is: Xen emulates this as a whole with the p2m locked, where configuration space is out of reach.
    PORTS.write(BRIDGE, SCRATCHPAD, 4, PAM[0].1);
    memory::copy_string(NOWHERE, place(window.base, BRIDGE, SCRATCHPAD), 1, 4);
    let found = PORTS.read(BRIDGE, SCRATCHPAD, 4);
    ensure(found == PAM[0].1, "configuration space was reached from a hole", found)?;
    PORTS.write(BRIDGE, SCRATCHPAD, 4, 0);
    // The data port, one register again and again.
    cpu::port_write(CONFIG_ADDRESS, 4, selector(BRIDGE, 0));
    cpu::port_read_string(CONFIG_DATA, buffer.address(), 4);
    for offset in [0, 4, 8, 12] {
        ensure(buffer.get(offset) == super::IDS, "a string from the data port differs", buffer.get(offset))?;
    }
    Ok(5)
}

/// Only dwords at 0xCF8 are the address, which reads back as written; what is not of an address does not count.
pub(super) fn config_address() -> Result<u32, Fault> {
    let mut count = 0;
    let latched = || cpu::port_read(CONFIG_ADDRESS, 4);
    for value in [0, u32::MAX, 0x8000_0003, 0x7fff_ffff, 0x8f00_0001, 0x0123_4567, 0x8000_0000] {
        cpu::port_write(CONFIG_ADDRESS, 4, value);
        ensure(latched() == value, "the address does not read back", latched())?;
        // CF9 resets machines with bit 2, which stays 0 here.
        for (port, bytes) in [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (3, 2), (1, 4), (3, 4)]
        {
            cpu::port_write(CONFIG_ADDRESS + port, bytes, 0x5050_5050);
            ensure(
                latched() == value,
                "another access than a dword is the address",
                u64::from(bytes) << 16 | u64::from(port),
            )?;
            count += 1;
        }
    }
    // Linux and others look for mechanism 1 with these.
    cpu::port_write(CONFIG_ADDRESS + 3, 1, 1);
    cpu::port_write(CONFIG_ADDRESS, 4, 0x8000_0000);
    ensure(latched() == 0x8000_0000, "no mechanism 1", latched())?;
    // Reserved bits, and those that are the port's.
    let plain = selector(BRIDGE, 0);
    for extra in [1, 2, 3, 0x0100_0000, 0x0f00_0000, 0x7f00_0003] {
        cpu::port_write(CONFIG_ADDRESS, 4, plain | extra);
        ensure(cpu::port_read(CONFIG_DATA, 4) == super::IDS, "reserved bits count", extra)?;
        ensure(cpu::port_read(CONFIG_DATA + 2, 2) == super::IDS >> 16, "reserved bits count", extra)?;
        count += 2;
    }
    // Without the enable bit the data port is a port like any other, where nobody is.
    let before = scratchpad();
    cpu::port_write(CONFIG_ADDRESS, 4, selector(BRIDGE, SCRATCHPAD) & 0x7fff_ffff);
    cpu::port_write(CONFIG_DATA, 4, !before);
    let found = cpu::port_read(CONFIG_DATA, 4);
    ensure(found == u32::MAX, "it reads without the enable bit", found)?;
    ensure(scratchpad() == before, "it writes without the enable bit", scratchpad())?;
    Ok(count + 3)
}
