//! What fuzzing found, in the smallest form.

use capabilities::walk;
use capabilities::{ConfigReader, Sbdf, Width};
use tests::device::Device;
use tests::machine::Machine;
use vpci::{AttachError, Locked, Refusal, Written};

/// A function as the domain sees it.
struct Seen<'m>(std::cell::RefCell<&'m mut Machine>);

impl ConfigReader for Seen<'_> {
    fn read(&self, offset: u16, width: Width) -> u32 {
        self.0.borrow_mut().read(0, offset, u32::from(width.bytes()))
    }
}

fn seen(machine: &mut Machine) -> Vec<(u16, u8)> {
    walk::standard(&Seen(machine.into())).map(|found| (found.offset, found.id.0)).collect()
}

#[test]
fn an_id_that_changes_after_attach_shows_no_capability_that_nobody_mediates() {
    let mut machine = Machine::with(Device::endpoint(1, 2).with_capability(0x50, 0x09, &[]));
    machine.device(0).set(0x50, Width::Byte, 0x05);
    assert_eq!(seen(&mut machine), [(0x50, 0x09)]);
}

#[test]
fn a_list_that_appears_after_attach_is_not_seen() {
    let mut machine = Machine::with(Device::endpoint(1, 2));
    let list = Device::endpoint(1, 2).with_msi(0x50, 0);
    machine.host.plug(Sbdf::new(0, 0, 0, 0), list);
    assert_eq!(seen(&mut machine), []);
}

#[test]
fn a_second_msi_capability_is_hidden() {
    let device =
        Device::endpoint(1, 2).with_msi(0x50, 0x80).with_msi(0x70, 0x80).with_capability(0xa0, 0x01, &[]);
    let mut machine = Machine::with(device);
    assert_eq!(seen(&mut machine), [(0x50, 0x05), (0xa0, 0x01)]);
    machine.write(0, 0x74, 4, 0xfee0_1000);
    assert_eq!(machine.device(0).get(0x74, Width::Dword), 0);
    assert_eq!(machine.state(0).refusals(Refusal::Capability), 1);
}

#[test]
fn a_list_longer_than_the_room_for_it_is_refused_whole() {
    let mut machine = Machine::default();
    let device = Device::endpoint(1, 2).with_command(2).with_bar32(0, 0xf000_0000, 0x1000);
    let number = machine.plug(device.with_capability(0x50, 0x09, &[]).with_capability(0x60, 0x01, &[]));
    machine.set_registers(number, 3);
    assert_eq!(machine.attach(number), Err(AttachError::Full));
    assert_eq!(machine.device(number).command(), 2);
    assert!(machine.host.holds_nothing());
}

#[test]
fn an_enable_bit_that_the_device_turned_off_is_followed_under_the_exclusive_lock() {
    let device = Device::endpoint(1, 2).with_command(2).with_bar32(0, 0xf000_0000, 0x1000);
    let mut machine = Machine::with(device.with_rom(0xf100_0001, 0x800));
    machine.device(0).set(0x04, Width::Word, 0);
    machine.device(0).set(0x30, Width::Dword, 0);
    assert_eq!(machine.write_locked(0, 0x05, 1, 0x04, Locked::Shared), Written::NeedsExclusive);
    assert_eq!(machine.write_locked(0, 0x31, 1, 0x00, Locked::Shared), Written::NeedsExclusive);
    machine.write(0, 0x05, 1, 0x04);
    assert_eq!(machine.device(0).command(), 0x0400);
    assert!(machine.host.p2m().is_empty());
    assert_eq!(machine.write_locked(0, 0x06, 2, 0xffff, Locked::Shared), Written::Done);
}

#[test]
fn a_page_that_is_left_to_a_bar_not_yet_mapped_is_given_back() {
    let device = || Device::endpoint(1, 2).with_command(2).with_bar32(0, 0xf000_0000, 0x1000);
    let mut machine = Machine::with(device());
    let second = machine.plug(device());
    assert_eq!(machine.attach(second), Ok(Written::Pending));
    machine.detach(0);
    machine.detach(second);
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_pba_inside_the_table_does_not_open_it() {
    let device = Device::endpoint(1, 2).with_command(2).with_bar32(0, 0xf000_0000, 0x1000);
    let mut machine = Machine::with(device.with_msix(0x50, 64, (0, 0), (0, 0x20)));
    machine.host.take_events();
    assert!(machine.mmio_write(0xf000_0020, 4, 0xfee0_1000));
    assert_eq!(machine.mmio_read(0xf000_0020, 4), Some(0xfee0_1000));
    assert_eq!(machine.host.take_events(), []);
}
