//! Domains: who owns an address.

use core::ffi::c_void;
use core::slice;

use capabilities::{Sbdf, Width};
use static_assertions::{const_assert, const_assert_eq};
use vpci::{Domain, DomainError, Handle, Kind, Owner, Pages, Slot, TRAPPED, Window, windows_for};

use crate::abi::{
    EINVAL, Errno, RVPCI_AGAIN, RVPCI_DONE, RVPCI_OWNER_DEFAULT, RVPCI_OWNER_DEVICE, RVPCI_OWNER_HIDDEN,
    RVPCI_OWNER_MCH, RVPCI_OWNER_READ_ONLY,
};
use crate::device::{self, rvpci_device};

/// The addresses of one domain. Its slots and windows stand behind it in the same memory.
pub struct rvpci_domain {
    name: *mut c_void,
    slots: u32,
    owners: u32,
    windows: u32,
    /// The device-model servers that know registers from 0x100 on, a bit each.
    #[cfg(feature = "q35")]
    extended: u32,
}

const_assert!(align_of::<Slot>() <= align_of::<rvpci_domain>());
const_assert!(align_of::<Window>() <= align_of::<rvpci_domain>());
const_assert_eq!(size_of::<rvpci_domain>() % align_of::<Slot>(), 0);
const_assert_eq!(size_of::<Slot>() % align_of::<Window>(), 0);

/// The table of owners.
///
/// # Safety
///
/// `domain` is a domain, and nobody changes it while the slice is in use.
#[inline]
pub(crate) unsafe fn slots<'a>(domain: *const rvpci_domain) -> &'a [Slot] {
    // SAFETY: the caller promises a domain; it is initialised.
    let count = unsafe { (*domain).slots } as usize;
    // SAFETY: the slots follow the domain in the same memory.
    let slots = unsafe { domain.add(1) }.cast::<Slot>();
    // SAFETY: `rvpci_domain_init` zeroed them, which is a valid slot, and there are `count`.
    unsafe { slice::from_raw_parts(slots, count) }
}

/// The domain as the engine takes it.
///
/// # Safety
///
/// `domain` is a domain, and nobody else uses it while the value is in use.
pub(crate) unsafe fn exclusive<'a>(domain: *mut rvpci_domain) -> Domain<'a> {
    // SAFETY: the caller promises a domain for itself alone.
    let header = unsafe { &mut *domain };
    let count = header.slots as usize;
    // SAFETY: the slots follow the domain in the same memory.
    let slots = unsafe { domain.add(1) }.cast::<Slot>();
    // SAFETY: the windows follow the slots.
    let windows = unsafe { slots.add(count) }.cast::<Window>();
    Domain {
        owners: &mut header.owners,
        windows_used: &mut header.windows,
        // SAFETY: `rvpci_domain_init` zeroed them, which is a valid slot, and there are `count`.
        slots: unsafe { slice::from_raw_parts_mut(slots, count) },
        // SAFETY: likewise for windows.
        windows: unsafe { slice::from_raw_parts_mut(windows, windows_for(count)) },
    }
}

/// The servers that know registers from 0x100 on, a bit each.
///
/// # Safety
///
/// `domain` is a domain.
#[cfg(feature = "q35")]
pub(crate) unsafe fn extended(domain: *const rvpci_domain) -> u32 {
    // SAFETY: the caller promises a domain; it is initialised.
    unsafe { (*domain).extended }
}

/// Says which servers these are.
///
/// # Safety
///
/// `domain` is a domain, and nobody else uses it.
#[cfg(feature = "q35")]
pub(crate) unsafe fn set_extended(domain: *mut rvpci_domain, servers: u32) {
    // SAFETY: the caller promises it.
    unsafe { (*domain).extended = servers };
}

/// What the caller named the domain.
///
/// # Safety
///
/// `domain` is a domain.
pub(crate) unsafe fn name(domain: *const rvpci_domain) -> *mut c_void {
    // SAFETY: the caller promises a domain; it is initialised.
    unsafe { (*domain).name }
}

/// The bytes of memory, aligned to 8, that a domain with `slots` places needs: `slots` is a power of two from 4 to
/// 2^20, and four times as many as there can be owners. 0 for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_domain_size(slots: u32) -> usize {
    if !(4..=1 << 20).contains(&slots) || !slots.is_power_of_two() {
        return 0;
    }
    let slots = slots as usize; // CAST: widening.
    size_of::<rvpci_domain>() + slots * size_of::<Slot>() + windows_for(slots) * size_of::<Window>()
}

/// Makes a domain in `size` bytes at `memory`, which becomes its address. `name` is what `rvpci_host_*` are to call
/// it. If `from` is not NULL, its owners and windows are taken over, and `from` is not to be used any more.
///
/// Lock: exclusive. Work: linear in `slots`.
/// Returns 0; -EINVAL for a `slots` or `size` that does not fit, -ENOSPC if `from` has too many owners: then `from`
/// stays in use.
///
/// # Safety
///
/// `memory` is aligned to 8 and for the library alone; `from` is NULL or a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_domain_init(
    memory: *mut c_void,
    size: usize,
    slots: u32,
    name: *mut c_void,
    from: *mut rvpci_domain,
) -> i32 {
    let needed = rvpci_domain_size(slots);
    if needed == 0 || size < needed {
        return -EINVAL;
    }
    let domain = memory.cast::<rvpci_domain>();
    // SAFETY: the caller gives at least `needed` bytes.
    unsafe { memory.cast::<u8>().write_bytes(0, needed) };
    // SAFETY: the memory is aligned and large enough.
    unsafe {
        domain.write(rvpci_domain {
            name,
            slots,
            owners: 0,
            windows: 0,
            #[cfg(feature = "q35")]
            extended: 0,
        });
    };
    if from.is_null() {
        return 0;
    }
    #[cfg(feature = "q35")]
    {
        // SAFETY: `from` is a domain.
        let extended = unsafe { extended(from) };
        // SAFETY: it was just made.
        unsafe { set_extended(domain, extended) };
    }
    // SAFETY: it was just made.
    let mut to = unsafe { exclusive(domain) };
    // SAFETY: `from` is a domain, and the exclusive lock is held.
    let from = unsafe { exclusive(from) };
    to.take_over(&from).err().map_or(0, Errno::errno)
}

/// Names an owner that is no device: `RVPCI_OWNER_HIDDEN`, `RVPCI_OWNER_READ_ONLY`, `RVPCI_OWNER_MCH`, or
/// `RVPCI_OWNER_DEFAULT` to take such an owner away.
///
/// Lock: exclusive. Work: constant on average.
/// Returns 0; -EINVAL for another `owner`, -EEXIST if a device or another owner is there, -ENOSPC if the domain is
/// full.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_set_owner(domain: *mut rvpci_domain, sbdf: u32, owner: u32) -> i32 {
    // SAFETY: the caller promises a domain and holds the exclusive lock.
    let mut domain = unsafe { exclusive(domain) };
    let sbdf = Sbdf(sbdf);
    let owner = match owner {
        RVPCI_OWNER_DEFAULT => Owner::Default,
        RVPCI_OWNER_HIDDEN => Owner::Hidden,
        RVPCI_OWNER_READ_ONLY => Owner::ReadOnly,
        RVPCI_OWNER_MCH if cfg!(feature = "q35") => Owner::HostBridge,
        _ => return -EINVAL,
    };
    let is_taken = |slot: &Slot| slot.kind() == Kind::Function || slot.kind().is_server();
    if vpci::find_slot(domain.slots, sbdf).is_some_and(is_taken) {
        return DomainError::Taken.errno();
    }
    domain.set_owner(sbdf, owner).err().map_or(0, Errno::errno)
}

const_assert_eq!(RVPCI_OWNER_DEFAULT, Kind::Empty as u32);
const_assert_eq!(RVPCI_OWNER_DEVICE, Kind::Function as u32);
const_assert_eq!(RVPCI_OWNER_READ_ONLY, Kind::ReadOnly as u32);
const_assert_eq!(RVPCI_OWNER_HIDDEN, Kind::Hidden as u32);
const_assert_eq!(RVPCI_OWNER_MCH, Kind::HostBridge as u32);

/// The owner of `sbdf`, `RVPCI_OWNER_*`. If it is a device, it is stored in `*device`; what is there otherwise is of
/// no use.
///
/// Lock: shared, kept until the device's lock is taken. Work: constant on average.
///
/// # Safety
///
/// `domain` is a domain, and `device` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_find(
    domain: *const rvpci_domain,
    sbdf: u32,
    device: *mut *mut rvpci_device,
) -> u32 {
    // SAFETY: the caller promises a domain and holds its lock.
    let slots = unsafe { slots(domain) };
    let Some(slot) = vpci::find_slot(slots, Sbdf(sbdf)) else { return RVPCI_OWNER_DEFAULT };
    // SAFETY: the caller promises a place to write to.
    unsafe { device.write(device::from_handle(slot.handle())) };
    slot.kind() as u32 // CAST: the discriminants are RVPCI_OWNER_*.
}

/// The device that a trapped page at the guest physical `address` belongs to, or NULL: one with its MSI-X table or PBA, or
/// one that is withheld from a guest.
///
/// Lock: shared. Work: linear in the devices with such pages whose BARs are mapped.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_find_window(domain: *const rvpci_domain, address: u64) -> *mut rvpci_device {
    // SAFETY: the caller promises a domain and holds its lock.
    let slots = unsafe { slots(domain) };
    // SAFETY: the windows follow the slots.
    let windows = unsafe { slots.as_ptr().add(slots.len()) }.cast::<Window>();
    // SAFETY: the domain is initialised.
    let used = unsafe { (*domain).windows } as usize;
    // SAFETY: `used` of them are initialised, at most as many as there is room for.
    let windows = unsafe { slice::from_raw_parts(windows, used) };
    match vpci::find_window(windows, address >> vpci::PAGE_SHIFT) {
        Some(handle) => device::from_handle(handle),
        None => core::ptr::null_mut(),
    }
}

/// Does deferred work of the domain: maps and unmaps BARs, and lets the registers follow.
///
/// Lock: exclusive. Work: goes on until `rvpci_host_preempt` says so or all is done; a call of `rvpci_host_map` or
/// `_unmap` is preceded by a search that is bounded by the number of BARs in the domain.
/// Returns `RVPCI_DONE` or `RVPCI_AGAIN`.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_step(domain: *mut rvpci_domain) -> i32 {
    let mut again = false;
    // The table does not change while devices are worked on, only the windows do.
    // SAFETY: the caller promises a domain and holds the exclusive lock.
    let count = unsafe { slots(domain) }.len();
    for at in 0..count {
        // SAFETY: as above; the reference does not outlive the statement.
        let handle = unsafe { slots(domain) }.get(at).and_then(Slot::function);
        let Some(handle) = handle else { continue };
        // SAFETY: the handle is in the table, so it is an attached device of this domain.
        again |= unsafe { device::step(domain, handle) };
        if again {
            return RVPCI_AGAIN;
        }
    }
    RVPCI_DONE
}

/// Whether an access of `bytes` at `offset` reaches a function at all: 1, 2, 4 or 8 bytes, aligned, below 0x1000. One
/// of 8 bytes, which only ECAM knows, is to be made as two of 4, the lower first.
///
/// Lock: none. Work: constant.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_access_allowed(offset: u32, bytes: u32) -> bool {
    let dword = u32::from(Width::Dword.bytes());
    let (offset, bytes) = if bytes == 2 * dword && offset.is_multiple_of(2 * dword) {
        (offset, dword)
    } else {
        (offset, bytes)
    };
    capabilities::Access::new(offset, bytes).is_some()
}

/// Changes the table of `domain` on behalf of a device.
///
/// # Safety
///
/// `domain` is a domain, and nobody else uses it.
pub(crate) unsafe fn set_function(
    domain: *mut rvpci_domain,
    sbdf: Sbdf,
    handle: Option<Handle>,
) -> Result<(), DomainError> {
    // SAFETY: the caller promises it.
    let mut domain = unsafe { exclusive(domain) };
    domain.set_owner(sbdf, handle.map_or(Owner::Default, Owner::Function))
}

/// The device at `sbdf`.
///
/// # Safety
///
/// `domain` is a domain that nobody changes meanwhile.
pub(crate) unsafe fn find_function(domain: *const rvpci_domain, sbdf: Sbdf) -> Option<Handle> {
    // SAFETY: the caller promises it.
    vpci::find_slot(unsafe { slots(domain) }, sbdf).and_then(Slot::function)
}

/// Sets the pages that trap for a device.
///
/// # Safety
///
/// As for [`set_function`].
pub(crate) unsafe fn set_windows(domain: *mut rvpci_domain, handle: Handle, pages: [Option<Pages>; TRAPPED]) {
    // SAFETY: the caller promises it.
    let mut domain = unsafe { exclusive(domain) };
    domain.set_windows(handle, pages);
}

/// The devices of a domain, in no order.
///
/// # Safety
///
/// `domain` is a domain that does not change while the iterator is in use.
pub(crate) unsafe fn functions<'a>(domain: *const rvpci_domain) -> impl Iterator<Item = Handle> + 'a {
    // SAFETY: the caller promises it.
    unsafe { slots(domain) }.iter().filter_map(Slot::function)
}
