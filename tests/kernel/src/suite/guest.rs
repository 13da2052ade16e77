//! What a guest does: it finds its devices, works with them, and misbehaves if it is asked to.

use super::{firmware, hammer, hostile, mirror, reset, worker::Worker};
use crate::{
    pci::{
        Access, Address, Function, bar,
        function::{self, Functions},
    },
    report::{Fault, check, ensure, result, say, skip, step},
    words::{Words, number},
};

/// All of it, as the command line wants it: `ids` are vendor and device that every device has to have, `shows` a dword that no
/// capability has, of every device, and what it reads.
pub(crate) fn run(words: Words<'_>) {
    step("guest");
    let shown = words.value("shows").map(|word| {
        let (at, value) = word.split_once(':').expect("no value to show");
        (number(at) as u16, number(value) as u32)
    });
    let functions = Functions::find(Access::Ports);
    result("machine", "enumerate", enumerate(&functions));
    if words.has("firmware") {
        firmware::run(&functions);
    }
    let mut workers: [Option<Worker>; 8] = [const { None }; 8];
    let mut new = [None; 8];
    let slots = workers.iter_mut().zip(&mut new);
    for (function, (slot, new)) in functions.iter().filter(|f| f.class() >> 16 != 6).zip(slots) {
        *new = Some((function, reset::New::look(function)));
        describe(function);
        result(function, "view", view(function));
        result(function, "own-bytes", own_bytes(function, shown));
        if mirror::has(function) {
            result(function, "mirror", mirror::check(function));
            result(function, "legacy-ports", mirror::legacy_ports());
        }
        if let Some(ids) = words.value("ids") {
            let found = function.ids();
            check(function, "ids", u64::from(found) == number(ids), format_args!("{found:#010x}"));
        }
        match Worker::start(function) {
            None if mirror::has(function) => _ = result(function, "io", mirror::fill(function)),
            None => skip(function, "io", "no driver"),
            Some(Err(fault)) => {
                check(function, "io", false, fault);
            }
            Some(Ok(mut worker)) => {
                if result(function, "io", (1..=8).try_fold(0, |n, seed| worker.exercise(seed).map(|m| n + m)))
                {
                    if let Worker::Nvme(nvme) = &mut worker {
                        result(function, "mask", nvme.exercise_mask());
                        result(function, "mask-all", nvme.exercise_mask_all());
                    }
                    *slot = Some(worker);
                }
            }
        }
    }
    if words.has("reset") {
        step("reset");
        reset::run(new, &mut workers, words.value("times").map_or(1, |times| number(times) as u32));
    }
    if words.has("hostile") {
        step("hostile");
        hostile::machine(&functions);
        for (function, worker) in functions.iter().filter(|f| f.class() >> 16 != 6).zip(&mut workers) {
            if let Some(worker) = worker {
                hostile::run(function, worker);
            }
        }
    }
    if words.has("hammer") {
        step("hammer");
        for (function, worker) in functions.iter().filter(|f| f.class() >> 16 != 6).zip(&mut workers) {
            if let Some(worker) = worker {
                hammer::run(function, worker);
            }
        }
    }
    step("end");
    for worker in workers.iter_mut().filter_map(Option::take) {
        if words.has("die") || words.has("stay") {
            let mut worker = worker;
            worker.leave_running();
        } else {
            worker.stop();
        }
    }
}

/// Whether what no capability has reads 0 and keeps nothing, but for the dword that the toolstack shows.
fn own_bytes(function: Function, shown: Option<(u16, u32)>) -> Result<u32, Fault> {
    let hidden = |offset: &u16| {
        function
            .capabilities()
            .all(|(at, id)| !(at..at + function.capability_length(at, id)).contains(offset))
    };
    let mut count = 0;
    for offset in (0x40..0x100).step_by(4).filter(hidden) {
        let wanted = shown.map_or(0, |(at, value)| if at == offset { value } else { 0 });
        for value in [None, Some(0), Some(u32::MAX)] {
            if let Some(value) = value {
                function.write32(offset, value);
            }
            let found = function.read32(offset);
            ensure(found == wanted, "other bytes show", u64::from(offset) << 32 | u64::from(found))?;
        }
        count += u32::from(wanted != 0);
    }
    ensure(shown.is_none() == (count == 0), "nothing shows", count)?;
    Ok(count)
}

/// What there is.
fn enumerate(functions: &Functions) -> Result<usize, Fault> {
    let count = functions.iter().count();
    ensure(count > 0, "there is no device", 0_u32)?;
    ensure(functions.iter().all(|f| f.address.bus() == 0), "something is behind bus 0", count as u64)?;
    Ok(count)
}

/// Says what a function is.
fn describe(function: Function) {
    say(format_args!("note {function} ids {:#010x} class {:#08x}", function.ids(), function.class()));
    for bar in bar::bars(function).iter().flatten() {
        let kind = if bar.io { "ports" } else { "memory" };
        say(format_args!("note {function} bar{} {kind} {:#x} size {:#x}", bar.index, bar.address, bar.size));
    }
    for (at, id) in function.capabilities() {
        say(format_args!("note {function} capability {id:#04x} at {at:#04x}"));
    }
}

/// Whether it looks as a guest's function does when it is new: nothing decodes, no INTx, lists that end, BARs that stand.
fn view(function: Function) -> Result<usize, Fault> {
    let command = function.read16(function::COMMAND);
    ensure(command & !function::INTX_DISABLE == 0, "COMMAND is not clear", command)?;
    ensure(function.read8(0x3d) == 0, "it has an interrupt pin", function.read8(0x3d))?;
    let count = function.capabilities().count();
    // QEMU's display controller has none.
    ensure(
        (count > 0 || mirror::has(function)) && count < 48,
        "a strange list of capabilities",
        count as u64,
    )?;
    let bars = bar::bars(function);
    for bar in bars.iter().flatten() {
        ensure(bar.size.is_power_of_two(), "no power of two", bar.size)?;
        ensure(bar.address.is_multiple_of(bar.size), "not aligned", bar.address)?;
        ensure(bar.io || bar.address != 0, "a BAR is nowhere", bar.index)?;
    }
    ensure(bar::bars(function) == bars, "sizing again gives another result", 0_u32)?;
    let multiple = Function { address: Address(function.address.0 & !7), ..function }
        .read8(function::HEADER_TYPE)
        & 0x80;
    let others = (1..8)
        .filter(|n| Function { address: Address(function.address.0 & !7 | n), ..function }.exists())
        .count();
    ensure((multiple != 0) == (others != 0), "the multi-function bit is wrong", others as u64)?;
    Ok(count)
}
