//! The interrupt table and the local APIC (Intel SDM volume 3, chapters 6 and 11).

use core::{
    arch::{asm, global_asm},
    cell::UnsafeCell,
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use crate::{
    cpu, memory,
    report::{self, check},
    xen,
};

// One stub for each vector, 16 bytes apart: an error code where the CPU pushes none, the vector, and on.
global_asm!(
    r#"
    .section .text.interrupts, "ax"
    .global interrupt_stubs
    .balign 16
interrupt_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .set pushed, 0
    .if vector < 32
    .set pushed, (0x60227d00 >> vector) & 1    // Intel SDM volume 3, table 6-1
    .endif
    .if pushed == 0
    pushq $0
    .endif
    pushq $vector
    jmp interrupt_common
    .set vector, vector + 1
    .endr

interrupt_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    leaq 72(%rsp), %rdi
    cld
    call interrupt
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq
    "#,
    options(att_syntax)
);

/// What a stub and the CPU pushed.
#[repr(C)]
struct Frame {
    vector: u64,
    error: u64,
    rip: u64,
}

const LAPIC: u64 = 0xfee0_0000;
const ID: u64 = 0x20;
const EOI: u64 = 0xb0;
const SPURIOUS: u64 = 0xf0;
const TIMER: u64 = 0x320;
const TIMER_COUNT: u64 = 0x380;
const TIMER_DIVIDE: u64 = 0x3e0;

/// How often each vector came.
static COUNTS: [AtomicU32; 256] = [const { AtomicU32::new(0) }; 256];
/// The next vector to give out.
static NEXT: AtomicU8 = AtomicU8::new(0x40);

const FIRST: u8 = 0x40;
const LAST: u8 = 0xef;
const TIMER_VECTOR: u8 = 0xf0;

struct Table(UnsafeCell<[[u64; 2]; 256]>);
// SAFETY: written once, before interrupts are let in.
unsafe impl Sync for Table {}
static TABLE: Table = Table(UnsafeCell::new([[0; 2]; 256]));

unsafe extern "C" {
    static interrupt_stubs: u8;
}

/// Loads the table, and turns the local APIC on.
pub(crate) fn init() {
    for vector in 0..256_usize {
        let stub = &raw const interrupt_stubs as u64 + 16 * vector as u64;
        // A 64-bit interrupt gate in segment 8 (Intel SDM volume 3, 6.14.1).
        let low = stub & 0xffff | 8 << 16 | 0x8e00 << 32 | (stub >> 16 & 0xffff) << 48;
        // SAFETY: `vector` is below 256.
        let entry = unsafe { TABLE.0.get().cast::<[u64; 2]>().add(vector) };
        // SAFETY: inside of the table, which nobody else uses yet.
        unsafe { entry.write([low, stub >> 32]) };
    }
    let mut pointer = [0_u8; 10];
    pointer[..2].copy_from_slice(&4095_u16.to_le_bytes());
    pointer[2..].copy_from_slice(&(TABLE.0.get() as u64).to_le_bytes());
    // SAFETY: the table stays where it is, and each entry leads to a stub.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(readonly, nostack)) };
    enable_apic();
    cpu::enable_interrupts();
}

/// Turns this CPU's local APIC on (Intel SDM volume 3, 11.4.7.2), with 0xff for spurious interrupts.
pub(crate) fn enable_apic() {
    memory::write32(LAPIC + SPURIOUS, 0x1ff);
}

/// This CPU's local APIC's id.
pub(crate) fn apic_id() -> u8 {
    (memory::read32(LAPIC + ID) >> 24) as u8
}

/// Gives the CPU away for so many microseconds (Intel SDM volume 3, 11.5.4). Xen's local APIC counts at 100 MHz.
pub(crate) fn sleep(microseconds: u32) {
    cpu::disable_interrupts();
    let before = count(TIMER_VECTOR);
    memory::write32(LAPIC + TIMER_DIVIDE, 0xb);
    memory::write32(LAPIC + TIMER, u32::from(TIMER_VECTOR));
    memory::write32(LAPIC + TIMER_COUNT, microseconds * 100);
    while count(TIMER_VECTOR) == before {
        cpu::halt();
    }
    cpu::enable_interrupts();
}

/// As many vectors in a row, aligned to their count; for MSI, which sets the low bits (PCI 3.0 6.8.1.6). They come round again.
pub(crate) fn vectors(count: u8) -> u8 {
    let mut first = NEXT.load(Ordering::Relaxed).next_multiple_of(count);
    if first > LAST - count {
        first = FIRST;
    }
    NEXT.store(first + count, Ordering::Relaxed);
    first
}

/// How often a vector came since the start.
pub(crate) fn count(vector: u8) -> u32 {
    COUNTS[usize::from(vector)].load(Ordering::Relaxed)
}

/// How many interrupts came on vectors but this one.
pub(crate) fn count_others(vector: u8) -> u32 {
    let others = (0_u8..=255).filter(|v| *v != vector);
    others.fold(0, |sum, v| sum.wrapping_add(count(v)))
}

/// The message that raises a vector here (Intel SDM volume 3, 11.11): address and data.
pub(crate) fn message(vector: u8) -> (u64, u32) {
    (LAPIC | u64::from(apic_id()) << 12, u32::from(vector))
}

#[unsafe(no_mangle)]
extern "C" fn interrupt(frame: &Frame) {
    let vector = frame.vector as usize & 0xff;
    COUNTS[vector].fetch_add(1, Ordering::Relaxed);
    match vector {
        // Spurious; or an NMI, which is counted and looked at later.
        2 | 0xff => {}
        0..32 => {
            let address: u64;
            // SAFETY: CR2 is readable.
            unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack)) };
            let (error, rip) = (frame.error, frame.rip);
            check(
                "kernel",
                "exception",
                false,
                format_args!("vector {vector} error {error:#x} at {rip:#x}, address {address:#x}"),
            );
            report::done();
            xen::shutdown(xen::Reason::Crash)
        }
        _ => memory::write32(LAPIC + EOI, 0),
    }
}
