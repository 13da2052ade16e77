//! What a host may want to show of a device. All of these: lock shared, and the device's; work constant.

use vpci::{Pirq, Record, Refusal};

use crate::abi::{
    RVPCI_ABI_VERSION, RVPCI_NO_ADDRESS, rvpci_audit_record, rvpci_bar, rvpci_msi, rvpci_msix, rvpci_vector,
};
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

/// Stores a refused access in `*record`: `age` is 0 for the last, 1 for the one before. Whether it is kept; the last 16
/// are.
///
/// # Safety
///
/// `device` is a device, and `record` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_audit(
    device: *const rvpci_device,
    age: u32,
    record: *mut rvpci_audit_record,
) -> bool {
    // SAFETY: the caller promises a device and holds its lock.
    let Some(from) = unsafe { state(device) }.audit(age) else { return false };
    let Record { sequence, offset, reason, bytes, value } = from;
    // SAFETY: the caller promises a place to write to.
    unsafe { record.write(rvpci_audit_record { sequence, offset, reason, bytes, value }) };
    true
}

/// Stores BAR `number`, 0 to 5 or 6 for the expansion ROM, in `*bar`. Whether there is such a number.
///
/// # Safety
///
/// `device` is a device, and `bar` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_bar_state(
    device: *const rvpci_device,
    number: u32,
    bar: *mut rvpci_bar,
) -> bool {
    // SAFETY: the caller promises a device and holds its lock.
    let Some(from) = unsafe { state(device) }.bars().get(number as usize) else { return false };
    let (address, size) = from.host_range();
    let to = rvpci_bar {
        address,
        size,
        guest: from.guest_address().unwrap_or(RVPCI_NO_ADDRESS),
        kind: from.kind() as u32, // CAST: the discriminants are RVPCI_BAR_*.
        prefetchable: from.prefetchable(),
        mapped: from.is_present(),
    };
    // SAFETY: the caller promises a place to write to.
    unsafe { bar.write(to) };
    true
}

static_assertions::const_assert_eq!(Refusal::COUNT, crate::RVPCI_REFUSED_COUNT as usize);
