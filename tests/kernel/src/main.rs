//! A tiny PVH kernel that works PCI devices from inside a Xen domain, and reports line by line what holds.
//!
//! Its command line says what it is and what it does:
//!
//! - `role=dom0`, the hardware domain: with `regression` it works the machine's devices, with `guests` it then starts guests of
//!   this very kernel, which comes as its module a second time.
//! - `role=guest`, a guest with devices: it works with them. With `firmware` it places their BARs first, with `hostile` it then
//!   tries what must not work, with `hammer` it does so from two vCPUs at once, with `reset` it has each of its devices reset
//!   `times=COUNT` times (hexadecimal), with `die` it ends with its devices in use, with `stay` it does not end. `shows=OFFSET:VALUE` and `ids=VALUE` (hexadecimal) say what a device's own bytes have to be.
//! - `role=q35`, a guest behind the Q35 host bridge: see `suite/q35`.
#![no_std]
#![no_main]

mod cpu;
mod drivers;
mod entry;
mod interrupts;
mod memory;
mod pci;
mod report;
mod start_info;
mod suite;
mod words;
mod xen;

use core::panic::PanicInfo;

use report::{check, say};
use start_info::StartInfo;
use words::Words;
use xen::Reason;

/// Where `entry` arrives.
#[unsafe(no_mangle)]
extern "C" fn start(info: u64) -> ! {
    xen::init();
    let mut buffer = [0; 512];
    let info = StartInfo::new(info).expect("no start info");
    let line = info.command_line(&mut buffer);
    let words = Words::new(line);
    let has = |word: &str| words.has(word);
    if has("role=dom0") {
        report::use_hypercalls();
    }
    interrupts::init();
    say(format_args!("hello {line}"));
    if has("regression") {
        suite::dom0::run(info);
    }
    if has("guests") {
        suite::toolstack::run(info);
    }
    if has("role=guest") {
        suite::guest::run(words);
    }
    if has("role=q35") {
        suite::q35::run(info, words);
    }
    let passed = report::done();
    if has("die") {
        xen::shutdown(Reason::Crash);
    }
    while has("stay") || has("save") {
        cpu::halt();
    }
    // The hardware domain's power is the machine's: without -no-reboot's exit, QEMU would stay.
    xen::shutdown(match (passed, has("role=dom0")) {
        (_, true) => Reason::Reboot,
        (true, false) => Reason::Poweroff,
        (false, false) => Reason::Crash,
    })
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    check("kernel", "panic", false, info);
    report::done();
    xen::shutdown(Reason::Crash)
}
