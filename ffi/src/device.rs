//! Devices: attach, detach, what is defined by hand.

use core::ffi::c_void;
use core::mem::offset_of;
use core::slice;

use static_assertions::const_assert_eq;

use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{RawScope, Rule};
use capabilities::{Sbdf, Width};
use vpci::{
    AttachError, Bar, Definition, Function, GuestInfo, Handle, Info, Pages, Progress, Register, Siblings,
    Source, State, TRAPPED, Vector, View, VirtualFunction, Written,
};

use crate::abi::{
    EINVAL, ENOENT, EPERM, Errno, RVPCI_BARS_BY_FIRMWARE, RVPCI_DONE, RVPCI_IGNORE_BARS, RVPCI_NO_ADDRESS,
    RVPCI_PENDING, RVPCI_VIEW_GUEST, RVPCI_VIEW_HARDWARE, RVPCI_VPD, rvpci_device_info, rvpci_register,
    rvpci_rule, rvpci_virtual_function,
};
use crate::domain::{self, rvpci_domain};
use crate::host::Xen;
use crate::known::{Known, guard, is_trusted, known};

/// A device under mediation. Its registers and MSI-X vectors stand behind it in the same memory.
pub struct rvpci_device {
    xen: Xen,
    guest: u32,
    registers: u32,
    vectors: u32,
    known: Known,
    state: State,
}

static_assertions::const_assert!(align_of::<rvpci_device>() == 8);
static_assertions::const_assert!(align_of::<Register>() <= 8 && align_of::<Vector>() <= 8);
static_assertions::const_assert_eq!(size_of::<Register>() % 8, 0);
static_assertions::const_assert!(
    size_of::<rvpci_device>() + crate::RVPCI_REGISTERS as usize * size_of::<Register>() <= 4096
);

/// The handle of a device is its address.
fn handle(device: *mut rvpci_device) -> Handle {
    Handle(device.expose_provenance() as u64) // CAST: x86-64.
}

#[inline]
pub(crate) fn from_handle(handle: Handle) -> *mut rvpci_device {
    core::ptr::with_exposed_provenance_mut(handle.0 as usize) // CAST: x86-64.
}

/// The state of a device.
///
/// # Safety
///
/// `device` is a device, and nobody changes its state while the reference is in use.
#[inline]
pub(crate) unsafe fn state<'a>(device: *const rvpci_device) -> &'a State {
    // SAFETY: the caller promises it.
    unsafe { &(*device).state }
}

/// What a device is known as.
///
/// # Safety
///
/// `device` is a device.
pub(crate) const unsafe fn known_as(device: *const rvpci_device) -> Known {
    // SAFETY: the caller promises it. It does not change while the device is attached.
    unsafe { (*device).known }
}

/// The registers of a device.
///
/// # Safety
///
/// `device` is a device, and nobody else uses its registers while the slice is in use.
#[inline]
pub(crate) unsafe fn registers<'a>(device: *mut rvpci_device) -> &'a mut [Register] {
    // SAFETY: the caller promises a device.
    let count = unsafe { (*device).registers } as usize;
    // SAFETY: the registers follow the device in the same memory.
    let first = unsafe { device.add(1) }.cast::<Register>();
    // SAFETY: attach zeroed them, which is a valid register, and there are as many.
    unsafe { slice::from_raw_parts_mut(first, count) }
}

/// The room for MSI-X vectors of a device.
///
/// # Safety
///
/// `device` is a device, and nobody else uses its vectors while the slice is in use.
pub(crate) unsafe fn vectors<'a>(device: *mut rvpci_device) -> &'a mut [Vector] {
    // SAFETY: the caller promises a device.
    let header = unsafe { &*device };
    let (registers, count) = (header.registers as usize, header.vectors as usize);
    // SAFETY: the registers follow the device in the same memory.
    let behind = unsafe { device.add(1) };
    // SAFETY: the vectors follow the registers, whose size keeps the alignment (asserted above).
    let first = unsafe { behind.byte_add(registers * size_of::<Register>()) }.cast::<Vector>();
    // SAFETY: attach zeroed them, which is a valid vector, and there are as many.
    unsafe { slice::from_raw_parts_mut(first, count) }
}

/// The device as the engine takes it.
///
/// # Safety
///
/// `device` is a device, and nobody else uses it while the values are in use.
pub(crate) unsafe fn open<'a>(device: *mut rvpci_device) -> (Function<'a>, Xen) {
    // SAFETY: the caller promises a device for itself alone.
    let registers = unsafe { registers(device) };
    // SAFETY: likewise; the vectors are behind the registers.
    let vectors = unsafe { vectors(device) };
    // SAFETY: likewise; both are behind the header.
    let header = unsafe { &mut *device };
    (Function { state: &mut header.state, registers, vectors }, header.xen)
}

/// The other devices of a domain.
pub(crate) struct Others {
    pub(crate) domain: *const rvpci_domain,
    pub(crate) device: *const rvpci_device,
}

impl Siblings for Others {
    fn each_bar(&self, each: &mut impl FnMut(&Bar)) {
        // SAFETY: whoever makes this value holds the domain's exclusive lock.
        for handle in unsafe { domain::functions(self.domain) } {
            let other = from_handle(handle);
            if core::ptr::eq(other, self.device) {
                continue;
            }
            // SAFETY: it is in the table, so it is a device; it is not the one that is open; and the exclusive lock
            // keeps everybody else out.
            let state = unsafe { state(other) };
            state.bars().iter().for_each(&mut *each);
        }
    }
}

fn size_for(registers: u32, vectors: u32) -> usize {
    // CAST: widening. Neither product comes near the end of the address space.
    size_of::<rvpci_device>()
        + registers as usize * size_of::<Register>()
        + vectors as usize * size_of::<Vector>()
}

/// The bytes of memory, aligned to 8, that the function `sbdf` needs with room for `registers` registers (commonly
/// `RVPCI_REGISTERS`, at most 1024). It depends on the number of MSI-X vectors, which is read from the device.
///
/// Lock: none. Work: at most 50 configuration reads.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_device_size(sbdf: u32, registers: u32) -> usize {
    let xen = Xen { domain: core::ptr::null_mut(), device: core::ptr::null_mut() };
    size_for(registers.min(1024), u32::from(Function::vectors_needed(&xen, Sbdf(sbdf))))
}

/// Takes a function under mediation, in `size` bytes at `memory`, which becomes the device's address.
///
/// Lock: exclusive. Work: at most 1,200 configuration accesses.
/// Returns `RVPCI_DONE`; `RVPCI_PENDING` if memory decoding was on: it is off until `rvpci_step` has mapped the BARs;
/// -EINVAL for memory too small, -EOPNOTSUPP for a header type or view that is not offered, -EEXIST if the address
/// has an owner, -ENOSPC if the domain has too little room, -E2BIG if the device has, -EADDRINUSE for a BAR that cannot be
/// where it is placed, -EPERM for a rule that shows what no guest may have, or a device that is not to be given to one without
/// `RVPCI_TRUSTED`. After an error the function is as it was and the memory the caller's.
/// A guest finds decoding off. The device decodes, does not master the bus and does not assert INTx.
///
/// # Safety
///
/// `domain` is a domain; `memory` is aligned to 8 and for the library alone; `info` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_device_attach(
    domain: *mut rvpci_domain,
    memory: *mut c_void,
    size: usize,
    info: *const rvpci_device_info,
) -> i32 {
    // SAFETY: the caller promises that it can be read.
    let info = unsafe { &*info };
    if info.registers > 1024 || size < size_for(info.registers, 0) {
        return -EINVAL;
    }
    let Some(view) = view(info) else { return AttachError::Unsupported.errno() };
    // SAFETY: the caller promises it.
    if unsafe { is_refused(info) } {
        return -EPERM;
    }
    let device = memory.cast::<rvpci_device>();
    let vectors = (size - size_for(info.registers, 0)) / size_of::<Vector>();
    // SAFETY: the caller gives `size` bytes; zeros are a valid device.
    unsafe { memory.cast::<u8>().write_bytes(0, size) };
    // SAFETY: the caller promises a domain.
    let xen = Xen { domain: unsafe { domain::name(domain) }, device: info.device };
    // SAFETY: the memory is aligned and holds a device.
    let header = unsafe { &mut *device };
    header.xen = xen;
    header.guest = info.guest;
    header.registers = info.registers;
    header.vectors = vectors.min(2048) as u32; // CAST: at most 2048.
    // SAFETY: the caller promises it.
    header.known = unsafe { known(info) };
    // SAFETY: the exclusive lock is held.
    if let Err(error) = unsafe { domain::set_function(domain, Sbdf(info.guest), Some(handle(device))) } {
        return error.errno();
    }
    let trusted = is_trusted(info);
    // SAFETY: the caller promises that what `info` points to can be read for the time of the call.
    let info = unsafe { to_info(info, view) };
    // SAFETY: the device was made above, and the exclusive lock is held.
    match unsafe { attach(domain, device, &info, trusted) } {
        Ok(Written::Pending) => RVPCI_PENDING,
        Ok(_) => RVPCI_DONE,
        Err(error) => {
            // SAFETY: the exclusive lock is held.
            unsafe { forget(domain, device) };
            error.errno()
        }
    }
}

/// The view that is asked for, if there is one.
pub(crate) fn view(info: &rvpci_device_info) -> Option<View> {
    match info.view {
        RVPCI_VIEW_HARDWARE => Some(View::Hardware),
        RVPCI_VIEW_GUEST if cfg!(feature = "guest") => Some(View::Guest),
        _ => None,
    }
}

/// Whether `info` is about this device, as it was attached.
///
/// # Safety
///
/// `device` is a device.
#[cfg(feature = "reset")]
pub(crate) unsafe fn is_of(device: *const rvpci_device, info: &rvpci_device_info, view: View) -> bool {
    // SAFETY: the caller promises it.
    let header = unsafe { &*device };
    header.guest == info.guest && header.state.sbdf() == Sbdf(info.sbdf) && header.state.view() == view
}

/// What is to be attached, as the engine takes it.
///
/// # Safety
///
/// What `info` points to can be read as long as it is borrowed.
pub(crate) unsafe fn to_info(info: &rvpci_device_info, view: View) -> Info<'_> {
    let guest = if cfg!(feature = "guest") {
        // SAFETY: the caller promises it.
        unsafe { guest_info(info) }
    } else {
        GuestInfo::NONE
    };
    Info { sbdf: Sbdf(info.sbdf), view, ignore_bars: info.flags & RVPCI_IGNORE_BARS != 0, guest }
}

/// Whether the function is not to be given to a guest that is not trusted.
///
/// # Safety
///
/// `info.physical` is NULL or a physical function.
#[cfg(feature = "reset")]
pub(crate) unsafe fn is_refused(info: &rvpci_device_info) -> bool {
    // SAFETY: the caller promises it.
    let physical = unsafe { info.physical.as_ref() };
    info.view == RVPCI_VIEW_GUEST && !is_trusted(info) && physical.is_some_and(crate::physical::is_denied)
}

#[cfg(not(feature = "reset"))]
unsafe fn is_refused(_: &rvpci_device_info) -> bool {
    false
}

/// Whether a guest can have the function reset.
///
/// # Safety
///
/// `info.physical` is NULL or a physical function.
#[cfg(feature = "reset")]
unsafe fn is_resettable(info: &rvpci_device_info) -> bool {
    // SAFETY: the caller promises it.
    let physical = unsafe { info.physical.as_ref() };
    physical.is_some_and(crate::physical::is_resettable)
}

#[cfg(not(feature = "reset"))]
const unsafe fn is_resettable(_: &rvpci_device_info) -> bool {
    false
}

/// How a guest gets the device.
///
/// # Safety
///
/// What `info` points to can be read as long as it is borrowed.
unsafe fn guest_info(info: &rvpci_device_info) -> GuestInfo<'_> {
    let address = |bar: u64| (bar != RVPCI_NO_ADDRESS).then_some(bar);
    GuestInfo {
        bars: info.bar.map(address),
        by_firmware: info.flags & RVPCI_BARS_BY_FIRMWARE != 0,
        // SAFETY: the caller promises it, if it is not NULL; the two types are one (asserted below).
        virtual_function: unsafe { info.vf.cast::<VirtualFunction>().as_ref() },
        // SAFETY: likewise.
        rules: unsafe { rules(info.rules, info.rule_count) },
        vpd: info.flags & RVPCI_VPD != 0,
        // SAFETY: likewise.
        resettable: unsafe { is_resettable(info) },
    }
}

/// Rules as the library takes them.
///
/// # Safety
///
/// There are `count` of them, and they can be read as long as they are borrowed, or there are none.
const unsafe fn rules<'a>(rules: *const rvpci_rule, count: u32) -> &'a [Rule] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller promises it; the two types are one (asserted below), and any bits are a rule.
    unsafe { slice::from_raw_parts(rules.cast::<Rule>(), count as usize) } // CAST: widening.
}

/// Whether a rule may be given, whatever the device: 0, -EINVAL if it is malformed, -EPERM if it shows what no guest may
/// have or lets one write where none may. Bytes by their offset are checked again when a device is attached.
///
/// Lock: none. Work: constant.
///
/// # Safety
///
/// `rule` can be read.
#[cfg(feature = "guest")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_rule_check(rule: *const rvpci_rule) -> i32 {
    // SAFETY: the caller promises one rule.
    let rules = unsafe { rules(rule, 1) };
    rules.first().map_or(Ok(()), Rule::check).err().map_or(0, Errno::errno)
}

macro_rules! assert_same {
    ($ours:ty, $theirs:ty { $($field:ident = $name:ident),* }) => {
        const_assert_eq!(size_of::<$ours>(), size_of::<$theirs>());
        const_assert_eq!(align_of::<$ours>(), align_of::<$theirs>());
        $(const_assert_eq!(offset_of!($ours, $field), offset_of!($theirs, $name));)*
    };
}
assert_same!(Rule, rvpci_rule {
    vendor = vendor, device = device, class_mask = class_mask, class_value = class_value, scope = scope,
    offset = offset, length = length, key_offset = key_offset, zero = zero2, key_mask = key_mask,
    key_value = key_value, read = read, write = write
});
const_assert_eq!(offset_of!(RawScope, id) + offset_of!(Rule, scope), offset_of!(rvpci_rule, id));

assert_same!(VirtualFunction, rvpci_virtual_function {
    ids = ids, kinds = bar_register, addresses = address, sizes = size
});

/// Attaches a device that is in the table of its domain.
///
/// # Safety
///
/// `device` is a device in the table of `domain`, and nobody else uses either.
#[cfg_attr(feature = "guest", inline(never))]
unsafe fn attach(
    domain: *mut rvpci_domain,
    device: *mut rvpci_device,
    info: &Info<'_>,
    trusted: bool,
) -> Result<Written, AttachError> {
    // SAFETY: the caller promises a device.
    let known = unsafe { known_as(device) };
    // SAFETY: the caller promises a device for itself alone.
    let (mut function, xen) = unsafe { open(device) };
    let written = function.attach(&xen, info)?;
    let others = Others { domain, device };
    let guarded = guard(&mut function, xen, known, trusted);
    if let Err(error) = guarded.and_then(|()| function.check_placement(&xen, &others)) {
        function.detach(&xen, &others);
        return Err(error);
    }
    if cfg!(feature = "guest") {
        // SAFETY: the exclusive lock is held, and `function` is not used any more.
        unsafe { count_functions(domain, device) };
    }
    Ok(written)
}

/// Takes a device out of its domain's table.
///
/// # Safety
///
/// `device` is in the table of `domain`, and nobody else uses either.
unsafe fn forget(domain: *mut rvpci_domain, device: *mut rvpci_device) {
    // SAFETY: the caller promises a device.
    let guest = Sbdf(unsafe { (*device).guest });
    // SAFETY: the exclusive lock is held. Taking an owner away cannot fail.
    let _ = unsafe { domain::set_function(domain, guest, None) };
    if cfg!(feature = "guest") {
        // SAFETY: likewise.
        unsafe { count_functions(domain, device) };
    }
}

/// Tells the functions of a guest's device whether there are several: those that share the slot of `device`, which may
/// itself be in the table or not.
///
/// # Safety
///
/// `device` was a device of `domain`, and nobody else uses either.
pub(crate) unsafe fn count_functions(domain: *mut rvpci_domain, device: *mut rvpci_device) {
    // SAFETY: the caller promises a device.
    let slot = unsafe { (*device).guest } & !7;
    // SAFETY: the exclusive lock is held.
    let at = |number| unsafe { domain::find_function(domain, Sbdf(slot | number)) };
    let many = (0..8).filter(|number| at(*number).is_some()).nth(1).is_some();
    for other in (0..8).filter_map(at) {
        // SAFETY: it is in the table, so it is a device, and nobody else uses it.
        let (mut function, _) = unsafe { open(from_handle(other)) };
        function.set_multi_function(many);
    }
}

/// Lets go of a device: its PIRQs and its pages in the p2m are given back, deferred work on it is forgotten, and its
/// address has no owner. The memory is the caller's again.
///
/// Lock: exclusive. Work: not divided; bounded by the pages of its BARs and its MSI-X vectors.
///
/// # Safety
///
/// `device` is attached to `domain`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_device_detach(domain: *mut rvpci_domain, device: *mut rvpci_device) {
    // SAFETY: the caller promises a device and holds the exclusive lock.
    let (mut function, xen) = unsafe { open(device) };
    function.detach(&xen, &Others { domain, device });
    // SAFETY: the exclusive lock is held, and `function` is not used any more.
    unsafe { domain::set_windows(domain, handle(device), [None; TRAPPED]) };
    // SAFETY: likewise.
    unsafe { forget(domain, device) };
}

/// Says which pages of a device's trap.
///
/// # Safety
///
/// `device` is attached to `domain`, and nobody else uses either.
pub(crate) unsafe fn set_windows(
    domain: *mut rvpci_domain,
    device: *mut rvpci_device,
    trapped: [Option<Pages>; TRAPPED],
) {
    // SAFETY: the caller promises it.
    unsafe { domain::set_windows(domain, handle(device), trapped) };
}

/// Works on one device. Whether there is more to do.
///
/// # Safety
///
/// The handle is of a device attached to `domain`, whose exclusive lock is held.
pub(crate) unsafe fn step(domain: *mut rvpci_domain, handle: Handle) -> bool {
    let device = from_handle(handle);
    // SAFETY: the caller promises a device for itself alone.
    let (mut function, xen) = unsafe { open(device) };
    if !function.is_pending() {
        return false;
    }
    let progress = function.step(&xen, &Others { domain, device });
    let trapped = function.trapped();
    // SAFETY: the exclusive lock is held, and `function` is not used any more.
    unsafe { set_windows(domain, device, trapped) };
    progress == Progress::Again
}

/// Adds a register to a device.
///
/// Lock: shared, and the device's. Work: linear in the registers.
/// Returns 0; -EINVAL for a register that cannot be, -EEXIST if it overlaps another, -ENOSPC if there is no room.
///
/// # Safety
///
/// `device` is a device, and `register` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_define(device: *mut rvpci_device, register: *const rvpci_register) -> i32 {
    // SAFETY: the caller promises that it can be read.
    let register = unsafe { register.read() };
    let Some(width) = Width::from_bytes(register.bytes) else { return -EINVAL };
    let Ok(offset) = u16::try_from(register.offset) else { return -EINVAL };
    let source = if register.hardware == 0 { Source::Virtual(register.value) } else { Source::Hardware };
    let definition = Definition {
        offset,
        width,
        source,
        read_only: register.ro,
        clear: register.rw1c,
        preserved: register.rsvdp,
        zeroed: register.rsvdz,
    };
    // SAFETY: the caller promises a device and holds its lock.
    let (mut function, _) = unsafe { open(device) };
    function.define(&definition).err().map_or(0, Errno::errno)
}

/// Takes the first capability with this ID out of a device's list, standard or `extended`, and hides its body. PIRQs of
/// MSI or MSI-X are given back.
///
/// Lock: shared, and the device's. Work: at most 1,100 configuration reads, and the device's MSI-X vectors.
/// Returns 0; -ENOENT if there is none, -EINVAL for an ID out of range.
///
/// # Safety
///
/// `device` is a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_hide_capability(device: *mut rvpci_device, id: u32, extended: bool) -> i32 {
    // SAFETY: the caller promises a device and holds its lock.
    let (mut function, xen) = unsafe { open(device) };
    let found = if extended {
        let Ok(id) = u16::try_from(id) else { return -EINVAL };
        function.hide_extended(&xen, ExtendedId(id))
    } else {
        let Ok(id) = u8::try_from(id) else { return -EINVAL };
        function.hide_capability(&xen, CapabilityId(id))
    };
    if found { 0 } else { -ENOENT }
}
