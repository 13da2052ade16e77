//! The header (PCIe 6.0, 7.5.1).

use super::{Case, Outcome, Tried, Victim, never_set, unmoved};
use crate::{
    interrupts, memory,
    pci::{
        bar,
        function::{BUS_MASTER, CAPABILITIES, COMMAND, INTX_DISABLE, IO_SPACE, MEMORY_SPACE, ROM, STATUS},
    },
    report::{Fault, ensure},
    xen,
};

pub(super) const CASES: &[Case] = &[
    ("01-decode-off-then-access", decode_off),
    ("02-bus-master-toggles", bus_master),
    ("05-rom-enable", rom),
    ("06-bist", bist),
    ("07-serr-parity", serr),
    ("08-intx-with-msi", intx),
    ("34-read-only-registers", read_only),
    ("34-storage-is-storage", storage),
];

/// With decoding off, an access hits nothing: all ones, no machine check (XSA-120). On again, the device is there.
fn decode_off(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let bars = bar::bars(function);
    let bar = bars.iter().flatten().find(|b| !b.io).ok_or(Fault("no memory BAR", 0))?;
    let command = function.read16(COMMAND);
    let seen = memory::read32(bar.address);
    for _ in 0..50 {
        function.write16(COMMAND, command & !MEMORY_SPACE);
        for at in [bar.address, bar.address + bar.size - 4] {
            ensure(memory::read32(at) == u32::MAX, "something is mapped while off", at)?;
            memory::write32(at, 0);
        }
        function.write16(COMMAND, command);
        ensure(memory::read32(bar.address) == seen, "something else is mapped", memory::read32(bar.address))?;
    }
    // Nothing at all on, then everything.
    function.write16(COMMAND, 0);
    ensure(memory::read32(bar.address) == u32::MAX, "it decodes without COMMAND", bar.address)?;
    function.write16(COMMAND, IO_SPACE | MEMORY_SPACE | BUS_MASTER | INTX_DISABLE);
    ensure(memory::read32(bar.address) == seen, "something else is mapped", bar.address)?;
    function.write16(COMMAND, command);
    Ok(Tried::Times(52))
}

/// Bus mastering off and on.
fn bus_master(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    for _ in 0..50 {
        function.command(0, BUS_MASTER);
        ensure(function.read16(COMMAND) & BUS_MASTER == 0, "it stays on", 0_u32)?;
        function.command(BUS_MASTER, 0);
        ensure(function.read16(COMMAND) & BUS_MASTER != 0, "it stays off", 0_u32)?;
    }
    Ok(Tried::Times(50))
}

/// The ROM shares a decoder with the BARs in some devices: without a place for it there is none.
fn rom(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let before = function.read32(ROM);
    function.write32(ROM, u32::MAX);
    if function.read32(ROM) & !0x7ff != 0 {
        // It has one, which the toolstack placed: its place is fixed.
        function.write32(ROM, before);
        unmoved(function, ROM, 4, 0x10_0000)?;
        return Ok(Tried::Times(2));
    }
    ensure(function.read32(ROM) == 0, "a ROM without an address was enabled", function.read32(ROM))?;
    for value in [1, 0xfee0_0001, 0x0010_0001] {
        unmoved(function, ROM, 4, value)?;
    }
    unmoved(function, ROM, 1, 1)?;
    Ok(Tried::Times(5))
}

/// A self test would take the device away.
fn bist(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    ensure(function.read8(0x0f) == 0, "there is a BIST", function.read8(0x0f))?;
    unmoved(function, 0x0f, 1, 0x40)?;
    unmoved(function, 0x0e, 2, 0xffff)?;
    function.write32(0x0c, 0x4000_0000 | function.read32(0x0c));
    ensure(function.read8(0x0f) == 0, "a BIST was started", function.read8(0x0f))?;
    Ok(Tried::Times(3))
}

/// SERR# and parity errors would be the host's NMI (XSA-120, 126); nothing but the four bits of the policy exists.
fn serr(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let allowed = IO_SPACE | MEMORY_SPACE | BUS_MASTER | INTX_DISABLE;
    let command = function.read16(COMMAND);
    for bit in 0..16 {
        never_set(function, COMMAND, command | 1 << bit, !allowed)?;
    }
    never_set(function, COMMAND, u16::MAX, !allowed)?;
    function.write8(COMMAND + 1, 0xff);
    ensure(function.read16(COMMAND) & !allowed == 0, "a byte got through", function.read16(COMMAND))?;
    function.write16(COMMAND, command);
    // The error bits of STATUS are the host's evidence.
    unmoved(function, STATUS, 2, 0xffff)?;
    unmoved(function, STATUS, 1, 0xff)?;
    Ok(Tried::Times(20))
}

/// INTx enabled while MSI is: there is no pin, so nothing comes but the messages.
fn intx(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let (_, vector) = victim.worker.message();
    ensure(function.read8(0x3d) == 0, "there is an interrupt pin", function.read8(0x3d))?;
    unmoved(function, 0x3d, 1, 1)?;
    let others = interrupts::count_others(vector);
    function.command(0, INTX_DISABLE);
    victim.worker.exercise(8)?;
    xen::pause(crate::drivers::SOON);
    let strange = interrupts::count_others(vector).wrapping_sub(others);
    ensure(strange == 0, "another interrupt came", strange)?;
    ensure(function.read16(STATUS) & 8 == 0, "an INTx is pending", function.read16(STATUS))?;
    function.command(INTX_DISABLE, 0);
    Ok(Tried::Times(1))
}

/// What identifies the function stays, at every width.
fn read_only(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let mut tries = 0;
    for (offset, length) in [(0x00, 4), (0x08, 4), (0x0e, 2), (0x28, 8), (CAPABILITIES, 8), (0x3d, 3)] {
        for value in [0, u32::MAX, 0x1234_5678] {
            for at in offset..offset + length {
                unmoved(function, at, 1, value)?;
                tries += 1;
                if at % 2 == 0 && at + 2 <= offset + length {
                    unmoved(function, at, 2, value)?;
                    tries += 1;
                }
                if at % 4 == 0 && at + 4 <= offset + length {
                    unmoved(function, at, 4, value)?;
                    tries += 1;
                }
            }
        }
    }
    Ok(Tried::Times(tries))
}

/// Registers that a guest may write keep what it wrote, byte by byte.
fn storage(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    for offset in [0x0c, 0x0d, 0x3c] {
        let whole = function.read32(offset & !3);
        let shift = 8 * (offset & 3);
        for value in [0x00, 0xff, 0xa5] {
            function.write8(offset, value);
            let wanted = whole & !(0xff << shift) | u32::from(value) << shift;
            let found = function.read32(offset & !3);
            ensure(
                found == wanted,
                "a byte is not what was written",
                u64::from(offset) << 32 | u64::from(found),
            )?;
        }
        function.write8(offset, (whole >> shift) as u8);
    }
    Ok(Tried::Times(9))
}
