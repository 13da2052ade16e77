//! A guest that has its own functions reset, by what they show: Initiate FLR of PCI Express (PCIe 6.0, 7.5.3.4) or of Advanced
//! Features, or the way from D3hot to D0 (7.5.2.2). Until the function is ready it reads all ones (6.6.2).

use super::worker::Worker;
use crate::{
    memory,
    pci::{
        Function,
        bar::{self, Bars},
        function::{ADVANCED_FEATURES, BUS_MASTER, COMMAND, IO_SPACE, MEMORY_SPACE, PCIE, POWER_MANAGEMENT},
    },
    report::{Fault, ensure, result, skip},
    xen,
};

/// How long a function may take until it is ready, in microseconds: as long as Linux waits.
const READY: u64 = 60_000_000;
/// Resets of a function are so far apart, in microseconds.
const APART: u64 = 1_000_000;

/// How a function is reset; where the capability is.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Express(u16),
    Advanced(u16),
    Power(u16),
}

impl Way {
    /// What the function shows.
    pub(crate) fn of(function: Function) -> Option<Self> {
        let express = || Self::express(function);
        let advanced = || Self::advanced(function);
        express().or_else(advanced).or_else(|| Self::power(function))
    }

    /// Function Level Reset Capability of Device Capabilities.
    pub(crate) fn express(function: Function) -> Option<Self> {
        let at = function.capability(PCIE)?;
        (function.read32(at + 4) & 1 << 28 != 0).then_some(Self::Express(at))
    }

    /// Both bits of AF Capabilities.
    pub(crate) fn advanced(function: Function) -> Option<Self> {
        let at = function.capability(ADVANCED_FEATURES)?;
        (function.read8(at + 3) & 3 == 3).then_some(Self::Advanced(at))
    }

    /// `No_Soft_Reset` of PMCSR, clear.
    pub(crate) fn power(function: Function) -> Option<Self> {
        let at = function.capability(POWER_MANAGEMENT)?;
        (function.read8(at + 4) & 8 == 0).then_some(Self::Power(at))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Express(_) => "own-flr",
            Self::Advanced(_) => "own-af-flr",
            Self::Power(_) => "own-pm-reset",
        }
    }

    /// Asks for a reset, by an access of so many bytes.
    pub(crate) fn ask(self, function: Function, bytes: u32) {
        let (register, bits, keep) = match self {
            Self::Express(at) => (at + 8, 0x8000, 0xffff),
            Self::Advanced(at) => (at + 4, 0x0001, 0x00ff),
            Self::Power(at) => {
                function.write16(at + 4, function.read16(at + 4) | 3);
                (at + 4, 0, 0xfffc)
            }
        };
        let value = function.read16(register) & keep | bits;
        match (self, bytes) {
            (_, 4) => function.write32(register, u32::from(value)),
            (_, 2) => function.write16(register, value),
            (Self::Express(_), _) => function.write8(register + 1, (value >> 8) as u8),
            (_, _) => function.write8(register, value as u8),
        }
    }
}

/// Whether it is there.
pub(crate) fn is_ready(function: Function) -> bool {
    function.read16(COMMAND) != 0xffff
}

/// Whether it has left its guest for a reset, or has done and is back: then it neither decodes nor masters any more. A virtual
/// CPU that had to wait for another one sees no more of it.
pub(crate) fn has_left(function: Function) -> bool {
    let command = function.read16(COMMAND);
    command == 0xffff || command & (IO_SPACE | MEMORY_SPACE | BUS_MASTER) == 0
}

/// Waits until it is there.
pub(crate) fn wait(function: Function) -> Result<(), Fault> {
    ensure(xen::wait(READY, || is_ready(function)), "it does not come back", 0_u32)
}

/// How a function was when this guest was new.
#[derive(Clone, Copy)]
pub(crate) struct New {
    registers: [u32; 64],
    bars: Bars,
}

impl New {
    /// Looks at it, before anybody works with it.
    pub(crate) fn look(function: Function) -> Self {
        Self { registers: registers(function), bars: bar::bars(function) }
    }

    /// A fault unless it is so again.
    fn compare(&self, function: Function) -> Result<(), Fault> {
        for ((offset, old), now) in (0..0x100_u64).step_by(4).zip(self.registers).zip(registers(function)) {
            ensure(old == now, "a register is not as it was", offset << 32 | u64::from(now))?;
        }
        ensure(bar::bars(function) == self.bars, "a BAR is another", 0_u32)?;
        for bar in self.bars.iter().flatten() {
            bar.place(function, bar.address + bar.size);
            ensure(bar.placed(function) == bar.address, "a BAR can be moved", bar.placed(function))?;
        }
        Ok(())
    }
}

fn registers(function: Function) -> [u32; 64] {
    let mut all = [0; 64];
    for (offset, register) in (0..0x100).step_by(4).zip(&mut all) {
        *register = function.read32(offset);
    }
    all
}

/// Each function that shows a way: reset so often, while the others work.
pub(crate) fn run<const N: usize>(
    functions: [Option<(Function, New)>; N],
    workers: &mut [Option<Worker>; N],
    times: u32,
) {
    for (number, (function, new)) in functions.into_iter().enumerate().filter_map(|(n, f)| Some((n, f?))) {
        let Some(way) = Way::of(function) else {
            skip(function, "own-reset", "it shows none");
            continue;
        };
        let Some(mut worker) = workers[number].take() else { continue };
        let begun = xen::now();
        let outcome = (1..=times).try_fold(0, |longest: u64, seed| {
            let asked = xen::now();
            once(function, way, &new, &mut worker, workers, seed)?;
            Ok(longest.max(xen::now() - asked))
        });
        let took = xen::now() - begun;
        let apart = u64::from(times.saturating_sub(1)) * APART;
        let outcome = outcome.and_then(|longest| {
            ensure(took >= apart, "resets follow one another too fast", took)?;
            Ok(longest / 1000)
        });
        workers[number] = Some(worker);
        result(function, way.name(), outcome.map(|ms| Resets { times, ms }));
    }
}

struct Resets {
    times: u32,
    ms: u64,
}

impl core::fmt::Display for Resets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} resets, at most {} ms", self.times, self.ms)
    }
}

/// One reset of a function that is quiet, and work again.
fn once<const N: usize>(
    function: Function,
    way: Way,
    new: &New,
    worker: &mut Worker,
    others: &mut [Option<Worker>; N],
    seed: u32,
) -> Result<(), Fault> {
    let bar = new.bars.iter().flatten().find(|bar| !bar.io).ok_or(Fault("no memory BAR", 0))?;
    worker.stop();
    for tries in 0.. {
        function.command(MEMORY_SPACE, 0);
        way.ask(function, 2);
        ensure(has_left(function), "it is still there", function.read16(COMMAND))?;
        // What is written is dropped, another request too: that these came while it was away, the last read says.
        if !is_ready(function) {
            function.write32(COMMAND, 0x0407);
            function.write8(0x3c, 0x5a);
            way.ask(function, 2);
        }
        if !is_ready(function) {
            break;
        }
        ensure(tries < 5, "it is there at once", function.read16(COMMAND))?;
        wait(function)?;
    }
    let gone = || memory::read32(bar.address) == u32::MAX || is_ready(function);
    ensure(xen::wait(READY, gone), "its memory is still there", memory::read32(bar.address))?;
    for other in others.iter_mut().flatten() {
        other.exercise(seed)?;
    }
    for offset in (0..0x100).step_by(4) {
        let found = function.read32(offset);
        ensure(
            found == u32::MAX || is_ready(function),
            "a part of it is there",
            u64::from(offset) << 32 | u64::from(found),
        )?;
    }
    wait(function)?;
    new.compare(function)?;
    ensure(memory::read32(bar.address) == u32::MAX, "it decodes", memory::read32(bar.address))?;
    worker.restart()?;
    for more in 0..2 {
        worker.exercise(seed + more)?;
    }
    for other in others.iter_mut().flatten() {
        other.exercise(seed)?;
    }
    Ok(())
}
