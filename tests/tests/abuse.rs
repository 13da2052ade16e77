//! What a hostile guest tries on the header and the interrupts of its device: cases 1 to 13 and what answers them.
//! `docs/security.md` has the list.

use capabilities::Width;
use capabilities::header::Command;
use tests::device::Device;
use tests::guest::{BAR0, BARS, COMMAND, Guest, HOST_BAR0, MSI, MSIX, PBA, ROM, TABLE, everything};
use tests::host::{Event, FakeHost, Import, Preempt};
use tests::machine::Machine;
use vpci::{AttachError, GuestInfo, Host, Info, Message, Pages, Progress, Refusal, View, Written};

/// A message that a local APIC takes.
const GOOD: u64 = 0xfee0_1000;

/// Writes an entry of the MSI-X table.
fn write_entry(guest: &mut Guest, entry: u64, address: u64, data: u64, masked: bool) {
    let control = u64::from(masked) << 32;
    assert!(guest.machine.mmio_write(TABLE + 16 * entry, 8, address), "the table traps");
    guest.machine.mmio_write(TABLE + 16 * entry + 8, 8, control | data);
}

/// The MSI that the host delivers, if it does.
fn delivered(guest: &Guest) -> Option<Message> {
    guest.machine.host.pirqs().msi().and_then(|pirq| pirq.bound)
}

#[test]
fn a01_decoding_goes_off_for_the_guest_only() {
    let mut guest = Guest::default();
    guest.machine.host.set_preempt(Preempt::Always);
    guest.machine.host.p2m_mut().chunk = 1;
    for value in [3, 1, 2, 0, 2, 3, 0] {
        guest.machine.host.take_events();
        guest.machine.start_write(0, COMMAND, 2, value);
        loop {
            let command = Command::from_bits_retain(guest.device().command());
            assert!(command.contains(Command::MEMORY | Command::IO), "{command:?} under mapped pages");
            if guest.machine.step(0) == Progress::Done {
                break;
            }
        }
        assert_eq!(guest.machine.host.take_writes(), [], "COMMAND {value:#x}");
        assert_eq!(guest.read(COMMAND, 2), value);
        let on = value & 2 != 0;
        assert_eq!(guest.machine.host.p2m().is_empty(), !on);
        assert_eq!(guest.machine.mmio_read(TABLE, 4).is_some(), on, "the table is where nothing is");
    }
    // The pages leave before the device is another's.
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    guest.machine.detach(0);
    let events = guest.machine.host.take_events();
    let unmapped = events.iter().rposition(|event| matches!(event, Event::Unmap(_))).unwrap();
    let written = events.iter().position(|event| matches!(event, Event::Write(COMMAND, ..))).unwrap();
    assert!(unmapped < written, "{events:x?}");
    assert!(guest.machine.host.holds_nothing());
}

#[test]
fn a02_bus_mastering_does_not_outlive_a_reset_or_its_guest() {
    let mut guest = Guest::default();
    assert_eq!(guest.device().command(), 0x0403, "firmware left bus mastering on");
    guest.write(COMMAND, 2, 0x0004);
    assert_eq!(guest.machine.host.take_writes(), [(COMMAND, Width::Word, 0x0407)]);
    // While pages are being mapped it takes effect at once, and the mapping goes on.
    guest.machine.host.set_preempt(Preempt::Always);
    assert_eq!(guest.machine.start_write(0, COMMAND, 2, 0x0006), Written::Pending);
    guest.machine.step(0);
    assert_eq!(guest.machine.start_write(0, COMMAND, 2, 0x0002), Written::Pending);
    assert_eq!(guest.device().command(), 0x0403);
    guest.machine.settle(0);
    assert_eq!((guest.read(COMMAND, 2), guest.machine.host.p2m().is_empty()), (0x0002, false));
    // A reset is the hypervisor's: it lets go of the function, and takes it again.
    for toggles in 0..3 {
        (0..=toggles).for_each(|n| guest.write(COMMAND, 2, if n % 2 == 0 { 6 } else { 2 }));
        guest.machine.detach(0);
        assert_eq!(guest.device().command() & 4, 0, "no DMA during a reset");
        assert!(guest.machine.host.holds_nothing());
        guest.device().set(COMMAND, Width::Word, 0x0006);
        let info = GuestInfo { bars: BARS, ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest: info, ..Info::hardware(guest.machine.sbdf(0)) };
        assert_eq!(guest.machine.attach_as(0, &info), Ok(Written::Done));
        assert_eq!((guest.read(COMMAND, 2), guest.device().command()), (0, 0x0403));
    }
    guest.end();
}

#[test]
fn a03_a_bar_is_not_placed_over_something_else() {
    type Setup = fn(&FakeHost);
    let nothing: Setup = |_| ();
    let memory: Setup = |host| {
        assert_eq!(host.map(Pages { first: 0xe0003, last: 0xe0003 }, 0x1234), Ok(1));
    };
    let apic: Setup = |host| host.p2m_mut().set_special(0xfee00);
    let shared: Setup = |host| host.share(0xfe200);
    // BAR 0, BAR 4 and a small one, number 5.
    for (what, setup, bars, ok) in [
        ("free", nothing, [0xe000_0000, 0xe100_0000, 0xe200_0800], true),
        ("memory", memory, [0xe000_0000, 0xe100_0000, 0xe200_0800], false),
        ("the local APIC", apic, [0xfee0_0000, 0xe100_0000, 0xe200_0800], false),
        ("the APIC's page is another", apic, [0xe000_0000, 0xfee0_1000, 0xe200_0800], true),
        ("a BAR of its own", nothing, [0xe000_0000, 0xe000_3000, 0xe200_0800], false),
        ("not aligned", nothing, [0xe000_1000, 0xe100_0000, 0xe200_0800], false),
        ("another place in the page", nothing, [0xe000_0000, 0xe100_0000, 0xe200_0000], false),
        ("a page that is another device's too", shared, [0xe000_0000, 0xe100_0000, 0xe200_0800], false),
        ("above 4 GiB", nothing, [0x1_e000_0000, 0xe100_0000, 0xe200_0800], false),
        ("past the last address", nothing, [u64::MAX - 0x3fff, 0xe100_0000, 0xe200_0800], false),
    ] {
        let mut machine = Machine::default();
        setup(&machine.host);
        let device = Device::endpoint(1, 1)
            .with_bar32(0, 0xfe00_0000, 0x4000)
            .with_bar32(4, 0xfe10_0000, 0x1000)
            .with_bar32(5, 0xfe20_0800, 0x800);
        machine.plug(device);
        let bars = [Some(bars[0]), None, None, None, Some(bars[1]), Some(bars[2]), None];
        let guest = GuestInfo { bars, ..GuestInfo::NONE };
        let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(0)) };
        assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
        assert_eq!(machine.check_placement(0).is_ok(), ok, "{what}");
        // Whoever did not ask gets no mapping either.
        machine.write(0, COMMAND, 2, 2);
        assert_eq!(machine.read(0, COMMAND, 2) == 2, ok || what.contains("another device"), "{what}");
        assert_eq!(machine.state(0).refusals(Refusal::Placement) == 0, ok || what.contains("another device"));
    }
    // Over another device's.
    let mut machine = Machine::default();
    machine.give(everything(), BARS);
    machine.plug(everything());
    let guest = GuestInfo { bars: BARS, ..GuestInfo::NONE };
    let info = Info { view: View::Guest, guest, ..Info::hardware(machine.sbdf(1)) };
    assert_eq!(machine.attach_as(1, &info), Ok(Written::Done));
    assert_eq!(machine.check_placement(1), Err(AttachError::Placement));
}

#[test]
fn a03_a_guest_does_not_move_its_bars() {
    for decoding in [0, 2] {
        let mut guest = Guest::default();
        guest.write(COMMAND, 2, decoding);
        let frames = guest.machine.host.p2m().frames();
        for address in [0xfee0_0000, 0x0010_0000, 0xe100_0000, HOST_BAR0, 0] {
            guest.is_dropped(0x10, 4, address, Refusal::BarMoved);
            guest.is_dropped(0x20, 4, address + 0x1000, Refusal::BarMoved);
        }
        guest.is_dropped(0x18, 4, 0x8000, Refusal::BarMoved);
        guest.is_dropped(0x1c, 4, 0x40, Refusal::BarMoved);
        guest.is_dropped(ROM, 4, 0xfd00_0000, Refusal::BarMoved);
        guest.write(COMMAND, 2, 0);
        guest.write(COMMAND, 2, decoding);
        assert_eq!(guest.machine.host.p2m().frames(), frames);
        guest.end();
    }
    // Where the guest's firmware places them, a bad place is no mapping, and what is there stays.
    let info = GuestInfo { by_firmware: true, ..GuestInfo::NONE };
    let mut guest = Guest::given(everything(), info).unwrap();
    assert_eq!(guest.machine.host.map(Pages { first: 0x101, last: 0x101 }, 0x1234), Ok(1));
    guest.write_apart(0x10, 4, 0x0010_0000);
    guest.write_apart(COMMAND, 2, 2);
    assert_eq!(guest.read(COMMAND, 2), 0);
    assert_eq!(guest.refusals(Refusal::Placement), 1);
    assert_eq!(guest.machine.host.p2m().frames(), [0x101]);
    assert_eq!(guest.machine.host.p2m().get(0x101), Some(0x1234));
}

#[test]
fn a04_bars_in_parts_and_halves() {
    let mut guest = Guest::default();
    // The halves of a 64-bit BAR, in any order.
    for order in [[0x18, 0x1c], [0x1c, 0x18]] {
        let before = order.map(|offset| guest.read(offset, 4));
        for (n, offset) in order.into_iter().enumerate() {
            guest.is_kept_as(offset, u32::MAX, if offset == 0x18 { 0xffff_800c } else { u32::MAX });
            assert_eq!(guest.read(order[1 - n], 4), if n == 0 { before[1] } else { guest.sizes(order[0]) });
        }
        for (offset, value) in order.into_iter().zip(before) {
            guest.is_kept_as(offset, value, value);
        }
    }
    // Decoding goes by where the BAR is, not by what was written last.
    guest.write_apart(0x18, 4, u32::MAX);
    guest.write(COMMAND, 2, 2);
    assert_eq!(guest.machine.host.p2m().get(0x20_0000_0000 >> 12), Some(0x40_0000_0000 >> 12));
    guest.write(COMMAND, 2, 0);
    guest.write_apart(0x18, 4, 0);
    assert_eq!(guest.read(0x18, 4), 0x0000_000c, "sizing ends where the BAR is");
    // Bytes and words.
    for offset in (0x10..0x28).chain(ROM + 1..ROM + 4) {
        for bytes in [1, 2].into_iter().filter(|bytes| offset % bytes == 0) {
            for value in [0, 0x5a, 0xff, 0x5a5a, 0xffff] {
                let register = offset & !3;
                let whole = guest.read(register, 4);
                guest.write_apart(offset, bytes.into(), value & ((1 << (8 * bytes)) - 1));
                assert_eq!(guest.read(register, 4), whole, "{value:#x} to {offset:#x}");
            }
        }
    }
    let moved = guest.refusals(Refusal::BarMoved);
    assert!(moved > 50);
    // Those of the address that it has are none to count.
    for offset in (0x10..0x28).step_by(2) {
        let value = guest.read(offset, 2);
        guest.write_apart(offset, 2, value);
        guest.write_apart(offset + 1, 1, value >> 8);
    }
    assert_eq!(guest.refusals(Refusal::BarMoved), moved);
    guest.end();
}

/// What BARs read after writes to them.
trait Sizing {
    fn is_kept_as(&mut self, offset: u16, value: u32, read: u32);
    fn sizes(&self, offset: u16) -> u32;
}

impl Sizing for Guest {
    fn is_kept_as(&mut self, offset: u16, value: u32, read: u32) {
        self.write_apart(offset, 4, value);
        assert_eq!(self.read(offset, 4), read, "{value:#x} to {offset:#x}");
        assert_eq!(self.refusals(Refusal::BarMoved), 0);
    }

    fn sizes(&self, offset: u16) -> u32 {
        if offset == 0x18 { 0xffff_800c } else { u32::MAX }
    }
}

#[test]
fn a05_the_rom_is_neither_moved_nor_switched_in_the_device() {
    // A device may decode its ROM with a BAR's decoder, or not stop to: so it is not for a guest to switch.
    let mut guest = Guest::default();
    let rom = 0xe2000;
    let value = guest.device().get(ROM, Width::Dword);
    assert_eq!(value, 0xfd00_0001, "where it was");
    for command in [0, 2] {
        guest.write(COMMAND, 2, command);
        let others = guest.machine.host.p2m().len();
        for enable in [1, 0, 1, 0] {
            guest.write_apart(ROM, 4, 0xe200_0000 | enable);
            assert_eq!(guest.read(ROM, 4), 0xe200_0000 | enable);
            let on = command == 2 && enable == 1;
            assert_eq!(guest.machine.host.p2m().get(rom), on.then_some(0xfd000));
            assert_eq!(guest.machine.host.p2m().len(), others + if on { 2 } else { 0 }, "its BARs stay");
            assert_eq!(guest.device().get(ROM, Width::Dword), value);
        }
    }
    guest.is_dropped(ROM, 4, 0xfe00_0000, Refusal::BarMoved);
    guest.machine.detach(0);
    assert_eq!(guest.device().get(ROM, Width::Dword), 0xfd00_0000);
    // Without a place, there is none.
    let mut bars = BARS;
    bars[6] = None;
    let mut guest = Guest::given(everything(), GuestInfo { bars, ..GuestInfo::NONE }).unwrap();
    guest.write_apart(ROM, 4, 0xffff_ffff);
    assert_eq!(guest.read(ROM, 4), 0);
    guest.write(COMMAND, 2, 2);
    guest.write_apart(ROM, 4, 0xe200_0001);
    assert_eq!((guest.read(ROM, 4), guest.machine.host.p2m().get(rom)), (0, None));
    assert_eq!(guest.device().get(ROM, Width::Dword), 0xfd00_0000);
}

#[test]
fn a06_no_self_test_is_started() {
    let mut guest = Guest::default();
    assert_eq!(guest.device().get(0x0f, Width::Byte), 0xa5, "the device has a self test");
    assert_eq!(guest.read(0x0f, 1), 0, "its guest has none");
    guest.is_dropped(0x0f, 1, 0x40, Refusal::ReadOnly);
    // A write of its dword changes what is the guest's.
    guest.write_apart(0x0c, 4, 0x4000_2020);
    assert_eq!(guest.read(0x0c, 4), 0x0000_2020);
    assert_eq!(guest.refusals(Refusal::ReadOnly), 2);
}

#[test]
fn a07_serr_and_parity_stay_off() {
    let mut guest = Guest::default();
    for bit in (0..16).filter(|bit| 0x0407 >> bit & 1 == 0) {
        guest.is_dropped(COMMAND, 2, 1 << bit, Refusal::ReadOnly);
    }
    guest.is_dropped(COMMAND + 1, 1, 0x01, Refusal::ReadOnly);
    // Together with bits that are the guest's.
    guest.write(COMMAND, 2, 0xffff);
    assert_eq!((guest.read(COMMAND, 2), guest.device().command()), (0x0407, 0x0407));
    // Bridge Control has them too: no guest has a bridge.
    let mut machine = Machine::default();
    machine.plug(Device::bridge(1, 1).with_command(7));
    let info = Info { view: View::Guest, ..Info::hardware(machine.sbdf(0)) };
    assert_eq!(machine.attach_as(0, &info), Err(AttachError::Unsupported));
    assert_eq!(machine.host.take_writes(), []);
    assert_eq!(machine.device(0).command(), 7);
}

#[test]
fn a08_intx_is_never_on() {
    let mut guest = Guest::default();
    // No pin, no status, whatever the device says.
    assert_eq!((guest.read(0x3d, 1), guest.read(0x06, 2) & 8), (0, 0));
    guest.is_dropped(0x3d, 1, 1, Refusal::ReadOnly);
    for (command, msi) in [(0x0000, 0), (0x0400, 1), (0x0000, 1), (0x0004, 1), (0x0404, 0), (0x0007, 0)] {
        guest.write(MSI + 2, 2, msi);
        guest.write(COMMAND, 2, command);
        assert_eq!(guest.read(COMMAND, 2), command, "the bit is the guest's to read");
        assert_eq!(guest.device().command() & 0x0400, 0x0400, "COMMAND {command:#x}, MSI {msi}");
    }
    guest.end();
}

#[test]
fn a09_messages_are_interrupts_and_never_reach_the_device() {
    let good = [(0xfee0_0000, 0x31), (0xfeef_f00c, 0x0181), (GOOD, 0xc131)];
    // Memory, the frames around the APICs', above 4 GiB; SMI, NMI, INIT, ExtINT and what is reserved.
    let bad = [(0, 0x31), (0x1000, 0x31), (0xfedf_f000, 0x31), (0xfef0_0000, 0x31), (0x1_fee0_0000, 0x31)]
        .into_iter()
        .chain([0x0231, 0x0331, 0x0431, 0x0531, 0x0631, 0x0731].map(|data| (GOOD, data)));
    for (message, ok) in good.into_iter().map(|m| (m, true)).chain(bad.map(|m| (m, false))) {
        let (address, data) = message;
        let mut guest = Guest::default();
        let at = format!("{address:#x} {data:#x}");
        let binds = |guest: &Guest| guest.machine.host.calls(Import::Bind);
        // CAST: the halves.
        guest.write_apart(MSI + 4, 4, address as u32);
        guest.write_apart(MSI + 8, 4, (address >> 32) as u32);
        guest.write_apart(MSI + 12, 2, data);
        guest.write(MSI + 2, 2, 0x0001);
        assert_eq!(delivered(&guest).is_some(), ok, "{at}");
        assert_eq!(binds(&guest), u32::from(ok), "{at}: the host is not asked for it");
        let mut refused = u32::from(!ok);
        assert_eq!(guest.refusals(Refusal::Interrupt), refused, "{at}");
        // Likewise while it is enabled, and then again as it should be.
        guest.write_apart(MSI + 12, 2, 0x0031);
        guest.write_apart(MSI + 8, 4, 0);
        refused = guest.refusals(Refusal::Interrupt);
        guest.write_apart(MSI + 4, 4, GOOD as u32);
        assert_eq!(delivered(&guest), Some(Message { address: GOOD, data: 0x31 }), "{at}");
        guest.write_apart(MSI + 12, 2, data);
        guest.write_apart(MSI + 4, 4, address as u32);
        guest.write_apart(MSI + 8, 4, (address >> 32) as u32);
        assert_eq!(delivered(&guest).is_some(), ok, "{at}");
        assert_eq!(guest.refusals(Refusal::Interrupt) > refused, !ok, "{at}");
        let device = guest.device();
        let registers: Vec<u32> =
            (MSI + 4..MSI + 0x18).step_by(4).map(|o| device.get(o, Width::Dword)).collect();
        assert_eq!(registers, [0; 5], "{at}: the device's message is the hypervisor's");
        drop(device);
        guest.write(MSI + 2, 2, 0);

        guest.write(COMMAND, 2, 2);
        guest.machine.host.take_events();
        write_entry(&mut guest, 1, address, data.into(), false);
        guest.write(MSIX + 2, 2, 0x8000);
        assert_eq!(guest.machine.host.pirqs().msix(1).is_some(), ok, "{at}");
        let events = guest.machine.host.take_events();
        assert!(!events.iter().any(|event| matches!(event, Event::MmioWrite(..))), "{at}: {events:x?}");
        guest.end();
    }
}

#[test]
fn a10_no_more_msi_vectors_than_there_are() {
    for size in 0..8u32 {
        let mut guest = Guest::default();
        guest.write(MSI + 4, 4, GOOD as u32);
        guest.write(MSI + 2, 2, size << 4 | 0x0185);
        let granted = size.min(2);
        assert_eq!(guest.read(MSI + 2, 2), 0x0185 | granted << 4, "{size}");
        assert_eq!(guest.device().get(MSI + 2, Width::Word), 0x0185 | granted << 4, "{size}");
        assert_eq!(guest.machine.state(0).msi().unwrap().vectors(), (1 << granted, 4));
        assert_eq!(guest.refusals(Refusal::ReadOnly), u32::from(size > 2));
        // Masks of vectors that there are not are masks of nothing.
        guest.write_apart(MSI + 16, 4, u32::MAX);
        guest.end();
    }
    let mut guest = Guest::default();
    guest.is_dropped(MSI + 2, 2, 0x0180, Refusal::ReadOnly);
}

#[test]
fn a11_a_mask_of_the_hypervisors_stays() {
    let mut guest = Guest::default();
    guest.machine.host.set_host_masks(true);
    guest.write(COMMAND, 2, 2);
    write_entry(&mut guest, 0, GOOD, 0x31, false);
    for control in [0x8000, 0xc000, 0x8000, 0x0000, 0x8000] {
        guest.write(MSIX + 2, 2, control);
        assert_eq!(guest.read(MSIX + 2, 2), control | 3);
        assert_eq!(guest.device().get(MSIX + 2, Width::Word) & 0x4000, 0x4000, "{control:#x}");
    }
    // The mask bits in the device are the hypervisor's: the guest's are of its PIRQs.
    guest.device().set(MSI + 16, Width::Dword, 0xf);
    guest.write(MSI + 4, 4, GOOD as u32);
    guest.write(MSI + 2, 2, 0x0021);
    for mask in [0, 0xf, 0x5, 0] {
        guest.write_apart(MSI + 16, 4, mask);
        assert_eq!(guest.machine.host.pirqs().msi().unwrap().masked, mask);
        assert_eq!(guest.device().get(MSI + 16, Width::Dword), 0xf);
    }
    guest.machine.host.take_events();
    for masked in [true, false, true, false] {
        write_entry(&mut guest, 0, GOOD, 0x31, masked);
    }
    let events = guest.machine.host.take_events();
    assert_eq!(events, [], "no mask bit of the table is written");
    guest.end();
}

#[test]
fn a12_msix_stays_as_it_was_at_assignment() {
    // The device changes its registers behind a back door: in the model, it is done to it.
    let mut guest = Guest::default();
    guest.write(COMMAND, 2, 2);
    for (offset, value) in [(MSIX + 4, 0x2004), (MSIX + 8, 0x0000)] {
        guest.device().set(offset, Width::Dword, value);
    }
    guest.device().set(MSIX + 2, Width::Word, 0x07ff);
    assert_eq!(guest.read(MSIX + 2, 2), 3);
    assert_eq!((guest.read(MSIX + 4, 4), guest.read(MSIX + 8, 4)), (0x1000, 0x3000));
    guest.is_dropped(MSIX + 4, 4, 0x0000_2004, Refusal::ReadOnly);
    let trapped = guest.machine.function(0, |function, _| function.trapped());
    let table = TABLE >> 12;
    assert_eq!(trapped[0], Some(Pages { first: table, last: table }));
    guest.write(COMMAND, 2, 0);
    guest.write(COMMAND, 2, 2);
    assert!(guest.machine.host.p2m().has_none(Pages { first: table, last: table }), "the table is mapped");
    assert!(guest.machine.host.p2m().has_none(Pages { first: PBA >> 12, last: PBA >> 12 }));
    // Entries behind the fourth are no entries.
    guest.write(MSIX + 2, 2, 0x8000);
    assert_eq!(guest.device().get(MSIX + 2, Width::Word), 0x8003, "nor does a write make more of them");
    write_entry(&mut guest, 4, GOOD, 0x31, false);
    assert!(guest.machine.host.pirqs().is_empty());
    // In whatever order it enables, masks and writes: one PIRQ for an entry that is open, none without enable.
    for order in 0..64u32 {
        for step in 0..6 {
            let bit = order >> step & 1;
            match step % 3 {
                0 => guest.write(MSIX + 2, 2, bit << 15),
                1 => write_entry(&mut guest, 0, GOOD, 0x31, bit != 0),
                _ => guest.write(MSIX + 3, 1, 0x80 | bit << 6),
            }
            let enabled = guest.read(MSIX + 2, 2) & 0x8000 != 0;
            let held = guest.machine.host.pirqs().len();
            assert!(held <= usize::from(enabled), "{order:#b}, step {step}: {held} PIRQs");
        }
    }
    guest.end();
}

#[test]
fn a13_a_table_written_behind_a_window_is_nobodys_source() {
    // An RTL8168 writes its table through registers in BAR 2. That way is closed (mirrors_guest.rs), and what a device that
    // nobody knows sends is for interrupt remapping to refuse. Here: none of it is ever taken for the guest's.
    let mut guest = Guest::default();
    guest.write(COMMAND, 2, 2);
    write_entry(&mut guest, 0, GOOD, 0x31, false);
    guest.write(MSIX + 2, 2, 0x8000);
    guest.machine.host.take_events();
    guest.machine.host.fill_memory(u64::from(HOST_BAR0) + 0x1000, &[0xa5; 64]);
    for (offset, value) in [(0, GOOD), (8, 0x31), (16, 0), (24, 1 << 32)] {
        assert_eq!(guest.machine.mmio_read(TABLE + offset, 8), Some(value));
    }
    // Unmasked, disabled and enabled: what is bound is what the guest wrote into the table.
    guest.machine.mmio_write(TABLE + 16, 8, GOOD + 0x1000);
    guest.machine.mmio_write(TABLE + 24, 8, 0x32);
    guest.write(MSIX + 2, 2, 0);
    guest.write(MSIX + 2, 2, 0x8000);
    let bound = |entry| guest.machine.host.pirqs().msix(entry).unwrap().bound;
    assert_eq!(bound(0), Some(Message { address: GOOD, data: 0x31 }));
    assert_eq!(bound(1), Some(Message { address: GOOD + 0x1000, data: 0x32 }));
    let events = guest.machine.host.take_events();
    let mmio = |event: &Event| matches!(event, Event::MmioRead(..) | Event::MmioWrite(..));
    assert!(!events.iter().any(mmio), "{events:x?}");
    // Odd widths get through to nothing, neither to the PBA.
    for (address, bytes) in
        [(TABLE, 1), (TABLE + 2, 2), (TABLE + 12, 8), (TABLE + 0x3f, 2), (PBA, 8), (PBA, 1)]
    {
        let count = guest.refusals(Refusal::MsixAccess);
        guest.machine.mmio_write(address, bytes, 0);
        assert_eq!(guest.refusals(Refusal::MsixAccess), count + 1, "{bytes} bytes at {address:#x}");
    }
    let events = guest.machine.host.take_events();
    assert!(!events.iter().any(mmio), "{events:x?}");
    // What is beside the table in its page is the same BAR's.
    guest.machine.mmio_write(TABLE + 0x800, 4, 0x55);
    assert_eq!(guest.machine.host.memory(u64::from(HOST_BAR0) + 0x1800), 0x55);
    assert_eq!(guest.machine.window(BAR0), None);
    guest.end();
}
