//! Accesses that are odd in themselves: across dwords, past the end, to functions and buses that are not there.

use super::{Case, Outcome, Tried, Victim};
use crate::{
    cpu,
    memory::next,
    pci::{
        Access, Address, Function, bar, config,
        function::{self, Functions},
    },
    report::{Fault, ensure, result},
};

pub(super) const CASES: &[Case] = &[
    ("35-widths-agree", widths),
    ("35-across-dwords", across),
    ("35-extended-register-bits", extended_bits),
    ("36-address-without-enable", no_enable),
    ("38-refusal-flood", flood),
];

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// What concerns no function: all that are absent.
pub(crate) fn machine(functions: &Functions) {
    result("machine", "35-absent-functions", absent(functions));
}

/// Every address but those found reads all ones, and takes writes without harm.
fn absent(functions: &Functions) -> Result<u32, Fault> {
    let mut tries = 0;
    let behind = [1, 2, 0x7f, 0xff].map(|bus| Address::new(bus, 0, 0));
    for address in (0..256).map(Address).chain(behind) {
        if functions.iter().any(|f| f.address == address) {
            continue;
        }
        let function = Function { address, access: Access::Ports };
        function.write32(function::COMMAND, u32::MAX);
        function.write8(0x3c, 0);
        let all = function.read32(0) & function.read32(0x08) & function.read32(0x3c) & function.read32(0xfc);
        ensure(all == u32::MAX, "something is there", address.0)?;
        ensure(function.read16(2) == 0xffff && function.read8(0x0e) == 0xff, "a part is there", address.0)?;
        tries += 1;
    }
    Ok(tries)
}

/// Every byte is the same at every width.
fn widths(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    for offset in (0..0x100).step_by(4) {
        let dword = function.read32(offset);
        for half in [0, 2] {
            let value = u32::from(function.read16(offset + half));
            ensure(value == dword >> (8 * half) & 0xffff, "a word differs", offset + half)?;
        }
        for byte in 0..4 {
            let value = u32::from(function.read8(offset + byte));
            ensure(value == dword >> (8 * byte) & 0xff, "a byte differs", offset + byte)?;
        }
    }
    Ok(Tried::Times(64 * 7))
}

/// Accesses at the data port that leave their dword, and odd ones at the address port.
fn across(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let bars = bar::bars(function);
    let mut before = [0; 64];
    for (offset, dword) in (0..0x100).step_by(4).zip(&mut before) {
        *dword = function.read32(offset);
    }
    let mut tries = 0;
    for offset in [0x00, 0x04, 0x10, 0x3c, 0x40, 0xfc] {
        cpu::port_write(ADDRESS, 4, config::selector(function.address, offset));
        for (port, bytes) in [(DATA + 1, 4), (DATA + 2, 4), (DATA + 3, 4), (DATA + 3, 2)] {
            cpu::port_read(port, bytes);
            tries += 1;
        }
        // A word in the middle of a dword is what it says, or is refused.
        let word = cpu::port_read(DATA + 1, 2);
        let right = word == 0xffff || word == function.read32(offset) >> 8 & 0xffff;
        ensure(right, "the middle of a dword differs", offset)?;
    }
    // Where a write may go wrong without harm: the identification and what is hidden.
    for offset in [0x00, 0x08, 0xfc] {
        cpu::port_write(ADDRESS, 4, config::selector(function.address, offset));
        for (port, bytes) in [(DATA + 1, 4), (DATA + 2, 4), (DATA + 3, 4), (DATA + 3, 2)] {
            cpu::port_write(port, bytes, u32::MAX);
            tries += 1;
        }
    }
    // Bytes and words at the address port are not the address.
    cpu::port_write(ADDRESS, 4, config::selector(function.address, 0));
    cpu::port_write(ADDRESS, 1, 0x04);
    cpu::port_write(ADDRESS + 1, 1, 0xff);
    cpu::port_write(ADDRESS + 2, 2, 0);
    for (offset, dword) in (0..0x100).step_by(4).zip(before) {
        let now = function.read32(offset);
        ensure(now == dword, "a register changed", u64::from(offset) << 32 | u64::from(now))?;
    }
    ensure(bar::bars(function) == bars, "a BAR changed", 0_u32)?;
    Ok(Tried::Times(tries + 4))
}

/// Bits 27:24 of the address reach extended registers on AMD's chips: here they reach nothing that is not seen without them.
fn extended_bits(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    for high in 1..16_u32 {
        for offset in [0x00, 0x04, 0x40, 0xfc] {
            let plain = function.read32(offset);
            cpu::port_write(ADDRESS, 4, config::selector(function.address, offset) | high << 24);
            let value = cpu::port_read(DATA, 4);
            let known = value == plain || value == u32::MAX || value == 0;
            ensure(known, "an extended register shows", u64::from(high) << 32 | u64::from(value))?;
        }
        cpu::port_write(ADDRESS, 4, config::selector(function.address, 0xfc) | high << 24);
        cpu::port_write(DATA, 4, u32::MAX);
    }
    Ok(Tried::Times(75))
}

/// Without the enable bit, the data port is not configuration space.
fn no_enable(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let command = function.read16(function::COMMAND);
    let selector = config::selector(function.address, function::COMMAND) & 0x7fff_ffff;
    cpu::port_write(ADDRESS, 4, selector);
    cpu::port_write(DATA, 4, 0);
    let value = cpu::port_read(DATA, 4);
    ensure(value == u32::MAX, "it reads without the enable bit", value)?;
    ensure(function.read16(function::COMMAND) == command, "it was written", command)?;
    Ok(Tried::Times(2))
}

/// Thousands of refusals of all kinds, at random places and widths that cannot hurt our own driver: they are counted, not logged.
fn flood(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let mut value = 38;
    for _ in 0..3000 {
        value = next(value);
        // Identification, and what is behind the last capability.
        let offset = [0x00, 0x08, 0x28, 0x2c, 0x34, 0x38, 0xf8, 0xfc][(value >> 16 & 7) as usize];
        function.access.write(function.address, offset, 1 << (value >> 20 & 1), value);
    }
    ensure(function.exists(), "it is gone", 0_u32)?;
    Ok(Tried::Times(3000))
}
