//! Two vCPUs at configuration space at once.
//!
//! Port 0xCF8 is one register for both, so what each reads and writes may be of the other's choosing, as on real hardware
//! without a lock. What has to hold: every value read is one that some register has, nobody stops, and the device works when
//! it is over.

use core::{
    arch::global_asm,
    sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering},
};

use super::worker::Worker;
use crate::{
    memory,
    pci::{
        Access, Address, Function, bar,
        function::{self, BUS_MASTER, MEMORY_SPACE},
    },
    report::{Fault, ensure, result, skip},
    xen,
};

/// How long both go on, in microseconds.
const TIME: u64 = 500_000;

static GO: AtomicBool = AtomicBool::new(false);
static TARGET: AtomicU16 = AtomicU16::new(0);
static ROUNDS: AtomicU32 = AtomicU32::new(0);
static RUNNING: AtomicBool = AtomicBool::new(false);

global_asm!(
    r#"
    .section .text.second, "ax"
    .global second_entry
second_entry:
    call second
1:  hlt
    jmp 1b

    .section .bss.second, "aw", @nobits
    .balign 16
    .skip 16384
    .global second_stack
second_stack:
    .skip 16
    "#,
    options(att_syntax)
);

unsafe extern "C" {
    static second_entry: u8;
    static second_stack: u8;
}

/// What the second vCPU does: it waits for a target, and works on it.
#[unsafe(no_mangle)]
extern "C" fn second() -> ! {
    RUNNING.store(true, Ordering::SeqCst);
    loop {
        while !GO.load(Ordering::SeqCst) {
            crate::cpu::relax();
        }
        let function = Function { address: Address(TARGET.load(Ordering::SeqCst)), access: Access::Ports };
        while GO.load(Ordering::SeqCst) {
            batter(function);
            ROUNDS.fetch_add(1, Ordering::SeqCst);
        }
        RUNNING.store(true, Ordering::SeqCst);
    }
}

/// One round of what either does: decoding off and on, sizing, capabilities, odd widths.
fn batter(function: Function) {
    function.write16(function::COMMAND, BUS_MASTER);
    function.write32(function::BAR0, u32::MAX);
    function.read32(function::BAR0);
    function.write16(function::COMMAND, MEMORY_SPACE | BUS_MASTER);
    for (at, _) in function.capabilities() {
        function.read8(at + 3);
        function.read16(at + 2);
    }
    function.write8(0x3c, 7);
}

/// Starts the second vCPU, once. Whether there is one.
fn start_second() -> bool {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if STARTED.swap(true, Ordering::SeqCst) {
        return true;
    }
    xen::start_vcpu(1, &raw const second_entry as u64, &raw const second_stack as u64)
        && xen::wait(1_000_000, || RUNNING.load(Ordering::SeqCst))
}

/// Both at one device.
pub(crate) fn run(function: Function, worker: &mut Worker) {
    if !start_second() {
        skip(function, "hammer", "no second vCPU");
        return;
    }
    result(function, "hammer", hammer(function, worker));
}

fn hammer(function: Function, worker: &mut Worker) -> Result<u32, Fault> {
    let bars = bar::bars(function);
    let memory = bars.iter().flatten().find(|b| !b.io).ok_or(Fault("no memory BAR", 0))?;
    let value = memory::read32(memory.address);
    let fingerprint = worker.fingerprint();
    let rounds = ROUNDS.load(Ordering::SeqCst);
    RUNNING.store(false, Ordering::SeqCst);
    TARGET.store(function.address.0, Ordering::SeqCst);
    GO.store(true, Ordering::SeqCst);
    let until = xen::now() + TIME;
    let mut strange = None;
    let mut own = 0;
    while xen::now() < until {
        batter(function);
        // It decodes or it does not, whoever was last.
        let seen = memory::read32(memory.address);
        if seen != value && seen != u32::MAX {
            strange = Some(seen);
        }
        own += 1;
    }
    GO.store(false, Ordering::SeqCst);
    ensure(xen::wait(2_000_000, || RUNNING.load(Ordering::SeqCst)), "the second vCPU hangs", own)?;
    let other = ROUNDS.load(Ordering::SeqCst) - rounds;
    if let Some(seen) = strange {
        return Err(Fault("the device read as something else", u64::from(seen)));
    }
    ensure(own > 2 && other > 2, "hardly any rounds", own.min(other))?;
    // Put back what the two left.
    for bar in bars.iter().flatten() {
        bar.place(function, bar.address);
    }
    function.command(MEMORY_SPACE | BUS_MASTER, 0);
    for bar in bars.iter().flatten() {
        ensure(bar.placed(function) == bar.address, "a BAR has moved", bar.placed(function))?;
    }
    // What went into the capabilities by way of the other's address may have turned interrupts off.
    let (message, vector) = worker.message();
    message.revive();
    message.restore(vector);
    let now = worker.fingerprint();
    ensure(now == fingerprint, "the device lost its state", now)?;
    worker.exercise(77)?;
    Ok(own + other)
}
