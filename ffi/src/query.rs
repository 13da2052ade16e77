//! What a host may want to show of a device. All of these: lock shared, and the device's; work constant.

use vpci::{Pirq, Refusal};

use crate::abi::{RVPCI_ABI_VERSION, rvpci_msi, rvpci_msix, rvpci_vector};
use crate::device::{rvpci_device, state, vectors};

/// The version of this interface, `RVPCI_ABI_VERSION` of the header it was built with.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_abi_version() -> u32 {
    RVPCI_ABI_VERSION
}

const fn number(pirq: Option<Pirq>) -> i32 {
    match pirq {
        Some(Pirq(number)) => number,
        None => -1,
    }
}

/// Stores MSI's state in `*msi`. Whether the device has MSI.
///
/// # Safety
///
/// `device` is a device, and `msi` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_msi_state(device: *const rvpci_device, msi: *mut rvpci_msi) -> bool {
    // SAFETY: the caller promises a device and holds its lock.
    let Some(from) = unsafe { state(device) }.msi() else { return false };
    let (vectors, capable) = from.vectors();
    let message = from.message();
    let to = rvpci_msi {
        address: message.address,
        data: message.data,
        mask: from.mask().unwrap_or(0),
        pirq: number(from.pirq()),
        vectors,
        capable,
        enabled: from.enabled(),
        address64: from.address64(),
        masking: from.mask().is_some(),
    };
    // SAFETY: the caller promises a place to write to.
    unsafe { msi.write(to) };
    true
}

/// Stores MSI-X's state in `*msix`. Whether the device has MSI-X.
///
/// # Safety
///
/// `device` is a device, and `msix` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_msix_state(device: *const rvpci_device, msix: *mut rvpci_msix) -> bool {
    // SAFETY: the caller promises a device and holds its lock.
    let Some(from) = unsafe { state(device) }.msix() else { return false };
    let to =
        rvpci_msix { entries: u32::from(from.entries()), enabled: from.enabled(), masked: from.masked() };
    // SAFETY: the caller promises a place to write to.
    unsafe { msix.write(to) };
    true
}

/// Stores the MSI-X vector `entry` in `*vector`. Whether there is one.
///
/// # Safety
///
/// `device` is a device, and `vector` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_msix_vector(
    device: *const rvpci_device,
    entry: u32,
    vector: *mut rvpci_vector,
) -> bool {
    // SAFETY: the caller promises a device and holds its lock.
    let entries = unsafe { state(device) }.msix().map_or(0, |msix| usize::from(msix.entries()));
    // SAFETY: likewise.
    let Some(from) = unsafe { vectors(device.cast_mut()) }.iter().take(entries).nth(entry as usize) else {
        return false;
    };
    let message = from.message();
    let to = rvpci_vector {
        address: message.address,
        data: message.data,
        pirq: number(from.pirq()),
        masked: from.masked(),
    };
    // SAFETY: the caller promises a place to write to.
    unsafe { vector.write(to) };
    true
}

/// How often something was refused for a reason, `RVPCI_REFUSED_*`; 0 for a reason that there is not. The count stops
/// at its largest value.
///
/// # Safety
///
/// `device` is a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_refusals(device: *const rvpci_device, reason: u32) -> u32 {
    // SAFETY: the caller promises a device and holds its lock.
    unsafe { state(device) }.refusal_counts().get(reason as usize).copied().unwrap_or(0)
}

static_assertions::const_assert_eq!(Refusal::COUNT, crate::RVPCI_REFUSED_COUNT as usize);
