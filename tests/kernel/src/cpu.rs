//! Instructions that Rust has no words for.
//!
//! These functions are safe to call in the sense that matters to this kernel: it owns its whole virtual machine, ports and
//! model-specific registers do not touch Rust's memory, and where one could (a page table's base) the caller is told.

use core::arch::{asm, x86_64::__cpuid_count};

/// CPUID: EAX, EBX, ECX, EDX.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    let r = __cpuid_count(leaf, subleaf);
    [r.eax, r.ebx, r.ecx, r.edx]
}

/// Reads the time stamp counter.
pub(crate) fn time_stamp() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: RDTSC touches no memory.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
pub(crate) fn write_msr(register: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the only one written is Xen's hypercall page, which is set aside for that.
    unsafe { asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high, options(nostack)) };
}

/// Lets interrupts in.
pub(crate) fn enable_interrupts() {
    // SAFETY: the interrupt table was loaded; handlers keep every register.
    unsafe { asm!("sti", options(nostack)) };
}

/// Keeps interrupts out.
pub(crate) fn disable_interrupts() {
    // SAFETY: it delays them only.
    unsafe { asm!("cli", options(nostack)) };
}

/// Lets interrupts in, waits for one, and keeps them out again. None is lost: STI takes effect after the next instruction.
pub(crate) fn halt() {
    // SAFETY: as in `enable_interrupts`.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Says to the CPU that this is a waiting loop.
pub(crate) fn relax() {
    core::hint::spin_loop();
}

/// Reads a port with an access of this many bytes.
pub(crate) fn port_read(port: u16, bytes: u32) -> u32 {
    let value: u32;
    match bytes {
        // SAFETY: a port is not memory.
        1 => unsafe {
            asm!("xor eax, eax", "in al, dx", out("eax") value, in("dx") port, options(nomem, nostack));
        },
        // SAFETY: as above.
        2 => unsafe {
            asm!("xor eax, eax", "in ax, dx", out("eax") value, in("dx") port, options(nomem, nostack));
        },
        // SAFETY: as above.
        _ => unsafe { asm!("in eax, dx", out("eax") value, in("dx") port, options(nomem, nostack)) },
    }
    value
}

/// Writes a port with an access of this many bytes.
pub(crate) fn port_write(port: u16, bytes: u32, value: u32) {
    match bytes {
        // SAFETY: a port is not memory. What it makes a device do goes through the device's own checks.
        1 => unsafe { asm!("out dx, al", in("eax") value, in("dx") port, options(nostack)) },
        // SAFETY: as above.
        2 => unsafe { asm!("out dx, ax", in("eax") value, in("dx") port, options(nostack)) },
        // SAFETY: as above.
        _ => unsafe { asm!("out dx, eax", in("eax") value, in("dx") port, options(nostack)) },
    }
}

/// Reads a port's dwords into a buffer's page with one string instruction.
pub(crate) fn port_read_string(port: u16, to: u64, count: u64) {
    // SAFETY: the buffer is not Rust's memory.
    unsafe {
        asm!("rep insd", in("dx") port, inout("rcx") count => _, inout("rdi") to => _, options(nostack));
    }
}

/// Where the page tables are.
pub(crate) fn page_root() -> u64 {
    let root: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) root, options(nomem, nostack, preserves_flags)) };
    root
}
