//! Two vCPUs at one device at once.
//!
//! At configuration space: port 0xCF8 is one register for both, so what each reads and writes may be of the other's choosing,
//! as on real hardware without a lock. What has to hold: every value read is one that some register has, nobody stops, and
//! the device works when it is over.
//!
//! At an interrupt: one has the device raise it, again and again, and the other one binds it elsewhere, takes it back, and
//! gives it up.

use core::{
    arch::global_asm,
    ptr,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering},
};

use super::worker::{Message, Worker};
use crate::{
    interrupts, memory,
    pci::{
        Function, bar,
        function::{self, BUS_MASTER, MEMORY_SPACE},
    },
    report::{Fault, ensure, result, skip},
    xen,
};

/// How long both go on, in microseconds.
const TIME: u64 = 1_000_000;
/// How long an interrupt moves, and how long it comes and goes.
const STORM: u64 = 3_000_000;

/// What the second vCPU does until there is nothing to do.
enum Task {
    /// Works at configuration space.
    Batter(Function),
    /// Changes what an interrupt says, from one to the other.
    Steer(Message, Says),
    /// Does so, and turns interrupts off and on.
    Toggle(Message, Says),
}

/// Addresses and data of two messages.
type Says = [(u64, u32); 2];

static TASK: AtomicPtr<Task> = AtomicPtr::new(ptr::null_mut());
static ROUNDS: AtomicU32 = AtomicU32::new(0);
/// The second vCPU runs, and has no task.
static IDLE: AtomicBool = AtomicBool::new(false);

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

/// The second vCPU, which waits for tasks.
#[unsafe(no_mangle)]
extern "C" fn second() -> ! {
    loop {
        IDLE.store(true, Ordering::SeqCst);
        while TASK.load(Ordering::SeqCst).is_null() {
            crate::cpu::relax();
        }
        IDLE.store(false, Ordering::SeqCst);
        // SAFETY: a task stays where it is until this vCPU is idle again.
        while let Some(task) = unsafe { TASK.load(Ordering::SeqCst).as_ref() } {
            match task {
                Task::Batter(function) => batter(*function),
                Task::Steer(message, says) => steer(message, says),
                Task::Toggle(message, says) => toggle(message, says),
            }
            ROUNDS.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Has the second vCPU work at a task for as long as `first` does. How many rounds it made, and what `first` came to.
fn beside<T>(mut task: Task, first: impl FnOnce() -> T) -> Result<(u32, T), Fault> {
    let rounds = ROUNDS.load(Ordering::SeqCst);
    let is_idle = |idle| xen::wait(2_000_000, || IDLE.load(Ordering::SeqCst) == idle);
    TASK.store(&raw mut task, Ordering::SeqCst);
    let done = is_idle(false).then(first);
    TASK.store(ptr::null_mut(), Ordering::SeqCst);
    // It has the task for as long as it is at it.
    assert!(is_idle(true), "the second vCPU hangs");
    let done = done.ok_or(Fault("the second vCPU does not start", 0))?;
    Ok((ROUNDS.load(Ordering::SeqCst) - rounds, done))
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
        && xen::wait(1_000_000, || IDLE.load(Ordering::SeqCst))
}

/// Both at one device.
pub(crate) fn run(function: Function, worker: &mut Worker) {
    if !start_second() {
        skip(function, "hammer", "no second vCPU");
        return;
    }
    result(function, "hammer", hammer(function, worker));
    result(function, "storm", storm(worker));
}

/// One round of the second vCPU: the message changes as drivers change it.
fn steer(message: &Message, says: &Says) {
    for &(address, data) in says {
        match message {
            Message::Msi(_) => message.write(address, data),
            Message::Msix(..) => message.set(address, data),
        }
    }
}

/// One round of the second vCPU: no interrupt for a while.
fn toggle(message: &Message, says: &Says) {
    steer(message, says);
    match message {
        Message::Msi(msi) => msi.disable(),
        Message::Msix(msix, _) => msix.disable(),
    }
    message.revive();
}

/// Commands complete all the time, while what tells of them moves, and then comes and goes.
fn storm(worker: &mut Worker) -> Result<u32, Fault> {
    let vector = interrupts::vectors(2);
    let says = [vector, vector + 1].map(interrupts::message);
    let steered = work_beside(worker, |message| Task::Steer(message, says))?;
    let toggled = work_beside(worker, |message| Task::Toggle(message, says))?;
    let (message, vector) = worker.message();
    message.restore(vector);
    worker.exercise(78)?;
    Ok(steered + toggled)
}

/// Has the device work while the second vCPU does something with its message. How many commands it did.
fn work_beside(worker: &mut Worker, task: impl FnOnce(Message) -> Task) -> Result<u32, Fault> {
    let until = xen::now() + STORM;
    let (rounds, done) = beside(task(worker.message().0), || {
        let mut commands = 0;
        while xen::now() < until {
            worker.work()?;
            commands += 1;
        }
        Ok(commands)
    })?;
    let commands: u32 = done?;
    ensure(rounds > 2 && commands > 2, "hardly any rounds", rounds.min(commands))?;
    Ok(commands)
}

fn hammer(function: Function, worker: &mut Worker) -> Result<u32, Fault> {
    let bars = bar::bars(function);
    let memory = bars.iter().flatten().find(|b| !b.io).ok_or(Fault("no memory BAR", 0))?;
    let value = memory::read32(memory.address);
    let fingerprint = worker.fingerprint();
    let until = xen::now() + TIME;
    let mut strange = None;
    let (other, own) = beside(Task::Batter(function), || {
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
        own
    })?;
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
