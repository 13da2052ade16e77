//! A guest's view of a function.

use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{Rule, Scope};
use capabilities::{Access, Width};
use tests::device::Device;
use tests::machine::Machine;
use vpci::{AttachError, GuestInfo, Info, Pages, Refusal, View, VirtualFunction, Written, write_virtual};

const COMMAND: u16 = 0x04;
const NO_BARS: [Option<u64>; 7] = [None; 7];

/// An `NVMe` controller in the manner of QEMU's: a 64-bit BAR with the MSI-X table and PBA, PM, MSI-X, PCI Express.
fn nvme() -> Device {
    let mut pcie = vec![0x02, 0x00];
    pcie.extend(0x1000_8001u32.to_le_bytes());
    pcie.extend([0x10, 0x28, 0x00, 0x00]);
    pcie.resize(0x3a, 0);
    let mut device = Device::endpoint(0x1b36, 0x0010)
        .with_command(0x0507)
        .with_bar64(0, 0xf_e000_0000, 0x4000)
        .with_capability(0x40, 0x01, &[0x03, 0xfe, 0x00, 0x00, 0x00, 0x00])
        .with_msix(0x50, 65, (0, 0x2000), (0, 0x3000))
        .with_capability(0x60, 0x09, &[0x10; 0x0e])
        .with_capability(0x80, 0x10, &pcie)
        .with_extended(0x100, 0x0010, 0x40, 0xa5)
        .with_extended(0x148, 0x0001, 0x2c, 0xff)
        .with_extended(0x180, 0x000f, 0x08, 0xa5);
    device.set(0x08, Width::Dword, 0x0108_0202);
    device.set(0x2c, Width::Dword, 0x1100_1af4);
    device.set(0x3d, Width::Byte, 1);
    device.allow(0x88, Width::Word, 0xffff);
    device
}

fn placed(address: u64) -> [Option<u64>; 7] {
    [Some(address), None, None, None, None, None, None]
}

fn given() -> Machine {
    let mut machine = Machine::default();
    machine.give(nvme(), placed(0xe000_0000));
    machine.host.take_events();
    machine
}

/// The offsets of the standard list.
fn list(machine: &mut Machine) -> Vec<(u16, u32)> {
    let mut all = Vec::new();
    let mut at = machine.read(0, 0x34, 1);
    while at != 0 {
        assert!(all.len() < 48);
        all.push((at as u16, machine.read(0, at as u16, 1)));
        at = machine.read(0, at as u16 + 1, 1);
    }
    all
}

#[test]
fn identification_is_the_devices_and_the_rest_of_the_header_is_the_guests() {
    let mut machine = given();
    assert_eq!(machine.read(0, 0x00, 4), 0x0010_1b36);
    assert_eq!(machine.read(0, 0x08, 4), 0x0108_0202);
    assert_eq!(machine.read(0, 0x2c, 4), 0x1100_1af4);
    assert_eq!(machine.read(0, COMMAND, 2), 0);
    assert_eq!(machine.read(0, 0x3d, 1), 0, "there is no INTx");
    assert_eq!(machine.read(0, 0x30, 4), 0, "there is no ROM");
}

#[test]
fn only_what_the_policy_shows_is_in_the_lists() {
    let mut machine = given();
    assert_eq!(list(&mut machine), [(0x40, 0x01), (0x50, 0x11), (0x80, 0x10)]);
    for offset in (0x60..0x70).step_by(4) {
        assert_eq!(machine.read(0, offset, 4), 0, "vendor-specific {offset:#x}");
    }
    // SR-IOV is hidden: a null capability leads to AER, the last.
    assert_eq!(machine.read(0, 0x100, 4), 0x1480_0000);
    assert_eq!(machine.read(0, 0x148, 4), 0x0001_0001);
    for offset in (0x104..0x140).chain(0x174..0x190).step_by(4) {
        assert_eq!(machine.read(0, offset, 4), 0, "{offset:#x}");
    }
}

#[test]
fn decoding_is_the_p2ms_and_stays_on_in_the_device() {
    let mut machine = given();
    assert_eq!(machine.device(0).command(), 0x0402);
    assert!(machine.host.p2m().is_empty());
    machine.write(0, COMMAND, 2, 0x0006);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0006);
    assert_eq!(machine.device(0).command(), 0x0406);
    // The pages of the table and the PBA trap.
    assert_eq!(machine.host.p2m().frames(), [0xe0000, 0xe0001]);
    assert_eq!(machine.host.p2m().get(0xe0000), Some(0xf_e0000));
    machine.write(0, COMMAND, 2, 0x0000);
    assert!(machine.host.p2m().is_empty());
    assert_eq!(machine.device(0).command(), 0x0402);
}

#[test]
fn the_device_is_told_of_bus_mastering_when_it_changes_and_of_nothing_else() {
    let mut machine = given();
    machine.write(0, COMMAND, 2, 0x0004);
    assert_eq!(machine.host.take_writes(), [(COMMAND, Width::Word, 0x0406)]);
    for command in [0x0004, 0x0006, 0x0407, 0x0004] {
        machine.write(0, COMMAND, 2, command);
        assert_eq!(machine.host.take_writes(), [], "{command:#x}");
    }
    machine.write(0, COMMAND, 2, 0x0000);
    assert_eq!(machine.host.take_writes(), [(COMMAND, Width::Word, 0x0402)]);
}

#[test]
fn a_bar_tells_its_size_and_stays_where_it_is() {
    let mut machine = given();
    machine.host.take_events();
    assert_eq!((machine.read(0, 0x10, 4), machine.read(0, 0x14, 4)), (0xe000_000c, 0));
    machine.write(0, 0x10, 4, u32::MAX);
    machine.write(0, 0x14, 4, u32::MAX);
    assert_eq!((machine.read(0, 0x10, 4), machine.read(0, 0x14, 4)), (0xffff_c00c, 0xffff_ffff));
    machine.write(0, 0x10, 4, 0xe000_000c);
    machine.write(0, 0x14, 4, 0);
    assert_eq!((machine.read(0, 0x10, 4), machine.read(0, 0x14, 4)), (0xe000_000c, 0));
    assert_eq!(machine.state(0).refusals(Refusal::BarMoved), 0);
    machine.write(0, 0x10, 4, 0xd000_0000);
    assert_eq!(machine.read(0, 0x10, 4), 0xe000_000c);
    assert_eq!(machine.state(0).refusals(Refusal::BarMoved), 1);
    let record = machine.state(0).audit(0).unwrap();
    assert_eq!((record.offset, record.bytes, record.value), (0x10, 4, 0xd000_0000));
    assert_eq!(record.reason, Refusal::BarMoved as u8);
    assert_eq!(machine.host.take_writes(), [], "the device's BARs are never written");
}

#[test]
fn storage_is_the_guests_alone() {
    let mut machine = given();
    // MPS and MRRS, cache line size, interrupt line, power state.
    for (offset, bytes, value) in
        [(0x88, 2, 0x5070), (0x0c, 1, 0x10), (0x3c, 1, 0x0b), (0x44, 1, 0x0b), (0x0d, 1, 0x40)]
    {
        machine.write(0, offset, bytes, value);
        assert_eq!(machine.read(0, offset, bytes), value, "{offset:#x}");
    }
    assert_eq!(machine.host.take_writes(), []);
}

#[test]
fn the_short_way_takes_writes_of_storage_and_no_others() {
    let mut machine = given();
    let mut write = |offset, bytes, value| {
        let access = Access::new(offset, bytes).unwrap();
        machine.function(0, |function, _| write_virtual(function.state, function.registers, access, value))
    };
    assert!(write(0x0c, 2, 0x4010), "cache line size and latency timer");
    let taken = [0x00, 0x04, 0x60].map(|offset| write(offset, 2, 0x0006));
    assert_eq!(taken, [false; 3], "an ID, COMMAND, a capability that is hidden");
    let seen = [0x00, 0x04, 0x0c, 0x60].map(|offset| machine.read(0, offset, 2));
    assert_eq!(seen, [0x1b36, 0, 0x4010, 0]);
}

#[test]
fn what_may_not_be_written_is_counted() {
    let mut machine = given();
    for (offset, bytes, value, reason) in [
        (COMMAND, 2, 0x0140, Refusal::ReadOnly),
        (0x00, 4, 0x1234_5678, Refusal::ReadOnly),
        (0x88, 2, 0xa810, Refusal::Reset),
        (0x60, 4, 0xdead_beef, Refusal::HiddenWrite),
        (0x110, 4, 0xdead_beef, Refusal::HiddenWrite),
        (0x52, 2, 0x0001, Refusal::ReadOnly),
        (0x54, 4, 0xffff_ffff, Refusal::ReadOnly),
    ] {
        let (before, value_before) = (machine.state(0).refusals(reason), machine.read(0, offset, bytes));
        machine.write(0, offset, bytes, value);
        assert_eq!(machine.state(0).refusals(reason), before + 1, "{offset:#x} = {value:#x}");
        assert_eq!(machine.read(0, offset, bytes), value_before, "{offset:#x}");
    }
    assert_eq!(machine.host.take_writes(), []);
}

#[test]
fn a_placement_over_something_else_is_refused() {
    for (taken, refused) in [(0xe0003, true), (0xe0004, false)] {
        let mut machine = Machine::default();
        machine.host.p2m_mut().set_special(taken);
        machine.plug(nvme());
        let guest = GuestInfo { bars: placed(0xe000_0000), ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
        assert_eq!(machine.check_placement(0) == Err(AttachError::Placement), refused);
    }
}

#[test]
fn two_functions_cannot_be_in_one_place() {
    let mut machine = Machine::default();
    machine.give(nvme(), placed(0xe000_0000));
    let second = machine.plug(nvme());
    let guest = GuestInfo { bars: placed(0xe000_0000), ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(second)) };
    assert_eq!(machine.attach_as(second, &info), Ok(Written::Done));
    assert_eq!(machine.check_placement(second), Err(AttachError::Placement));
}

#[test]
fn a_small_bar_that_shares_its_page_is_refused() {
    // One without a place is nobody's to reach.
    for (shared, bars, ok) in
        [(false, placed(0xe000_0800), true), (true, placed(0xe000_0800), false), (true, NO_BARS, true)]
    {
        let mut machine = Machine::default();
        if shared {
            machine.host.share(0xfe000);
        }
        machine.plug(Device::endpoint(0x8086, 1).with_bar32(0, 0xfe00_0800, 0x100));
        let guest = GuestInfo { bars, ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
        assert_eq!(machine.check_placement(0).is_ok(), ok);
    }
}

#[test]
fn a_bar_over_one_that_is_mapped_is_still_not_placed_over_something_else() {
    let device =
        Device::endpoint(0x8086, 1).with_bar32(0, 0xfe00_3000, 0x1000).with_bar32(1, 0xfe00_0000, 0x4000);
    let mut machine = Machine::default();
    machine.give(device, [Some(0xe000_3000), Some(0xe000_0000), None, None, None, None, None]);
    machine.host.p2m_mut().set_special(0xe0001);
    machine.write(0, COMMAND, 2, 0x0002);
    assert_eq!(machine.read(0, COMMAND, 2), 0);
    assert_eq!(
        (machine.state(0).refusals(Refusal::Placement), machine.state(0).refusals(Refusal::Map)),
        (1, 0)
    );
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_bar_that_cannot_be_where_it_is_is_not_mapped_when_the_rom_is_given_up() {
    let device = Device::endpoint(0x8086, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_rom(0xfe10_0000, 0x1000);
    let mut machine = Machine::default();
    machine.give(device, [Some(0xe000_0000), None, None, None, None, None, Some(0xe010_0000)]);
    machine.host.p2m_mut().set_special(0xe0001);
    assert_eq!(machine.start_write(0, COMMAND, 2, 0x0002), Written::Pending);
    assert_eq!(machine.start_write(0, 0x30, 4, 0xe010_0001), Written::Pending);
    machine.settle(0);
    assert_eq!(machine.read(0, COMMAND, 2), 0);
    assert_eq!(machine.state(0).refusals(Refusal::Map), 0, "nobody asks for it to be mapped");
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_small_bar_does_not_open_the_msix_table_beside_it() {
    let device = || {
        Device::endpoint(0x8086, 1)
            .with_bar32(0, 0xfe00_0000, 0x800)
            .with_bar32(1, 0xfe00_0800, 0x800)
            .with_msix(0x40, 4, (0, 0x0), (0, 0x400))
    };
    // In the same page as in the host it traps; in another page, or without the table's BAR, it would not.
    for (table, beside, ok) in [
        (Some(0xe000_0000), Some(0xe000_0800), true),
        (Some(0xe000_0000), Some(0xe000_1800), false),
        (None, Some(0xe000_0800), false),
        (Some(0xe000_0000), None, true),
    ] {
        let mut machine = Machine::default();
        machine.plug(device());
        let guest = GuestInfo { bars: [table, beside, None, None, None, None, None], ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
        assert_eq!(machine.check_placement(0).is_ok(), ok, "{table:x?} {beside:x?}");
        machine.write(0, COMMAND, 2, 0x0002);
        assert!(machine.host.p2m().is_empty(), "{table:x?} {beside:x?}");
    }
}

#[test]
fn a_mapping_that_fails_leaves_decoding_off_and_says_so() {
    let mut machine = given();
    machine.host.p2m_mut().set_special(0xe0001);
    machine.write(0, COMMAND, 2, 0x0006);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0004);
    assert!(machine.host.p2m().has_none(Pages { first: 0xe0000, last: 0xe0003 }));
    assert_eq!(machine.state(0).refusals(Refusal::Placement), 1);
}

#[test]
fn firmware_places_bars_until_it_enables_decoding() {
    let mut machine = Machine::default();
    machine.plug(nvme());
    let guest = GuestInfo { by_firmware: true, ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
    assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
    assert_eq!((machine.read(0, 0x10, 4), machine.read(0, 0x14, 4)), (0x0000_000c, 0));
    machine.write(0, 0x10, 4, u32::MAX);
    machine.write(0, 0x14, 4, u32::MAX);
    assert_eq!((machine.read(0, 0x10, 4), machine.read(0, 0x14, 4)), (0xffff_c00c, 0xffff_ffff));
    machine.write(0, 0x10, 4, 0xd000_0000);
    machine.write(0, 0x14, 4, 0x1);
    machine.write(0, COMMAND, 2, 0x0002);
    assert_eq!(machine.host.p2m().frames(), [0x1_d0000, 0x1_d0001]);
    machine.write(0, COMMAND, 2, 0x0000);
    machine.write(0, 0x10, 4, 0xc000_0000);
    assert_eq!(machine.read(0, 0x10, 4), 0xd000_000c, "from now on it stays");
    assert_eq!(machine.state(0).refusals(Refusal::BarMoved), 1);
}

#[test]
fn a_device_comes_back_quiet() {
    let mut machine = given();
    machine.write(0, COMMAND, 2, 0x0006);
    machine.write(0, 0x52, 2, 0x8000);
    machine.detach(0);
    assert!(machine.host.holds_nothing());
    let device = machine.device(0);
    assert_eq!(device.command(), 0x0503, "as it was, but for bus mastering");
    assert_eq!(device.get(0x52, Width::Word) & 0x8000, 0);
    assert_eq!(device.get(0x10, Width::Dword), 0xe000_000c, "its BARs are as they were");
}

#[test]
fn bars_without_a_place_are_not_mapped() {
    let mut machine = Machine::default();
    machine.give(nvme(), NO_BARS);
    machine.write(0, COMMAND, 2, 0x0002);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0002);
    assert!(machine.host.p2m().is_empty());
    assert_eq!(machine.read(0, 0x10, 4), 0x0000_000c);
}

/// A rule for a vendor-specific capability of [`nvme`].
const VENDOR_RULE: Rule = Rule {
    vendor: 0x1b36,
    device: 0x0010,
    class_mask: 0,
    class_value: 0,
    scope: Scope::Standard(CapabilityId(0x09)).raw(),
    offset: 4,
    length: 4,
    key_offset: 0,
    zero: 0,
    key_mask: 0,
    key_value: 0,
    read: 0x00ff_ffff,
    write: 0x0000_ff00,
};

fn with_rules(rules: &[Rule], vpd: bool, device: Device) -> Result<Machine, AttachError> {
    let mut machine = Machine::default();
    machine.plug(device);
    let guest = GuestInfo { bars: placed(0xe000_0000), rules, vpd, ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
    machine.attach_as(0, &info)?;
    machine.host.take_events();
    Ok(machine)
}

#[test]
fn a_rule_shows_a_capability_and_no_more_of_it_than_it_says() {
    let mut device = nvme();
    device.set(0x64, Width::Dword, 0x4433_2211);
    device.allow(0x64, Width::Dword, u32::MAX);
    let mut machine = with_rules(&[VENDOR_RULE], false, device).unwrap();
    assert_eq!(list(&mut machine), [(0x40, 0x01), (0x50, 0x11), (0x60, 0x09), (0x80, 0x10)]);
    assert_eq!(machine.read(0, 0x60, 4), 0x0000_8009, "its length is not the rule's to show");
    assert_eq!(machine.read(0, 0x64, 4), 0x0033_2211);
    assert_eq!(machine.read(0, 0x68, 4), 0);
    machine.device(0).set(0x64, Width::Dword, 0x8877_6655);
    assert_eq!(machine.read(0, 0x64, 4), 0x0077_6655, "the bits are the device's");
    machine.host.take_events();
    machine.write(0, 0x65, 1, 0xaa);
    assert_eq!(machine.host.take_writes(), [(0x65, Width::Byte, 0xaa)], "in the guest's own width");
    machine.write(0, 0x64, 1, 0xaa);
    assert_eq!(machine.host.take_writes(), []);
    machine.write(0, 0x64, 4, 0xbbbb_bbbb);
    assert_eq!(machine.device(0).get(0x64, Width::Dword), 0x8877_bb55);
}

#[test]
fn a_rule_for_bytes_shows_what_no_capability_owns() {
    let mut device = nvme();
    device.set(0xf0, Width::Dword, 0x1234_5678);
    let bytes =
        Rule { scope: Scope::Bytes.raw(), offset: 0xf0, length: 8, read: u32::MAX, write: 0, ..VENDOR_RULE };
    let mut machine = with_rules(&[bytes], false, device).unwrap();
    assert_eq!((machine.read(0, 0xf0, 4), machine.read(0, 0xf8, 4)), (0x1234_5678, 0));
    // What the guest has already stays as it is: Device Control is storage.
    let express = Rule { offset: 0x80, length: 0x3c, ..bytes };
    let mut machine = with_rules(&[express], false, nvme()).unwrap();
    machine.write(0, 0x88, 2, 0x5070);
    assert_eq!(machine.read(0, 0x88, 2), 0x5070);
    assert_eq!(machine.host.take_writes(), []);
    // A range over everything shows no list of the device's.
    let all = Rule { offset: 0x200, length: 0xe00, ..bytes };
    assert!(with_rules(&[all], false, nvme()).is_ok());
}

#[test]
fn a_rule_that_reaches_the_floor_is_refused() {
    let bytes = Rule { scope: Scope::Bytes.raw(), length: 4, write: 0, ..VENDOR_RULE };
    let extended =
        |id| Rule { scope: Scope::Extended(ExtendedId(id)).raw(), length: 4, write: 0, ..VENDOR_RULE };
    let standard =
        |id| Rule { scope: Scope::Standard(CapabilityId(id)).raw(), length: 4, write: 0, ..VENDOR_RULE };
    for rule in [
        Rule { offset: 0x10, ..bytes },
        // MSI-X, SR-IOV and ATS of this device, by their offset; PCI Express may not be written.
        Rule { offset: 0x54, ..bytes },
        Rule { offset: 0x110, ..bytes },
        Rule { offset: 0x17c, length: 8, ..bytes },
        Rule { offset: 0x88, write: 0xff, read: 0xff, ..bytes },
        standard(0x05),
        standard(0x11),
        extended(0x0010),
        extended(0x000f),
        extended(0x000d),
        Rule { write: 1, read: 1, ..standard(0x10) },
        Rule { read: 0, write: 0, ..VENDOR_RULE },
    ] {
        let mut machine = Machine::default();
        machine.plug(nvme());
        let rules = [rule];
        let guest = GuestInfo { rules: &rules, ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info), Err(AttachError::Rule), "{rule:x?}");
        assert_eq!(machine.host.take_writes(), [], "{rule:x?}");
    }
}

#[test]
fn a_rule_is_for_the_devices_that_it_names() {
    for rule in [
        Rule { vendor: 0x8086, ..VENDOR_RULE },
        Rule { device: 0x0011, ..VENDOR_RULE },
        Rule { class_mask: 0xff00_0000, class_value: 0x0200_0000, ..VENDOR_RULE },
        Rule { key_mask: 0xff00_0000, key_value: 0x0100_0000, ..VENDOR_RULE },
    ] {
        let mut machine = with_rules(&[rule], false, nvme()).unwrap();
        assert_eq!(list(&mut machine), [(0x40, 0x01), (0x50, 0x11), (0x80, 0x10)], "{rule:x?}");
    }
}

#[test]
fn vital_product_data_comes_out_of_the_cache() {
    let device = || nvme().with_capability(0xd0, 0x03, &[0; 6]);
    let mut machine = with_rules(&[], false, device()).unwrap();
    assert_eq!(list(&mut machine).len(), 3, "only where it is asked for");
    let mut machine = with_rules(&[], true, nvme()).unwrap();
    assert_eq!(list(&mut machine).len(), 3, "only where the device has it");
    let mut machine = with_rules(&[], true, device()).unwrap();
    assert_eq!(list(&mut machine).last(), Some(&(0xd0, 0x03)));
    machine.host.take_events();
    machine.write(0, 0xd2, 2, 0x0124);
    assert_eq!((machine.read(0, 0xd2, 2), machine.read(0, 0xd4, 4)), (0x8124, 0x5650_0124));
    machine.write(0, 0xd4, 4, 0x0128_beef);
    assert_eq!(machine.state(0).refusals(Refusal::ReadOnly), 1);
    machine.write(0, 0xd2, 2, 0x8128);
    assert_eq!((machine.read(0, 0xd2, 2), machine.read(0, 0xd4, 4)), (0x8124, 0x5650_0124));
    assert_eq!(machine.state(0).refusals(Refusal::Vpd), 1);
    assert_eq!(machine.host.take_events(), [], "the device has no part in it");
}

#[test]
fn a_virtual_function_is_what_its_physical_function_says() {
    let mut device = Device::endpoint(0xffff, 0xffff);
    device.set(0x08, Width::Dword, 0x0200_0001);
    let function = VirtualFunction {
        ids: 0x1520_8086,
        kinds: [0xc, 0, 0, 0xc, 0, 0],
        addresses: [0xf_0000_4000, 0, 0, 0xf_0010_4000, 0, 0],
        sizes: [0x4000, 0, 0, 0x4000, 0, 0],
    };
    let mut machine = Machine::default();
    machine.plug(device);
    let mut bars = NO_BARS;
    bars[0] = Some(0xe000_0000);
    bars[3] = Some(0xe000_4000);
    let guest = GuestInfo { bars, virtual_function: Some(&function), ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
    assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
    assert_eq!(machine.read(0, 0x00, 4), 0x1520_8086);
    assert_eq!(machine.read(0, 0x08, 4), 0x0200_0001, "all but its IDs is its own");
    assert_eq!((machine.read(0, 0x10, 4), machine.read(0, 0x1c, 4)), (0xe000_000c, 0xe000_400c));
    machine.write(0, COMMAND, 2, 0x0006);
    assert_eq!(machine.host.p2m().get(0xe0000), Some(0xf_00004));
    assert_eq!(machine.host.p2m().get(0xe0007), Some(0xf_00107));
}

#[test]
fn a_bar_is_aligned_to_its_size() {
    for (address, ok) in [(0xe000_0000, true), (0xe000_2000, false), (0xe000_0010, false)] {
        let mut machine = Machine::default();
        machine.plug(nvme());
        let guest = GuestInfo { bars: placed(address), ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
        assert_eq!(machine.check_placement(0).is_ok(), ok, "{address:#x}");
    }
}
