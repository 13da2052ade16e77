//! MSI as the hardware domain sees it.

use capabilities::Width;
use tests::device::Device;
use tests::host::Import;
use tests::machine::Machine;
use tests::pirqs::Purpose;
use vpci::{Message, Refusal};

const CAP: u16 = 0x50;
const CONTROL: u16 = CAP + 2;
const ADDRESS: u16 = CAP + 4;
/// Of the four layouts (64-bit address, mask bits): control, data, mask.
const LAYOUTS: [(u16, u16, Option<u16>); 4] =
    [(0x0000, 0x08, None), (0x0080, 0x0c, None), (0x0100, 0x08, Some(0x0c)), (0x0180, 0x0c, Some(0x10))];

fn function(control: u16) -> Machine {
    Machine::with(Device::endpoint(0x8086, 0x2922).with_msi(0x50, control))
}

/// A message that a host can deliver: to processor `to`, vector `vector`.
fn write_message(machine: &mut Machine, to: u32, vector: u32) {
    let data = if machine.read(0, CONTROL, 2) & 0x80 == 0 { 0x08 } else { 0x0c };
    machine.write(0, ADDRESS, 4, 0xfee0_0000 | to << 12);
    machine.write(0, CAP + data, 2, vector);
}

const fn message(to: u64, vector: u32) -> Message {
    Message { address: 0xfee0_0000 | to << 12, data: vector }
}

fn bound(machine: &Machine) -> Option<Message> {
    machine.host.pirqs().msi().and_then(|pirq| pirq.bound)
}

#[test]
fn b32_control_shows_what_msi_defines() {
    for (control, expected) in [
        (0x0000, 0x0000),
        (0x0001, 0x0000), // enabled by firmware: the domain did not
        (0x0180, 0x0180),
        (0x004a, 0x000a), // 32 asked for, 16 granted by firmware
        (0x000c, 0x000a), // reserved encodings count as 32
        (0x000e, 0x000a),
        (0xfe86, 0x0086), // reserved bits
    ] {
        assert_eq!(function(control).read(0, CONTROL, 2), expected, "control {control:#x}");
    }
}

#[test]
fn b35_registers_start_as_0_whatever_the_device_holds() {
    for (control, data, mask) in LAYOUTS {
        let mut device = Device::endpoint(1, 1).with_msi(0x50, control);
        for offset in (4..0x18).step_by(4) {
            device.set(CAP + offset, Width::Dword, 0xfeef_eeee);
        }
        let mut machine = Machine::with(device);
        assert_eq!(machine.read(0, ADDRESS, 4), 0);
        assert_eq!(machine.read(0, CAP + data, 2), 0);
        if control & 0x80 != 0 {
            assert_eq!(machine.read(0, CAP + 8, 4), 0);
        }
        assert_eq!(machine.read(0, CAP + data + 2, 2), 0xfeef, "behind the data is the device's (B36)");
        if let Some(mask) = mask {
            assert_eq!(machine.read(0, CAP + mask, 4), 0);
            assert_eq!(machine.read(0, CAP + mask + 4, 4), 0xfeef_eeee, "pending bits are the device's");
        }
        let msi = machine.state(0).msi().unwrap();
        assert_eq!((msi.enabled(), msi.vectors(), msi.message()), (false, (1, 1), Message::default()));
        assert_eq!((msi.pirq(), msi.address64()), (None, control & 0x80 != 0));
        assert_eq!(msi.mask(), mask.map(|_| 0));
    }
}

#[test]
fn b34_no_message_reaches_the_device() {
    for (control, data, mask) in LAYOUTS {
        let mut machine = function(control | 0x000a);
        machine.write(0, CONTROL, 2, 0x0051);
        machine.host.take_events();
        write_message(&mut machine, 3, 0x41);
        machine.write(0, CAP + data, 1, 0x42);
        if control & 0x80 != 0 {
            machine.write(0, CAP + 8, 4, 0x1234_5678);
            assert_eq!(machine.read(0, CAP + 8, 4), 0x1234_5678);
        }
        if let Some(mask) = mask {
            machine.write(0, CAP + mask, 4, 0xffff_ffff);
            assert_eq!(machine.read(0, CAP + mask, 4), 0xffff_ffff);
        }
        assert_eq!(machine.host.take_writes(), [], "control {control:#x}");
        assert_eq!(machine.read(0, ADDRESS, 4), 0xfee0_3000);
        assert_eq!(machine.read(0, CAP + data, 2), 0x42);
    }
}

#[test]
fn b36_bytes_behind_the_data_are_the_devices() {
    let mut machine = function(0x0080);
    machine.write(0, CAP + 0x0c, 4, 0xabcd_0041);
    assert_eq!(machine.device(0).get(CAP + 0x0c, Width::Dword), 0xabcd_0000);
    assert_eq!(machine.read(0, CAP + 0x0c, 4), 0xabcd_0041);
}

#[test]
fn b33_enable_and_disable() {
    let mut machine = function(0x0080);
    write_message(&mut machine, 2, 0x31);
    assert!(machine.host.pirqs().is_empty(), "a message alone takes nothing");
    machine.host.take_events();
    machine.write(0, CONTROL, 2, 0x0001);
    assert_eq!(machine.host.take_writes(), [(CONTROL, Width::Word, 0x0081)]);
    assert_eq!(bound(&machine), Some(message(2, 0x31)));
    assert_eq!(machine.host.pirqs().msi().unwrap().purpose, Purpose::Msi(1));
    assert_eq!(machine.read(0, CONTROL, 2), 0x0081);
    assert!(machine.state(0).msi().is_some_and(|msi| msi.enabled() && msi.pirq().is_some()));
    machine.write(0, CONTROL, 2, 0x0001);
    assert_eq!(machine.host.take_writes(), [], "nothing changed");
    machine.write(0, CONTROL, 2, 0x0000);
    assert_eq!(machine.host.take_writes(), [(CONTROL, Width::Word, 0x0080)]);
    assert!(machine.host.pirqs().is_empty());
    assert_eq!(machine.read(0, CONTROL, 2), 0x0080);
    assert_eq!(machine.read(0, ADDRESS, 4), 0xfee0_2000, "the message stays");
    machine.write(0, CONTROL, 1, 0x01);
    assert_eq!(bound(&machine), Some(message(2, 0x31)), "a byte write enables as well");
}

#[test]
fn b33_the_number_of_vectors() {
    // 8 asked for.
    let mut machine = function(0x0086);
    write_message(&mut machine, 0, 0x40);
    for (granted, vectors) in [(0, 1), (1, 2), (3, 8), (4, 8), (5, 8), (7, 8), (2, 4)] {
        machine.host.take_events();
        machine.write(0, CONTROL, 2, granted << 4);
        assert_eq!(machine.host.take_writes(), [], "disabled: the number is noted");
        machine.write(0, CONTROL, 2, granted << 4 | 1);
        assert_eq!(machine.host.pirqs().msi().unwrap().purpose, Purpose::Msi(vectors), "{granted} granted");
        let log2 = vectors.trailing_zeros();
        assert_eq!(machine.read(0, CONTROL, 2), 0x0087 | log2 << 4);
        machine.write(0, CONTROL, 2, granted << 4);
        assert!(machine.host.pirqs().is_empty());
    }
}

#[test]
fn b33_another_number_of_vectors_while_enabled() {
    let mut machine = function(0x0086);
    write_message(&mut machine, 0, 0x40);
    machine.write(0, CONTROL, 2, 0x0011);
    machine.host.take_events();
    machine.write(0, CONTROL, 2, 0x0031);
    assert_eq!(machine.host.pirqs().msi().unwrap().purpose, Purpose::Msi(8));
    assert_eq!(bound(&machine), Some(message(0, 0x40)));
    assert_eq!(machine.host.take_writes(), [(CONTROL, Width::Word, 0x00b7)]);
    assert_eq!(machine.state(0).msi().unwrap().vectors(), (8, 8));
}

#[test]
fn b33_no_pirq_no_msi() {
    let mut machine = function(0x0086);
    write_message(&mut machine, 0, 0x40);
    machine.host.take_events();
    machine.host.fail(Import::MapMsi, 0);
    machine.write(0, CONTROL, 2, 0x0011);
    assert_eq!(machine.host.take_writes(), []);
    assert_eq!(machine.read(0, CONTROL, 2) & 1, 0);
    assert!(machine.host.pirqs().is_empty());
    assert_eq!(machine.state(0).refusals(Refusal::Interrupt), 1);
    machine.write(0, CONTROL, 2, 0x0011);
    assert_eq!(bound(&machine), Some(message(0, 0x40)), "the next attempt succeeds");
    // While enabled: what there was is gone.
    machine.host.fail(Import::MapMsi, 0);
    machine.write(0, CONTROL, 2, 0x0031);
    assert_eq!(machine.read(0, CONTROL, 2) & 1, 0);
    assert!(machine.host.pirqs().is_empty());
    assert_eq!(machine.state(0).refusals(Refusal::Interrupt), 2);
}

#[test]
fn b33_a_message_that_cannot_be_bound_is_no_error() {
    // Software may enable first and write the message later.
    let mut machine = function(0x0080);
    machine.write(0, CONTROL, 2, 0x0001);
    assert_eq!(machine.device(0).get(CONTROL, Width::Word) & 1, 1);
    assert_eq!((machine.host.pirqs().len(), bound(&machine)), (1, None));
    assert_eq!(machine.state(0).refusals(Refusal::Interrupt), 1);
    write_message(&mut machine, 1, 0x40);
    assert_eq!(bound(&machine), Some(message(1, 0x40)));
    machine.write(0, ADDRESS, 4, 0x1000);
    assert_eq!(bound(&machine), None);
    machine.write(0, CONTROL, 2, 0x0000);
    assert!(machine.host.pirqs().is_empty());
}

#[test]
fn b34_a_new_message_is_bound_at_once() {
    for control in [0x0000, 0x0080] {
        let mut machine = function(control);
        write_message(&mut machine, 0, 0x40);
        machine.write(0, CONTROL, 2, 0x0001);
        write_message(&mut machine, 5, 0x61);
        assert_eq!(bound(&machine), Some(message(5, 0x61)));
        assert_eq!(machine.host.pirqs().len(), 1);
        machine.write(0, ADDRESS + 1, 1, 0x70);
        assert_eq!(bound(&machine), Some(message(7, 0x61)), "a byte of the address");
    }
    let mut machine = function(0x0080);
    write_message(&mut machine, 0, 0x40);
    machine.write(0, CONTROL, 2, 0x0001);
    machine.write(0, CAP + 8, 4, 1);
    assert_eq!(bound(&machine), None, "an address above 4 GiB is none of an interrupt");
    assert_eq!(machine.state(0).msi().unwrap().message().address, 0x1_fee0_0000);
    machine.write(0, CAP + 8, 4, 0);
    assert_eq!(bound(&machine), Some(message(0, 0x40)));
}

#[test]
fn b35_mask_bits() {
    let mut machine = function(0x0186);
    write_message(&mut machine, 0, 0x40);
    machine.write(0, CAP + 0x10, 4, 0x0000_0005);
    machine.write(0, CONTROL, 2, 0x0021);
    assert_eq!(machine.host.pirqs().msi().unwrap().masked, 5, "masked before it was enabled");
    machine.write(0, CAP + 0x10, 4, 0xffff_fff6);
    assert_eq!(machine.host.pirqs().msi().unwrap().masked, 6, "four vectors are in use");
    machine.write(0, CAP + 0x10, 1, 0x00);
    assert_eq!(machine.host.pirqs().msi().unwrap().masked, 0);
    assert_eq!(machine.read(0, CAP + 0x10, 4), 0xffff_ff00);
    assert_eq!(machine.state(0).msi().unwrap().mask(), Some(0xffff_ff00));
    // Masked vectors stay masked when the message changes.
    machine.write(0, CAP + 0x10, 4, 0x2);
    write_message(&mut machine, 1, 0x48);
    assert_eq!(machine.host.pirqs().msi().unwrap().masked, 2);
    machine.write(0, CONTROL, 2, 0x0020);
    machine.write(0, CAP + 0x10, 4, 0x3);
    assert!(machine.host.pirqs().is_empty());
}

#[test]
fn all_32_vectors() {
    let mut machine = function(0x018a);
    write_message(&mut machine, 0, 0x40);
    machine.write(0, CONTROL, 2, 0x0051);
    machine.write(0, CAP + 0x10, 4, 0x8000_0001);
    assert_eq!(machine.host.pirqs().msi().unwrap().masked, 0x8000_0001);
    machine.detach(0);
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_dword_write_of_the_header_reaches_control() {
    let mut machine = function(0x0080);
    write_message(&mut machine, 0, 0x40);
    machine.host.take_events();
    machine.write(0, CAP, 4, 0x0001_ffff);
    assert_eq!(machine.read(0, CAP, 4), 0x0081_0005);
    assert_eq!(bound(&machine), Some(message(0, 0x40)));
}

#[test]
fn a_second_msi_capability_is_hidden() {
    let device = Device::endpoint(1, 1).with_msi(0x50, 0x0080).with_msi(0x70, 0x0080).with_msi(0x90, 0x0080);
    let mut machine = Machine::with(device.with_capability(0xb0, 0x01, &[0; 6]));
    assert_eq!((machine.read(0, 0x34, 1), machine.read(0, 0x51, 1)), (0x50, 0xb0));
    // With 64-bit addresses and no masking, the capability has 14 bytes (PCIe 7.7.1); what is behind is another's.
    for offset in (0x70..0x80).chain(0x90..0xa0).step_by(4) {
        machine.write(0, offset, 4, 0x1234_5678);
        assert_eq!(machine.read(0, offset, 4), 0);
    }
    machine.device(0).set(0x80, Width::Dword, 0x5555_aaaa);
    assert_eq!(machine.read(0, 0x80, 4), 0x5555_aaaa);
    assert_eq!(machine.device(0).get(0x74, Width::Dword), 0, "no message reaches the device there either");
    write_message(&mut machine, 0, 0x40);
    machine.write(0, CONTROL, 2, 1);
    assert_eq!(bound(&machine), Some(message(0, 0x40)));
    assert_eq!(machine.state(0).refusals(Refusal::Capability), 2);
}

#[test]
fn without_room_for_its_registers_msi_is_hidden() {
    let device = Device::endpoint(1, 1).with_msi(0x50, 0x0180).with_capability(0x70, 0x01, &[0; 6]);
    let mut hidden = 0;
    for room in 1..12 {
        let mut machine = Machine::default();
        machine.plug(device.clone());
        machine.set_registers(0, room);
        if machine.attach(0).is_err() || machine.state(0).msi().is_some() {
            continue;
        }
        hidden += 1;
        machine.write(0, CONTROL, 2, 1);
        write_message(&mut machine, 0, 0x40);
        assert!(machine.host.pirqs().is_empty());
        let ids = [machine.read(0, CAP, 1), machine.read(0, CONTROL, 2), machine.read(0, CAP + 0x10, 4)];
        assert_eq!(ids, [0; 3], "{room} registers");
        assert_eq!(machine.device(0).get(CONTROL, Width::Word), 0x0180);
    }
    assert!(hidden > 3);
}

#[test]
fn detach_gives_everything_back() {
    for (enable, good) in [(0x0000, true), (0x0001, true), (0x0031, true), (0x0001, false)] {
        let mut machine = function(0x0086);
        if good {
            write_message(&mut machine, 0, 0x40);
        }
        machine.write(0, CONTROL, 2, enable);
        machine.detach(0);
        assert!(machine.host.holds_nothing(), "control {enable:#x}");
    }
}
