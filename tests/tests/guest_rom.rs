//! A guest's expansion ROM, its BARs' type bits, and BARs that its firmware places.

use capabilities::Width;
use tests::device::Device;
use tests::machine::Machine;
use vpci::{AttachError, GuestInfo, Info, Refusal, View, Written};

const COMMAND: u16 = 0x04;
const ROM: u16 = 0x30;

/// A BAR of 4 KiB and a ROM of 64 KiB, which the firmware of the host has enabled.
fn device() -> Device {
    Device::endpoint(0x8086, 0x10d3)
        .with_command(2)
        .with_bar32(0, 0xfe00_0000, 0x1000)
        .with_rom(0xfe10_0001, 0x1_0000)
}

fn placed(bar: u64, rom: Option<u64>) -> [Option<u64>; 7] {
    [Some(bar), None, None, None, None, None, rom]
}

fn given() -> Machine {
    let mut machine = Machine::default();
    let bars = placed(0xe000_0000, Some(0xe001_0000));
    machine.give(device(), bars);
    machine.host.take_events();
    machine
}

fn rom_of_the_device(machine: &Machine) -> u32 {
    machine.device(0).get(ROM, Width::Dword)
}

#[test]
fn a_rom_is_mapped_while_it_and_memory_are_enabled() {
    let mut machine = given();
    assert_eq!(machine.read(0, ROM, 4), 0xe001_0000);
    assert_eq!(rom_of_the_device(&machine), 0xfe10_0001, "the device's is enabled all the time");
    machine.write(0, ROM, 4, 0xe001_0001);
    assert!(machine.host.p2m().is_empty(), "memory is off");
    machine.write(0, COMMAND, 2, 0x0002);
    assert_eq!(machine.host.p2m().len(), 17);
    assert_eq!(machine.host.p2m().get(0xe001f), Some(0xfe10f));
    machine.write(0, ROM, 4, 0xe001_0000);
    assert_eq!(machine.host.p2m().frames(), [0xe0000]);
    machine.write(0, ROM, 4, 0xe001_0001);
    assert_eq!((machine.read(0, ROM, 4), machine.host.p2m().len()), (0xe001_0001, 17));
    assert_eq!(machine.host.take_writes(), [], "nothing of this is the device's");
}

#[test]
fn a_rom_tells_its_size_and_stays_where_it_is() {
    let mut machine = given();
    // The enable bit is not part of the question (PCIe 7.5.1.2.4); software asks with it clear.
    for question in [0xffff_f800, 0xffff_fffe] {
        machine.write(0, ROM, 4, question);
        assert_eq!(machine.read(0, ROM, 4), 0xffff_0000);
    }
    machine.write(0, ROM, 4, 0xe001_0000);
    assert_eq!(machine.read(0, ROM, 4), 0xe001_0000);
    assert_eq!(machine.state(0).refusals(Refusal::BarMoved), 0);
    // With the enable bit it is a move, and the ROM is enabled where it is.
    machine.write(0, ROM, 4, 0xffff_0001);
    assert_eq!(machine.read(0, ROM, 4), 0xe001_0001);
    machine.write(0, ROM, 4, 0xd000_0000);
    assert_eq!(machine.read(0, ROM, 4), 0xe001_0000);
    assert_eq!(machine.state(0).refusals(Refusal::BarMoved), 2);
}

#[test]
fn a_rom_that_cannot_be_mapped_is_disabled_and_says_so() {
    let mut machine = given();
    machine.write(0, COMMAND, 2, 0x0002);
    machine.host.p2m_mut().set_special(0xe0014);
    machine.write(0, ROM, 4, 0xe001_0001);
    assert_eq!(machine.read(0, ROM, 4), 0xe001_0000);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0002, "the BAR has no part in it");
    assert_eq!(machine.host.p2m().frames(), [0xe0000]);
    assert_eq!(machine.state(0).refusals(Refusal::Placement), 1);
}

#[test]
fn a_device_comes_back_with_its_rom_disabled() {
    let mut machine = given();
    machine.detach(0);
    assert_eq!(rom_of_the_device(&machine), 0xfe10_0000);
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_guest_has_no_rom_that_has_no_place() {
    let mut machine = Machine::default();
    machine.give(device(), placed(0xe000_0000, None));
    machine.write(0, ROM, 4, 0xffff_f800);
    assert_eq!(machine.read(0, ROM, 4), 0);
    machine.write(0, ROM, 4, 1);
    machine.write(0, COMMAND, 2, 0x0002);
    assert_eq!(machine.host.p2m().frames(), [0xe0000]);
    assert_eq!(rom_of_the_device(&machine), 0xfe10_0001, "nobody asked for it to change");
}

#[test]
fn a_bar_says_what_it_is() {
    // PCIe 7.5.1.2.1: bit 0 is I/O space, bits 2:1 are 10b for 64 bits, bit 3 is Prefetchable.
    let memory32 = || Device::endpoint(0x8086, 1).with_bar32(0, 0xfe00_0000, 0x4000);
    let memory64 = || Device::endpoint(0x8086, 1).with_bar64(0, 0xfe00_0000, 0x4000);
    for (mut device, bits) in [(memory32(), 0), (memory32(), 8), (memory64(), 4), (memory64(), 0xc)] {
        device.set(0x10, Width::Dword, 0xfe00_0000 | bits);
        let mut machine = Machine::default();
        machine.give(device, placed(0xe000_0000, None));
        assert_eq!(machine.read(0, 0x10, 4), 0xe000_0000 | bits);
        machine.write(0, 0x10, 4, u32::MAX);
        assert_eq!(machine.read(0, 0x10, 4), 0xffff_c000 | bits);
    }
    let mut machine = Machine::default();
    machine.give(Device::endpoint(0x8086, 1).with_io(0, 0xd000, 0x20), placed(0xc000, None));
    assert_eq!(machine.read(0, 0x10, 4), 0xc001);
    machine.write(0, 0x10, 4, u32::MAX);
    assert_eq!(machine.read(0, 0x10, 4), 0xffff_ffe1);
}

fn by_firmware(device: Device) -> Machine {
    let mut machine = Machine::default();
    machine.plug(device);
    let guest = GuestInfo { by_firmware: true, ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
    assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
    machine
}

#[test]
fn what_a_bar_holds_before_firmware_places_it_is_no_address() {
    for high in [0, u32::MAX] {
        let mut machine = by_firmware(Device::endpoint(0x8086, 1).with_bar64(0, 0xf_0000_0000, 0x4000));
        machine.write(0, 0x10, 4, high);
        machine.write(0, 0x14, 4, high);
        machine.write(0, COMMAND, 2, 0x0002);
        assert!(machine.host.p2m().is_empty(), "{high:#x}");
    }
    for low in [0, u32::MAX] {
        let mut machine = by_firmware(Device::endpoint(0x8086, 1).with_bar32(0, 0xfe00_0000, 0x4000));
        machine.write(0, 0x10, 4, low);
        machine.write(0, COMMAND, 2, 0x0002);
        assert!(machine.host.p2m().is_empty(), "{low:#x}");
    }
    // For 64 bits this is one.
    let mut machine = by_firmware(Device::endpoint(0x8086, 1).with_bar64(0, 0xf_0000_0000, 0x4000));
    machine.write(0, 0x10, 4, 0xffff_c000);
    machine.write(0, COMMAND, 2, 0x0002);
    assert_eq!(machine.host.p2m().frames(), [0xffffc, 0xffffd, 0xffffe, 0xfffff]);
}

#[test]
fn a_shared_page_is_refused_before_firmware_places_it() {
    let mut machine = by_firmware(Device::endpoint(0x8086, 1).with_bar32(0, 0xfe00_0800, 0x100));
    machine.host.share(0xfe000);
    assert_eq!(machine.check_placement(0), Err(AttachError::Placement));
}
