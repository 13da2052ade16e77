//! A guest and the ways around configuration space that its device has: it finds there what configuration space shows
//! it, or nothing.

use capabilities::Width;
use quirks::mirrors::{Answer, KNOWN, Known};
use tests::device::Device;
use tests::guest::{COMMAND, EXPRESS, Guest, MSIX, VENDOR, everything};
use tests::host::{Event, Preempt};
use tests::mirrored::{self, BARS, Bytes, RAW};
use vpci::{AttachError, BarKind, GuestInfo, Info, Locked, Progress, Refusal, TRAPPED, View, Written};

/// The first row with this name, which is about bytes.
fn bytes(name: &str) -> Bytes {
    mirrored::all().find(|bytes| bytes.known.name == name).expect("there is such a row")
}

/// The row with this name.
fn known(name: &str) -> &'static Known {
    KNOWN.iter().find(|known| known.name == name).expect("there is such a row")
}

/// The rows that show configuration space, and from which offset on.
fn views() -> impl Iterator<Item = (Bytes, u16)> {
    mirrored::all().filter_map(|bytes| match bytes.answer {
        Answer::View(config) => Some((bytes, config)),
        _ => None,
    })
}

/// The guest's address of a byte of a BAR.
fn address(guest: &Guest, bar: usize, offset: u64) -> u64 {
    guest.machine.state(0).bars()[bar].guest_address().expect("it has an address") + offset
}

fn read(guest: &mut Guest, address: u64, width: u8) -> u64 {
    guest.machine.mmio_read(address, width).expect("the page traps")
}

const fn ones(width: u8) -> u64 {
    u64::MAX >> (64 - 8 * width as u32)
}

fn is_memory(event: &Event) -> bool {
    matches!(event, Event::MmioRead(..) | Event::MmioWrite(..))
}

#[test]
fn a_view_shows_what_configuration_space_shows() {
    assert!(views().count() > 20);
    for (bytes, config) in views() {
        let Bytes { known, bar, at, length, .. } = bytes;
        let mut guest = mirrored::guest(&known);
        let base = address(&guest, bar, at);
        let mut shown = 0;
        for offset in 0..length {
            let register = config + u16::try_from(offset).unwrap();
            let byte = guest.read(register, 1);
            shown |= byte;
            assert_eq!(read(&mut guest, base + offset, 1), u64::from(byte), "{}, {register:#x}", known.name);
            for width in [2, 4].into_iter().filter(|width| register.is_multiple_of(*width)) {
                let seen = u64::from(guest.read(register, u32::from(width)));
                let width = u8::try_from(width).unwrap();
                assert_eq!(read(&mut guest, base + offset, width), seen, "{}, {register:#x}", known.name);
            }
            // Qwords, and accesses across dwords, are what their bytes are.
            for width in [2, 4, 8].into_iter().filter(|width| offset + u64::from(*width) <= length) {
                let value = (0..u16::from(width))
                    .fold(0, |value, n| value | u64::from(guest.read(register + n, 1)) << (8 * n));
                assert_eq!(read(&mut guest, base + offset, width), value, "{width} at {register:#x}");
            }
        }
        // The device has something in every byte.
        assert!(!guest.machine.host.take_events().iter().any(is_memory), "{}", known.name);
        assert!(length < 0x80 || shown != 0, "{} shows something", known.name);
        guest.end();
    }
}

#[test]
fn what_configuration_space_hides_a_view_hides() {
    let mirror = bytes("NVIDIA mirror");
    let mut guest = mirrored::guest(&mirror.known);
    let base = address(&guest, mirror.bar, mirror.at);
    // Vendor-Specific, in the device: 14a5...
    assert_ne!(guest.device().get(VENDOR, Width::Dword), 0);
    for offset in VENDOR..VENDOR + 0x14 {
        assert_eq!(read(&mut guest, base + u64::from(offset), 1), 0);
        let count = guest.refusals(Refusal::HiddenWrite);
        let image = guest.image();
        guest.machine.mmio_write(base + u64::from(offset), 1, 0x39);
        assert_eq!(guest.refusals(Refusal::HiddenWrite), count + 1);
        assert_eq!(guest.image(), image);
        let record = guest.machine.state(0).audit(0).unwrap();
        assert_eq!(
            (record.offset, record.bytes, record.value),
            (offset, 1, 0x39),
            "the register's, not the address"
        );
    }
    // The driver's IDs, and the BAR where the guest has it.
    assert_eq!(read(&mut guest, base, 2), 0x10de);
    assert_eq!(read(&mut guest, base + 0x10, 4), BARS[0].unwrap());
    guest.end();
}

#[test]
fn a_write_through_a_view_is_one_of_configuration_space() {
    for name in
        ["NVIDIA mirror", "NVIDIA old mirror", "ATI mirror", "ATI mirror of old", "bnx2x mirror", "sky2 copy"]
    {
        let mirror = bytes(name);
        let mut guest = mirrored::guest(&mirror.known);
        let base = address(&guest, mirror.bar, mirror.at);
        // A BAR does not move.
        let (bar, count) = (guest.read(0x10, 4), guest.refusals(Refusal::BarMoved));
        assert!(guest.machine.mmio_write(base + 0x10, 4, 0xc000_0000));
        assert_eq!((guest.read(0x10, 4), guest.refusals(Refusal::BarMoved)), (bar, count + 1), "{name}");
        // Its size is told.
        guest.machine.mmio_write(base + 0x10, 4, 0xffff_ffff);
        assert_eq!(read(&mut guest, base + 0x10, 4), 0xfe00_0000, "{name}");
        guest.machine.mmio_write(base + 0x10, 4, bar.into());
        // Bus Master Enable is the device's.
        guest.machine.mmio_write(base + 4, 2, 6);
        assert_eq!((guest.read(COMMAND, 2), guest.device().command() & 4), (6, 4), "{name}");
        // Memory Space Enable takes the page away through which it was written.
        guest.machine.mmio_write(base + 4, 1, 4);
        assert_eq!(guest.read(COMMAND, 2), 4, "{name}");
        assert!(guest.machine.host.p2m().is_empty(), "{name}");
        assert_eq!(guest.machine.mmio_read(base, 4), None, "{name}");
        guest.write(COMMAND, 2, 2);
        assert_eq!(read(&mut guest, base, 2), guest.read(0, 2).into(), "{name}");
        assert!(!guest.machine.host.take_events().iter().any(is_memory), "{name}");
        guest.end();
    }
}

#[test]
fn a_write_that_changes_mappings_is_done_with_the_exclusive_lock_or_not_at_all() {
    let mirror = bytes("NVIDIA mirror");
    let mut guest = mirrored::guest(&mirror.known);
    let base = address(&guest, mirror.bar, mirror.at);
    let mut write =
        |at, width, value, locked| guest.machine.mmio_write_locked(0, base + at, width, value, locked);
    assert_eq!(write(4, 2, 0, Locked::Shared), Written::NeedsExclusive);
    // In several parts: none of them is done.
    for (at, width, value) in [(0, 8, 0x0000_0006_0000_0000), (3, 4, 0x0600), (4, 8, 4)] {
        assert_eq!(write(at, width, value, Locked::Shared), Written::NeedsExclusive, "{width} at {at}");
    }
    assert_eq!(write(8, 4, 0, Locked::Shared), Written::Done);
    assert_eq!(write(4, 2, 4, Locked::Exclusive), Written::Pending);
    guest.machine.settle(0);
    assert_eq!((guest.read(COMMAND, 2), guest.machine.host.p2m().len()), (4, 0));
    // As its dwords: the second one turns decoding on.
    let written = guest.machine.mmio_write_locked(0, base, 8, 0x0000_0006_ffff_ffff, Locked::Exclusive);
    assert_eq!(written, Written::Pending);
    guest.machine.settle(0);
    assert_eq!(guest.read(COMMAND, 2), 6);
    guest.end();
}

#[test]
fn a_reset_asked_for_through_a_view_is_a_reset() {
    let mirror = bytes("NVIDIA mirror");
    let mut guest = mirrored::resettable(&mirror.known);
    let base = address(&guest, mirror.bar, mirror.at);
    let control = base + u64::from(EXPRESS) + 8;
    let mut write = |at, width, value, locked| guest.machine.mmio_write_locked(0, at, width, value, locked);
    assert_eq!(write(control, 2, 0x8000, Locked::Shared), Written::Reset);
    // As the first half of a qword: the second one is not done any more.
    let qword = 0x0000_ffff_0000_8000;
    assert!(control.is_multiple_of(8));
    assert_eq!(write(control, 8, qword, Locked::Shared), Written::NeedsExclusive);
    // Link Capabilities, which would be counted.
    let count = guest.refusals(Refusal::ReadOnly);
    guest.machine.host.take_events();
    assert_eq!(guest.machine.mmio_write_locked(0, control, 8, qword, Locked::Exclusive), Written::Reset);
    assert_eq!((guest.machine.host.take_writes(), guest.refusals(Refusal::ReadOnly)), (vec![], count));
    guest.machine.mmio_write(control + 4, 4, 0xffff);
    assert_eq!(guest.refusals(Refusal::ReadOnly), count + 1);
    while guest.machine.withdraw(0) == Progress::Again {}
    // Away, it is not there by any way.
    assert_eq!(read(&mut guest, base, 4), ones(4));
    guest.machine.host.take_events();
    let neighbour = address(&guest, 0, 0x1700);
    for at in [control, neighbour] {
        assert_eq!(guest.machine.mmio_write_locked(0, at, 2, 0x8000, Locked::Exclusive), Written::Done);
    }
    assert_eq!(guest.machine.host.take_events(), []);
}

#[test]
fn closed_bytes_are_nobodys() {
    let closed: Vec<_> = mirrored::all().filter(|bytes| bytes.answer == Answer::Closed).collect();
    assert!(closed.len() > 30);
    for Bytes { known, bar, at, length, .. } in closed {
        let mut guest = mirrored::guest(&known);
        let base = address(&guest, bar, at);
        for offset in (0..length).step_by(if length > 0x100 { 0x1c } else { 1 }) {
            for width in [1, 2, 4, 8].into_iter().filter(|width| offset + u64::from(*width) <= length) {
                let count = guest.refusals(Refusal::Mirror);
                assert_eq!(read(&mut guest, base + offset, width), ones(width), "{}", known.name);
                assert!(guest.refusals(Refusal::Mirror) > count, "{} is not counted", known.name);
                let count = guest.refusals(Refusal::Mirror);
                guest.machine.mmio_write(base + offset, width, 0);
                assert!(guest.refusals(Refusal::Mirror) > count, "{} is not counted", known.name);
                let record = guest.machine.state(0).audit(0).unwrap();
                assert_eq!(record.reason, Refusal::Mirror as u8);
                assert!(!guest.machine.host.take_events().iter().any(is_memory), "{}", known.name);
            }
        }
        // Bytes beside them are the device's, also in one access with them.
        let before = guest.machine.state(0).refusals(Refusal::MsixAccess);
        if at.is_multiple_of(8) && length == 4 {
            let seen = read(&mut guest, base, 8);
            assert_eq!(seen, (u64::from(RAW) * 0x0101_0101) << 32 | ones(4), "{}", known.name);
            let newest =
                |guest: &Guest| guest.machine.state(0).audit(0).map(|r| (r.offset, r.bytes, r.value));
            // CAST: the low bits.
            assert_eq!(newest(&guest), Some((base as u16, 4, 0)), "{}", known.name);
            guest.machine.mmio_write(base, 8, 0x1122_3344_5566_7788);
            assert_eq!(newest(&guest), Some((base as u16, 4, 0x5566_7788)), "{}", known.name);
            let events = guest.machine.host.take_events();
            let write = events.iter().find(|event| matches!(event, Event::MmioWrite(..)));
            let Some(Event::MmioWrite(_, to, 4, 0x1122_3344)) = write else { panic!("{events:x?}") };
            assert_eq!(to & 0xfff, (at + 4) & 0xfff);
        }
        assert_eq!(guest.refusals(Refusal::MsixAccess), before);
        guest.end();
    }
}

#[test]
fn a_gate_lets_some_values_through_whole() {
    let gate = bytes("RTL8168 ERI");
    let mut guest = mirrored::guest(&gate.known);
    let base = address(&guest, gate.bar, gate.at);
    let host = guest.machine.state(0).bars()[gate.bar].host_range().0 + gate.at;
    let mut write = |at: u64, width, value| {
        guest.machine.mmio_write(at, width, value);
        let events = guest.machine.host.take_events();
        let written = events.into_iter().filter_map(|event| match event {
            Event::MmioWrite(_, at, width, value) => Some((at, width, value)),
            _ => None,
        });
        written.collect::<Vec<_>>()
    };
    assert_eq!(write(base, 4, 0x8000_f0dc), [(host, 4, 0x8000_f0dc)]);
    assert_eq!(write(base, 4, 0x8001_f000), [], "the MSI-X table");
    assert_eq!([write(base, 2, 0), write(base + 2, 2, 0x8000), write(base + 3, 1, 0)], [[]; 3], "in parts");
    assert_eq!(write(base - 4, 8, 0x8000_f0dc_1234_5678), [(host - 4, 8, 0x8000_f0dc_1234_5678)]);
    assert_eq!(write(base - 4, 8, 0x8001_f000_1234_5678), [(host - 4, 4, 0x1234_5678)]);
    // Across: byte by byte, and so no part of it.
    assert_eq!(write(base - 2, 4, 0), [(host - 2, 1, 0), (host - 1, 1, 0)]);
    assert_eq!(read(&mut guest, base, 4), 0x8000_f0dc, "reads are the device's");
    guest.end();
}

#[test]
fn the_drivers_own_writes_pass() {
    let passes: Vec<_> = mirrored::all()
        .filter_map(|bytes| match bytes.answer {
            Answer::Pass { width, value } => Some((bytes, width.bytes(), value)),
            _ => None,
        })
        .collect();
    assert_eq!(passes.len(), 3);
    for (bytes, width, value) in passes {
        let mut guest = mirrored::guest(&bytes.known);
        let base = address(&guest, bytes.bar, bytes.at);
        let host = guest.machine.state(0).bars()[bytes.bar].host_range().0 + bytes.at;
        guest.machine.mmio_write(base, width, value.into());
        let events = guest.machine.host.take_events();
        assert!(
            matches!(events[..], [Event::MmioWrite(_, at, bytes, v)] if (at, bytes, v) == (host, width, value.into())),
            "{events:x?}"
        );
        guest.machine.mmio_write(base, width, u64::from(value) ^ 1);
        assert!(!guest.machine.host.take_events().iter().any(is_memory));
        guest.end();
    }
}

#[test]
fn a_page_has_the_msix_table_and_a_mirror() {
    // Page 1: the table at 000, NVIDIA's mirror at 800, of other functions behind it.
    let mirror = bytes("NVIDIA old mirror");
    let mut guest = mirrored::guest(&mirror.known);
    let page = address(&guest, 0, 0x1000);
    guest.machine.mmio_write(page, 8, 0xfee0_0000);
    guest.machine.mmio_write(page + 8, 8, 0x31);
    guest.write(MSIX + 2, 2, 0x8000);
    assert_eq!(guest.machine.host.pirqs().bound(), 1);
    assert_eq!(read(&mut guest, page, 8), 0xfee0_0000);
    assert_eq!(read(&mut guest, page + 0x800, 2), 0x10de);
    assert_eq!(read(&mut guest, page + 0x900, 4), ones(4));
    assert!(!guest.machine.host.take_events().iter().any(is_memory));
    assert_eq!(read(&mut guest, page + 0x700, 4), u64::from(RAW) * 0x0101_0101);
    assert!(guest.machine.host.take_events().iter().any(is_memory));
    guest.end();
}

#[test]
fn a_pba_that_lies_does_not_open_a_mirror() {
    let mirror = bytes("NVIDIA mirror");
    let device = mirrored::device(&mirror.known);
    let mut lying = device.clone();
    lying.set(MSIX + 8, Width::Dword, 0x8_8000);
    let mut guest = mirrored::given(&mirror.known, lying, BARS, false).unwrap();
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    let base = address(&guest, 0, mirror.at);
    for width in [4, 8] {
        assert_eq!(read(&mut guest, base, width) & 0xffff, 0x10de);
    }
    assert!(!guest.machine.host.take_events().iter().any(is_memory));
    guest.end();
}

/// The guest frames of what is left out.
fn frames(guest: &Guest, known: &Known) -> Vec<u64> {
    let pages = mirrored::of(known).into_iter().flat_map(|bytes| {
        let (first, last) = bytes.pages();
        (first..=last).map(move |page| (bytes.bar, page))
    });
    pages.map(|(bar, page)| (address(guest, bar, 0) >> 12) + page).collect()
}

fn has_holes(guest: &Guest, known: &Known, when: &str) {
    let p2m = guest.machine.host.p2m();
    for frame in frames(guest, known) {
        assert_eq!(p2m.get(frame), None, "{}: {frame:#x} is mapped {when}", known.name);
        assert_eq!(
            guest.machine.window(frame << 12),
            Some(0),
            "{}: {frame:#x} does not trap {when}",
            known.name
        );
    }
}

/// No page that is left out was ever mapped.
fn never_mapped(guest: &Guest, known: &Known) {
    let holes = frames(guest, known);
    for event in guest.machine.host.take_events() {
        if let Event::Map(pages) = event {
            assert!(!holes.iter().any(|frame| pages.contains(*frame)), "{}: {event:x?}", known.name);
        }
    }
}

#[test]
fn pages_left_out_are_never_mapped() {
    for Bytes { known, .. } in mirrored::all() {
        let mut guest =
            mirrored::given(&known, mirrored::device(&known), mirrored::places(&known), false).unwrap();
        guest.machine.host.set_preempt(Preempt::Every(2));
        guest.machine.host.p2m_mut().chunk = 7;
        for round in 0..3 {
            guest.write(COMMAND, 2, 2);
            has_holes(&guest, &known, "decoding");
            let frames = guest.machine.host.p2m().len();
            // BAR 0 has 8192 pages, BAR 2 has 16, BAR 4 has 1; those of the table and the PBA trap.
            let mut out = self::frames(&guest, &known);
            let bar0 = BARS[0].unwrap() >> 12;
            out.extend([bar0 + 1, bar0 + 3]);
            out.sort_unstable();
            out.dedup();
            assert_eq!(frames, 8192 + 16 + 1 - out.len(), "{} in round {round}", known.name);
            guest.write(COMMAND, 2, 0);
            assert!(guest.machine.host.p2m().is_empty());
        }
        never_mapped(&guest, &known);
        guest.end();
    }
}

#[test]
fn they_are_left_out_after_a_reset() {
    for name in ["NVIDIA mirror", "RTL8168 CSI", "IGD GGC copy"] {
        let known = known(name);
        let mut guest = mirrored::guest(known);
        let sizes = guest.machine.state(0).bars().map(|bar| (bar.kind(), bar.host_range().1));
        while guest.machine.withdraw(0) == Progress::Again {}
        guest.machine.host.take_events();
        let sbdf = guest.machine.sbdf(0);
        let info = Info { view: View::Guest, guest: GuestInfo::NONE, ..Info::hardware(sbdf) };
        assert_eq!(guest.machine.reattach(0, &info), Ok(Written::Done));
        guest.write(COMMAND, 2, 2);
        has_holes(&guest, known, "after a reset");
        never_mapped(&guest, known);
        assert_eq!(guest.machine.state(0).bars().map(|bar| (bar.kind(), bar.host_range().1)), sizes);
        guest.end();
    }
}

#[test]
fn no_other_bar_opens_a_page_that_is_left_out() {
    // BAR 4 says that it is where the mirror in BAR 0 is.
    let mirror = bytes("NVIDIA mirror");
    let mut device = mirrored::device(&mirror.known);
    device.set(0x20, Width::Dword, 0xf208_8000);
    assert_eq!(mirrored::given(&mirror.known, device, BARS, false).err(), Some(AttachError::Placement));
    // Where it is in BAR 0 for the guest as well, it is left out of both.
    let mut device = mirrored::device(&mirror.known);
    device.set(0x20, Width::Dword, 0xf208_8000);
    let mut bars = BARS;
    bars[4] = Some(BARS[0].unwrap() + 0x8_8000);
    let mut guest = mirrored::given(&mirror.known, device, bars, false).unwrap();
    guest.write(COMMAND, 2, 2);
    has_holes(&guest, &mirror.known, "by way of BAR 4");
    assert_eq!(read(&mut guest, bars[4].unwrap(), 2), 0x10de);
    guest.end();
}

#[test]
fn a_bar_smaller_than_a_page_is_left_out_whole() {
    // A BAR 0 of 400h bytes in the middle of its page, the copy in its last 80h.
    let copy = bytes("skge copy");
    let mut device = Device::endpoint(0x1148, 0x4300).with_bar32(0, 0xfe10_0400, 0x400);
    device.set(0x08, Width::Dword, 0x0200_0000);
    let bars = [Some(0xe000_0400), None, None, None, None, None, None];
    let mut guest = mirrored::given(&copy.known, device, bars, false).unwrap();
    guest.machine.host.fill_memory(0xfe10_0000, &[RAW; 0x1000]);
    guest.write(COMMAND, 2, 2);
    guest.machine.host.take_events();
    assert!(guest.machine.host.p2m().is_empty());
    assert_eq!(read(&mut guest, 0xe000_0400 + 0x380, 4), 0x4300_1148);
    assert!(!guest.machine.host.take_events().iter().any(is_memory));
    assert_eq!(read(&mut guest, 0xe000_0400 + 0x37c, 4), u64::from(RAW) * 0x0101_0101);
    // What is around the BAR is nobody's.
    for offset in [0, 0x3fc, 0x800, 0xffc] {
        assert_eq!(read(&mut guest, 0xe000_0000 + offset, 4), ones(4));
    }
    let (count, used) = (guest.refusals(Refusal::MsixAccess), guest.machine.domain_use().1);
    assert_eq!((count, used), (4, 1));
    guest.machine.detach(0);
    assert!(guest.machine.host.holds_nothing());
}

#[test]
fn ports_that_are_a_way_around_are_not_there() {
    // RTL8168: BAR 0. Everything else's: all I/O BARs while pages of BAR 0 are left out, here for MSI-X.
    for (name, at, id) in [("RTL8168 ports", 0, 0x8125_10ec), ("e1000 ports", 1, 0x10d3_8086)] {
        let known = known(name);
        let mut device = everything();
        device.set(0x00, Width::Dword, id);
        device.set(0x08, Width::Dword, 0x0200_0000);
        if at == 0 {
            // It has its MSI-X in a BAR of its own.
            device =
                device.with_bar32(0, 0, 1 << 31).with_io(0, 0xd000, 0x100).with_bar32(1, 0xfe00_0000, 0x4000);
            device.set(MSIX + 4, Width::Dword, 0x1001);
            device.set(MSIX + 8, Width::Dword, 0x3001);
        }
        let bars = [
            Some(if at == 0 { 0xd000 } else { 0xd000_0000 }),
            Some(if at == 0 { 0xe000_0000 } else { 0xc000 }),
            Some(0x20_0000_0000),
            None,
            Some(0xe100_0000),
            None,
            None,
        ];
        let register = 0x10 + 4 * at;
        assert_eq!(device.get(register, Width::Dword) & 1, 1, "an I/O BAR");
        let mut guest = mirrored::given(known, device, bars, false).unwrap();
        assert_eq!(guest.device().command() & 1, 0, "{name}: the device decodes ports");
        let bar = guest.machine.state(0).bars()[usize::from(at)];
        assert_eq!((bar.kind(), bar.host_range(), bar.guest_address()), (BarKind::Empty, (0, 0), None));
        assert_eq!(guest.read(register, 4), 0);
        guest.write_apart(register, 4, u32::MAX);
        assert_eq!(guest.read(register, 4), 0, "{name} has a size");
        guest.write(COMMAND, 2, 7);
        assert_eq!(guest.device().command() & 5, 4, "{name}: the device decodes ports");
        guest.machine.detach(0);
        assert!(guest.machine.host.holds_nothing());
        // COMMAND is what it was, but for Bus Master Enable.
        assert_eq!(guest.device().command(), 0x0543);
    }
    // With nothing left out of BAR 0, e1000e has its ports.
    let mut device = everything();
    device.set(0x00, Width::Dword, 0x10d3_8086);
    device.set(0x08, Width::Dword, 0x0200_0000);
    device.set(MSIX + 4, Width::Dword, 0x1002);
    device.set(MSIX + 8, Width::Dword, 0x3002);
    let guest =
        mirrored::given(known("e1000 ports"), device, BARS.map(|bar| bar.filter(|at| *at < 1 << 16)), false);
    let mut guest = guest.unwrap();
    assert_eq!(guest.read(0x14, 4), 0xc001);
    assert_eq!(guest.device().command() & 1, 1);
    guest.end();
}

#[test]
fn a_device_that_nothing_helps_is_for_those_who_are_trusted() {
    for name in ["VMD", "be2net", "brcmfmac window", "amdgpu index and data"] {
        let known = known(name);
        let mut device = mirrored::device(known);
        if name.starts_with("amdgpu") {
            device = device.with_bar32(5, 0xfe20_0000, 0x1000);
        }
        let original = device.command();
        let refused = mirrored::given(known, device.clone(), mirrored::places(known), false);
        assert_eq!(refused.err(), Some(AttachError::Refused), "{name}");
        let mut guest = mirrored::given(known, device, mirrored::places(known), true).expect("it is trusted");
        guest.write(COMMAND, 2, 2);
        assert!(guest.machine.state(0).bars()[0].is_present());
        guest.machine.detach(0);
        assert!(guest.machine.host.holds_nothing());
        assert_eq!(guest.device().command(), original & !4, "{name}");
    }
}

#[test]
fn more_pages_than_are_kept_are_an_error() {
    let mut machine = Guest::default().machine;
    let withhold = |machine: &mut tests::machine::Machine, pages: &[(u8, u64, u64)]| {
        let holes =
            pages.iter().map(|(bar, first, last)| vpci::Hole { bar: *bar, first: *first, last: *last });
        machine.function(0, |function, host| function.withhold(host, holes, 0))
    };
    let most: Vec<_> = (0..u64::try_from(TRAPPED - 2).unwrap()).map(|page| (2, page, page)).collect();
    assert_eq!(withhold(&mut machine, &most), Ok(()));
    assert_eq!(withhold(&mut machine, &most), Ok(()), "they are kept already");
    assert_eq!(withhold(&mut machine, &[(2, 6, 7)]), Err(AttachError::Full));
    // No memory BAR; behind its end; an end before its start, or that is no number of bytes.
    let mut machine = Guest::default().machine;
    for pages in [(1, 0, 0), (3, 0, 0), (7, 0, 0), (2, 8, 8), (2, 3, 2), (0, u64::MAX >> 4, u64::MAX)] {
        assert_eq!(withhold(&mut machine, &[pages]), Err(AttachError::Full), "{pages:x?}");
    }
}
