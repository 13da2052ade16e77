//! MSI-X as the hardware domain sees it: the capability, the table, the PBA and what else is in their pages.

use capabilities::Width;
use tests::device::Device;
use tests::host::{Event, Import};
use tests::machine::Machine;
use tests::pirqs::Purpose;
use vpci::{Locked, Message, Pages, Refusal};

const CONTROL: u16 = 0xa2;
const BAR: u64 = 0xfe00_0000;
/// The table is at this address, the PBA a page behind it.
const TABLE: u64 = BAR + 0x2100;
const PBA: u64 = BAR + 0x3800;
const ENABLE: u32 = 0x8000;
const MASK: u32 = 0x4000;

/// 8 vectors; the table at 0x2100 and the PBA at 0x3800 of a BAR of 16 KiB.
fn device() -> Device {
    Device::endpoint(0x8086, 0x10d3)
        .with_bar32(0, 0xfe00_0000, 0x4000)
        .with_msix(0xa0, 8, (0, 0x2100), (0, 0x3800))
        .with_command(2)
}

fn machine() -> Machine {
    Machine::with(device())
}

fn entry(n: u64) -> u64 {
    TABLE + 16 * n
}

/// Writes a table entry as drivers do: four dwords.
fn write_entry(machine: &mut Machine, n: u64, vector: u32, masked: bool) {
    for (offset, value) in [(0, 0xfee0_0000), (4, 0), (8, u64::from(vector)), (12, u64::from(masked))] {
        assert!(machine.mmio_write(entry(n) + offset, 4, value));
    }
}

const fn message(vector: u32) -> Message {
    Message { address: 0xfee0_0000, data: vector }
}

/// What MSI-X vector `n` delivers.
fn bound(machine: &Machine, n: u16) -> Option<Message> {
    machine.host.pirqs().msix(n).and_then(|pirq| pirq.bound)
}

fn control(machine: &mut Machine, value: u32) {
    machine.write(0, CONTROL, 2, value);
}

#[test]
fn b37_a_capability_that_makes_no_sense_is_hidden() {
    let bar = |device: Device| device.with_bar32(0, 0xfe00_0000, 0x4000).with_io(1, 0xc000, 0x20);
    let bar = |device: Device| bar(device).with_bar64(2, 0xfd00_0000, 0x1000).with_rom(0xfc00_0001, 0x1_0000);
    for (table, pba, entries) in [
        ((6, 0), (0, 0), 1), // BIR 6 and 7 are reserved
        ((0, 0), (7, 0), 1),
        ((1, 0), (0, 0), 1),      // I/O
        ((3, 0), (0, 0), 1),      // the high half of a BAR
        ((4, 0), (0, 0), 1),      // not there
        ((0, 0x4000), (0, 0), 1), // behind the end
        ((0, 0x3ff8), (0, 0), 1), // across the end
        ((0, 0), (2, 0xff8), 65),
        ((0, 0), (0, 0x4000), 2048),
        ((0, 0x0000), (0, 0xffff_fff8), 1),
        ((2, 0), (0, 0), 2048),
    ] {
        let device = bar(Device::endpoint(1, 1)).with_command(2);
        let device = device.with_capability(0x40, 0x01, &[0; 6]).with_msix(0xa0, entries, table, pba);
        let mut machine = Machine::with(device);
        let place = format!("table {table:x?}, PBA {pba:x?}");
        assert!(machine.state(0).msix().is_none(), "{place}");
        assert_eq!(machine.state(0).refusals(Refusal::Capability), 1, "{place}");
        assert_eq!(machine.read(0, 0x41, 1), 0, "{place}: it is out of the list");
        for offset in (0xa0..0xac).step_by(4) {
            assert_eq!(machine.read(0, offset, 4), 0, "{place}: dword {offset:#x}");
        }
        control(&mut machine, ENABLE);
        assert_eq!(machine.device(0).get(CONTROL, Width::Word) & 0x8000, 0);
        assert_eq!(machine.window(BAR), None);
        machine.detach(0);
        assert!(machine.host.holds_nothing());
    }
}

#[test]
fn b37_a_table_and_pba_that_just_fit() {
    for (entries, table, pba) in [(256, 0x3000, 0x2fe0), (1, 0x3ff0, 0x3fe8), (2048, 0x0000, 0xff00)] {
        let device =
            Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, if entries > 256 { 0x1_0000 } else { 0x4000 });
        let machine = Machine::with(device.with_msix(0xa0, entries, (0, table), (0, pba)));
        assert_eq!(machine.state(0).msix().map(vpci::Msix::entries), Some(entries));
    }
}

#[test]
fn b37_it_starts_disabled_with_all_entries_masked() {
    let mut device = device();
    device.set(CONTROL, Width::Word, 0xc007);
    let mut machine = Machine::with(device);
    assert_eq!(machine.read(0, CONTROL, 2), 0x0007);
    let msix = machine.state(0).msix().unwrap();
    assert_eq!((msix.enabled(), msix.masked(), msix.entries()), (false, false, 8));
    for n in 0..8 {
        assert_eq!(machine.mmio_read(entry(n), 8), Some(0));
        assert_eq!(machine.mmio_read(entry(n) + 8, 8), Some(1 << 32));
    }
    assert!(machine.vectors(0).iter().all(|vector| vector.masked() && vector.pirq().is_none()));
}

#[test]
fn b37_without_room_for_its_vectors_msix_is_hidden() {
    let mut machine = Machine::default();
    machine.plug(device());
    let info = vpci::Info::hardware(machine.sbdf(0));
    machine.function(0, |function, host| {
        assert!(function.vectors.is_empty());
        assert!(function.attach(host, &info).is_ok());
        assert!(function.state.msix().is_none());
    });
}

#[test]
fn b38_control() {
    let mut machine = machine();
    machine.host.take_events();
    for (written, read) in [(0xffff, 0xc007), (0x8000, 0x8007), (0x4000, 0x4007), (0x0000, 0x0007)] {
        control(&mut machine, written);
        assert_eq!(machine.read(0, CONTROL, 2), read);
        assert_eq!(machine.host.take_writes(), [(CONTROL, Width::Word, read)]);
        let flags = machine.state(0).msix().map(|msix| (msix.enabled(), msix.masked()));
        assert_eq!(flags, Some((read & 0x8000 != 0, read & 0x4000 != 0)));
    }
    control(&mut machine, 0x3fff);
    assert_eq!(machine.host.take_writes(), [], "nothing changed");
    machine.write(0, CONTROL + 1, 1, 0x80);
    assert_eq!(machine.read(0, CONTROL, 2), 0x8007, "the upper byte alone");
    machine.write(0, CONTROL, 1, 0xff);
    assert_eq!(machine.read(0, CONTROL, 2), 0x8007);
    machine.write(0, 0xa0, 4, 0xc000_0000);
    assert_eq!(machine.read(0, 0xa0, 4), 0xc007_0011);
}

#[test]
fn b38_the_host_has_its_say_in_control() {
    let mut machine = machine();
    machine.host.set_host_masks(true);
    control(&mut machine, ENABLE);
    assert_eq!(machine.device(0).get(CONTROL, Width::Word), 0xc007);
    assert_eq!(machine.read(0, CONTROL, 2), 0x8007, "the domain sees its own mask");
    machine.host.fail(Import::FilterMsixControl, 0);
    control(&mut machine, 0);
    assert_eq!(machine.device(0).get(CONTROL, Width::Word), 0xc007, "the host forbade the write");
    assert_eq!(machine.read(0, CONTROL, 2), 0x0007);
}

#[test]
fn b38_enabling_binds_what_is_unmasked_and_written() {
    let mut machine = machine();
    write_entry(&mut machine, 0, 0x40, false);
    write_entry(&mut machine, 1, 0x41, true);
    machine.mmio_write(entry(2) + 12, 4, 0); // unmasked, never written
    assert!(machine.host.pirqs().is_empty(), "nothing is bound while MSI-X is disabled");
    control(&mut machine, ENABLE);
    assert_eq!(bound(&machine, 0), Some(message(0x40)));
    assert_eq!(machine.host.pirqs().msix(0).unwrap().purpose, Purpose::Msix(0, BAR));
    assert_eq!(machine.host.pirqs().len(), 1);
    write_entry(&mut machine, 7, 0x47, false);
    assert_eq!(bound(&machine, 7), Some(message(0x47)));
    assert!(machine.vectors(0)[7].pirq().is_some());
    control(&mut machine, 0);
    assert!(machine.host.pirqs().is_empty());
    control(&mut machine, ENABLE);
    assert_eq!(
        (bound(&machine, 0), bound(&machine, 7)),
        (Some(message(0x40)), Some(message(0x47))),
        "messages are kept"
    );
}

#[test]
fn b38_the_function_mask() {
    let mut machine = machine();
    control(&mut machine, ENABLE | MASK);
    write_entry(&mut machine, 0, 0x40, false);
    assert!(machine.host.pirqs().is_empty(), "nothing is bound under the function mask");
    control(&mut machine, ENABLE);
    assert_eq!(bound(&machine, 0), Some(message(0x40)));
    control(&mut machine, ENABLE | MASK);
    assert_eq!(bound(&machine, 0), Some(message(0x40)), "a mask takes nothing away");
    write_entry(&mut machine, 0, 0x50, true);
    machine.mmio_write(entry(0) + 12, 4, 0);
    control(&mut machine, ENABLE);
    assert_eq!(bound(&machine, 0), Some(message(0x50)), "what was written under the mask counts behind it");
    assert_eq!(machine.host.pirqs().len(), 1);
    control(&mut machine, MASK);
    assert!(machine.host.pirqs().is_empty());
}

#[test]
fn b39_table_and_pba_registers_are_the_devices() {
    let mut machine = machine();
    assert_eq!((machine.read(0, 0xa4, 4), machine.read(0, 0xa8, 4)), (0x2100, 0x3800));
}

#[test]
fn b40_pages_trap_while_the_bar_is_mapped() {
    let mut machine = machine();
    for (address, traps) in [
        (BAR, false),
        (BAR + 0x1fff, false),
        (BAR + 0x2000, true),
        (TABLE, true),
        (BAR + 0x3fff, true),
        (BAR + 0x4000, false),
    ] {
        assert_eq!(machine.window(address).is_some(), traps, "{address:#x}");
    }
    assert_eq!(machine.host.p2m().frames(), [0xfe000, 0xfe001]);
    machine.write(0, 0x04, 2, 0);
    assert_eq!(machine.window(TABLE), None);
    assert_eq!(machine.mmio_read(TABLE, 4), None);
    machine.write(0, 0x10, 4, 0xfc00_0000);
    machine.write(0, 0x04, 2, 2);
    assert_eq!((machine.window(TABLE), machine.window(0xfc00_2100)), (None, Some(0)));
    machine.mmio_write(0xfc00_2100, 8, 0xfee0_0000);
    assert_eq!(machine.mmio_read(0xfc00_2100, 8), Some(0xfee0_0000), "the table moved with its BAR");
}

#[test]
fn b41_the_layout_of_an_entry() {
    let mut machine = machine();
    machine.mmio_write(entry(3), 8, 0x1234_5678_9abc_def0);
    machine.mmio_write(entry(3) + 8, 8, 0xffff_fffe_cafe_babe);
    assert_eq!(machine.mmio_read(entry(3), 4), Some(0x9abc_def0));
    assert_eq!(machine.mmio_read(entry(3) + 4, 4), Some(0x1234_5678));
    assert_eq!(machine.mmio_read(entry(3) + 8, 4), Some(0xcafe_babe));
    assert_eq!(machine.mmio_read(entry(3) + 12, 4), Some(0), "of vector control, the mask bit alone");
    assert_eq!(machine.mmio_read(entry(3) + 8, 8), Some(0xcafe_babe));
    machine.mmio_write(entry(3) + 12, 4, 0xffff_ffff);
    assert_eq!(machine.mmio_read(entry(3) + 8, 8), Some(0x1_cafe_babe));
    machine.mmio_write(entry(3) + 4, 4, 0xffff_ffff_0000_0001);
    machine.mmio_write(entry(3), 4, 0xffff_ffff_0000_0002);
    assert_eq!(machine.mmio_read(entry(3), 8), Some(0x1_0000_0002));
    machine.mmio_write(entry(3) + 8, 4, 0xffff_ffff_0000_0003);
    assert_eq!(machine.mmio_read(entry(3) + 8, 8), Some(0x1_0000_0003));
    assert_eq!(machine.mmio_read(entry(2), 8), Some(0));
    assert_eq!(machine.mmio_read(entry(4), 8), Some(0));
    assert_eq!(machine.vectors(0)[3].message(), Message { address: 0x1_0000_0002, data: 3 });
    let touched = machine.host.take_events();
    assert!(!touched.iter().any(|event| matches!(event, Event::MmioRead(..) | Event::MmioWrite(..))));
}

#[test]
fn b41_the_table_takes_aligned_dwords_and_qwords() {
    let mut machine = machine();
    machine.mmio_write(entry(1), 8, 0x1122_3344_5566_7788);
    let mut refused = 0;
    for (offset, bytes) in [(0, 1), (0, 2), (2, 2), (7, 1), (2, 4), (1, 4), (4, 8), (12, 8), (1, 8), (15, 1)]
    {
        machine.mmio_write(entry(1) + offset, bytes, 0);
        refused += 1;
        let all = u64::MAX >> (64 - 8 * u32::from(bytes));
        assert_eq!(machine.mmio_read(entry(1) + offset, bytes), Some(all), "{bytes} bytes at {offset}");
        refused += 1;
    }
    assert_eq!(machine.mmio_read(entry(1), 8), Some(0x1122_3344_5566_7788));
    assert_eq!(machine.state(0).refusals(Refusal::MsixAccess), refused);
    for bytes in [0, 3, 5, 16, 255] {
        machine.mmio_write(entry(1), bytes, 0);
        assert_eq!(machine.mmio_read(entry(1), bytes), Some(u64::MAX), "{bytes} bytes are no access");
    }
    assert_eq!(machine.mmio_read(entry(1), 8), Some(0x1122_3344_5566_7788));
}

#[test]
fn b42_a_message_takes_effect_when_it_is_unmasked() {
    let mut machine = machine();
    control(&mut machine, ENABLE);
    write_entry(&mut machine, 0, 0x40, false);
    assert_eq!(bound(&machine, 0), Some(message(0x40)));
    machine.mmio_write(entry(0) + 8, 4, 0x41);
    assert_eq!(bound(&machine, 0), Some(message(0x40)), "unmasked: the old message is delivered on");
    machine.mmio_write(entry(0) + 12, 4, 1);
    assert_eq!(machine.host.pirqs().msix(0).unwrap().masked, 1);
    machine.mmio_write(entry(0) + 12, 4, 0);
    assert_eq!(bound(&machine, 0), Some(message(0x41)));
    assert_eq!(machine.host.pirqs().msix(0).unwrap().masked, 0);
    assert_eq!(machine.host.pirqs().len(), 1);
    // A mask and unmask without a new message keeps the PIRQ.
    let pirq = machine.vectors(0)[0].pirq();
    machine.mmio_write(entry(0) + 12, 4, 1);
    machine.mmio_write(entry(0) + 8, 8, 0x41);
    assert_eq!(machine.host.calls(Import::MapMsix), 3, "data was written, if the same");
    machine.mmio_write(entry(0) + 12, 4, 1);
    machine.mmio_write(entry(0) + 12, 4, 0);
    assert_eq!(machine.host.calls(Import::MapMsix), 3);
    assert_ne!(machine.vectors(0)[0].pirq(), pirq);
}

#[test]
fn b42_what_cannot_be_bound_is_tried_again() {
    for import in [Import::MapMsix, Import::Bind] {
        let mut machine = machine();
        control(&mut machine, ENABLE);
        machine.host.fail(import, 0);
        write_entry(&mut machine, 0, 0x40, false);
        assert!(machine.host.pirqs().is_empty(), "{import:?} failed: nothing is kept");
        assert_eq!(machine.state(0).refusals(Refusal::Interrupt), 1);
        assert_eq!(machine.mmio_read(entry(0) + 12, 4), Some(0), "the table says what was written");
        machine.mmio_write(entry(0) + 12, 4, 1);
        machine.mmio_write(entry(0) + 12, 4, 0);
        assert_eq!(bound(&machine, 0), Some(message(0x40)));
        // The same when the control register binds.
        control(&mut machine, 0);
        write_entry(&mut machine, 1, 0x41, false);
        machine.host.fail(import, 1);
        control(&mut machine, ENABLE);
        assert_eq!((bound(&machine, 0), bound(&machine, 1)), (Some(message(0x40)), None));
        assert_eq!(machine.state(0).refusals(Refusal::Interrupt), 2);
        machine.mmio_write(entry(1) + 12, 4, 1);
        machine.mmio_write(entry(1) + 12, 4, 0);
        assert_eq!(bound(&machine, 1), Some(message(0x41)));
    }
}

/// A host keeps the mapping of a slot until it is asked for another page there.
#[test]
fn neighbours_in_four_pages_have_four_slots() {
    // 65 vectors: the table is in two pages, and so is the PBA.
    let device = Device::endpoint(0x8086, 0x10d3)
        .with_bar32(0, 0xfe00_0000, 0x8000)
        .with_msix(0xa0, 65, (0, 0x1c00), (0, 0x4ff8))
        .with_command(2);
    let mut machine = Machine::with(device);
    machine.host.take_events();
    let mut slots = [0x1000, 0x2800, 0x4000, 0x5800].map(|offset| {
        assert!(machine.mmio_read(BAR + offset, 4).is_some());
        match machine.host.take_events()[..] {
            [Event::MmioRead(slot, address, 4)] if address == BAR + offset => slot,
            ref other => panic!("{other:x?}"),
        }
    });
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
}

#[test]
fn b43_neighbours_pass_at_any_width() {
    let mut machine = machine();
    machine.host.fill_memory(BAR + 0x2000, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(machine.mmio_read(BAR + 0x2000, 1), Some(0x01));
    assert_eq!(machine.mmio_read(BAR + 0x2002, 2), Some(0x0403));
    assert_eq!(machine.mmio_read(BAR + 0x2004, 4), Some(0x0807_0605));
    assert_eq!(machine.mmio_read(BAR + 0x2000, 8), Some(0x0807_0605_0403_0201));
    // Unaligned: byte by byte.
    machine.host.take_events();
    assert_eq!(machine.mmio_read(BAR + 0x2001, 4), Some(0x0504_0302));
    assert_eq!(machine.mmio_read(BAR + 0x2001, 8), Some(0x0908_0706_0504_0302));
    let reads = machine.host.take_events();
    assert_eq!(reads.len(), 12);
    assert!(reads.iter().all(|event| matches!(event, Event::MmioRead(0, _, 1))));
    machine.mmio_write(BAR + 0x2ff0, 4, 0xffff_ffff_a1b2_c3d4);
    assert_eq!(machine.host.take_events(), [Event::MmioWrite(0, BAR + 0x2ff0, 4, 0xa1b2_c3d4)]);
    machine.mmio_write(BAR + 0x2ff3, 2, 0xff_1122);
    assert_eq!(
        machine.host.take_events(),
        [Event::MmioWrite(0, BAR + 0x2ff3, 1, 0x22), Event::MmioWrite(0, BAR + 0x2ff4, 1, 0x11)]
    );
    assert_eq!(machine.state(0).refusals(Refusal::MsixAccess), 0);
}

#[test]
fn b43_the_pba_is_the_devices() {
    let mut machine = machine();
    machine.host.fill_memory(PBA, &[0xa5; 16]);
    assert_eq!(machine.mmio_read(PBA, 8), Some(0xa5a5_a5a5_a5a5_a5a5));
    assert_eq!(machine.mmio_read(PBA + 4, 4), Some(0xa5a5_a5a5));
    machine.mmio_write(PBA, 4, 0);
    assert_eq!(machine.host.memory(PBA), 0);
    for (offset, bytes) in [(0, 1), (0, 2), (1, 4), (6, 2), (4, 8), (7, 1)] {
        machine.host.take_events();
        let all = u64::MAX >> (64 - 8 * u32::from(bytes));
        assert_eq!(machine.mmio_read(PBA + offset, bytes), Some(all), "{bytes} bytes at {offset}");
        machine.mmio_write(PBA + offset, bytes, 0);
        assert_eq!(machine.host.take_events(), [], "{bytes} bytes at {offset}");
    }
    assert_eq!(machine.mmio_read(PBA + 8, 1), Some(0xa5), "behind its 8 bytes is a neighbour");
}

#[test]
fn b43_nothing_straddles_into_the_table_or_the_pba() {
    let mut machine = machine();
    let end = entry(8);
    for (address, bytes) in [
        (TABLE - 1, 2),
        (TABLE - 4, 8),
        (TABLE - 2, 4),
        (end - 1, 2),
        (end - 4, 8),
        (PBA - 1, 2),
        (PBA - 4, 8),
        (PBA + 7, 2),
        (PBA + 4, 8),
    ] {
        machine.host.take_events();
        let all = u64::MAX >> (64 - 8 * u32::from(bytes));
        assert_eq!(machine.mmio_read(address, bytes), Some(all), "{bytes} bytes at {address:#x}");
        machine.mmio_write(address, bytes, 0x5a5a_5a5a_5a5a_5a5a);
        assert_eq!(machine.host.take_events(), [], "{bytes} bytes at {address:#x}");
    }
    assert_eq!(machine.mmio_read(entry(0), 8), Some(0));
    assert_eq!(machine.mmio_read(entry(7) + 8, 8), Some(1 << 32));
    assert_eq!(machine.state(0).refusals(Refusal::MsixAccess), 18);
}

#[test]
fn b43_nothing_leaves_the_trapped_pages() {
    let mut machine = machine();
    for (address, bytes) in
        [(BAR + 0x3ffc, 8), (BAR + 0x3fff, 2), (BAR + 0x4000, 4), (BAR + 0x1ffe, 4), (BAR, 4)]
    {
        machine.function(0, |function, host| {
            let all = u64::MAX >> (64 - 8 * u32::from(bytes));
            assert_eq!(function.mmio_read(host, &(), address, bytes), all, "{bytes} bytes at {address:#x}");
            function.mmio_write(host, &(), address, bytes, 0, Locked::Shared);
        });
    }
    machine.function(0, |function, host| {
        assert_eq!(function.mmio_read(host, &(), u64::MAX, 8), u64::MAX);
        assert_eq!(function.mmio_read(host, &(), 0, 4), u32::MAX.into());
        function.mmio_write(host, &(), u64::MAX - 3, 8, 0, Locked::Shared);
    });
    let touched = machine.host.take_events();
    assert!(!touched.iter().any(|event| matches!(event, Event::MmioRead(..) | Event::MmioWrite(..))));
}

#[test]
fn b43_memory_that_cannot_be_reached_reads_as_all_ones() {
    let mut machine = machine();
    machine.host.fail(Import::MmioRead, 0);
    assert_eq!(machine.mmio_read(BAR + 0x2000, 2), Some(0xffff));
    machine.host.fail(Import::MmioRead, 2);
    assert_eq!(machine.mmio_read(BAR + 0x2001, 4), Some(0xffff_ffff), "one byte of an unaligned access");
    assert_eq!(machine.mmio_read(BAR + 0x2000, 2), Some(0));
}

#[test]
fn each_page_has_a_slot_of_its_own() {
    // A table of 3 pages from the middle of one, a PBA across two pages: neighbours in the first and last pages.
    let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x1_0000).with_command(2);
    let mut machine = Machine::with(device.with_msix(0xa0, 600, (0, 0x1800), (0, 0x7fe0)));
    assert!(machine.host.p2m().has_none(Pages { first: 0xfe001, last: 0xfe003 }));
    assert!(machine.host.p2m().has_none(Pages { first: 0xfe007, last: 0xfe008 }));
    assert_eq!(machine.host.p2m().len(), 11);
    machine.host.take_events();
    for (address, slot) in [(0x1000, 0), (0x3f00, 1), (0x7000, 2), (0x8100, 3), (0x7fe0, 2), (0x8000, 3)] {
        machine.mmio_read(BAR + address, 4);
        assert_eq!(machine.host.take_events(), [Event::MmioRead(slot, BAR + address, 4)]);
    }
    machine.mmio_write(BAR + 0x1800 + 599 * 16, 4, 0x77);
    assert_eq!(machine.mmio_read(BAR + 0x1800 + 599 * 16, 4), Some(0x77), "the last entry");
    assert_eq!(machine.host.take_events(), []);
}

#[test]
fn table_and_pba_in_one_page() {
    let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x2000).with_command(2);
    let mut machine = Machine::with(device.with_msix(0xa0, 4, (0, 0x1000), (0, 0x1040)));
    machine.host.fill_memory(BAR + 0x1040, &[0x55; 16]);
    machine.mmio_write(BAR + 0x1038, 8, 0x1_0000_0099);
    assert_eq!(machine.mmio_read(BAR + 0x1038, 8), Some(0x1_0000_0099));
    assert_eq!(machine.mmio_read(BAR + 0x1040, 8), Some(0x5555_5555_5555_5555));
    assert_eq!(machine.mmio_read(BAR + 0x103c, 8), Some(u64::MAX));
    assert_eq!(machine.mmio_read(BAR + 0x1049, 2), Some(0x5555));
    assert_eq!(machine.domain_use(), (1, 2));
}

#[test]
fn table_and_pba_in_two_bars() {
    let device = Device::endpoint(1, 1)
        .with_bar32(0, 0xfe00_0000, 0x1000)
        .with_bar64(2, 0x40_0000_0000, 0x2000)
        .with_command(2);
    let mut machine = Machine::with(device.with_msix(0xa0, 4, (2, 0x1000), (0, 0)));
    assert_eq!(machine.host.p2m().frames(), [0x400_0000]);
    machine.mmio_write(0x40_0000_1000, 8, 0xfee0_0000);
    machine.mmio_write(0x40_0000_1008, 8, 0x40);
    control(&mut machine, ENABLE);
    assert_eq!(machine.host.pirqs().msix(0).unwrap().purpose, Purpose::Msix(0, 0x40_0000_0000));
    machine.host.fill_memory(0xfe00_0000, &[1; 8]);
    assert_eq!(machine.mmio_read(0xfe00_0000, 4), Some(0x0101_0101));
}

#[test]
fn all_2048_vectors() {
    let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x1_0000).with_command(2);
    let mut machine = Machine::with(device.with_msix(0xa0, 2048, (0, 0), (0, 0x8000)));
    for n in 0..2048 {
        machine.mmio_write(BAR + 16 * n, 8, 0xfee0_0000);
        machine.mmio_write(BAR + 16 * n + 8, 8, n & 0xff);
    }
    control(&mut machine, ENABLE);
    assert_eq!((machine.host.pirqs().len(), machine.host.pirqs().bound()), (2048, 2048));
    machine.detach(0);
    assert!(machine.host.holds_nothing());
}

#[test]
fn a_smaller_table_in_the_same_memory() {
    // The memory of a function with 8 vectors, written and unmasked, is used for one with 2.
    let mut machine = machine();
    for n in 0..8 {
        write_entry(&mut machine, n, 0x40 + u32::try_from(n).unwrap(), false);
    }
    machine.detach(0);
    let device = Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_command(2);
    machine.host.plug(machine.sbdf(0), device.with_msix(0xa0, 2, (0, 0x2100), (0, 0x3800)));
    machine.attach(0).unwrap();
    machine.settle(0);
    control(&mut machine, ENABLE);
    assert!(machine.host.pirqs().is_empty(), "vectors that the function does not have were bound");
    machine.detach(0);
    assert!(machine.host.holds_nothing());
}

#[test]
fn detach_gives_everything_back() {
    for value in [0, ENABLE, ENABLE | MASK] {
        let mut machine = machine();
        control(&mut machine, ENABLE);
        for n in 0..8 {
            write_entry(&mut machine, n, 0x40, n % 2 == 0);
        }
        control(&mut machine, value);
        machine.detach(0);
        assert!(machine.host.holds_nothing(), "control {value:#x}");
        assert_eq!((machine.window(TABLE), machine.domain_use()), (None, (0, 0)));
    }
}
