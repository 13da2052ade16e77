//! What this kernel asks of Xen: the hypercall page, its console, the end, the clock.

use core::{
    arch::{asm, global_asm},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::cpu;

// A page that Xen fills: 32 bytes of code for each hypercall (xen/include/public/arch-x86/xen.h).
global_asm!(
    ".section .text.hypercall, \"awx\", @progbits",
    ".balign 4096",
    ".global hypercall_page",
    "hypercall_page: .skip 4096, 0xf4",
    ".previous"
);

unsafe extern "C" {
    static hypercall_page: u8;
}

const CONSOLE_IO: u64 = 18;
const SCHED_OP: u64 = 29;

/// Kilohertz of the time stamp counter.
static TSC_KHZ: AtomicU32 = AtomicU32::new(0);

/// Why a domain shuts down (xen/include/public/sched.h).
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    Poweroff = 0,
    Reboot = 1,
    Crash = 3,
}

/// Finds Xen's CPUID leaves (xen/include/public/arch-x86/cpuid.h), and has it fill the hypercall page.
pub(crate) fn init() {
    let base = (0x4000_0000_u32..0x4001_0000).step_by(0x100).find(|base| {
        let [_, b, c, d] = cpu::cpuid(*base, 0);
        [b, c, d].map(u32::to_le_bytes).as_flattened() == b"XenVMMXenVMM"
    });
    let base = base.expect("no Xen below");
    let [_, msr, ..] = cpu::cpuid(base + 2, 0);
    cpu::write_msr(msr, &raw const hypercall_page as u64);
    let [_, _, khz, _] = cpu::cpuid(base + 3, 0);
    TSC_KHZ.store(khz.max(1), Ordering::Relaxed);
}

fn hypercall(number: u64, arguments: [u64; 3]) -> i64 {
    let code = &raw const hypercall_page as u64 + number * 32;
    let result: i64;
    // SAFETY: Xen's code follows the C convention but for R10 and the registers named; it reads what the arguments point to.
    unsafe {
        asm!(
            "call {code}",
            code = in(reg) code,
            inlateout("rdi") arguments[0] => _,
            inlateout("rsi") arguments[1] => _,
            inlateout("rdx") arguments[2] => _,
            lateout("rax") result,
            lateout("rcx") _, lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result
}

/// Writes to Xen's own console, which only the hardware domain may.
pub(crate) fn console(text: &[u8]) {
    let _ = hypercall(CONSOLE_IO, [0, text.len() as u64, text.as_ptr() as u64]);
}

/// Ends the domain.
pub(crate) fn shutdown(reason: Reason) -> ! {
    let argument = reason as u32;
    loop {
        // SCHEDOP_shutdown
        hypercall(SCHED_OP, [2, &raw const argument as u64, 0]);
    }
}

/// Microseconds since some moment.
pub(crate) fn now() -> u64 {
    cpu::time_stamp() / u64::from(TSC_KHZ.load(Ordering::Relaxed).max(1000) / 1000)
}

/// Waits until something holds. Whether it did within so many microseconds.
pub(crate) fn wait(microseconds: u64, mut condition: impl FnMut() -> bool) -> bool {
    let until = now() + microseconds;
    loop {
        if condition() {
            return true;
        }
        if now() > until {
            return condition();
        }
        cpu::relax();
    }
}

/// Lets time pass.
pub(crate) fn pause(microseconds: u64) {
    wait(microseconds, || false);
}

/// The state in which a vCPU starts (`struct vcpu_hvm_context` with its 64-bit part, in `hvm/hvm_vcpu.h` of Xen's public headers).
#[repr(C)]
struct Context {
    mode: u32,
    pad: u32,
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, RIP, RFLAGS, CR0, CR3, CR4, EFER.
    registers: [u64; 14],
}

/// Starts another vCPU in long mode, on this one's page tables and with interrupts off. Whether there is one.
pub(crate) fn start_vcpu(number: u64, entry: u64, stack: u64) -> bool {
    const VCPU_OP: u64 = 24;
    const INITIALISE: u64 = 0;
    const UP: u64 = 1;
    let mut registers = [0; 14];
    registers[4] = stack;
    registers[8] = entry;
    registers[9] = 2;
    registers[10] = 0x8000_0011;
    registers[11] = cpu::page_root();
    registers[12] = 0x20;
    registers[13] = 0x500;
    let context = Context { mode: 1, pad: 0, registers };
    hypercall(VCPU_OP, [INITIALISE, number, &raw const context as u64]) == 0
        && hypercall(VCPU_OP, [UP, number, 0]) == 0
}

/// A structure of Xen's, written and read by the offset of its fields: N qwords.
pub(crate) struct Words<const N: usize>([core::cell::Cell<u64>; N]);

impl<const N: usize> Words<N> {
    /// All zero.
    pub(crate) fn new() -> Self {
        Self([const { core::cell::Cell::new(0) }; N])
    }

    /// Where it is, for Xen to read and write.
    pub(crate) fn address(&self) -> u64 {
        &raw const self.0 as u64
    }

    fn set(&self, offset: usize, bits: u32, value: u64) {
        let shift = 8 * (offset % 8);
        let mask = (u64::MAX >> (64 - bits)) << shift;
        let word = &self.0[offset / 8];
        word.set(word.get() & !mask | value << shift & mask);
    }

    pub(crate) fn set16(&self, offset: usize, value: u16) {
        self.set(offset, 16, u64::from(value));
    }

    pub(crate) fn set32(&self, offset: usize, value: u32) {
        self.set(offset, 32, u64::from(value));
    }

    pub(crate) fn set64(&self, offset: usize, value: u64) {
        self.set(offset, 64, value);
    }

    pub(crate) fn get32(&self, offset: usize) -> u32 {
        (self.get64(offset & !7) >> (8 * (offset % 8))) as u32
    }

    pub(crate) fn get64(&self, offset: usize) -> u64 {
        let word = self.0[offset / 8].as_ptr();
        // SAFETY: Xen may have written it, which the compiler does not know.
        unsafe { core::ptr::read_volatile(word) }
    }
}

/// A positive number, or a negated errno.
fn outcome(result: i64) -> Result<u64, u64> {
    if result < 0 { Err(result.unsigned_abs()) } else { Ok(result.unsigned_abs()) }
}

/// An operation on a domain (Xen 4.20's `domctl.h`), whose part of the structure is in `content`. The domain that it was.
pub(crate) fn domctl(operation: u32, domain: u16, content: &Words<16>) -> Result<u16, u64> {
    const DOMCTL: u64 = 36;
    const INTERFACE: u32 = 0x17;
    let all = Words::<18>::new();
    all.set32(0, operation);
    all.set32(4, INTERFACE);
    all.set16(8, domain);
    for n in 0..16 {
        all.set64(16 + 8 * n, content.get64(8 * n));
    }
    outcome(hypercall(DOMCTL, [all.address(), 0, 0]))?;
    for n in 0..16 {
        content.set64(8 * n, all.get64(16 + 8 * n));
    }
    Ok(all.get32(8) as u16)
}

/// Pages that are free, or will be when they are scrubbed (`XEN_SYSCTL_physinfo`, Xen 4.20's `sysctl.h`).
pub(crate) fn free_pages() -> Result<u64, u64> {
    const SYSCTL: u64 = 35;
    const PHYSICAL: u32 = 3;
    const INTERFACE: u32 = 0x15;
    const FREE: usize = 8 + 48;
    let op = Words::<17>::new();
    op.set32(0, PHYSICAL);
    op.set32(4, INTERFACE);
    outcome(hypercall(SYSCTL, [op.address(), 0, 0]))?;
    Ok(op.get64(FREE) + op.get64(FREE + 8))
}

/// An operation on memory (Xen's `memory.h`).
pub(crate) fn memory_op<const N: usize>(operation: u64, content: &Words<N>) -> Result<u64, u64> {
    const MEMORY_OP: u64 = 12;
    outcome(hypercall(MEMORY_OP, [operation, content.address(), 0]))
}
