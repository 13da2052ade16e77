//! Devices that leave their domain for a reset, and come back.

use vpci::{AttachError, Progress, Written};

use crate::abi::{EINVAL, EPERM, Errno, RVPCI_AGAIN, RVPCI_DONE, RVPCI_PENDING, rvpci_device_info};
use crate::device::{self, Others, rvpci_device};
use crate::domain::rvpci_domain;
use crate::known::{guard, is_trusted};

/// Takes a device from its domain, which goes on having it: from now on it reads all ones, writes are dropped, its PIRQs are
/// given back, and its pages leave the p2m. The device itself is not accessed.
///
/// Lock: exclusive. Work: as `rvpci_step`, for one device; its MSI-X vectors in the first call.
/// Returns `RVPCI_DONE`, or `RVPCI_AGAIN` as long as there are pages in the p2m.
///
/// # Safety
///
/// `device` is attached to `domain`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_device_withdraw(domain: *mut rvpci_domain, device: *mut rvpci_device) -> i32 {
    // SAFETY: the caller promises a device and holds the exclusive lock.
    let (mut function, xen) = unsafe { device::open(device) };
    let progress = function.withdraw(&xen, &Others { domain, device });
    let trapped = function.trapped();
    // SAFETY: the exclusive lock is held, and `function` is not used any more.
    unsafe { device::set_windows(domain, device, trapped) };
    if progress == Progress::Again { RVPCI_AGAIN } else { RVPCI_DONE }
}

/// Gives a withdrawn device that was reset back to its domain, as `rvpci_device_attach` does; `info` says the same as then,
/// but that its BARs are where they were. What was refused stays counted.
///
/// Lock: exclusive. Work: as `rvpci_device_attach`.
/// Returns what that returns, and -EINVAL for another device's `info`, or one that is not withdrawn or has pages in the p2m. After an error the device
/// stays as it was.
///
/// # Safety
///
/// `device` is attached to `domain`, and `info` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_device_reattach(
    domain: *mut rvpci_domain,
    device: *mut rvpci_device,
    info: *const rvpci_device_info,
) -> i32 {
    // SAFETY: the caller promises that it can be read.
    let info = unsafe { &*info };
    let Some(view) = device::view(info) else { return AttachError::Unsupported.errno() };
    // SAFETY: the caller promises a device.
    if !unsafe { device::is_of(device, info, view) } {
        return -EINVAL;
    }
    // SAFETY: the caller promises it.
    if unsafe { device::is_refused(info) } {
        return -EPERM;
    }
    let trusted = is_trusted(info);
    // SAFETY: the caller promises that what `info` points to can be read for the time of the call.
    let mut info = unsafe { device::to_info(info, view) };
    // SAFETY: the caller promises a device and holds the exclusive lock.
    let known = unsafe { device::known_as(device) };
    // SAFETY: likewise.
    let (mut function, xen) = unsafe { device::open(device) };
    if !function.is_away() {
        return -EINVAL;
    }
    let written = match function.reattach(&xen, &mut info) {
        Ok(Written::Pending) => RVPCI_PENDING,
        Ok(_) => RVPCI_DONE,
        Err(error) => return error.errno(),
    };
    let others = Others { domain, device };
    let guarded = guard(&mut function, xen, known, trusted);
    // Its BARs are where they were, but their sizes are what the device says now.
    if let Err(error) = guarded.and_then(|()| function.check_placement(&xen, &others)) {
        function.detach(&xen, &others);
        // Nothing of it is in the p2m, so this does not take several calls.
        let _ = function.withdraw(&xen, &others);
        return error.errno();
    }
    // SAFETY: the exclusive lock is held, and `function` is not used any more.
    unsafe { device::count_functions(domain, device) };
    written
}
