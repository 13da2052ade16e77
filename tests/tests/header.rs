//! The header as the hardware domain sees it: COMMAND, BARs and expansion ROM.

use capabilities::Width;
use tests::device::Device;
use tests::host::Event;
use tests::machine::Machine;
use vpci::{AttachError, BarKind, Info, Locked, Pages, Progress, Refusal, Written};

const MEMORY: u16 = 0x0002;
const COMMAND: u16 = 0x04;
const BAR0: u16 = 0x10;

fn pages(first: u64, last: u64) -> Pages {
    Pages { first, last }
}

/// Two memory BARs, one of 64 bits, an I/O BAR and a ROM.
fn endpoint() -> Device {
    Device::endpoint(0x8086, 0x10d3)
        .with_bar32(0, 0xfe00_0000, 0x4000)
        .with_io(1, 0xc000, 0x20)
        .with_bar64(2, 0x40_0000_0000, 0x1_0000)
        .with_rom(0xfd00_0000, 0x1_0000)
}

#[test]
fn b8_attach_leaves_the_device_as_it_was() {
    for command in [0x0000, 0x0004, 0x0002, 0x0547] {
        let device = endpoint().with_command(command);
        let machine = Machine::with(device.clone());
        for offset in 0..0x1000 {
            let now = machine.device(0).get(offset, Width::Byte);
            assert_eq!(now, device.get(offset, Width::Byte), "byte {offset:#x} changed");
        }
    }
}

#[test]
fn b10_header_types() {
    for (header_type, expected) in
        [(0x00, true), (0x80, true), (0x01, true), (0x81, true), (0x02, false), (0x7f, false)]
    {
        let mut machine = Machine::default();
        let mut device = endpoint().with_command(MEMORY);
        device.set(0x0e, Width::Byte, header_type);
        machine.plug(device);
        let attached = machine.attach(0);
        assert_eq!(attached.is_ok(), expected, "header type {header_type:#x}");
        if !expected {
            assert_eq!(attached, Err(AttachError::Unsupported));
            assert_eq!(machine.host.take_writes(), [], "a refused function was written to");
        }
    }
    let mut machine = Machine::default();
    machine.plug(endpoint());
    machine.host.pull(machine.sbdf(0));
    assert_eq!(machine.attach(0), Err(AttachError::Unsupported), "an absent function has header type ffh");
}

#[test]
fn b10_a_bridge_has_two_bars_and_its_rom_at_38h() {
    // The words behind BAR 1 are bus numbers and windows: they look like BARs, but must not be sized.
    let mut device = Device::bridge(0x8086, 0x3420)
        .with_bar32(0, 0xfe00_0000, 0x1000)
        .with_bar32(1, 0xfe10_0000, 0x2000)
        .with_rom(0xfd00_0801, 0x800)
        .with_command(MEMORY);
    device.set(0x18, Width::Dword, 0x0003_0200);
    device.set(0x20, Width::Dword, 0xfe30_fe20);
    let mut machine = Machine::default();
    machine.plug(device);
    assert_eq!(machine.attach(0), Ok(Written::Pending));
    for (offset, _, _) in machine.host.take_writes() {
        assert!(matches!(offset, 0x04 | 0x10 | 0x14 | 0x38), "the bridge was written to at {offset:#x}");
    }
    machine.settle(0);
    let kinds = machine.state(0).bars().map(|bar| bar.kind());
    assert_eq!(kinds[..3], [BarKind::Memory32, BarKind::Memory32, BarKind::Empty]);
    assert_eq!(machine.state(0).bars()[6].host_range(), (0xfd00_0800, 0x800));
    assert_eq!(machine.host.p2m().frames(), [0xfd000, 0xfe000, 0xfe100, 0xfe101]);
    machine.write(0, 0x18, 4, 0x0004_0302);
    assert_eq!(
        machine.device(0).get(0x18, Width::Dword),
        0x0004_0302,
        "bus numbers are the hardware domain's"
    );
}

#[test]
fn b11_ignored_bars_are_not_touched() {
    let mut machine = Machine::default();
    machine.plug(endpoint().with_command(0x0007));
    let info = Info { ignore_bars: true, ..Info::hardware(machine.sbdf(0)) };
    assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
    assert_eq!(machine.host.take_writes(), []);
    assert!(machine.host.p2m().is_empty());
    // COMMAND and BARs pass through, decoding included.
    machine.write(0, COMMAND, 2, 0x0005);
    assert_eq!(machine.device(0).command(), 0x0005);
    machine.write(0, COMMAND, 2, 0x0007);
    machine.write(0, BAR0, 4, 0xf000_0000);
    assert_eq!(machine.read(0, BAR0, 4), 0xf000_0000);
    assert!(machine.host.p2m().is_empty());
}

#[test]
fn b12_command_bits_pass_but_memory_waits_for_the_p2m() {
    let mut machine = Machine::with(endpoint());
    machine.write(0, COMMAND, 2, 0x0545);
    assert_eq!((machine.device(0).command(), machine.host.p2m().len()), (0x0545, 0));
    assert_eq!(machine.start_write(0, COMMAND, 2, 0x0007), Written::Pending);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0545, "nothing of the write is there before the p2m is");
    machine.settle(0);
    assert_eq!(machine.read(0, COMMAND, 2), 0x0007, "the whole register follows");
    assert!(machine.host.p2m().has_all(pages(0xfe000, 0xfe003)));
    assert!(machine.host.p2m().has_all(pages(0x400_0000, 0x400_000f)));
    assert_eq!(machine.host.p2m().len(), 20, "I/O ports and the disabled ROM are not mapped");
}

#[test]
fn b12_only_a_change_of_memory_needs_the_exclusive_lock() {
    let mut machine = Machine::with(endpoint());
    let mut shared = |offset, bytes, value| machine.write_locked(0, offset, bytes, value, Locked::Shared);
    assert_eq!(shared(COMMAND, 2, 0x0004), Written::Done);
    assert_eq!(shared(COMMAND + 1, 1, 0x04), Written::Done);
    assert_eq!(shared(0x06, 2, 0xf900), Written::Done);
    assert_eq!(shared(0x0c, 4, 0xff), Written::Done);
    assert_eq!(shared(BAR0, 4, 0xfe10_0000), Written::Done);
    assert_eq!(shared(0x30, 4, 0xfd00_0001), Written::Done, "the ROM is not mapped while decoding is off");
    machine.host.take_events();
    for (bytes, value) in [(1, 0x02), (2, 0x0002), (4, 0xf900_0002)] {
        let written = machine.write_locked(0, COMMAND, bytes, value, Locked::Shared);
        assert_eq!(written, Written::NeedsExclusive, "{bytes} bytes");
        assert_eq!(machine.host.take_writes(), [], "a write that is to be repeated had an effect");
    }
    assert!(!machine.function(0, |function, _| function.is_pending()));
}

#[test]
fn b12_partial_writes_of_command() {
    let mut machine = Machine::with(endpoint().with_command(0x0540));
    machine.write(0, COMMAND, 1, 0x06);
    assert_eq!(machine.device(0).command(), 0x0506);
    assert!(!machine.host.p2m().is_empty());
    machine.write(0, COMMAND + 1, 1, 0x00);
    assert_eq!(machine.device(0).command(), 0x0006);
    assert!(!machine.host.p2m().is_empty(), "the upper byte has nothing to do with decoding");
    machine.write(0, COMMAND, 1, 0x04);
    assert_eq!(machine.device(0).command(), 0x0004);
    assert!(machine.host.p2m().is_empty());
}

#[test]
fn b12_a_dword_write_reaches_status_too() {
    let mut device = endpoint();
    device.set(0x06, Width::Word, 0xf900);
    let mut machine = Machine::with(device);
    // COMMAND alone does not clear STATUS.
    machine.write(0, COMMAND, 2, 0x0004);
    machine.write(0, COMMAND, 1, 0x0000);
    assert_eq!(machine.read(0, 0x06, 2), 0xf900);
    machine.write(0, COMMAND, 4, 0x8100_0006);
    assert_eq!(machine.read(0, COMMAND, 4), 0x7800_0006);
    assert_eq!(machine.host.p2m().len(), 20);
}

#[test]
fn b14_decoding_is_off_while_bars_are_sized_and_until_they_are_mapped() {
    let mut machine = Machine::default();
    machine.plug(endpoint().with_command(0x0007));
    assert_eq!(machine.attach(0), Ok(Written::Pending));
    let mut decodes = true;
    for event in machine.host.take_events() {
        match event {
            Event::Write(COMMAND, _, value) => decodes = value & 2 != 0,
            Event::Write(offset, ..) => assert!(!decodes, "register {offset:#x} was written while decoding"),
            _ => {}
        }
    }
    assert!(!decodes && machine.device(0).command() == 0x0005);
    machine.settle(0);
    assert_eq!(machine.device(0).command(), 0x0007);
    assert_eq!(machine.host.p2m().len(), 20);
}

#[test]
fn b14_a_function_that_does_not_decode_is_not_mapped() {
    let mut machine = Machine::default();
    machine.plug(endpoint().with_command(0x0005));
    assert_eq!(machine.attach(0), Ok(Written::Done));
    assert!(machine.host.p2m().is_empty());
    let mut machine = Machine::default();
    machine.plug(Device::endpoint(1, 1).with_io(0, 0xc000, 8).with_command(0x0003));
    assert_eq!(machine.attach(0), Ok(Written::Done), "there is nothing to map");
    assert_eq!(machine.device(0).command(), 0x0003);
    machine.write(0, COMMAND, 2, 0);
    machine.write(0, COMMAND, 2, 0x0003);
    assert_eq!(machine.device(0).command(), 0x0003);
}

#[test]
fn b15_status_is_the_devices() {
    let mut device = endpoint();
    device.set(0x06, Width::Word, 0xf9a0);
    let mut machine = Machine::with(device);
    assert_eq!(machine.read(0, 0x06, 2), 0xf9a0);
    machine.write(0, 0x07, 1, 0x80);
    assert_eq!(machine.read(0, 0x06, 2), 0x79a0);
}

#[test]
fn b16_kinds_and_sizes_of_bars() {
    let device = Device::endpoint(1, 1)
        .with_bar32(0, 0xfe00_0010, 0x10)
        .with_io(1, 0xc000, 4)
        .with_bar64(2, 0x80_0000_0000, 0x80_0000_0000)
        .with_bar64(4, 0xfd00_0000, 0x80_0000);
    let machine = Machine::with(device);
    let bars = machine.state(0).bars();
    let expected = [
        (BarKind::Memory32, (0xfe00_0010, 0x10)),
        (BarKind::Io, (0, 0)),
        (BarKind::Memory64, (0x80_0000_0000, 0x80_0000_0000)),
        (BarKind::High, (0, 0)),
        (BarKind::Memory64, (0xfd00_0000, 0x80_0000)),
        (BarKind::High, (0, 0)),
        (BarKind::Empty, (0, 0)),
    ];
    for (bar, (kind, range)) in bars.iter().zip(expected) {
        assert_eq!((bar.kind(), bar.host_range(), bar.is_present()), (kind, range, false));
    }
}

#[test]
fn b16_an_io_bar_is_the_devices() {
    let mut machine = Machine::with(endpoint());
    machine.write(0, 0x14, 4, u32::MAX);
    assert_eq!(machine.read(0, 0x14, 4), 0xffff_ffe1);
    machine.write(0, 0x14, 4, 0xd000);
    assert_eq!(machine.read(0, 0x14, 4), 0xd001);
}

#[test]
fn b17_a_64_bit_bar_in_the_last_place_is_none() {
    let mut device = Device::endpoint(1, 1);
    device.set(0x24, Width::Dword, 0xfe00_0004);
    device.allow(0x24, Width::Dword, 0xffff_f000);
    let mut machine = Machine::with(device.with_command(MEMORY));
    assert_eq!(machine.state(0).bars()[5].kind(), BarKind::Empty);
    assert_eq!(machine.device(0).get(0x24, Width::Dword), 0xfe00_0004, "its register is as it was");
    assert!(machine.host.p2m().is_empty());
    assert_eq!(machine.read(0, 0x28, 4), 0);
}

#[test]
fn b18_a_bar_moves_while_it_is_not_mapped() {
    let mut machine = Machine::with(endpoint());
    machine.write(0, BAR0, 4, 0xfc00_000f);
    assert_eq!(machine.read(0, BAR0, 4), 0xfc00_0000);
    machine.write(0, 0x18, 4, 0x8000_0000);
    machine.write(0, 0x1c, 4, 0x0000_0060);
    assert_eq!(machine.read(0, 0x18, 4), 0x8000_000c, "type and prefetchable bits are the device's");
    assert_eq!(machine.read(0, 0x1c, 4), 0x0000_0060);
    machine.write(0, COMMAND, 2, 0x0002);
    assert!(machine.host.p2m().has_all(pages(0xfc000, 0xfc003)));
    assert!(machine.host.p2m().has_all(pages(0x608_0000, 0x608_000f)));
    assert_eq!(machine.host.p2m().len(), 20);
}

#[test]
fn b18_software_can_size_a_bar() {
    let mut machine = Machine::with(endpoint());
    for (offset, size) in [(0x10, 0xffff_c000), (0x18, 0xffff_000c), (0x1c, 0xffff_ffff), (0x30, 0xffff_0000)]
    {
        let old = machine.read(0, offset, 4);
        machine.write(0, offset, 4, if offset == 0x30 { 0xffff_f800 } else { u32::MAX });
        assert_eq!(machine.read(0, offset, 4), size, "size mask at {offset:#x}");
        machine.write(0, offset, 4, old);
        assert_eq!(machine.read(0, offset, 4), old);
    }
    machine.write(0, COMMAND, 2, MEMORY.into());
    assert!(machine.host.p2m().has_all(pages(0xfe000, 0xfe003)));
    assert!(machine.host.p2m().has_all(pages(0x400_0000, 0x400_000f)));
}

#[test]
fn b18_address_bits_below_the_size_do_not_count() {
    let mut machine = Machine::with(endpoint());
    for (offset, value, read) in
        [(0x10, 0xfc00_1230, 0xfc00_0000), (0x18, 0x8000_8ff0, 0x8000_000c), (0x30, 0xfb00_1801, 0xfb00_0001)]
    {
        machine.write(0, offset, 4, value);
        assert_eq!(machine.read(0, offset, 4), read, "register {offset:#x}");
    }
    machine.write(0, COMMAND, 2, 2);
    assert!(machine.host.p2m().has_all(pages(0xfc000, 0xfc003)));
    assert!(machine.host.p2m().has_all(pages(0x408_0000, 0x408_000f)));
    assert!(machine.host.p2m().has_all(pages(0xfb000, 0xfb00f)));
    assert_eq!(machine.host.p2m().len(), 36);
}

#[test]
fn b18_a_mapped_bar_does_not_move() {
    let mut machine = Machine::with(endpoint().with_command(MEMORY));
    machine.host.take_events();
    machine.write(0, BAR0, 4, 0xfe00_0000);
    assert_eq!(machine.state(0).refusals(Refusal::BarMapped), 0, "the same address is no move");
    for (offset, value) in [(BAR0, 0xfc00_0000), (0x18, 0x8000_0000), (0x1c, 0x41)] {
        let before = machine.read(0, offset, 4);
        machine.write(0, offset, 4, value);
        assert_eq!(machine.read(0, offset, 4), before);
    }
    assert_eq!(machine.state(0).refusals(Refusal::BarMapped), 3);
    machine.write(0, COMMAND, 2, 0);
    assert!(machine.host.p2m().is_empty(), "what was mapped is unmapped where it was");
}

#[test]
fn b18_partial_writes_of_a_bar() {
    let mut machine = Machine::with(endpoint());
    machine.write(0, BAR0 + 3, 1, 0xfb);
    machine.write(0, BAR0 + 1, 1, 0x40);
    assert_eq!(machine.read(0, BAR0, 4), 0xfb00_4000);
    machine.write(0, BAR0 + 2, 2, 0xfc10);
    assert_eq!(machine.read(0, BAR0, 4), 0xfc10_4000);
    machine.write(0, COMMAND, 2, 2);
    assert!(machine.host.p2m().has_all(pages(0xfc104, 0xfc107)));
}

#[test]
fn b20_b21_the_rom_is_mapped_while_both_bits_are_set() {
    let mut machine = Machine::with(endpoint());
    machine.write(0, 0x30, 4, 0xfd00_0001);
    assert_eq!((machine.read(0, 0x30, 4), machine.host.p2m().len()), (0xfd00_0001, 0));
    machine.write(0, COMMAND, 2, 2);
    assert!(machine.host.p2m().has_all(pages(0xfd000, 0xfd00f)));
    machine.write(0, 0x30, 4, 0xfd00_0000);
    assert_eq!(machine.read(0, 0x30, 4), 0xfd00_0000);
    assert!(machine.host.p2m().has_none(pages(0xfd000, 0xfd00f)));
    assert_eq!(machine.host.p2m().len(), 20, "the BARs stay");
    // Moved and enabled in one write.
    assert_eq!(machine.start_write(0, 0x30, 4, 0xfc00_0001), Written::Pending);
    assert_eq!(machine.read(0, 0x30, 4), 0xfd00_0000, "the register waits for the p2m");
    machine.settle(0);
    assert_eq!(machine.read(0, 0x30, 4), 0xfc00_0001);
    assert!(machine.host.p2m().has_all(pages(0xfc000, 0xfc00f)));
    machine.write(0, COMMAND, 2, 0);
    assert!(machine.host.p2m().is_empty());
    assert_eq!(machine.read(0, 0x30, 4), 0xfc00_0001);
}

#[test]
fn b20_a_mapped_rom_does_not_move() {
    let device = endpoint().with_rom(0xfd00_0001, 0x1_0000).with_command(MEMORY);
    let mut machine = Machine::with(device);
    assert_eq!(machine.host.p2m().len(), 36);
    machine.write(0, 0x30, 4, 0xfc00_0001);
    assert_eq!(machine.read(0, 0x30, 4), 0xfd00_0001);
    assert_eq!(machine.state(0).refusals(Refusal::RomMapped), 1);
    // Disabled and moved in one write: the new address counts from then on.
    machine.write(0, 0x30, 4, 0xfc00_0000);
    assert_eq!(machine.read(0, 0x30, 4), 0xfc00_0000);
    assert_eq!(machine.host.p2m().len(), 20);
    machine.write(0, 0x30, 1, 0x01);
    assert!(machine.host.p2m().has_all(pages(0xfc000, 0xfc00f)));
}

#[test]
fn b20_the_rom_needs_the_exclusive_lock_only_while_decoding() {
    let mut machine = Machine::with(endpoint().with_command(MEMORY));
    let mut shared = |value| machine.write_locked(0, 0x30, 4, value, Locked::Shared);
    assert_eq!(shared(0xfc00_0000), Written::Done, "a disabled ROM moves at will");
    assert_eq!(shared(0xfc00_0001), Written::NeedsExclusive);
    assert_eq!(machine.device(0).get(0x30, Width::Dword), 0xfc00_0000);
    machine.write(0, 0x30, 4, 0xfc00_0001);
    assert!(machine.host.p2m().has_all(pages(0xfc000, 0xfc00f)));
}

#[test]
fn b16_a_rom_that_is_not_there_is_the_devices() {
    let mut machine = Machine::with(Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x1000));
    assert_eq!(machine.state(0).bars()[6].kind(), BarKind::Empty);
    machine.write(0, 0x30, 4, u32::MAX);
    assert_eq!(machine.read(0, 0x30, 4), 0);
}

#[test]
fn b25_the_registers_change_after_the_p2m() {
    let mut machine = Machine::with(endpoint().with_rom(0xfd00_0001, 0x1_0000));
    machine.host.take_events();
    machine.write(0, COMMAND, 2, 2);
    let events = machine.host.take_events();
    let enabled = events.iter().position(|event| *event == Event::Write(COMMAND, Width::Word, 2)).unwrap();
    let mapped = events.iter().rposition(|event| matches!(event, Event::Map(_))).unwrap();
    assert!(mapped < enabled, "decoding was enabled before the pages were mapped");
    machine.write(0, COMMAND, 2, 0);
    let events = machine.host.take_events();
    let disabled = events.iter().position(|event| *event == Event::Write(COMMAND, Width::Word, 0)).unwrap();
    let unmapped = events.iter().rposition(|event| matches!(event, Event::Unmap(_))).unwrap();
    assert!(unmapped < disabled, "decoding was disabled before the pages were unmapped");
}

#[test]
fn b7_the_rest_of_the_header_is_the_devices() {
    let mut machine = Machine::with(endpoint());
    machine.write(0, 0x3c, 1, 0x5a);
    machine.write(0, 0x0c, 2, 0x2010);
    for offset in (0..0x40).step_by(4) {
        let hardware = machine.device(0).get(offset, Width::Dword);
        assert_eq!(machine.read(0, offset, 4), hardware, "dword {offset:#x}");
    }
    assert_eq!(machine.read(0, 0x3c, 1), 0x5a);
    assert_eq!(machine.read(0, 0x00, 4), 0x10d3_8086);
}

#[test]
fn too_little_memory_is_refused_and_the_device_stays_as_it_was() {
    for command in [0x0005, 0x0007] {
        let device = endpoint().with_command(command);
        for registers in 0..5 {
            let mut machine = Machine::default();
            machine.plug(device.clone());
            machine.set_registers(0, registers);
            assert_eq!(machine.attach(0), Err(AttachError::Full), "{registers} registers");
            for offset in (0..0x40).step_by(4) {
                let now = machine.device(0).get(offset, Width::Dword);
                assert_eq!(
                    now,
                    device.get(offset, Width::Dword),
                    "{registers} registers: {offset:#x} changed"
                );
            }
            machine.function(0, |function, _| assert!(!function.is_pending()));
            assert_eq!(machine.step(0), Progress::Done);
            assert!(machine.host.holds_nothing());
        }
    }
}

#[test]
fn a_mapped_bar_may_be_written_with_the_address_it_has() {
    // A device without No_Soft_Reset loses its BARs in D3hot, and software writes them again (PCIe 5.3.1.4).
    let mut machine =
        Machine::with(Device::endpoint(1, 1).with_bar64(0, 0x40_8000_0000, 0x1_0000).with_command(2));
    for (offset, value, lost) in [(0x10, 0x8000_000c, 0xc), (0x14, 0x0000_0040, 0)] {
        machine.device(0).set(offset, Width::Dword, lost);
        machine.write(0, offset, 4, value);
        assert_eq!(machine.device(0).get(offset, Width::Dword), value, "at {offset:#x}");
    }
    assert_eq!(machine.state(0).refusals(Refusal::BarMapped), 0);
    machine.write(0, 0x14, 4, 0x41);
    assert_eq!(machine.device(0).get(0x14, Width::Dword), 0x40);
    assert_eq!(machine.state(0).refusals(Refusal::BarMapped), 1);
}

#[test]
fn a_mapped_rom_may_be_written_with_the_address_it_has() {
    let mut machine = Machine::with(Device::endpoint(1, 1).with_rom(0xfd00_0001, 0x2000).with_command(2));
    machine.device(0).set(0x30, Width::Dword, 0);
    machine.write(0, 0x30, 4, 0xfd00_0001);
    assert_eq!(machine.device(0).get(0x30, Width::Dword), 0xfd00_0001);
    assert_eq!(machine.state(0).refusals(Refusal::RomMapped), 0);
    machine.write(0, 0x30, 4, 0xfe00_0001);
    assert_eq!(machine.device(0).get(0x30, Width::Dword), 0xfd00_0001);
    assert_eq!(machine.state(0).refusals(Refusal::RomMapped), 1);
}
