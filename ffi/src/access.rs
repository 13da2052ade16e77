//! Accesses to devices: configuration space, and trapped pages.

use capabilities::Access;
use vpci::{Locked, Refusal, Written};

use crate::abi::{RVPCI_DONE, RVPCI_EXCLUSIVE, RVPCI_NEEDS_EXCLUSIVE, RVPCI_PENDING, RVPCI_RESET};
use crate::device::{known_as, open, registers, rvpci_device, state};

/// Reads `bytes` (1, 2 or 4) at `offset` of a device as its domain does; all ones for an access that
/// `rvpci_access_allowed` refuses.
///
/// Lock: shared, and the device's. Work: one lookup, at most three configuration reads.
///
/// # Safety
///
/// `device` is a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_read(device: *mut rvpci_device, offset: u32, bytes: u32) -> u32 {
    let Some(access) = Access::new(offset, bytes) else {
        // SAFETY: the caller promises a device and holds its lock.
        unsafe { refuse_access(device) };
        return u32::MAX;
    };
    // SAFETY: the caller promises a device and holds its lock.
    let registers = unsafe { registers(device) };
    // SAFETY: likewise; the registers are behind the state.
    let state = unsafe { state(device) };
    match vpci::read_virtual(state, registers, access) {
        Some(value) => value,
        // SAFETY: as above; the references are not used any more.
        None => unsafe { read_any(device, access) },
    }
}

/// Counts an access that is none.
///
/// # Safety
///
/// As for [`rvpci_read`].
#[cold]
#[inline(never)]
unsafe fn refuse_access(device: *mut rvpci_device) {
    // SAFETY: the caller promises a device and holds its lock.
    let (mut function, _) = unsafe { open(device) };
    function.refuse(Refusal::Access);
}

/// The long way of [`rvpci_read`], out of line so that the short one needs no stack.
///
/// # Safety
///
/// As for [`rvpci_read`].
#[inline(never)]
unsafe fn read_any(device: *mut rvpci_device, access: Access) -> u32 {
    // SAFETY: the caller promises a device and holds its lock.
    let (function, xen) = unsafe { open(device) };
    function.read(&xen, access)
}

/// Writes likewise; an access that `rvpci_access_allowed` refuses is dropped. `locked` is `RVPCI_SHARED` or
/// `RVPCI_EXCLUSIVE`.
///
/// Lock: shared, and the device's; or exclusive. Work: one lookup, at most six configuration accesses; for MSI
/// control bounded by 32 vectors, for MSI-X control by the number of its vectors.
/// Returns `RVPCI_DONE`, `RVPCI_PENDING`, `RVPCI_RESET` or, with the shared lock, `RVPCI_NEEDS_EXCLUSIVE`.
///
/// # Safety
///
/// `device` is a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_write(
    device: *mut rvpci_device,
    offset: u32,
    bytes: u32,
    value: u32,
    locked: u32,
) -> i32 {
    let Some(access) = Access::new(offset, bytes) else {
        // SAFETY: the caller promises a device and holds its lock.
        unsafe { refuse_access(device) };
        return RVPCI_DONE;
    };
    // SAFETY: the caller promises a device and holds its lock.
    let registers = unsafe { registers(device) };
    // SAFETY: likewise; the registers are behind the state.
    let state = unsafe { state(device) };
    if vpci::write_virtual(state, registers, access, value) {
        return RVPCI_DONE;
    }
    // SAFETY: as above; the references are not used any more.
    unsafe { write_any(device, access, value, locked) }
}

/// The long way of [`rvpci_write`], out of line so that the short one needs no stack.
///
/// # Safety
///
/// As for [`rvpci_write`].
#[inline(never)]
unsafe fn write_any(device: *mut rvpci_device, access: Access, value: u32, locked: u32) -> i32 {
    // SAFETY: the caller promises a device and holds its lock.
    let (mut function, xen) = unsafe { open(device) };
    result(function.write(&xen, access, value, lock(locked)))
}

/// The lock that a caller of a write holds.
const fn lock(locked: u32) -> Locked {
    if locked == RVPCI_EXCLUSIVE { Locked::Exclusive } else { Locked::Shared }
}

/// How a write ended.
const fn result(written: Written) -> i32 {
    match written {
        Written::Done => RVPCI_DONE,
        Written::Reset => RVPCI_RESET,
        Written::Pending => RVPCI_PENDING,
        Written::NeedsExclusive => RVPCI_NEEDS_EXCLUSIVE,
    }
}

/// Reads `bytes` (1, 2, 4 or 8) at the guest physical `address` in a page that `rvpci_find_window` gave for this
/// device. All ones where nothing may be read.
///
/// Lock: shared, and the device's. Work: at most eight MMIO reads.
///
/// # Safety
///
/// `device` is a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mmio_read(device: *mut rvpci_device, address: u64, bytes: u32) -> u64 {
    // SAFETY: the caller promises a device and holds its lock.
    let known = unsafe { known_as(device) };
    // SAFETY: likewise.
    let (mut function, xen) = unsafe { open(device) };
    function.mmio_read(&xen, &known, address, u8::try_from(bytes).unwrap_or(0))
}

/// Writes likewise; dropped where nothing may be written. Bytes that show configuration space are written there: `locked`,
/// the lock and what is returned are those of `rvpci_write`.
///
/// Work: at most eight MMIO writes or writes of configuration space, or one vector bound anew.
///
/// # Safety
///
/// `device` is a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_mmio_write(
    device: *mut rvpci_device,
    address: u64,
    bytes: u32,
    value: u64,
    locked: u32,
) -> i32 {
    // SAFETY: the caller promises a device and holds its lock.
    let known = unsafe { known_as(device) };
    // SAFETY: likewise.
    let (mut function, xen) = unsafe { open(device) };
    let bytes = u8::try_from(bytes).unwrap_or(0);
    result(function.mmio_write(&xen, &known, address, bytes, value, lock(locked)))
}
