//! Physical memory: devices, what Xen handed over, and buffers for DMA.
//!
//! Everything is mapped to itself, so a physical address is a pointer. What makes the functions here safe is one rule: Rust's
//! memory lies between `image_start` and `image_end`, and nothing else is ever Rust's. An access outside of the image cannot
//! disturb Rust; inside of it, only the heap is reached, which is a reserved part that is used in no other way.

use core::{
    arch::asm,
    cell::UnsafeCell,
    ptr::{read_volatile, write_volatile},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The size of a page.
pub(crate) const PAGE: usize = 4096;

unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
    static mut directory_pointers: [u64; 512];
    static mut spare_directories: [[u64; 512]; SPARE];
}

const SPARE: usize = 16;

fn assert_foreign(address: u64, bytes: u64) {
    let (start, end) = (&raw const image_start as u64, &raw const image_end as u64);
    let last = address.checked_add(bytes).expect("an address wraps around");
    assert!(last <= start || address >= end, "{address:#x} is inside of the kernel");
    assert!(address >= PAGE as u64, "{address:#x} is no address");
}

macro_rules! accessors {
    ($read:ident, $write:ident, $type:ty) => {
        /// Reads a device's register, or what lies outside of this kernel, with one access.
        pub(crate) fn $read(address: u64) -> $type {
            assert_foreign(address, size_of::<$type>() as u64);
            reach(address);
            // SAFETY: mapped by now, and not Rust's memory.
            unsafe { read_volatile(address as *const $type) }
        }

        /// Writes a device's register, or what lies outside of this kernel, with one access.
        pub(crate) fn $write(address: u64, value: $type) {
            assert_foreign(address, size_of::<$type>() as u64);
            reach(address);
            // SAFETY: mapped by now, and not Rust's memory.
            unsafe { write_volatile(address as *mut $type, value) }
        }
    };
}

accessors!(read8, write8, u8);
accessors!(read16, write16, u16);
accessors!(read32, write32, u32);
accessors!(read64, write64, u64);

/// Maps the gibibyte that an address above 4 GiB is in, uncached, unless it is.
fn reach(address: u64) {
    static USED: AtomicUsize = AtomicUsize::new(0);
    let gibibyte = (address >> 30) as usize;
    if gibibyte < 4 {
        return;
    }
    assert!(gibibyte < 512, "{address:#x} is above what is mapped");
    let pointers = (&raw mut directory_pointers).cast::<u64>();
    // SAFETY: `gibibyte` is below 512.
    let entry = unsafe { pointers.add(gibibyte) };
    // SAFETY: inside of the table, which is used here only; the kernel has one thread here.
    if unsafe { read_volatile(entry) } != 0 {
        return;
    }
    let number = USED.fetch_add(1, Ordering::Relaxed);
    assert!(number < SPARE, "too many high addresses");
    let directories = (&raw mut spare_directories).cast::<[u64; 512]>();
    // SAFETY: `number` is below SPARE.
    let directory = unsafe { directories.add(number) }.cast::<u64>();
    for index in 0..512_usize {
        // Present, writable, write-through, uncached, 2 MiB (Intel SDM volume 3, table 4-18).
        let page = (gibibyte as u64) << 30 | (index as u64) << 21 | 0x9b;
        // SAFETY: inside of one directory.
        let place = unsafe { directory.add(index) };
        // SAFETY: as above; nobody reads it before it is entered below.
        unsafe { write_volatile(place, page) };
    }
    // SAFETY: what was not present needs no flush (Intel SDM volume 3, 4.10.4.3).
    unsafe { write_volatile(entry, directory as u64 | 3) };
}

/// Reads a string that ends with 0 and lies outside of this kernel. At most as long as the buffer.
pub(crate) fn read_string(address: u64, buffer: &mut [u8]) -> &str {
    let mut length = 0;
    if address != 0 {
        for (at, byte) in (address..).zip(buffer.iter_mut()) {
            *byte = read8(at);
            if *byte == 0 {
                break;
            }
            length += 1;
        }
    }
    core::str::from_utf8(&buffer[..length]).unwrap_or("")
}

const HEAP_PAGES: usize = 1024;

#[repr(C, align(4096))]
struct Heap(UnsafeCell<[[u8; PAGE]; HEAP_PAGES]>);

// SAFETY: it is only reached by volatile accesses through `Dma`.
unsafe impl Sync for Heap {}

static HEAP: Heap = Heap(UnsafeCell::new([[0; PAGE]; HEAP_PAGES]));
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Whole pages of memory for a device. They are never given back: a device may still write to them.
#[derive(Clone, Copy)]
pub(crate) struct Dma {
    address: u64,
    bytes: u64,
}

impl Dma {
    /// Takes pages, zeroed.
    pub(crate) fn pages(count: usize) -> Self {
        let first = TAKEN.fetch_add(count, Ordering::Relaxed);
        assert!(first + count <= HEAP_PAGES, "out of memory");
        let dma = Self { address: HEAP.0.get() as u64 + (first * PAGE) as u64, bytes: (count * PAGE) as u64 };
        dma.fill(0);
        dma
    }

    /// Where the device finds it: the guest's physical address is what the IOMMU translates.
    pub(crate) fn address(self) -> u64 {
        self.address
    }

    fn place<T>(self, offset: u64) -> *mut T {
        assert!(offset + size_of::<T>() as u64 <= self.bytes, "outside of a buffer");
        assert!(offset.is_multiple_of(size_of::<T>() as u64));
        (self.address + offset) as *mut T
    }

    /// Reads a dword.
    pub(crate) fn get(self, offset: u64) -> u32 {
        // SAFETY: inside of the heap, aligned.
        unsafe { read_volatile(self.place(offset)) }
    }

    /// Writes a dword.
    pub(crate) fn set(self, offset: u64, value: u32) {
        // SAFETY: inside of the heap, aligned.
        unsafe { write_volatile(self.place(offset), value) }
    }

    /// Writes two dwords, the low one first.
    pub(crate) fn set64(self, offset: u64, value: u64) {
        self.set(offset, value as u32);
        self.set(offset + 4, (value >> 32) as u32);
    }

    /// Fills all of it with a byte.
    pub(crate) fn fill(self, byte: u8) {
        for offset in (0..self.bytes).step_by(4) {
            self.set(offset, u32::from_ne_bytes([byte; 4]));
        }
    }

    /// Fills the first bytes with what depends on the seed, dword by dword.
    pub(crate) fn pattern(self, bytes: u64, seed: u32) {
        let mut value = seed;
        for offset in (0..bytes).step_by(4) {
            value = next(value);
            self.set(offset, value);
        }
    }

    /// A checksum of the first bytes (Fletcher's, over dwords).
    pub(crate) fn sum(self, bytes: u64) -> u64 {
        let (mut low, mut high) = (0_u32, 0_u32);
        for offset in (0..bytes).step_by(4) {
            low = low.wrapping_add(self.get(offset));
            high = high.wrapping_add(low);
        }
        u64::from(high) << 32 | u64::from(low)
    }
}

/// The next number of a sequence without meaning (Numerical Recipes' generator).
pub(crate) fn next(value: u32) -> u32 {
    value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
}

/// Reads with one access that need not be aligned.
pub(crate) fn unaligned_read(address: u64, bytes: u32) -> u64 {
    assert_foreign(address, u64::from(bytes));
    reach(address);
    let value: u64;
    match bytes {
        1 => value = u64::from(read8(address)),
        // SAFETY: mapped, and not Rust's memory. An instruction, since Rust's own accesses have to be aligned.
        2 => unsafe {
            asm!("movzx {0:e}, word ptr [{1}]", out(reg) value, in(reg) address, options(nostack));
        },
        // SAFETY: as above.
        4 => unsafe { asm!("mov {0:e}, [{1}]", out(reg) value, in(reg) address, options(nostack)) },
        // SAFETY: as above.
        _ => unsafe { asm!("mov {0}, [{1}]", out(reg) value, in(reg) address, options(nostack)) },
    }
    value
}

/// Writes with one access that need not be aligned.
pub(crate) fn unaligned_write(address: u64, bytes: u32, value: u64) {
    assert_foreign(address, u64::from(bytes));
    reach(address);
    match bytes {
        1 => write8(address, value as u8),
        // SAFETY: mapped, and not Rust's memory. An instruction, since Rust's own accesses have to be aligned.
        2 => unsafe { asm!("mov [{1}], {0:x}", in(reg) value, in(reg) address, options(nostack)) },
        // SAFETY: as above.
        4 => unsafe { asm!("mov [{1}], {0:e}", in(reg) value, in(reg) address, options(nostack)) },
        // SAFETY: as above.
        _ => unsafe { asm!("mov [{1}], {0}", in(reg) value, in(reg) address, options(nostack)) },
    }
}

/// Copies with one string instruction, so many dwords or qwords. One side is a buffer's pages, the other one a device's registers.
pub(crate) fn copy_string(from: u64, to: u64, count: u64, bytes: u64) {
    for address in [from, to] {
        let heap = HEAP.0.get() as u64..HEAP.0.get() as u64 + (HEAP_PAGES * PAGE) as u64;
        if !heap.contains(&address) {
            assert_foreign(address, bytes * count);
            reach(address);
        }
    }
    match bytes {
        // SAFETY: both are mapped, and neither is Rust's memory.
        4 => unsafe {
            asm!("rep movsd", inout("rcx") count => _, inout("rsi") from => _, inout("rdi") to => _, options(nostack));
        },
        // SAFETY: as above.
        _ => unsafe {
            asm!("rep movsq", inout("rcx") count => _, inout("rsi") from => _, inout("rdi") to => _, options(nostack));
        },
    }
}
