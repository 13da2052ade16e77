//! What a host asks for where it has guests.

use vpci::Record;

use crate::abi::{RVPCI_NO_ADDRESS, rvpci_audit_record, rvpci_bar};
use crate::device::{rvpci_device, state};
use crate::domain::{self, rvpci_domain};

/// The first free device of bus 0 of segment 0, as the address of its function 0, or 0xffffffff if there is none. Device 0
/// is kept for a host bridge.
///
/// Lock: shared. Work: at most 248 searches.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_find_free(domain: *const rvpci_domain) -> u32 {
    // SAFETY: the caller promises a domain and holds its lock.
    let slots = unsafe { domain::slots(domain) };
    vpci::find_free(slots).map_or(u32::MAX, |free| free.0)
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
