//! Devices of a guest that leave their domain for a reset, and come back.

use std::ptr;
use std::rc::Rc;

use capabilities::{Sbdf, Width};
use ffi::*;
use quirks::reset::Region;
use tests::guest::{ADVANCED, BAR0, BARS, COMMAND, EXPRESS, MSI, MSIX, TABLE, everything};
use tests::host::{Event, FakeHost, Import, Preempt};

use crate::host;
use crate::record::{Record, info, step};

const DEVICE_CONTROL: u32 = EXPRESS as u32 + 8;
const INITIATE_FLR: u32 = 0x8000;
/// The physical function, and where its guest sees it.
const SBDF: Sbdf = Sbdf::new(0, 3, 0, 0);
const GUEST: u32 = 0x20;

/// Memory of the caller's.
fn memory(bytes: usize) -> Vec<u64> {
    vec![0xa5a5_a5a5_a5a5_a5a5; bytes.div_ceil(8)]
}

/// A guest with a device that has everything.
struct Guest {
    host: Rc<FakeHost>,
    domain: Vec<u64>,
    device: Vec<u64>,
    record: Record,
}

impl Guest {
    /// A guest without a device, and what is known of the device that it is to have.
    fn empty() -> Self {
        let host = host::use_domain();
        host.plug(SBDF, everything());
        // The device as the hardware domain left it: no virtual functions, no errors. MSI-X stays as large as it is, though
        // all other bits of this device can be written.
        {
            let mut device = host.device(SBDF);
            device.set(0x4c8, Width::Word, 0);
            device.set(0x104, Width::Dword, 0);
            device.set(0x110, Width::Dword, 0);
            device.allow(MSIX + 2, Width::Word, 0xc000);
        }
        let mut record = Record::new();
        assert_eq!(record.learn(&info(SBDF, [Region::default(); 6])), 0);
        let mut guest = Self { host, domain: memory(rvpci_domain_size(64)), device: Vec::new(), record };
        let size = guest.domain.len() * 8;
        // SAFETY: the memory is that large.
        let made = unsafe {
            rvpci_domain_init(guest.domain.as_mut_ptr().cast(), size, 64, ptr::null_mut(), ptr::null_mut())
        };
        assert_eq!(made, 0);
        guest
    }

    /// The same, with the device.
    fn new() -> Self {
        let mut guest = Self::empty();
        assert_eq!(guest.attach(&guest.info()), RVPCI_DONE);
        host::set_device(guest.domain(), guest.device());
        guest.host.take_events();
        guest
    }

    fn domain(&self) -> *mut rvpci_domain {
        self.domain.as_ptr().cast_mut().cast()
    }

    fn device(&self) -> *mut rvpci_device {
        self.device.as_ptr().cast_mut().cast()
    }

    fn info(&self) -> rvpci_device_info {
        rvpci_device_info {
            sbdf: SBDF.0,
            guest: GUEST,
            view: RVPCI_VIEW_GUEST,
            flags: RVPCI_TRUSTED,
            registers: RVPCI_REGISTERS,
            rule_count: 0,
            bar: BARS.map(|bar| bar.unwrap_or(RVPCI_NO_ADDRESS)),
            rules: ptr::null(),
            vf: ptr::null(),
            device: ptr::null_mut(),
            physical: self.record.pointer(),
        }
    }

    fn attach(&mut self, info: &rvpci_device_info) -> i32 {
        self.device = memory(rvpci_device_size(info.sbdf, info.registers));
        let size = self.device.len() * 8;
        // SAFETY: the memory is that large, and all that `info` points to is there.
        unsafe { rvpci_device_attach(self.domain(), self.device().cast(), size, info) }
    }

    fn reattach(&mut self, info: &rvpci_device_info) -> i32 {
        // SAFETY: the device is attached, and all that `info` points to is there.
        unsafe { rvpci_device_reattach(self.domain(), self.device(), info) }
    }

    fn withdraw(&mut self) -> i32 {
        // SAFETY: the device is attached.
        unsafe { rvpci_device_withdraw(self.domain(), self.device()) }
    }

    /// Withdraws it to the end; in how many calls.
    fn withdraw_all(&mut self) -> u32 {
        let calls = (1..1000).find(|_| self.withdraw() == RVPCI_DONE);
        calls.expect("it ends")
    }

    fn read(&self, offset: u32, bytes: u32) -> u32 {
        // SAFETY: the device is attached.
        unsafe { rvpci_read(self.device(), offset, bytes) }
    }

    fn write(&mut self, offset: u32, bytes: u32, value: u32) -> i32 {
        // SAFETY: the device is attached.
        let written = unsafe { rvpci_write(self.device(), offset, bytes, value, RVPCI_EXCLUSIVE) };
        if written == RVPCI_PENDING {
            // SAFETY: the domain is one.
            while unsafe { rvpci_step(self.domain()) } == RVPCI_AGAIN {}
        }
        written
    }

    fn window(&self, address: u64) -> *mut rvpci_device {
        // SAFETY: the domain is one.
        unsafe { rvpci_find_window(self.domain(), address) }
    }

    /// Everything that the guest reads.
    fn view(&self) -> Vec<u32> {
        (0..0x1000).step_by(4).map(|offset| self.read(offset, 4)).collect()
    }

    /// Uses all that a guest can use.
    fn work(&mut self) {
        self.write(u32::from(COMMAND), 2, 6);
        self.write(u32::from(MSI) + 4, 4, 0xfee0_0000);
        self.write(u32::from(MSI) + 12, 2, 0x41);
        self.write(u32::from(MSI) + 2, 2, 0x0021);
        for (offset, value) in [(0, 0xfee0_0000), (8, 0x42)] {
            // SAFETY: the device is attached.
            unsafe { rvpci_mmio_write(self.device(), TABLE + offset, 8, value, RVPCI_SHARED) };
        }
        self.write(u32::from(MSIX) + 2, 2, 0x8000);
        assert!(!self.host.p2m().is_empty());
        assert_eq!(self.host.pirqs().len(), 2, "of MSI and of MSI-X");
        assert_eq!(self.window(TABLE), self.device());
    }

    /// Whether the device was accessed since this was last asked.
    fn was_accessed(&self) -> bool {
        self.host.take_events().iter().any(|event| matches!(event, Event::Read(..) | Event::Write(..)))
    }
}

/// Whether it reads as no function does.
fn is_away(guest: &Guest) -> bool {
    guest.view() == [u32::MAX; 0x400]
}

#[test]
fn a_guests_write_asks_for_a_reset() {
    let mut guest = Guest::new();
    assert_eq!(guest.write(DEVICE_CONTROL, 2, INITIATE_FLR), RVPCI_RESET);
    assert_eq!(guest.write(u32::from(ADVANCED) + 4, 1, 1), RVPCI_RESET);
    let wrote = |event: &Event| matches!(event, Event::Write(..));
    assert!(!guest.host.take_events().iter().any(wrote), "the device was written to");
    // Not if nothing is known of the function, or no method of its own applies.
    let mut guest = Guest::empty();
    let nothing = rvpci_device_info { physical: ptr::null(), ..guest.info() };
    assert_eq!(guest.attach(&nothing), RVPCI_DONE);
    assert_eq!(guest.write(DEVICE_CONTROL, 2, INITIATE_FLR), RVPCI_DONE);
    let mut guest = Guest::empty();
    let bus_only = rvpci_quirk { says: RVPCI_SAYS_ORDER, order: [5, 0, 0, 0, 0], ..ROW };
    guest.record.quirks(&[bus_only], 0);
    assert_eq!(guest.attach(&guest.info()), RVPCI_DONE);
    assert_eq!(guest.write(DEVICE_CONTROL, 2, INITIATE_FLR), RVPCI_DONE);
}

/// A row for this device.
const ROW: rvpci_quirk = rvpci_quirk { vendor: 0x8086, first: 0x1521, last: 0x1521, ..crate::bus::ROW };

#[test]
fn what_is_denied_is_for_who_is_trusted() {
    let mut guest = Guest::empty();
    let free = rvpci_device_info { flags: 0, ..guest.info() };
    guest.record.quirks(&[rvpci_quirk { value: RVPCI_QUIRK_DENY, ..ROW }], 0);
    assert_eq!(guest.record.flags() & RVPCI_QUIRK_DENY, RVPCI_QUIRK_DENY);
    guest.host.take_events();
    assert_eq!(guest.attach(&free), -1);
    assert!(!guest.host.take_events().iter().any(|event| matches!(event, Event::Write(..))));
    // Its place in the domain is free.
    assert_eq!(guest.attach(&guest.info()), RVPCI_DONE);
    assert_eq!(guest.withdraw_all(), 1);
    assert_eq!(guest.reattach(&free), -1);
    assert!(is_away(&guest));
    assert_eq!(guest.reattach(&guest.info()), RVPCI_DONE);
    // The hardware domain has what it has.
    let mut guest = Guest::empty();
    guest.record.quirks(&[rvpci_quirk { value: RVPCI_QUIRK_DENY, ..ROW }], 0);
    let hardware = rvpci_device_info { view: RVPCI_VIEW_HARDWARE, flags: 0, ..guest.info() };
    assert_eq!(guest.attach(&hardware), RVPCI_PENDING);
}

#[test]
fn a_withdrawn_device_is_not_there_and_holds_nothing() {
    for preempt in [Preempt::Never, Preempt::Always] {
        let mut guest = Guest::new();
        guest.work();
        guest.host.set_preempt(preempt);
        guest.host.take_events();
        let calls = guest.withdraw_all();
        assert_eq!(calls > 1, preempt == Preempt::Always, "{calls} calls");
        assert!(guest.host.p2m().is_empty() && guest.host.pirqs().is_empty());
        assert!(guest.window(TABLE).is_null(), "a page traps");
        assert!(is_away(&guest));
        assert_eq!(guest.write(DEVICE_CONTROL, 2, INITIATE_FLR), RVPCI_DONE);
        assert_eq!(guest.write(u32::from(COMMAND), 2, 6), RVPCI_DONE);
        assert!(!guest.was_accessed());
        // It still has its place.
        let mut found = ptr::null_mut();
        // SAFETY: the domain is one.
        let owner = unsafe { rvpci_find(guest.domain(), GUEST, &raw mut found) };
        assert_eq!((owner, found), (RVPCI_OWNER_DEVICE, guest.device()));
        assert_eq!(guest.withdraw(), RVPCI_DONE);
    }
}

#[test]
fn a_device_comes_back_as_it_was_given() {
    let mut guest = Guest::new();
    let first = guest.view();
    guest.work();
    guest.withdraw_all();
    // Places do not count: BARs are where they were.
    let elsewhere = rvpci_device_info { bar: [RVPCI_NO_ADDRESS; 7], registers: 0, ..guest.info() };
    assert_eq!(guest.reattach(&elsewhere), RVPCI_DONE);
    assert!(guest.view() == first, "it is another one");
    assert!(guest.window(TABLE).is_null());
    guest.work();
    assert!(guest.host.p2m().get(BAR0 >> 12).is_some());
    assert_eq!(guest.write(DEVICE_CONTROL, 2, INITIATE_FLR), RVPCI_RESET);
    // SAFETY: the device is attached.
    unsafe { rvpci_device_detach(guest.domain(), guest.device()) };
    assert!(guest.host.holds_nothing());
}

#[test]
fn only_what_is_away_is_given_back() {
    let mut guest = Guest::new();
    guest.work();
    let whole = guest.info();
    assert_eq!(guest.reattach(&whole), -22);
    // Pages are left: giving it back would forget them.
    guest.host.fail_from(Import::Unmap, 0);
    assert_eq!(guest.withdraw(), RVPCI_AGAIN);
    assert_eq!(guest.reattach(&whole), -22);
    guest.host.fail_nothing();
    guest.withdraw_all();
    for other in [
        rvpci_device_info { sbdf: SBDF.0 + 1, ..whole },
        rvpci_device_info { guest: GUEST + 8, ..whole },
        rvpci_device_info { view: RVPCI_VIEW_HARDWARE, ..whole },
    ] {
        assert_eq!(guest.reattach(&other), -22);
    }
    assert_eq!(guest.reattach(&rvpci_device_info { view: 2, ..whole }), -95);
    assert!(is_away(&guest));
    assert_eq!(guest.reattach(&whole), RVPCI_DONE);
}

#[test]
fn a_device_that_cannot_be_given_back_can_be_later() {
    let mut guest = Guest::new();
    let first = guest.view();
    guest.work();
    guest.withdraw_all();
    // It does not look like a function for now.
    let header_type = guest.host.device(SBDF).get(0x0e, Width::Byte);
    guest.host.device(SBDF).set(0x0e, Width::Byte, 0x7f);
    assert_eq!(guest.reattach(&guest.info()), -95);
    guest.host.device(SBDF).set(0x0e, Width::Byte, header_type);
    // Its guest has memory where a BAR was.
    guest.host.p2m_mut().set_special(BAR0 >> 12);
    assert_eq!(guest.reattach(&guest.info()), -98);
    assert!(is_away(&guest));
    assert_eq!(guest.host.device(SBDF).command() & 4, 0, "it masters the bus");
    guest.host.p2m_mut().clear_special(BAR0 >> 12);
    assert_eq!(guest.withdraw(), RVPCI_DONE);
    assert_eq!(guest.reattach(&guest.info()), RVPCI_DONE);
    assert!(guest.view() == first, "it is another one");
    guest.work();
}

#[test]
fn a_device_that_cannot_be_given_back_is_as_its_first_owner_left_it() {
    let mut guest = Guest::empty();
    guest.host.device(SBDF).set(0x04, Width::Word, 0x0547);
    assert_eq!(guest.attach(&guest.info()), RVPCI_DONE);
    guest.withdraw_all();
    // After its reset.
    guest.host.device(SBDF).set(0x04, Width::Word, 0x0400);
    guest.host.p2m_mut().set_special(BAR0 >> 12);
    assert_eq!(guest.reattach(&guest.info()), -98);
    assert_eq!(guest.host.device(SBDF).command(), 0x0543);
}

#[test]
fn a_bar_that_firmware_places_may_be_anywhere_when_its_function_comes_back() {
    let mut guest = Guest::empty();
    let info =
        rvpci_device_info { flags: RVPCI_BARS_BY_FIRMWARE, bar: [RVPCI_NO_ADDRESS; 7], ..guest.info() };
    assert_eq!(guest.attach(&info), RVPCI_DONE);
    guest.host.p2m_mut().set_special(BAR0 >> 12);
    guest.write(0x10, 4, BAR0 as u32);
    guest.withdraw_all();
    assert_eq!(guest.reattach(&info), RVPCI_DONE);
}

#[test]
fn a_device_of_several_functions_stays_one() {
    let mut guest = Guest::new();
    let is_many = |guest: &Guest| guest.read(0x0e, 1) & 0x80 != 0;
    assert!(!is_many(&guest));
    // A second function of it.
    let second = Sbdf(SBDF.0 + 1);
    guest.host.plug(second, tests::device::Device::endpoint(0x8086, 0x1521));
    let nowhere = rvpci_device_info {
        sbdf: second.0,
        guest: GUEST + 1,
        bar: [RVPCI_NO_ADDRESS; 7],
        physical: ptr::null(),
        ..guest.info()
    };
    let mut other = memory(rvpci_device_size(second.0, RVPCI_REGISTERS));
    let size = other.len() * 8;
    // SAFETY: the memory is that large.
    let attached =
        unsafe { rvpci_device_attach(guest.domain(), other.as_mut_ptr().cast(), size, &raw const nowhere) };
    assert_eq!(attached, RVPCI_DONE);
    assert!(is_many(&guest));
    guest.withdraw_all();
    assert_eq!(guest.reattach(&guest.info()), RVPCI_DONE);
    assert!(is_many(&guest));
    // The second one leaves while the first is away.
    guest.withdraw_all();
    // SAFETY: it is attached.
    unsafe { rvpci_device_detach(guest.domain(), other.as_mut_ptr().cast()) };
    assert!(is_away(&guest));
    assert_eq!(guest.reattach(&guest.info()), RVPCI_DONE);
    assert!(!is_many(&guest));
}

#[test]
fn a_domain_that_ends_while_its_device_is_away_does_not_touch_it() {
    let mut guest = Guest::new();
    guest.work();
    guest.host.set_preempt(Preempt::Always);
    assert_eq!(guest.withdraw(), RVPCI_AGAIN);
    guest.host.take_events();
    // SAFETY: the device is attached.
    unsafe { rvpci_device_detach(guest.domain(), guest.device()) };
    assert!(!guest.was_accessed());
    assert!(guest.host.holds_nothing());
}

#[test]
fn the_hardware_domains_device_comes_back_with_its_pages() {
    let mut guest = Guest::empty();
    let hardware = rvpci_device_info { view: RVPCI_VIEW_HARDWARE, guest: SBDF.0, flags: 0, ..guest.info() };
    assert_eq!(guest.attach(&hardware), RVPCI_PENDING);
    // SAFETY: the domain is one.
    assert_eq!(unsafe { rvpci_step(guest.domain()) }, RVPCI_DONE);
    let frames = guest.host.p2m().frames();
    let table = u64::from(tests::guest::HOST_BAR0) + 0x1000;
    assert_eq!(guest.window(table), guest.device());
    guest.withdraw_all();
    assert!(guest.host.p2m().is_empty() && guest.window(table).is_null());
    assert!(is_away(&guest));
    assert_eq!(guest.reattach(&hardware), RVPCI_PENDING);
    // SAFETY: the domain is one.
    assert_eq!(unsafe { rvpci_step(guest.domain()) }, RVPCI_DONE);
    assert_eq!(guest.host.p2m().frames(), frames);
    assert_eq!(guest.window(table), guest.device());
    assert_eq!(guest.read(0, 4), 0x1521_8086);
}

#[test]
fn a_guest_has_its_function_reset() {
    let mut guest = Guest::new();
    let first = guest.view();
    let mut now = 5_000_000;
    for count in 1..4 {
        guest.work();
        assert_eq!(guest.write(DEVICE_CONTROL, 2, INITIATE_FLR), RVPCI_RESET);
        assert_eq!(guest.record.start(RVPCI_NO_SBDF, RVPCI_METHODS_ALL, true, now), 0);
        guest.host.take_events();
        loop {
            let (result, due) = step(&[&guest.record], now);
            if result == RVPCI_DONE {
                break;
            }
            now = due;
        }
        let resets = |event: &&Event| {
            let control = u16::try_from(DEVICE_CONTROL).expect("an offset");
            matches!(event, Event::Write(at, Width::Word, value) if *at == control && value & INITIATE_FLR != 0)
        };
        assert_eq!(guest.host.take_events().iter().filter(resets).count(), 1);
        let (result, state) = guest.record.state();
        assert_eq!((result, state.method, state.count), (0, RVPCI_METHOD_FLR, count));
        assert!(is_away(&guest));
        assert_eq!(guest.reattach(&guest.info()), RVPCI_DONE);
        assert!(guest.view() == first, "it is another one");
    }
}
