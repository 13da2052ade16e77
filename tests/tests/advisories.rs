//! Classes of Xen's security advisories that a mediator can have, one test each where no other test has it.
//! `docs/security.md` has the list.

use capabilities::id::CapabilityId;
use capabilities::policy::Rule;
use capabilities::{Width, policy};
use tests::device::Device;
use tests::guest::{BAR0, COMMAND, EXPRESS, Guest, MSI, MSIX, PBA, TABLE, everything};
use tests::host::{Event, Import, Preempt};
use vpci::{BarKind, GuestInfo, Pages, Progress, Refusal};

/// A rule that is right.
const RULE: Rule = Rule {
    vendor: 0xffff,
    device: 0xffff,
    class_mask: 0,
    class_value: 0,
    scope: policy::Scope::Bytes.raw(),
    offset: 0xec,
    length: 4,
    key_offset: 0,
    zero: 0,
    key_mask: 0,
    key_value: 0,
    read: 1,
    write: 0,
};

fn write_entry(guest: &mut Guest, entry: u64, control: u64) {
    guest.machine.mmio_write(TABLE + 16 * entry, 8, 0xfee0_0000);
    guest.machine.mmio_write(TABLE + 16 * entry + 8, 8, control << 32 | 0x31);
}

#[test]
fn xsa_112_an_access_does_not_run_past_a_region() {
    let mut guest = Guest::default();
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    // Across the end of the table, of the page, and of the PBA; from the last bytes in front of one.
    for (address, bytes) in [
        (TABLE + 0x3c, 8),
        (TABLE + 0x3e, 4),
        (TABLE - 4, 8),
        (TABLE + 0xffc, 8),
        (TABLE + 0xfff, 2),
        (PBA + 4, 8),
        (PBA - 4, 8),
        (PBA + 0xffc, 8),
    ] {
        let value = guest.machine.mmio_read(address, bytes);
        assert!(
            value.is_none_or(|value| value == u64::MAX >> (64 - 8 * u32::from(bytes))),
            "{address:#x}: {value:x?}"
        );
        guest.machine.mmio_write(address, bytes, 0);
    }
    for event in guest.machine.host.take_events() {
        assert!(!matches!(event, Event::MmioRead(..) | Event::MmioWrite(..)), "{event:x?}");
    }
    // Bytes that are no width at all.
    for bytes in [0, 3, 5, 7, 9, 255] {
        assert_eq!(guest.machine.mmio_read(TABLE, bytes), Some(u64::MAX));
        guest.machine.mmio_write(TABLE, bytes, 0);
    }
    assert_eq!(guest.machine.host.take_events(), []);
}

#[test]
fn xsa_157_and_237_interrupts_are_enabled_and_given_back_once() {
    // The host panics where something is given back twice, or that was never there.
    let mut guest = Guest::default();
    guest.write(COMMAND, 2, 2);
    guest.write(MSI + 4, 4, 0xfee0_0000);
    for value in [0x0184, 0x0185, 0x0185, 0x01a5, 0x01a5, 0x0184, 0x0184, 0x0185] {
        guest.write(MSI + 2, 2, value);
        assert_eq!(guest.machine.host.pirqs().len(), (value & 1) as usize, "{value:#x}");
    }
    for value in [0x0003, 0x8003, 0x8003, 0xc003, 0x8003, 0x0003, 0x4003, 0x0003, 0x8003] {
        guest.write(MSIX + 2, 2, value);
        (0..4).for_each(|entry| write_entry(&mut guest, entry, entry & 1));
        (0..4).for_each(|entry| write_entry(&mut guest, entry, entry & 1));
        let held = guest.machine.host.pirqs().len() - 1;
        assert!(held <= if value & 0x8000 == 0 { 0 } else { 2 }, "{value:#x}: {held}");
    }
    guest.end();
}

#[test]
fn xsa_360_395_and_458_a_vector_that_fails_holds_nothing() {
    for import in [Import::MapMsi, Import::MapMsix, Import::Bind] {
        for n in 0..6 {
            let mut guest = Guest::default();
            guest.write(COMMAND, 2, 2);
            guest.write(MSI + 4, 4, 0xfee0_0000);
            guest.machine.host.fail(import, n);
            guest.write(MSI + 2, 2, 0x01a5);
            let enabled = guest.read(MSI + 2, 2) & 1 != 0;
            assert_eq!(enabled, guest.machine.host.pirqs().msi().is_some(), "{import:?} {n}");
            (0..4).for_each(|entry| write_entry(&mut guest, entry, 0));
            guest.write(MSIX + 2, 2, 0x8003);
            let failed = guest.machine.host.calls(import) > n;
            assert_eq!(guest.refusals(Refusal::Interrupt), u32::from(failed), "{import:?} {n}");
            let unbound = guest.machine.host.pirqs().iter().filter(|pirq| pirq.bound.is_none()).count();
            assert!(unbound <= usize::from(import == Import::Bind && n == 0), "{import:?} {n}");
            guest.end();
        }
    }
}

#[test]
fn xsa_238_what_the_toolstack_says_is_checked() {
    let rule = RULE;
    assert!(Guest::allowed(everything(), &[rule]).is_ok());
    for wrong in [
        Rule { offset: 0xfffc, length: 0xfffc, ..rule },
        Rule { offset: 0xffc, length: 8, ..rule },
        Rule { offset: 0xed, ..rule },
        Rule { length: 0, ..rule },
        Rule { length: 3, ..rule },
        Rule { scope: policy::RawScope { number: 3, zero: 0, id: 0 }, ..rule },
        Rule { scope: policy::RawScope { number: 0, zero: 1, id: 0 }, ..rule },
        Rule { zero: 1, ..rule },
        Rule { write: 2, ..rule },
        Rule { offset: 0x3c, ..rule },
    ] {
        // One that is wrong among others spoils them all, and the device is as it was.
        assert!(Guest::allowed(everything(), &[rule, wrong]).is_err(), "{wrong:x?}");
    }
}

#[test]
fn xsa_239_a_read_gives_no_more_than_its_width() {
    // With a register that is in part the device's: bits of Link Control that a rule shows.
    let link =
        Rule { scope: policy::Scope::Standard(CapabilityId(0x10)).raw(), offset: 0x10, read: 0x30, ..RULE };
    let mut guest = Guest::allowed(everything(), &[link]).unwrap();
    assert_eq!(guest.read(EXPRESS + 0x10, 2) & 0x0330, 0x0120);
    guest.write(COMMAND, 2, 2);
    for bytes in [1u32, 2] {
        for offset in (0..0x1000u16).step_by(bytes as usize) {
            assert_eq!(guest.read(offset, bytes) >> (8 * bytes), 0, "{bytes} bytes at {offset:#x}");
        }
    }
    for bytes in [1u8, 2, 4] {
        for address in [TABLE, TABLE + 8, TABLE + 0x100, TABLE + 0x101, TABLE + 0xfff, PBA, PBA + 8] {
            let value = guest.machine.mmio_read(address, bytes).unwrap();
            assert_eq!(value >> (8 * u32::from(bytes)), 0, "{bytes} bytes at {address:#x}");
        }
    }
    // Whatever the host does not read, reads as all ones.
    guest.machine.host.fail_from(Import::MmioRead, 0);
    assert_eq!(guest.machine.mmio_read(PBA, 4), Some(0xffff_ffff));
}

#[test]
fn xsa_461_no_page_with_bytes_of_others() {
    // A small BAR alone in its page has its bytes and no others: around the table that is in it, nothing is.
    let device =
        Device::endpoint(1, 1).with_bar32(0, 0xfe00_0800, 0x100).with_msix(0x50, 2, (0, 0), (0, 0x80));
    let bars = [Some(0xe000_0800), None, None, None, None, None, None];
    let mut guest = Guest::given(device, GuestInfo { bars, ..GuestInfo::NONE }).unwrap();
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    for address in [BAR0, BAR0 + 0x7fc, BAR0 + 0x900, BAR0 + 0xffc] {
        assert_eq!(guest.machine.mmio_read(address, 4), Some(0xffff_ffff), "{address:#x}");
        guest.machine.mmio_write(address, 4, 0);
    }
    assert_eq!(guest.machine.host.take_events(), []);
    assert_eq!(guest.refusals(Refusal::MsixAccess), 8);
    guest.machine.mmio_write(BAR0 + 0x8c0, 4, 0x55);
    assert_eq!(guest.machine.host.memory(0xfe00_08c0), 0x55);
}

#[test]
fn xsa_476_addresses_have_64_bits() {
    let host = 0x7f_ffff_0000_0000;
    let device = Device::endpoint(1, 1).with_bar64(0, host, 0x0800_0000);
    let mut bars = [None; 7];
    bars[0] = Some(0x1_2000_0000);
    let mut guest = Guest::given(device, GuestInfo { bars, ..GuestInfo::NONE }).unwrap();
    guest.machine.host.p2m_mut().chunk = 0x1000;
    guest.machine.host.set_preempt(Preempt::Always);
    // The fourth part of it fails: what was done is undone, to the page.
    guest.machine.host.fail(Import::Map, 3);
    guest.machine.start_write(0, COMMAND, 2, 2);
    (0..3).for_each(|_| assert_eq!(guest.machine.step(0), Progress::Again));
    let first = 0x1_2000_0000u64 >> 12;
    assert!(!guest.machine.host.p2m().has_none(Pages { first, last: first }));
    for frame in guest.machine.host.p2m().frames() {
        assert_eq!(guest.machine.host.p2m().get(frame), Some(frame - first + (host >> 12)));
    }
    let bar = guest.machine.state(0).bars()[0];
    assert_eq!((bar.kind(), bar.host_range()), (BarKind::Memory64, (host, 0x0800_0000)));
    guest.machine.settle(0);
    assert!(guest.machine.host.holds_nothing());
    assert_eq!(guest.device().get(0x14, Width::Dword), 0x7f_ffff);
}
