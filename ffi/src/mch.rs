//! The MCH of a Q35 machine: its registers, the ECAM window, and its image.

use q35::{Image, ImageError, Info, InfoError, Mch};
use static_assertions::{const_assert, const_assert_eq};
use zerocopy::IntoBytes;

use crate::abi::{EINVAL, Errno, RVPCI_MCH_IMAGE, RVPCI_NO_POSITION, rvpci_mch_info, rvpci_mch_window};

/// An MCH, function 00:00.0 of a domain.
pub struct rvpci_mch {
    mch: Mch,
}

const_assert!(align_of::<rvpci_mch>() == 8);
const_assert_eq!(RVPCI_MCH_IMAGE, Image::SIZE);

impl Errno for InfoError {
    fn errno(self) -> i32 {
        -EINVAL
    }
}

impl Errno for ImageError {
    fn errno(self) -> i32 {
        -EINVAL
    }
}

/// The MCH for reading.
///
/// # Safety
///
/// `mch` is one, and nobody changes it while the reference is in use.
#[inline]
unsafe fn shared<'a>(mch: *const rvpci_mch) -> &'a Mch {
    // SAFETY: the caller promises it.
    unsafe { &(*mch).mch }
}

/// The MCH for writing.
///
/// # Safety
///
/// `mch` is one, and nobody else uses it while the reference is in use.
unsafe fn exclusive<'a>(mch: *mut rvpci_mch) -> &'a mut Mch {
    // SAFETY: the caller promises it.
    unsafe { &mut (*mch).mch }
}

/// The bytes of memory, aligned to 8, that an MCH needs.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_mch_size() -> usize {
    size_of::<rvpci_mch>()
}

/// Makes an MCH in `size` bytes at `memory`, which becomes its address, as it is after a reset. It owns no address of a
/// domain by that: see `rvpci_set_owner`.
///
/// Lock: none. Work: constant.
/// Returns 0; -EINVAL for memory too small, RAM or an address width out of range, or a PCIEXBAR that is neither 0 nor
/// what the register reads for a window, or whose window is over RAM, over FEC00000 to FFFFFFFF or beyond the address width.
///
/// # Safety
///
/// `memory` is aligned to 8 and for the library alone; `info` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_init(
    memory: *mut rvpci_mch,
    size: usize,
    info: *const rvpci_mch_info,
) -> i32 {
    if size < rvpci_mch_size() {
        return -EINVAL;
    }
    // SAFETY: the caller promises that it can be read.
    let info = unsafe { &*info };
    let Ok(address_bits) = u8::try_from(info.address_bits) else { return -EINVAL };
    if info.zero != 0 {
        return -EINVAL;
    }
    let info = Info {
        pciexbar: info.pciexbar,
        low_ram_end: info.low_ram_end,
        high_ram_end: info.high_ram_end,
        address_bits,
    };
    // SAFETY: the caller gives at least that many bytes; zeros are a valid MCH.
    unsafe { memory.write_bytes(0, 1) };
    // SAFETY: it was just made.
    unsafe { exclusive(memory) }.init(&info).err().map_or(0, Errno::errno)
}

/// Reads `bytes`, 1, 2 or 4 within one dword, at `offset` of the MCH's configuration space. All ones for any other access,
/// and from 0x100 on.
///
/// Lock: the MCH's. Work: constant.
///
/// # Safety
///
/// `mch` is an MCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_read(mch: *const rvpci_mch, offset: u32, bytes: u32) -> u32 {
    // SAFETY: the caller promises an MCH and holds its lock.
    unsafe { shared(mch) }.read_within(offset, bytes)
}

/// Writes likewise; dropped where nothing can be written. The ECAM window may be another one after it.
///
/// Lock: the MCH's. Work: constant.
///
/// # Safety
///
/// `mch` is an MCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_write(mch: *mut rvpci_mch, offset: u32, bytes: u32, value: u32) {
    // SAFETY: the caller promises an MCH and holds its lock.
    unsafe { exclusive(mch) }.write_within(offset, bytes, value);
}

/// Where `address` is in the ECAM window, if it is decoded now: the function (`sbdf`) in bits 27:12, the byte offset of its
/// register in bits 11:0. Else `RVPCI_NO_POSITION`.
///
/// Lock: the MCH's. Work: constant.
///
/// # Safety
///
/// `mch` is an MCH.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_decode(mch: *const rvpci_mch, address: u64) -> u32 {
    // SAFETY: the caller promises an MCH and holds its lock.
    unsafe { shared(mch) }.position(address).unwrap_or(RVPCI_NO_POSITION)
}

/// The ECAM window as it is now, in `*window`.
///
/// Lock: the MCH's. Work: constant.
///
/// # Safety
///
/// `mch` is an MCH, and `window` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_state(mch: *const rvpci_mch, window: *mut rvpci_mch_window) {
    // SAFETY: the caller promises an MCH and holds its lock.
    let mch = unsafe { shared(mch) };
    let (base, size) = mch.window().map_or((0, 0), |window| (window.base(), window.decoded()));
    // SAFETY: the caller promises a place to write to.
    unsafe { window.write(rvpci_mch_window { base, size, overlaps: mch.overlaps() }) };
}

/// Stores the state of an MCH and of the domain's `CONFIG_ADDRESS` (port 0xCF8) in the `RVPCI_MCH_IMAGE` bytes at `image`.
///
/// Lock: the MCH's. Work: constant.
///
/// # Safety
///
/// `mch` is an MCH, and `image` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_save(mch: *const rvpci_mch, config_address: u32, image: *mut u8) {
    // SAFETY: the caller promises an MCH and holds its lock.
    let from = unsafe { shared(mch) }.save(config_address);
    // SAFETY: the caller promises a place of that size.
    let to = unsafe { core::slice::from_raw_parts_mut(image, RVPCI_MCH_IMAGE) };
    to.copy_from_slice(from.as_bytes());
}

/// Brings an MCH of the same platform into the state that the `RVPCI_MCH_IMAGE` bytes at `image` say, and stores
/// `CONFIG_ADDRESS` in `*config_address`.
///
/// Lock: the MCH's. Work: constant.
/// Returns 0; -EINVAL for an image that is none, of a newer version, or of a state that no MCH can be in: then nothing was
/// changed or stored.
///
/// # Safety
///
/// `mch` is an MCH; `image` can be read, and `config_address` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mch_restore(
    mch: *mut rvpci_mch,
    image: *const u8,
    config_address: *mut u32,
) -> i32 {
    // SAFETY: the caller promises as many bytes.
    let image = unsafe { core::slice::from_raw_parts(image, RVPCI_MCH_IMAGE) };
    // SAFETY: the caller promises an MCH and holds its lock.
    match unsafe { exclusive(mch) }.restore(image) {
        Ok(value) => {
            // SAFETY: the caller promises a place to write to.
            unsafe { config_address.write(value) };
            0
        }
        Err(error) => error.errno(),
    }
}

/// Whether an access to `port` reaches configuration space while `config_address` is what `CONFIG_ADDRESS` (port 0xCF8)
/// holds, and if so, the function and the offset, below 0x100, in `*sbdf` and `*offset`. The width does not count.
///
/// Lock: none. Work: constant.
///
/// # Safety
///
/// `sbdf` and `offset` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_port_decode(
    config_address: u32,
    port: u32,
    sbdf: *mut u32,
    offset: *mut u32,
) -> bool {
    let Ok(port) = u16::try_from(port) else { return false };
    let Some((function, register)) = q35::decode_port(config_address, port) else { return false };
    // SAFETY: the caller promises a place to write to.
    unsafe { sbdf.write(function.0) };
    // SAFETY: likewise.
    unsafe { offset.write(u32::from(register)) };
    true
}
