//! What the kernel says: lines for `xtask/src/boot/protocol.rs`, each after a mark, since Xen writes to the same console.

use core::{
    fmt::{self, Display, Write},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use crate::{cpu, xen};

/// What is before every line.
const MARK: &str = "@k ";

static HYPERCALLS: AtomicBool = AtomicBool::new(false);
static HELD: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);

/// Says it by Xen's console from now on, as the hardware domain may. A guest has port 0xE9, which is slower: an exit each byte.
pub(crate) fn use_hypercalls() {
    HYPERCALLS.store(true, Ordering::Relaxed);
}

struct Line {
    text: [u8; 190],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(place) = self.text.get_mut(self.used) {
                *place = if byte == b'\n' { b' ' } else { byte };
                self.used += 1;
            }
        }
        Ok(())
    }
}

/// Says one line; what is longer than Xen's line is cut.
pub(crate) fn say(text: impl Display) {
    let mut line = Line { text: [0; 190], used: 0 };
    let _ = write!(line, "{MARK}{text}");
    let last = line.used.min(line.text.len() - 1);
    line.text[last] = b'\n';
    let bytes = &line.text[..=last];
    if HYPERCALLS.load(Ordering::Relaxed) {
        xen::console(bytes);
    } else {
        for byte in bytes {
            cpu::port_write(0xe9, 1, u32::from(*byte));
        }
    }
}

/// Another part starts.
pub(crate) fn step(name: &str) {
    say(format_args!("step {name}"));
}

/// Something holds or does not.
pub(crate) fn check(device: impl Display, name: &str, holds: bool, detail: impl Display) -> bool {
    let verdict = if holds { "ok" } else { "fail" };
    if holds { &HELD } else { &FAILED }.fetch_add(1, Ordering::Relaxed);
    say(format_args!("check {device} {name} {verdict} {detail}"));
    holds
}

/// Something could not be tried.
pub(crate) fn skip(device: impl Display, name: &str, why: impl Display) {
    say(format_args!("check {device} {name} skip {why}"));
}

/// A check that is a function's result.
pub(crate) fn result<T: Display>(device: impl Display, name: &str, result: Result<T, Fault>) -> bool {
    match result {
        Ok(detail) => check(device, name, true, detail),
        Err(fault) => check(device, name, false, fault),
    }
}

/// The last words. Whether everything held.
pub(crate) fn done() -> bool {
    let (held, failed) = (HELD.load(Ordering::Relaxed), FAILED.load(Ordering::Relaxed));
    say(format_args!("done {held} ok {failed} failed"));
    say("bye");
    failed == 0 && held > 0
}

/// What went wrong, and the number that shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault(pub &'static str, pub u64);

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:#x})", self.0, self.1)
    }
}

/// A fault unless it holds.
pub(crate) fn ensure(holds: bool, what: &'static str, value: impl Into<u64>) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault(what, value.into())) }
}
