//! BARs: they stay where the toolstack put them (PCIe 6.0, 7.5.1.2.1).

use super::{Case, Outcome, Tried, Victim};
use crate::{
    memory::{self, Dma},
    pci::{
        Function,
        bar::{self, Bar},
        function::{COMMAND, IO_SPACE, MEMORY_SPACE},
    },
    report::{Fault, ensure},
};

pub(super) const CASES: &[Case] = &[
    ("03-bar-over-memory", over_memory),
    ("03-bar-over-another", over_another),
    ("04-bar-partial", partial),
    ("04-bar-sizing-halves", halves),
    ("04-bar-sizing-while-on", sizing_on),
];

fn each(victim: &Victim) -> impl Iterator<Item = Bar> + use<> {
    bar::bars(victim.function).into_iter().flatten()
}

/// Writes an address in the way of a driver; the BAR stays, what is behind it as well.
fn stays(function: Function, bar: &Bar, address: u64) -> Result<(), Fault> {
    let seen = if bar.io { 0 } else { memory::read32(bar.address) };
    let command = function.read16(COMMAND);
    for decode in [command, command & !(MEMORY_SPACE | IO_SPACE)] {
        function.write16(COMMAND, decode);
        bar.place(function, address);
        ensure(bar.placed(function) == bar.address, "a BAR moved", bar.placed(function))?;
        function.write16(COMMAND, command);
        if !bar.io {
            ensure(memory::read32(bar.address) == seen, "something else is there", bar.address)?;
        }
    }
    Ok(())
}

/// Onto RAM, the local APIC, the I/O APIC, page 0, the host's ECAM, and above everything. None of these is all ones in a half:
/// that would ask for the size.
fn over_memory(victim: &mut Victim) -> Outcome {
    let ram = Dma::pages(1);
    ram.pattern(4096, 5);
    let sum = ram.sum(4096);
    let mut tries = 0;
    for bar in each(victim) {
        for address in
            [ram.address(), 0xfee0_0000, 0xfec0_0000, 0, 0xb000_0000, 0x10_0000, 0xff_0000_0000, 1 << 51]
        {
            stays(victim.function, &bar, address & !(bar.size - 1))?;
            tries += 2;
        }
    }
    ensure(ram.sum(4096) == sum, "RAM is not what it was", ram.address())?;
    Ok(Tried::Times(tries))
}

/// Onto another BAR of its own, and next to itself.
fn over_another(victim: &mut Victim) -> Outcome {
    let mut tries = 0;
    for bar in each(victim) {
        for address in [bar.address + bar.size, bar.address + 3 * bar.size] {
            stays(victim.function, &bar, address)?;
            tries += 2;
        }
        for other in each(victim).filter(|b| b.index != bar.index && b.io == bar.io) {
            stays(victim.function, &bar, other.address & !(bar.size - 1))?;
            tries += 2;
        }
    }
    Ok(Tried::Times(tries))
}

/// By bytes and words.
fn partial(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let mut tries = 0;
    for bar in each(victim) {
        let registers = if bar.wide { 8 } else { 4 };
        let whole = function.read32(bar.register());
        for at in 0..registers {
            for value in [0x00, 0x55, 0xfe] {
                function.write8(bar.register() + at, value);
                tries += 1;
            }
            if at % 2 == 0 {
                function.write16(bar.register() + at, 0x1230);
                tries += 1;
            }
            // Whatever that asked for: the address written in full is the answer.
            bar.place(function, bar.address);
            ensure(bar.placed(function) == bar.address, "a part of a BAR moved", bar.placed(function))?;
        }
        ensure(function.read32(bar.register()) == whole, "the type bits changed", whole)?;
    }
    Ok(Tried::Times(tries))
}

/// The halves of a 64-bit BAR sized one without the other, in both orders, then put back.
fn halves(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let mut tries = 0;
    for bar in each(victim).filter(|b| b.wide) {
        let (low, high) = (bar.register(), bar.register() + 4);
        for order in [[low, high], [high, low]] {
            for register in order {
                function.write32(register, u32::MAX);
            }
            let mask = u64::from(function.read32(high)) << 32 | u64::from(function.read32(low) & !0xf);
            ensure(mask == bar.size.wrapping_neg(), "both halves give another size", mask)?;
            bar.place(function, bar.address);
            for register in order {
                let before = function.read32(low + high - register);
                function.write32(register, u32::MAX);
                ensure(function.read32(low + high - register) == before, "the other half changed", before)?;
                bar.place(function, bar.address);
            }
            ensure(bar.placed(function) == bar.address, "it did not come back", bar.placed(function))?;
            tries += 4;
        }
    }
    Ok(if tries == 0 { Tried::Nothing("no 64-bit BAR") } else { Tried::Times(tries) })
}

/// Sizing while decoding is on, and work while the register holds the size.
fn sizing_on(victim: &mut Victim) -> Outcome {
    let mut tries = 0;
    for bar in each(victim) {
        victim.function.write32(bar.register(), u32::MAX);
        victim.worker.exercise(3)?;
        bar.place(victim.function, bar.address);
        victim.worker.exercise(4)?;
        ensure(bar.placed(victim.function) == bar.address, "it did not come back", bar.address)?;
        tries += 1;
    }
    Ok(Tried::Times(tries))
}
