//! The functions that a hypervisor defines. Each test has its own hardware: functions with a clock, for resets, or the
//! host of a domain, for devices.

use std::cell::RefCell;
use std::ffi::c_void;
use std::rc::Rc;

use capabilities::{Sbdf, Width};
use ffi::{RVPCI_AGAIN, RVPCI_DONE, rvpci_device, rvpci_device_withdraw, rvpci_domain};
use quirks::reset::Platform;
use tests::host::FakeHost;
use tests::reset::model::Model;
use vpci::{Host, Message, Pages, Pirq, Progress};

/// What a test runs on.
#[derive(Clone)]
enum Hardware {
    /// Functions behind a bridge, and the members of the reset that goes on.
    Model(Rc<Model>, Vec<Sbdf>),
    /// The host of one domain, and the device in it, once there is one.
    Domain(Rc<FakeHost>, Option<(*mut rvpci_domain, *mut rvpci_device)>),
}

thread_local! {
    static HARDWARE: RefCell<Option<Hardware>> = const { RefCell::new(None) };
}

/// This test is about resets of the functions in `model`, all of them members.
pub(crate) fn use_model(model: Model, members: Vec<Sbdf>) -> Rc<Model> {
    let model = Rc::new(model);
    HARDWARE.set(Some(Hardware::Model(model.clone(), members)));
    model
}

/// The members of the reset that goes on are these, and not all functions.
pub(crate) fn set_members(members: Vec<Sbdf>) {
    HARDWARE.with_borrow_mut(|hardware| match hardware {
        Some(Hardware::Model(_, all)) => *all = members,
        _ => panic!("there are no resets"),
    });
}

/// This test is about devices in a domain.
pub(crate) fn use_domain() -> Rc<FakeHost> {
    let host = Rc::new(FakeHost::default());
    HARDWARE.set(Some(Hardware::Domain(host.clone(), None)));
    host
}

/// The device that a reset takes from its domain.
pub(crate) fn set_device(domain: *mut rvpci_domain, device: *mut rvpci_device) {
    let host = domain_host();
    HARDWARE.set(Some(Hardware::Domain(host, Some((domain, device)))));
}

fn hardware() -> Hardware {
    HARDWARE.with_borrow(|hardware| hardware.clone().expect("the test has hardware"))
}

fn domain_host() -> Rc<FakeHost> {
    match hardware() {
        Hardware::Domain(host, _) => host,
        Hardware::Model(..) => panic!("there is no domain"),
    }
}

fn width(bytes: u32) -> Width {
    Width::from_bytes(bytes).expect("1, 2 or 4 bytes")
}

fn at(offset: u32) -> u16 {
    u16::try_from(offset).expect("an offset in configuration space")
}

fn byte(number: u32) -> u8 {
    u8::try_from(number).expect("few")
}

const FAILED: i32 = -5;

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_config_read(sbdf: u32, offset: u32, bytes: u32) -> u32 {
    match hardware() {
        Hardware::Model(model, _) => model.config_read(Sbdf(sbdf), at(offset), width(bytes)),
        Hardware::Domain(host, _) => host.config_read(Sbdf(sbdf), at(offset), width(bytes)),
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_config_write(sbdf: u32, offset: u32, bytes: u32, value: u32) {
    match hardware() {
        Hardware::Model(model, _) => model.config_write(Sbdf(sbdf), at(offset), width(bytes), value),
        Hardware::Domain(host, _) => host.config_write(Sbdf(sbdf), at(offset), width(bytes), value),
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_memory_read(sbdf: u32, address: u64) -> u32 {
    match hardware() {
        Hardware::Model(model, _) => model.memory_read(Sbdf(sbdf), address),
        Hardware::Domain(..) => u32::MAX,
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_memory_write(sbdf: u32, address: u64, value: u32) {
    if let Hardware::Model(model, _) = hardware() {
        model.memory_write(Sbdf(sbdf), address, value);
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_withdraw(sbdf: u32) -> i32 {
    match hardware() {
        Hardware::Model(model, _) => match model.withdraw(Sbdf(sbdf)) {
            Progress::Done => RVPCI_DONE,
            Progress::Again => RVPCI_AGAIN,
        },
        Hardware::Domain(_, None) => RVPCI_DONE,
        // SAFETY: the test said that the device is in that domain.
        Hardware::Domain(_, Some((domain, device))) => unsafe { rvpci_device_withdraw(domain, device) },
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_claim(sbdf: u32) -> bool {
    match hardware() {
        Hardware::Model(model, _) => model.claim_function(Sbdf(sbdf)),
        Hardware::Domain(..) => true,
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_release(sbdf: u32) {
    if let Hardware::Model(model, _) = hardware() {
        model.release_function(Sbdf(sbdf));
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_claim_bus(bridge: u32, first: u32) -> bool {
    match hardware() {
        Hardware::Model(model, members) => {
            assert_eq!(members.first(), Some(&Sbdf(first)));
            model.claim_bus(Sbdf(bridge), &members)
        }
        Hardware::Domain(..) => false,
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_release_bus(bridge: u32) {
    if let Hardware::Model(model, _) = hardware() {
        model.release_bus(Sbdf(bridge));
    }
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_map(_: *mut c_void, gfn: u64, mfn: u64, count: u64) -> i64 {
    let guest = Pages { first: gfn, last: gfn + count - 1 };
    domain_host().map(guest, mfn).map_or(i64::from(FAILED), |done| i64::try_from(done).expect("few"))
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_unmap(_: *mut c_void, gfn: u64, mfn: u64, count: u64) -> i64 {
    let guest = Pages { first: gfn, last: gfn + count - 1 };
    domain_host().unmap(guest, mfn).map_or(i64::from(FAILED), |done| i64::try_from(done).expect("few"))
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_make_hole(_: *mut c_void, gfn: u64) -> i32 {
    domain_host().make_hole(gfn).map_or(FAILED, |()| 0)
}

/// # Safety
///
/// Both places may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn rvpci_host_next_reserved(first: u64, last: u64, from: *mut u64, to: *mut u64) -> bool {
    let Some(pages) = domain_host().next_reserved(Pages { first, last }) else { return false };
    // SAFETY: the caller promises it.
    unsafe { from.write(pages.first) };
    // SAFETY: likewise.
    unsafe { to.write(pages.last) };
    true
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_may_place(_: *mut c_void, first: u64, last: u64) -> bool {
    domain_host().may_place(Pages { first, last })
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_is_shared(sbdf: u32, mfn: u64) -> bool {
    domain_host().is_shared(Sbdf(sbdf), mfn)
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_vpd_read(_: *mut c_void, address: u32) -> u32 {
    domain_host().vpd_read(at(address))
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_preempt() -> bool {
    domain_host().preempt()
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_map_msi(_: *mut c_void, vectors: u32) -> i32 {
    domain_host().map_msi(byte(vectors)).map_or(FAILED, |pirq| pirq.0)
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_map_msix(_: *mut c_void, entry: u32, table: u64) -> i32 {
    domain_host().map_msix(at(entry), table).map_or(FAILED, |pirq| pirq.0)
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_unmap_pirq(_: *mut c_void, pirq: i32) {
    domain_host().unmap_pirq(Pirq(pirq));
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_bind(
    _: *mut c_void,
    pirq: i32,
    vectors: u32,
    address: u64,
    data: u32,
    mask: u32,
) -> i32 {
    let message = Message { address, data };
    domain_host().bind(Pirq(pirq), byte(vectors), message, mask).map_or(FAILED, |()| 0)
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_unbind(_: *mut c_void, pirq: i32, vectors: u32) {
    domain_host().unbind(Pirq(pirq), byte(vectors));
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_mask(_: *mut c_void, pirq: i32, masked: bool) {
    domain_host().mask(Pirq(pirq), 0, masked);
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_filter_msix_control(_: *mut c_void, offset: u32, value: u32) -> i32 {
    let value = u16::try_from(value).expect("a word");
    domain_host().filter_msix_control(at(offset), value).map_or(FAILED, i32::from)
}

/// # Safety
///
/// `value` may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn rvpci_host_mmio_read(
    _: *mut c_void,
    slot: u32,
    mfn: u64,
    offset: u32,
    bytes: u32,
    value: *mut u64,
) -> i32 {
    let Some(read) = domain_host().mmio_read(byte(slot), mfn, at(offset), byte(bytes)) else { return FAILED };
    // SAFETY: the caller promises it.
    unsafe { value.write(read) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn rvpci_host_mmio_write(
    _: *mut c_void,
    slot: u32,
    mfn: u64,
    offset: u32,
    bytes: u32,
    value: u64,
) {
    domain_host().mmio_write(byte(slot), mfn, at(offset), byte(bytes), value);
}
