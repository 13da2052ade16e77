//! Capability lists as the hardware domain sees them.

use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::{Width, walk};
use tests::device::Device;
use tests::machine::Machine;
use vpci::{DefineError, Definition, Refusal, Source};

/// Standard capabilities at 0x40 (PM), 0x50 (MSI), 0x70 (PCI Express), 0xa0 (MSI-X); extended ones at 0x100
/// (AER), 0x148 (serial number) and 0x1a0 (LTR).
fn endpoint() -> Device {
    Device::endpoint(0x8086, 0x10d3)
        .with_bar32(0, 0xfe00_0000, 0x4000)
        .with_capability(0x40, 0x01, &[0x22, 0xc8, 0, 0, 0, 0])
        .with_msi(0x50, 0x0080)
        .with_capability(0x70, 0x10, &[0x5a; 0x2e])
        .with_msix(0xa0, 4, (0, 0x1000), (0, 0x2000))
        .with_extended(0x100, 0x0001, 0x48, 0xa1)
        .with_extended(0x148, 0x0003, 0x0c, 0xa2)
        .with_extended(0x1a0, 0x0018, 0x08, 0xa3)
}

/// The standard list as software walks it, with no regard to the specification's bounds but its own.
fn standard(machine: &mut Machine) -> Vec<(u16, u32)> {
    let mut found = Vec::new();
    let mut at = machine.read(0, 0x34, 1) & 0xfc;
    while at != 0 {
        assert!(found.len() < 48 && at >= 0x40, "the list does not end: {found:x?}, {at:x}");
        let offset = u16::try_from(at).unwrap();
        found.push((offset, machine.read(0, offset, 1)));
        at = machine.read(0, offset + 1, 1) & 0xfc;
    }
    found
}

fn extended(machine: &mut Machine) -> Vec<(u16, u32)> {
    let mut found = Vec::new();
    let mut at = 0x100;
    while at != 0 {
        assert!(found.len() < 960 && at >= 0x100, "the list does not end: {found:x?}, {at:x}");
        let header = machine.read(0, at, 4);
        if header == 0 || header == u32::MAX {
            break;
        }
        found.push((at, header & 0xffff));
        at = u16::try_from(header >> 20 & 0xffc).unwrap();
    }
    found
}

/// Sets a byte of the device.
fn poke(device: &mut Device, offset: u16, value: u8) {
    device.set(offset, Width::Byte, value.into());
}

#[test]
fn b27_a_sound_list_is_shown_as_it_is() {
    let device = endpoint();
    let mut machine = Machine::with(device.clone());
    assert_eq!(standard(&mut machine), [(0x40, 0x01), (0x50, 0x05), (0x70, 0x10), (0xa0, 0x11)]);
    assert_eq!(extended(&mut machine), [(0x100, 0x01), (0x148, 0x03), (0x1a0, 0x18)]);
    for offset in [0x34, 0x40, 0x41, 0x50, 0x51, 0x70, 0x71, 0xa0, 0xa1, 0x103, 0x14b, 0x1a3] {
        assert_eq!(machine.read(0, offset, 1), device.get(offset, Width::Byte), "byte {offset:#x}");
    }
    assert_eq!(machine.state(0).refusals(Refusal::Capability), 0);
}

#[test]
fn b27_reserved_bits_of_pointers_are_kept() {
    let mut device = endpoint();
    poke(&mut device, 0x34, 0x43);
    poke(&mut device, 0x41, 0x52);
    poke(&mut device, 0xa1, 0x01);
    let mut machine = Machine::with(device);
    assert_eq!(machine.read(0, 0x34, 1), 0x43);
    assert_eq!(machine.read(0, 0x41, 1), 0x52);
    assert_eq!(machine.read(0, 0xa1, 1), 0x01);
    assert_eq!(standard(&mut machine).len(), 4);
}

#[test]
fn b27_pointers_and_ids_are_read_once() {
    let mut machine = Machine::with(endpoint());
    for (offset, value) in [(0x34, 0xf0), (0x41, 0xf0), (0x51, 0x40), (0x40, 0x09)] {
        poke(&mut machine.device(0), offset, value);
    }
    machine.device(0).set(0x06, Width::Word, 0);
    assert_eq!(machine.read(0, 0x06, 2), 0x10, "there is a list");
    assert_eq!(standard(&mut machine), [(0x40, 0x01), (0x50, 0x05), (0x70, 0x10), (0xa0, 0x11)]);
    machine.device(0).set(0x100, Width::Dword, 0xffc1_0002);
    assert_eq!(extended(&mut machine), [(0x100, 0x01), (0x148, 0x03), (0x1a0, 0x18)]);
}

#[test]
fn b27_writes_to_pointers_change_nothing_that_is_seen() {
    let mut device = endpoint();
    device.allow(0x40, Width::Dword, u32::MAX);
    let mut machine = Machine::with(device);
    machine.write(0, 0x41, 1, 0xf0);
    assert_eq!(machine.read(0, 0x41, 1), 0x50);
    assert_eq!(machine.device(0).get(0x41, Width::Byte), 0xf0, "the device decides what a write does");
    machine.write(0, 0x34, 1, 0xf0);
    machine.write(0, 0x40, 4, 0x1234_f005);
    assert_eq!(machine.read(0, 0x40, 4), 0x1234_5001);
    assert_eq!(standard(&mut machine).len(), 4);
}

#[test]
fn b27_capabilities_that_nothing_mediates_are_the_devices() {
    let mut machine = Machine::with(endpoint());
    machine.device(0).allow(0x44, Width::Word, 0x8003);
    machine.write(0, 0x44, 2, 0x0003);
    assert_eq!(machine.device(0).get(0x44, Width::Word), 0x0003);
    assert_eq!(machine.read(0, 0x72, 2), 0x5a5a);
    assert_eq!(machine.read(0, 0x104, 4), 0xa1a1_a1a1);
}

#[test]
fn b28_a_hidden_capability_is_out_of_the_list_and_reads_0() {
    for (id, offset, end) in [(0x01, 0x40, 0x50), (0x10, 0x70, 0xa0)] {
        let mut machine = Machine::with(endpoint());
        let hidden = machine.function(0, |function, host| function.hide_capability(host, CapabilityId(id)));
        assert!(hidden);
        let list = standard(&mut machine);
        assert_eq!(list.len(), 3);
        assert!(list.iter().all(|(_, found)| *found != u32::from(id)), "{id:#x} is in {list:x?}");
        for byte in offset..end {
            assert_eq!(machine.read(0, byte, 1), 0, "byte {byte:#x} of a hidden capability");
        }
        let before = machine.state(0).refusals(Refusal::HiddenWrite);
        machine.host.take_events();
        machine.write(0, offset + 4, 4, u32::MAX);
        assert_eq!(machine.host.take_writes(), [], "a write reached a hidden capability");
        assert_eq!(machine.state(0).refusals(Refusal::HiddenWrite), before + 1);
    }
}

#[test]
fn b28_all_capabilities_can_be_hidden_in_any_order() {
    let ids = [0x01, 0x05, 0x10, 0x11];
    for first in 0..4 {
        let mut machine = Machine::with(endpoint());
        for n in 0..4 {
            let id = CapabilityId(ids[(first + n * 3) % 4]);
            assert!(machine.function(0, |function, host| function.hide_capability(host, id)));
            assert!(!machine.function(0, |function, host| function.hide_capability(host, id)));
            assert_eq!(standard(&mut machine).len(), 3 - n);
        }
        assert_eq!(machine.read(0, 0x34, 1), 0);
    }
}

#[test]
fn b29_the_first_extended_capability_leaves_an_anchor() {
    let mut machine = Machine::with(endpoint());
    assert!(machine.function(0, |function, host| function.hide_extended(host, ExtendedId(0x0001))));
    assert_eq!(machine.read(0, 0x100, 4), 0x1480_0000, "null, version 0, pointing on");
    for offset in (0x104..0x148).step_by(4) {
        assert_eq!(machine.read(0, offset, 4), 0, "dword {offset:#x} of a hidden capability");
    }
    assert_eq!(extended(&mut machine), [(0x100, 0), (0x148, 0x03), (0x1a0, 0x18)]);
    assert_eq!(machine.read(0, 0x14c, 4), 0xa2a2_a2a2);
}

#[test]
fn b29_others_are_relinked() {
    let mut machine = Machine::with(endpoint());
    assert!(machine.function(0, |function, host| function.hide_extended(host, ExtendedId(0x0003))));
    assert_eq!(extended(&mut machine), [(0x100, 0x01), (0x1a0, 0x18)]);
    assert_eq!((machine.read(0, 0x148, 4), machine.read(0, 0x19c, 4)), (0, 0));
    assert_eq!(machine.read(0, 0x104, 4), 0xa1a1_a1a1);
    assert!(machine.function(0, |function, host| function.hide_extended(host, ExtendedId(0x0018))));
    assert_eq!(extended(&mut machine), [(0x100, 0x01)]);
    assert!(machine.function(0, |function, host| function.hide_extended(host, ExtendedId(0x0001))));
    assert_eq!(extended(&mut machine), []);
    assert_eq!(machine.read(0, 0x100, 4), 0, "an empty list has a header of 0");
    assert!(!machine.function(0, |function, host| function.hide_extended(host, ExtendedId(0x0001))));
}

#[test]
fn b29_writes_to_extended_headers_are_dropped() {
    let mut device = endpoint();
    device.allow(0x148, Width::Dword, u32::MAX);
    let mut machine = Machine::with(device);
    machine.host.take_events();
    machine.write(0, 0x148, 4, 0x1234_5678);
    machine.write(0, 0x149, 1, 0xff);
    assert_eq!(machine.host.take_writes(), []);
    assert_eq!(machine.read(0, 0x148, 4), 0x1a01_0003);
}

#[test]
fn b29_a_conventional_function_has_no_extended_space() {
    let mut device = endpoint();
    device.truncate();
    let mut machine = Machine::with(device);
    assert_eq!(extended(&mut machine), []);
    assert_eq!(machine.read(0, 0x100, 4), u32::MAX);
    assert_eq!(machine.read(0, 0xfff, 1), 0xff);
    assert_eq!(machine.state(0).refusals(Refusal::Capability), 0);
}

#[test]
fn broken_standard_lists_end() {
    // The pointer at `offset` is `value`: how many capabilities are left?
    for (offset, value, left) in [
        (0xa1, 0xa0, 4), // to itself
        (0xa1, 0x40, 4), // a ring
        (0x71, 0x50, 3),
        (0x41, 0x3c, 1), // into the header
        (0x41, 0x04, 1),
        (0x34, 0x3c, 0),
        (0x34, 0x10, 0),
    ] {
        let mut device = endpoint();
        poke(&mut device, offset, value);
        let mut machine = Machine::with(device);
        assert_eq!(standard(&mut machine).len(), left, "pointer {value:#x} at {offset:#x}");
        assert_eq!(machine.state(0).refusals(Refusal::Capability), 1, "pointer {value:#x} at {offset:#x}");
    }
}

#[test]
fn a_list_into_nothing_ends() {
    for (pointer, left) in [(0x34, 0), (0x41, 1), (0xa1, 4)] {
        let mut device = endpoint();
        device.set(0xf0, Width::Dword, u32::MAX);
        poke(&mut device, pointer, 0xf0);
        let mut machine = Machine::with(device);
        assert_eq!(standard(&mut machine).len(), left, "the ID FFh behind {pointer:#x}");
    }
}

#[test]
fn broken_extended_lists_end() {
    // The pointer of the capability at `offset` is `next`.
    for (offset, next, left) in [
        (0x1a0u16, 0x1a0u32, 3), // to itself
        (0x1a0, 0x100, 3),       // a ring
        (0x148, 0x0fc, 2),       // into the standard space
        (0x100, 0x040, 1),
        (0x148, 0xffc, 2), // where there is nothing
    ] {
        let mut device = endpoint();
        let header = device.get(offset, Width::Dword) & 0xf_ffff | next << 20;
        device.set(offset, Width::Dword, header);
        let mut machine = Machine::with(device);
        assert_eq!(extended(&mut machine).len(), left, "pointer {next:#x} at {offset:#x}");
        assert_eq!(machine.state(0).refusals(Refusal::Capability), 1, "pointer {next:#x} at {offset:#x}");
    }
}

#[test]
fn no_list_without_the_status_bit() {
    let mut device = endpoint();
    device.set(0x06, Width::Word, 0);
    let mut machine = Machine::with(device.clone());
    assert!(machine.state(0).msi().is_none() && machine.state(0).msix().is_none());
    for offset in (0x40..0x100).step_by(4) {
        assert_eq!(machine.read(0, offset, 4), device.get(offset, Width::Dword));
    }
}

#[test]
fn the_longest_lists_are_kept() {
    let mut device = Device::endpoint(1, 1);
    for offset in (0x40..0x100u16).step_by(4) {
        device = device.with_capability(u8::try_from(offset).unwrap(), 0x09, &[0xee, 0xee]);
    }
    for offset in (0x100..0x1000).step_by(4) {
        device = device.with_extended(offset, 0x000b, 4, 0);
    }
    let mut machine = Machine::with(device);
    assert_eq!(standard(&mut machine).len(), walk::STANDARD_LIMIT);
    assert_eq!(extended(&mut machine).len(), walk::EXTENDED_LIMIT);
    assert_eq!(machine.state(0).refusals(Refusal::Capability), 0);
}

#[test]
fn an_extended_list_that_does_not_fit_ends_where_room_does() {
    for room in 8..14 {
        let mut machine = Machine::default();
        machine.plug(endpoint());
        machine.set_registers(0, room);
        if machine.attach(0).is_ok() {
            assert!(standard(&mut machine).len() <= 4);
            assert!(extended(&mut machine).len() <= 3);
        }
    }
}

#[test]
fn capabilities_in_the_space_of_others_do_not_break_the_list() {
    // A capability inside the registers of MSI: the list must not run through what the domain writes there.
    let device = Device::endpoint(1, 1)
        .with_msi(0x50, 0x0080)
        .with_capability(0x5c, 0x09, &[0x10, 0])
        .with_capability(0x70, 0x01, &[]);
    let mut machine = Machine::with(device);
    machine.write(0, 0x5c, 2, 0xffff);
    machine.write(0, 0x58, 4, 0xffff_ffff);
    let offsets: Vec<_> = standard(&mut machine).into_iter().map(|(offset, _)| offset).collect();
    assert!(offsets == [0x50, 0x5c, 0x70] || offsets == [0x5c, 0x70], "{offsets:x?}");
}

#[test]
fn msi_that_leaves_the_standard_space_is_hidden() {
    for offset in [0xec, 0xf8, 0xfc] {
        let mut device = Device::endpoint(1, 1).with_extended(0x100, 0x0001, 0x48, 0xa1);
        // 64-bit with mask bits: 24 bytes.
        device = device.with_capability(0x40, 0x01, &[]).with_capability(offset, 0x05, &[0x80, 0x01]);
        let mut machine = Machine::with(device);
        assert_eq!(standard(&mut machine), [(0x40, 0x01)], "MSI at {offset:#x}");
        assert_eq!(machine.read(0, 0x100, 4), 0x0001_0001, "extended space is none of MSI's");
        assert_eq!(machine.read(0, 0x104, 4), 0xa1a1_a1a1);
        assert_eq!(extended(&mut machine).len(), 1);
        assert!(machine.state(0).msi().is_none());
    }
    let device = Device::endpoint(1, 1).with_capability(0xe8, 0x05, &[0x80, 0x01]);
    assert!(Machine::with(device).state(0).msi().is_some(), "24 bytes from e8h on just fit");
}

#[test]
fn msix_that_leaves_the_standard_space_is_hidden() {
    // What would be its PBA's register reads as a place in BAR 0.
    let device = || {
        let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4_0000);
        device.with_extended(0x100, 0x0010, 8, 0)
    };
    let mut machine = Machine::with(device().with_capability(0xf8, 0x11, &[0x03, 0, 0, 0, 0, 0]));
    assert_eq!(standard(&mut machine), []);
    assert!(machine.state(0).msix().is_none());
    let fits = device().with_msix(0xf4, 4, (0, 0x1000), (0, 0x2000));
    assert!(Machine::with(fits).state(0).msix().is_some(), "12 bytes from f4h on just fit");
}

#[test]
fn b28_a_hidden_interrupt_capability_is_gone() {
    let mut machine = Machine::with(endpoint().with_command(2));
    assert!(machine.state(0).msi().is_some() && machine.state(0).msix().is_some());
    machine.function(0, |function, host| {
        assert!(function.hide_capability(host, CapabilityId::MSI));
        assert!(function.hide_capability(host, CapabilityId::MSIX));
    });
    assert!(machine.state(0).msi().is_none(), "hidden MSI has a state");
    assert!(machine.state(0).msix().is_none(), "hidden MSI-X has a state");
    machine.write(0, 0x52, 2, 1);
    machine.write(0, 0xa2, 2, 0x8000);
    assert!(machine.host.pirqs().is_empty());
    machine.detach(0);
    assert!(machine.host.holds_nothing());
}

#[test]
fn b28_hiding_interrupts_in_use_gives_them_back() {
    let mut machine = Machine::with(endpoint().with_command(2));
    machine.write(0, 0x54, 4, 0xfee0_0000);
    machine.write(0, 0x52, 2, 0x0001);
    assert_eq!(machine.host.pirqs().len(), 1);
    machine.function(0, |function, host| function.hide_capability(host, CapabilityId::MSI));
    machine.detach(0);
    assert!(machine.host.holds_nothing());
}

#[test]
fn b28_hiding_another_capability_leaves_interrupts_alone() {
    for (message, control, enable) in [(0x54, 0x52, 0x0001), (0x1000, 0xa2, 0x8000)] {
        let mut machine = Machine::with(endpoint().with_command(2));
        if enable == 1 {
            machine.write(0, message, 4, 0xfee0_0000);
        } else {
            assert!(machine.mmio_write(0xfe00_1000, 8, 0xfee0_0000));
            assert!(machine.mmio_write(0xfe00_1008, 8, 0));
        }
        machine.write(0, control, 2, enable);
        assert_eq!(machine.host.pirqs().len(), 1);
        machine.function(0, |function, host| {
            assert!(function.hide_capability(host, CapabilityId(0x01)));
            assert!(function.hide_capability(host, CapabilityId(0x10)));
        });
        assert!(machine.state(0).msi().is_some() && machine.state(0).msix().is_some());
        assert_eq!(machine.host.pirqs().len(), 1, "nobody hid {control:#x}");
        assert_eq!(machine.read(0, control, 2) & enable, enable);
    }
}

#[test]
fn nothing_can_be_defined_over_what_is_pinned_or_hidden() {
    let mut machine = Machine::with(endpoint());
    machine.function(0, |function, host| {
        assert!(function.hide_capability(host, CapabilityId(0x10)));
        let mut define = |offset, width| function.define(&Definition::new(offset, width, Source::Virtual(0)));
        for (offset, width) in
            [(0x34, Width::Byte), (0x40, Width::Byte), (0x40, Width::Dword), (0x51, Width::Byte)]
        {
            assert_eq!(define(offset, width), Err(DefineError::Exists), "{offset:#x}, pinned");
        }
        assert_eq!(define(0x74, Width::Dword), Err(DefineError::Exists), "hidden");
        assert_eq!(define(0x100, Width::Dword), Err(DefineError::Exists));
        assert_eq!(define(0x42, Width::Word), Ok(()), "free");
    });
}
