//! What a hostile guest, and a hostile device, try on lists and by the way of accessing: cases 33 to 38 and what answers
//! them. `docs/security.md` has the list.

use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{Rule, Scope};
use capabilities::{Access, Width};
use tests::device::Device;
use tests::guest::{
    ADVANCED, BAR0, BARS, COMMAND, EXPRESS, GAP, Guest, MSI, MSIX, PM, TABLE, VENDOR, everything, extended,
};
use tests::host::Preempt;
use tests::machine::Machine;
use tests::random::Random;
use vpci::{Locked, Message, Progress, Refusal, Written};

/// The message behind [`MSI`].
const GOOD: u32 = 0xfee0_1000;

/// A rule that shows a dword of a vendor's extended capability.
const RULE: Rule = Rule {
    vendor: 0x8086,
    device: 0x1521,
    class_mask: 0,
    class_value: 0,
    scope: Scope::Extended(ExtendedId(0x0b)).raw(),
    offset: 8,
    length: 4,
    key_offset: 0,
    zero: 0,
    key_mask: 0,
    key_value: 0,
    read: u32::MAX,
    write: 0,
};

/// A device whose standard list starts at `first`, with these capabilities: offset, header, and the dword behind it.
fn listed(first: u8, capabilities: &[(u16, u32, u32)]) -> Device {
    let mut device = Device::endpoint(1, 1);
    for offset in (0x40..0x100).step_by(4) {
        device.set(offset, Width::Dword, 0xa5a5_a5a5);
        device.allow(offset, Width::Dword, u32::MAX);
    }
    device.set(0x06, Width::Word, 0x0010);
    // An interrupt line that reads like Power Management.
    device.set(0x3c, Width::Dword, 0x0000_0001);
    device.set(0x34, Width::Byte, first.into());
    for &(offset, header, behind) in capabilities {
        device.set(offset, Width::Dword, header);
        device.set(offset + 4, Width::Dword, behind);
    }
    device
}

/// Likewise with extended capabilities.
fn extended_listed(capabilities: &[(u16, u32, u32)]) -> Device {
    let mut device = Device::endpoint(1, 1);
    for offset in (0x100..0x1000).step_by(4) {
        device.set(offset, Width::Dword, 0xa5a5_a5a5);
        device.allow(offset, Width::Dword, u32::MAX);
    }
    for &(offset, header, behind) in capabilities {
        device.set(offset, Width::Dword, header);
        device.set(offset + 4, Width::Dword, behind);
    }
    device
}

/// What of `range` reads other than 0.
fn shown(guest: &mut Guest, range: std::ops::Range<u16>) -> Vec<u16> {
    range.step_by(4).filter(|offset| guest.read(*offset, 4) != 0).collect()
}

#[test]
fn a33_broken_standard_lists() {
    let pm = 0xfe03_0001u32;
    let msi = 0x0180_0005u32;
    let next = |header: u32, next: u32| header | next << 8;
    // The list, what of it is shown, and how much was broken.
    for (what, first, capabilities, list, refused) in [
        ("no pointer", 0x00, vec![], vec![], 0),
        ("into the header", 0x3c, vec![(0x40, pm, 0)], vec![], 0),
        ("to itself", 0x40, vec![(0x40, next(pm, 0x40), 0)], vec![(0x40, 0x01)], 0),
        (
            "a loop",
            0x40,
            vec![(0x40, next(pm, 0x50), 0), (0x50, next(0x0d, 0x40), 1)],
            vec![(0x40, 1), (0x50, 0x0d)],
            0,
        ),
        (
            "reserved bits",
            0x43,
            vec![(0x40, next(pm, 0x53), 0), (0x50, 0x0d, 1)],
            vec![(0x40, 1), (0x50, 0x0d)],
            0,
        ),
        ("back to the header", 0x40, vec![(0x40, next(pm, 0x10), 0)], vec![(0x40, 0x01)], 0),
        ("overlap", 0x50, vec![(0x50, next(msi, 0x5c), 0), (0x5c, pm, 0)], vec![(0x50, 5)], 1),
        ("overlap backwards", 0x5c, vec![(0x5c, next(pm, 0x50), 0), (0x50, msi, 0)], vec![(0x5c, 1)], 1),
        ("past the end", 0xf4, vec![(0xf4, msi, 0)], vec![], 1),
        ("past the end by express", 0xe0, vec![(0xe0, 0x0002_0010, 0)], vec![], 1),
        ("no device", 0x40, vec![(0x40, u32::MAX, u32::MAX)], vec![], 0),
        ("two of a kind", 0x40, vec![(0x40, next(msi, 0x60), 0), (0x60, msi, 0)], vec![(0x40, 5)], 0),
        ("unknown", 0x40, vec![(0x40, next(0x7f, 0x60), 1), (0x60, pm, 0)], vec![(0x60, 1)], 0),
    ] {
        let mut guest = Guest::with(listed(first, &capabilities));
        assert_eq!(guest.standard_list(), list, "{what}");
        assert_eq!(guest.refusals(Refusal::Capability), refused, "{what}");
        assert_eq!(guest.read(0x06, 2) & 0x10 != 0, !list.is_empty(), "{what}");
        // Nothing shows but the capabilities: 8 bytes, or 24 of MSI, whose message is nowhere the device's.
        let inside = |offset: u16| {
            list.iter().any(|(at, id)| (*at..*at + if *id == 5 { 0x18 } else { 8 }).contains(&offset))
        };
        let leaks: Vec<u16> = shown(&mut guest, 0x40..0x100).into_iter().filter(|at| !inside(*at)).collect();
        assert_eq!(leaks, [], "{what}");
        for offset in (0x40..0x100).step_by(4) {
            guest.write_apart(offset, 4, if offset % 8 == 0 { 0x5a5a_5a00 } else { u32::MAX << 16 });
        }
        guest.machine.detach(0);
        assert!(guest.machine.host.holds_nothing(), "{what}");
    }
}

#[test]
fn a33_broken_extended_lists() {
    let error = 0x0001_0001u32;
    let serial = 0x0001_0003u32;
    let next = |header: u32, next: u32| header | next << 20;
    for (what, capabilities, list, refused) in [
        ("nothing", vec![(0x100, 0, 0)], vec![], 0),
        ("no device", vec![(0x100, u32::MAX, 0)], vec![], 0),
        ("to itself", vec![(0x100, next(error, 0x100), 0)], vec![(0x100, 1)], 0),
        (
            "a loop",
            vec![(0x100, next(serial, 0x200), 0), (0x200, next(error, 0x100), 0)],
            vec![(0x200, 1)],
            0,
        ),
        ("into the standard list", vec![(0x100, next(error, 0x040), 0)], vec![(0x100, 1)], 0),
        ("past the end", vec![(0x100, next(serial, 0xff0), 0), (0xff0, error, 0)], vec![], 1),
        ("overlap", vec![(0x100, next(error, 0x110), 0), (0x110, error, 0)], vec![(0x100, 1)], 1),
        ("all ones later", vec![(0x100, next(error, 0x200), 0), (0x200, u32::MAX, 0)], vec![(0x100, 1)], 0),
    ] {
        let mut guest = Guest::with(extended_listed(&capabilities));
        assert_eq!(guest.extended_list(), list, "{what}");
        assert_eq!(guest.refusals(Refusal::Capability), refused, "{what}");
        let inside =
            |offset: u16| offset == 0x100 || list.iter().any(|(at, _)| (*at..*at + 0x2c).contains(&offset));
        let leaks: Vec<u16> =
            shown(&mut guest, 0x100..0x1000).into_iter().filter(|at| !inside(*at)).collect();
        assert_eq!(leaks, [], "{what}");
        for offset in (0x100..0x1000).step_by(4) {
            guest.write_apart(offset, 4, u32::MAX);
        }
    }
    // A vendor's capability that a rule shows: it says itself how long it is.
    for (length, ok) in [(0u32, false), (0x10, true), (0xf01, false), (0xfff, false)] {
        let device = extended_listed(&[(0x100, 0x0001_000b, length << 20)]);
        let vendor = Rule { vendor: 1, device: 1, offset: 8, length: 8, ..RULE };
        let mut guest = Guest::allowed(device, &[vendor]).unwrap();
        assert_eq!(guest.extended_list().len(), usize::from(ok), "{length:#x}");
        assert_eq!(guest.refusals(Refusal::Capability), u32::from(!ok));
        let expected: &[u16] = if ok { &[0x100, 0x108, 0x10c] } else { &[] };
        assert_eq!(shown(&mut guest, 0x100..0x1000), expected, "{length:#x}");
    }
}

#[test]
fn a33_no_rule_looks_behind_the_space() {
    // Two capabilities of a vendor, told by a dword of all ones: the second one's would be behind the last.
    let mut device =
        Device::endpoint(1, 1).with_extended(0x100, 0x0b, 0x0c, 0xa5).with_extended(0xffc, 0x0b, 4, 0);
    device.set(0x104, Width::Dword, 0x00c1_ffff);
    let key = Rule { key_offset: 4, key_mask: 0xffff, key_value: 0xffff, ..RULE };
    let mut guest = Guest::allowed(device, &[Rule { vendor: 1, device: 1, ..key }]).unwrap();
    assert_eq!(guest.extended_list(), [(0x100, 0x0b)]);
    assert_eq!((guest.read(0x108, 4), guest.read(0xffc, 4)), (0xa5a5_a5a5, 0));
}

#[test]
fn rules_that_meet_show_what_each_of_them_shows() {
    let scope = Scope::Standard(CapabilityId(0x09)).raw();
    let one = Rule { scope, offset: 4, read: 0x0000_ffff, write: 0x0000_00ff, ..RULE };
    let two = Rule { read: 0x00ff_ff00, write: 0, ..one };
    let mut guest = Guest::allowed(everything(), &[one, two, one]).unwrap();
    assert_eq!(guest.read(VENDOR + 4, 4), 0x00a5_a5a5);
    guest.write(VENDOR + 4, 1, 0x5a);
    assert_eq!(guest.device().get(VENDOR + 4, Width::Dword), 0xa5a5_a55a);
    // Bytes up to where MSI-X starts are not MSI-X's.
    let beside = Rule { scope: Scope::Bytes.raw(), offset: MSIX - 4, ..RULE };
    let device = listed(MSIX as u8, &[(MSIX, 0x11, 0)]); // CAST: below 0x100.
    assert!(Guest::allowed(device, &[beside]).is_ok());
}

#[test]
fn a34_nothing_is_read_again() {
    // XSA-337: whatever the device says later, its guest sees what was there at assignment, status bits aside.
    let live: &[(u16, u32)] = &[
        (0x04, 0xf900_0000),
        (MSI + 0x14, 0xf),
        (EXPRESS + 0x08, 0x003f_0000),
        (EXPRESS + 0x10, 0x33ff_0000),
        (EXPRESS + 0x30, 0x07ff_0000),
        (ADVANCED + 0x04, 0x0000_0100),
        (extended(1) + 0x04, 0x07ff_f030),
        (extended(1) + 0x10, 0xf1c1),
        (extended(1) + 0x18, 0x1f),
    ];
    let mut guest = Guest::default();
    guest.write(COMMAND, 2, 6);
    let look =
        |guest: &mut Guest| -> Vec<u32> { (0..0x1000).step_by(4).map(|at| guest.read(at, 4)).collect() };
    let (before, frames) = (look(&mut guest), guest.machine.host.p2m().frames());
    let mut random = Random::new(34);
    for _ in 0..20 {
        for offset in (0..0x1000).step_by(4) {
            guest.device().set(offset, Width::Dword, random.bits32());
        }
        let now = look(&mut guest);
        for (n, offset) in (0..0x1000u16).step_by(4).enumerate() {
            let bits = live.iter().find(|(at, _)| *at == offset).map_or(0, |(_, bits)| *bits);
            assert_eq!((before[n] ^ now[n]) & !bits, 0, "{offset:#x}");
        }
    }
    // What the hypervisor uses is what it knew as well.
    guest.write(COMMAND, 2, 0);
    guest.write(COMMAND, 2, 6);
    assert_eq!(guest.machine.host.p2m().frames(), frames);
    guest.write(MSI + 2, 2, 0x0071);
    assert_eq!(guest.machine.state(0).msi().unwrap().vectors(), (4, 4));
    guest.machine.host.take_events();
    guest.machine.detach(0);
    assert!(guest.machine.host.holds_nothing());
    // As it goes, COMMAND, the ROM and two control registers are written where they were, and no BAR.
    let writes = guest.machine.host.take_writes();
    let mut offsets: Vec<u16> = writes.iter().map(|(offset, ..)| *offset).collect();
    offsets.dedup();
    assert!(offsets.iter().all(|at| [COMMAND, MSI + 2, MSIX + 2, 0x30].contains(at)), "{writes:x?}");
}

#[test]
fn a35_widths_and_edges() {
    // There is no other access than the aligned ones inside a dword, by ports or by ECAM alike.
    for bytes in 0..=9 {
        for offset in (0xf0..0x110u32).chain(0xff0..0x1010) {
            let good = [1, 2, 4].contains(&bytes) && offset % bytes == 0 && offset < 0x1000;
            assert_eq!(Access::new(offset, bytes).is_some(), good, "{bytes} bytes at {offset:#x}");
        }
    }
    let mut guest = Guest::default();
    for offset in (0..0x1000u16).step_by(4) {
        let whole = guest.read(offset, 4);
        for (lane, byte) in (0..).zip(whole.to_le_bytes()) {
            assert_eq!(guest.read(offset + lane, 1), u32::from(byte), "{:#x}", offset + lane);
        }
        assert_eq!(guest.read(offset, 2) | guest.read(offset + 2, 2) << 16, whole, "{offset:#x}");
    }
    // The last byte of PCI Express, the first of Advanced Features, the edge of the two spaces.
    guest.is_dropped(ADVANCED - 1, 1, 0xff, Refusal::ReadOnly);
    guest.is_dropped(ADVANCED, 1, 0xff, Refusal::ReadOnly);
    guest.is_dropped(0xff, 1, 0xff, Refusal::HiddenWrite);
    guest.is_dropped(0x100, 1, 0xff, Refusal::ReadOnly);
    // A word whose register shares its dword with another's: MSI Control and the list's link, COMMAND and STATUS.
    guest.is_dropped(MSI, 2, 0xffff, Refusal::ReadOnly);
    guest.write_apart(COMMAND, 4, 0xf900_0003);
    assert_eq!(guest.read(COMMAND, 4), 0xf930_0003 & guest.read(COMMAND, 4));
    assert_eq!(guest.device().get(0x06, Width::Word) & 0xf900, 0xf900, "no evidence is cleared");
    // XSA-128: a wide write next to the message's data is none to it.
    guest.write(MSI + 4, 4, GOOD);
    guest.write(MSI + 2, 2, 0x0185);
    guest.write_apart(MSI + 12, 4, 0xffff_0031);
    let bound = guest.machine.host.pirqs().msi().unwrap().bound;
    assert_eq!(bound, Some(Message { address: GOOD.into(), data: 0x31 }));
    assert_eq!(guest.read(MSI + 12, 4), 0x0031);
    // Of a register that a rule lets it write, a guest writes its own bytes: beside them are some that a 1 clears.
    let vendor = Rule {
        scope: Scope::Standard(CapabilityId(0x09)).raw(),
        offset: 4,
        length: 4,
        write: 0x0000_00ff,
        ..RULE
    };
    let mut guest = Guest::allowed(everything(), &[vendor]).unwrap();
    guest.write(VENDOR + 4, 1, 0x5a);
    guest.is_dropped(VENDOR + 5, 1, 0xff, Refusal::ReadOnly);
    guest.machine.host.take_events();
    guest.write(VENDOR + 4, 1, 0xa5);
    assert_eq!(guest.machine.host.take_writes(), [(VENDOR + 4, Width::Byte, 0xa5)]);
    // A device that has but 256 bytes has no others.
    let mut small = everything();
    small.truncate();
    let mut guest = Guest::with(small);
    assert_eq!(shown(&mut guest, 0x100..0x1000), []);
}

#[test]
fn a36_vcpus_in_each_others_way() {
    // Ports CF8 and CFC are under a lock of Xen's for each vCPU's address, and each function has a lock. What is left
    // is the order of whole accesses, with the work in steps in between: in the model, all of them.
    for order in 0..3u32.pow(6) {
        let mut guest = Guest::default();
        guest.machine.host.set_preempt(Preempt::Always);
        guest.machine.host.p2m_mut().chunk = 3;
        let mut rest = order;
        for _ in 0..6 {
            match rest % 3 {
                0 => {
                    let value = 6 - guest.read(COMMAND, 2);
                    // Who has but the shared lock changes nothing.
                    let frames = guest.machine.host.p2m().frames();
                    let written = guest.machine.write_locked(0, COMMAND, 2, value, Locked::Shared);
                    assert_eq!(written, Written::NeedsExclusive);
                    assert_eq!(
                        (guest.read(COMMAND, 2), guest.machine.host.p2m().frames()),
                        (6 - value, frames)
                    );
                    let written = guest.machine.start_write(0, COMMAND, 2, value);
                    assert_eq!(written, Written::Pending);
                }
                1 => {
                    guest.machine.step(0);
                }
                _ => {
                    let value = guest.read(0x30, 4) ^ 1;
                    guest.machine.start_write(0, 0x30, 4, value);
                }
            }
            rest /= 3;
        }
        guest.machine.settle(0);
        let (on, rom) = (guest.read(COMMAND, 2) & 2 != 0, guest.read(0x30, 4) & 1 != 0);
        let frames = if on { 2 + 8 + 1 + if rom { 2 } else { 0 } } else { 0 };
        assert_eq!(guest.machine.host.p2m().len(), frames, "order {order}");
        guest.machine.start_write(0, COMMAND, 2, if on { 0 } else { 6 });
        guest.machine.step(0);
        guest.end();
    }
}

#[test]
fn a36_halves_of_a_message_from_two_vcpus() {
    // Address, upper address and data are written by two, in any order: what is delivered is always what the registers
    // say, and always an interrupt.
    let writes = [(4, GOOD), (8, 0), (12, 0x31), (4, 0x1000), (8, 1), (12, 0x0231)];
    for order in 0..6u32.pow(4) {
        let mut guest = Guest::default();
        guest.write(MSI + 4, 4, GOOD);
        guest.write(MSI + 2, 2, 0x0185);
        let mut rest = order;
        for _ in 0..4 {
            let (offset, value) = writes[rest as usize % 6];
            guest.write_apart(MSI + offset, if offset == 12 { 2 } else { 4 }, value);
            rest /= 6;
            let address = u64::from(guest.read(MSI + 8, 4)) << 32 | u64::from(guest.read(MSI + 4, 4));
            let message = Message { address, data: guest.read(MSI + 12, 2) };
            let good = address >> 20 == 0xfee && message.data & 0x0600 == 0;
            let bound = guest.machine.host.pirqs().msi().unwrap().bound;
            assert_eq!(bound, good.then_some(message), "order {order}");
        }
        assert_eq!(guest.machine.host.pirqs().len(), 1);
        guest.end();
    }
}

#[test]
fn a36_a_device_that_goes_while_two_use_it() {
    let mut bound = Vec::new();
    for steps in 0..20 {
        let mut guest = Guest::default();
        guest.machine.host.set_preempt(Preempt::Always);
        guest.machine.host.p2m_mut().chunk = 2;
        guest.machine.start_write(0, COMMAND, 2, 2);
        for step in 0..steps {
            // One works with interrupts, one switches decoding off and on again.
            guest.machine.mmio_write(TABLE, 8, GOOD.into());
            guest.machine.start_write(0, MSIX + 2, 2, 0x8003);
            guest.machine.mmio_write(TABLE + 8, 8, 0x31);
            if step == 8 || step == 12 {
                guest.machine.start_write(0, COMMAND, 2, if step == 8 { 0 } else { 2 });
            }
            if guest.machine.step(0) == Progress::Done {
                guest.machine.mmio_read(BAR0 + 0x3000, 8);
            }
        }
        bound.push(guest.machine.host.pirqs().bound());
        guest.end();
    }
    assert!(bound.contains(&0) && bound.contains(&1), "it goes with and without: {bound:?}");
}

#[test]
fn a37_windows_in_configuration_space_are_closed() {
    // tg3 and bnx2: an address at 78h or 7Ch, and the device's memory or registers at 80h or 84h.
    let mut device =
        Device::endpoint(0x14e4, 0x1659).with_capability(0x48, 0x01, &[0x03, 0xfe]).with_msi(0x58, 0x0086);
    for offset in (0x68..0xa0).step_by(4) {
        device.set(offset, Width::Dword, 0xa5a5_a5a5);
        device.allow(offset, Width::Dword, u32::MAX);
    }
    Guest::with(device).is_absent(0x68..0xa0);
}

#[test]
fn a38_refusals_are_counted_not_logged() {
    let mut guest = Guest::default();
    guest.machine.host.take_events();
    for n in 0..100_000u32 {
        let offset = GAP.start + u16::try_from(n % 16).unwrap();
        guest.write(offset, 1, n & 0xff);
    }
    assert_eq!(guest.machine.host.take_events(), [], "a refusal asks nothing of the host");
    assert_eq!(guest.refusals(Refusal::HiddenWrite), 100_000);
    let state = guest.machine.state(0);
    let records: Vec<_> = (0..1000).map_while(|age| state.audit(age)).collect();
    assert_eq!(records.len(), 16, "what is kept of them has an end");
    for (n, record) in (0..).zip(&records) {
        assert_eq!(record.sequence, 100_000 - n);
        assert_eq!(record.value, (99_999 - n) & 0xff);
    }
    assert_eq!(state.audit(u32::MAX), None);
    // What is no refusal does not drive them out.
    guest.write(PM + 4, 2, 0x000b);
    assert_eq!(guest.machine.state(0).audit(0), Some(records[0]));
}

#[test]
fn two_devices_do_not_see_each_other() {
    let mut machine = Machine::default();
    machine.give(everything(), BARS);
    let mut bars = BARS;
    bars.iter_mut().flatten().for_each(|address| *address += 0x1000_0000);
    machine.give(everything(), bars);
    machine.write(0, COMMAND, 2, 2);
    machine.write(1, COMMAND, 2, 2);
    machine.write(0, GAP.start, 4, 1);
    assert_eq!(machine.state(1).audit(0), None);
    machine.detach(0);
    assert_eq!((machine.read(1, COMMAND, 2), machine.host.p2m().len()), (2, 11));
    assert_eq!(machine.window(TABLE), None);
    assert_eq!(machine.window(TABLE + 0x1000_0000), Some(1));
    machine.detach(1);
    assert!(machine.host.holds_nothing());
}
