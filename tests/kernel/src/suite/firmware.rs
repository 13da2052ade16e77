//! What firmware does before a system starts: it finds out how large BARs are, and gives each a place (PCIe 6.0, 7.5.1.2.1).

use crate::{
    memory::{self, PAGE},
    pci::{
        Function,
        bar::{self, Bar},
        function::{Functions, MEMORY_SPACE},
    },
    report::{Fault, ensure, result},
};

/// Where BARs can be: what the toolstack's memory map leaves free.
const HOLE: u64 = 0xc000_0000;

/// Places the memory BARs of all functions.
pub(super) fn run(functions: &Functions) {
    let mut next = HOLE;
    for function in functions.iter().filter(|f| f.class() >> 16 != 6) {
        result(function, "firmware", place(function, &mut next));
    }
}

fn memory_bars(function: Function) -> impl Iterator<Item = Bar> {
    bar::bars(function).into_iter().flatten().filter(|bar| !bar.io)
}

/// Places a function's. How many there are.
fn place(function: Function, next: &mut u64) -> Result<u32, Fault> {
    let mut count = 0;
    for bar in memory_bars(function) {
        ensure(bar.address == 0, "a BAR has an address already", bar.address)?;
        let room = bar.size.max(PAGE as u64);
        let address = next.next_multiple_of(room);
        *next = address + room;
        // Until decoding is enabled, it can be placed more than once.
        for address in [address + 4 * room, address] {
            bar.place(function, address);
            ensure(
                bar.placed(function) == address,
                "a BAR is not where it was placed",
                bar.placed(function),
            )?;
        }
        ensure(memory::read32(address) == u32::MAX, "a BAR decodes", address)?;
        count += 1;
    }
    ensure(count > 0, "no memory BAR", 0_u32)?;
    function.command(MEMORY_SPACE, 0);
    for bar in memory_bars(function) {
        stands(function, &bar)?;
    }
    function.command(0, MEMORY_SPACE);
    for bar in memory_bars(function) {
        stands(function, &bar)?;
    }
    Ok(count)
}

/// Once it has decoded, it stays.
fn stands(function: Function, bar: &Bar) -> Result<(), Fault> {
    ensure(bar.address >= HOLE, "a BAR lost its address", bar.address)?;
    for address in [0, bar.address + 4 * bar.size, HOLE + (1 << 28)] {
        bar.place(function, address);
        ensure(bar.placed(function) == bar.address, "a BAR moved", bar.placed(function))?;
    }
    Ok(())
}
