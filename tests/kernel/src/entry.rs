//! From where Xen enters a PVH guest (32 bits, no paging) to Rust in long mode.
//!
//! The state at entry is that of Xen's docs/misc/pvh.pandoc: flat 32-bit segments, paging off, EBX = the start info.
//! The low 4 GiB are mapped to themselves with 2 MiB pages (Intel SDM volume 3, 4.5). The first 64 MiB, where this kernel and
//! what Xen hands it lie, are cached; the rest is devices and is not.

use core::arch::global_asm;

/// How much of the address space is cached memory.
pub(crate) const CACHED: u64 = 64 << 20;

global_asm!(
    r#"
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18              // the name's length, the content's, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_entry

    .section .text.entry, "ax"
    .code32
    .global pvh_entry
pvh_entry:
    cld
    // A loader may leave what the file does not have as it was.
    movl $bss_start, %edi
    movl $bss_end, %ecx
    subl %edi, %ecx
    xorl %eax, %eax
    rep stosb
    movl $stack_top, %esp

    movl $page_directories, %edi
    movl $0x83, %eax            // present, writable, a 2 MiB page
    xorl %ecx, %ecx
1:  cmpl ${cached_pages}, %ecx
    jb 2f
    orl $0x18, %eax             // PCD, PWT: uncached
2:  movl %eax, (%edi,%ecx,8)
    movl $0, 4(%edi,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jne 1b

    movl $page_directories + 3, %eax
    movl $directory_pointers, %edi
    xorl %ecx, %ecx
3:  movl %eax, (%edi,%ecx,8)
    addl $0x1000, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 3b
    movl $directory_pointers + 3, page_root

    movl $page_root, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x20, %eax             // PAE
    movl %eax, %cr4
    movl $0xc0000080, %ecx      // EFER
    rdmsr
    orl $0x100, %eax            // LME
    wrmsr
    movl %cr0, %eax
    orl $0x80000001, %eax       // PG, PE
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $start64

    .code64
start64:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl $stack_top, %esp
    xorl %ebp, %ebp
    movl %ebx, %edi             // the argument of `start`; the upper half becomes 0
    call start
4:  hlt
    jmp 4b

    .section .rodata.gdt, "a"
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9a000000ffff    // 8: 64-bit code
    .quad 0x00cf92000000ffff    // 16: data
gdt_pointer:
    .short gdt_pointer - gdt - 1
    .long gdt

    .section .bss.paging, "aw", @nobits
    .balign 4096
    .global page_root
page_root: .skip 4096
    .global directory_pointers
directory_pointers: .skip 4096
page_directories: .skip 4 * 4096
    .global spare_directories
spare_directories: .skip 16 * 4096
    .skip 65536
stack_top:
    "#,
    cached_pages = const CACHED >> 21,
    options(att_syntax)
);
