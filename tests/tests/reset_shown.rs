//! What a guest sees of the ways to have its function reset, and which of its writes ask for that.

use capabilities::Width;
use capabilities::id::CapabilityId;
use capabilities::policy::{Rule, Scope};
use tests::device::Device;
use tests::guest::{ADVANCED, BARS, EXPRESS, Guest, PM, everything};
use tests::host::Event;
use vpci::{GuestInfo, Refusal, Written};

const DEVCAP: u16 = EXPRESS + 0x04;
const DEVCTL: u16 = EXPRESS + 0x08;
const PMCSR: u16 = PM + 0x04;
const FLR_CAPABLE: u32 = 1 << 28;
const INITIATE_FLR: u32 = 1 << 15;
const NO_SOFT_RESET: u32 = 1 << 3;

fn given(device: Device, resettable: bool) -> Guest {
    Guest::given(device, GuestInfo { bars: BARS, resettable, ..GuestInfo::NONE }).expect("it can be given")
}

/// A device that says this of its resets: whether it has Function Level Reset Capability, what AF Capabilities are, and
/// whether `No_Soft_Reset` is set.
fn device(flr: bool, advanced: u32, no_soft_reset: bool) -> Device {
    let mut device = everything();
    device.set(DEVCAP, Width::Dword, if flr { u32::MAX } else { !FLR_CAPABLE });
    device.set(ADVANCED + 3, Width::Byte, advanced);
    device.set(PMCSR, Width::Word, if no_soft_reset { 0x8108 } else { 0x8100 });
    device
}

/// What the guest sees of that.
fn seen(guest: &mut Guest) -> (bool, u32, bool) {
    let flr = guest.read(DEVCAP, 4) & FLR_CAPABLE != 0;
    (flr, guest.read(ADVANCED + 3, 1), guest.read(PMCSR, 2) & NO_SOFT_RESET != 0)
}

/// Whether the guest asks for a reset by a write, which does not reach the device.
fn asks(guest: &mut Guest, offset: u16, bytes: u32, value: u32) -> bool {
    guest.machine.host.take_events();
    let written = guest.machine.start_write(0, offset, bytes, value);
    let wrote = |event: &Event| matches!(event, Event::Write(..));
    assert!(!guest.machine.host.take_events().iter().any(wrote), "the device was written to");
    assert!(matches!(written, Written::Done | Written::Reset), "{written:?}");
    written == Written::Reset
}

/// Whether it asks for one by D3hot and back.
fn asks_by_power(guest: &mut Guest) -> bool {
    assert!(!asks(guest, PMCSR, 2, 3), "D3hot is no reset");
    asks(guest, PMCSR, 2, 0)
}

#[test]
fn a_guest_that_cannot_have_it_reset_sees_no_reset_whatever_the_device_says() {
    for (flr, advanced, no_soft_reset) in
        [(true, 0x03, false), (false, 0x03, false), (true, 0x00, true), (false, 0x00, false)]
    {
        let mut guest = given(device(flr, advanced, no_soft_reset), false);
        assert_eq!(seen(&mut guest), (false, 0, true));
        let control = guest.read(DEVCTL, 2) | INITIATE_FLR;
        for (offset, bytes, value) in
            [(DEVCTL, 2, control), (DEVCTL + 1, 1, control >> 8), (DEVCTL, 4, control), (ADVANCED + 4, 1, 1)]
        {
            guest.is_dropped(offset, bytes, value, Refusal::Reset);
            assert!(!asks(&mut guest, offset, bytes, value));
        }
        assert!(!asks_by_power(&mut guest));
    }
}

#[test]
fn a_guest_sees_the_bits_that_the_device_has() {
    // Of what the device says: what a guest sees. Advanced Features have both bits or none, and the way from D3hot is a
    // reset for want of another.
    for (said, shown) in [
        ((true, 0x03, false), (true, 0x03, true)),
        ((true, 0x03, true), (true, 0x03, true)),
        ((true, 0x00, false), (true, 0x00, true)),
        ((true, 0x02, false), (true, 0x00, true)),
        ((false, 0xff, false), (false, 0x03, true)),
        ((false, 0x03, true), (false, 0x03, true)),
        ((false, 0x02, false), (false, 0x00, false)),
        ((false, 0x01, false), (false, 0x00, false)),
        ((false, 0x00, false), (false, 0x00, false)),
        ((false, 0xfc, true), (false, 0x00, true)),
    ] {
        let mut guest = given(device(said.0, said.1, said.2), true);
        assert_eq!(seen(&mut guest), shown, "{said:?}");
        // What it sees is what it can ask for. All else is refused as to any guest.
        let refused = guest.refusals(Refusal::Reset);
        assert_eq!(asks(&mut guest, DEVCTL, 2, INITIATE_FLR), shown.0, "{said:?}");
        assert_eq!(asks(&mut guest, ADVANCED + 4, 1, 1), shown.1 != 0, "{said:?}");
        assert_eq!(asks_by_power(&mut guest), !shown.2, "{said:?}");
        let not = u32::from(!shown.0) + u32::from(shown.1 == 0);
        assert_eq!(guest.refusals(Refusal::Reset) - refused, not, "{said:?}");
        // It stays so, whatever the device says later (XSA-337).
        let other = device(!said.0, !said.1 & 0xff, !said.2);
        for (offset, width) in [(DEVCAP, Width::Dword), (ADVANCED + 3, Width::Byte), (PMCSR, Width::Word)] {
            let value = other.get(offset, width);
            guest.device().set(offset, width, value);
        }
        assert_eq!(seen(&mut guest), shown, "{said:?}");
        guest.end();
    }
}

#[test]
fn initiate_flr_is_a_bit_of_its_byte_at_every_width() {
    let mut guest = given(everything(), true);
    let control = guest.read(DEVCTL, 2);
    let counts = *guest.machine.state(0).refusal_counts();
    for (offset, bytes, value) in [
        (DEVCTL, 2, INITIATE_FLR),
        (DEVCTL, 2, control | INITIATE_FLR),
        (DEVCTL, 4, control | INITIATE_FLR),
        (DEVCTL + 1, 1, 0x80),
        (DEVCTL + 1, 1, control >> 8 | 0x80),
        (ADVANCED + 4, 1, 0x01),
        (ADVANCED + 4, 2, 0x01),
        (ADVANCED + 4, 4, 0x01),
    ] {
        assert!(asks(&mut guest, offset, bytes, value), "{value:#x} to {offset:#x}");
        assert_eq!((guest.read(DEVCTL, 2), guest.read(ADVANCED + 4, 1)), (control, 0), "they read 0");
    }
    // With others, which are not taken: the function is about to lose them.
    assert!(asks(&mut guest, DEVCTL, 2, control ^ 0x0010 | INITIATE_FLR));
    assert_eq!(guest.read(DEVCTL, 2), control);
    assert_eq!(*guest.machine.state(0).refusal_counts(), counts, "nothing was refused");
    // Bits that are not the guest's are counted as ever.
    assert!(asks(&mut guest, DEVCTL, 2, control | 0x0200 | INITIATE_FLR));
    assert!(asks(&mut guest, ADVANCED + 4, 1, 0xff));
    assert_eq!(guest.refusals(Refusal::ReadOnly) - counts[Refusal::ReadOnly as usize], 2);
    // Beside it, nothing asks.
    for (offset, bytes, value) in [
        (DEVCTL, 1, 0xff),
        (DEVCTL, 2, 0x7fff),
        (DEVCTL + 2, 2, 0xffff),
        (ADVANCED + 4, 1, 0xfe),
        (ADVANCED + 5, 1, 1),
    ] {
        assert!(!asks(&mut guest, offset, bytes, value), "{value:#x} to {offset:#x}");
    }
}

#[test]
fn only_the_way_from_d3hot_to_d0_is_a_reset() {
    let mut guest = given(device(false, 0x00, false), true);
    for (bytes, from, to, resets) in [
        (2, 0, 0, false),
        (2, 0, 3, false),
        (2, 3, 3, false),
        (2, 3, 0, true),
        // D1 and D2 are not there: the function stays where it is.
        (2, 3, 1, false),
        (2, 3, 2, false),
        (2, 0, 1, false),
        (1, 3, 3, false),
        (1, 3, 0, true),
        (1, 0, 0, false),
        (4, 3, 0, true),
        (4, 0, 3, false),
        // Whatever else the word has.
        (2, 3, 0xff0c, true),
        (2, 0, 0xff0c, false),
    ] {
        guest.machine.write(0, PMCSR, 2, from);
        assert_eq!(guest.read(PMCSR, 2), from);
        assert_eq!(asks(&mut guest, PMCSR, bytes, to), resets, "{from} to {to:#x}, {bytes} bytes");
        let state = if matches!(to & 3, 0 | 3) { to & 3 } else { from };
        assert_eq!(guest.read(PMCSR, 2), state);
    }
    // The other byte of PMCSR is not its state.
    guest.machine.write(0, PMCSR, 2, 3);
    assert!(!asks(&mut guest, PMCSR + 1, 1, 0));
    assert!(!asks(&mut guest, PMCSR + 2, 2, 0));
    assert_eq!(guest.read(PMCSR, 2), 3);
}

#[test]
fn requests_under_way_are_the_devices_to_tell() {
    // A guest that waits for them before it takes its memory back must not be told 0 too early.
    let mut guest = given(everything(), true);
    for pending in [0, 1, 0] {
        guest.device().set(ADVANCED + 5, Width::Byte, pending);
        guest.device().set(DEVCTL + 2, Width::Word, pending << 5);
        assert_eq!((guest.read(ADVANCED + 5, 1), guest.read(DEVCTL + 2, 2) >> 5 & 1), (pending, pending));
    }
}

#[test]
fn the_power_state_is_the_guests_also_where_a_rule_shows_the_rest_of_its_register() {
    let rules = [rule(CapabilityId::PM, 4)];
    let info = GuestInfo { bars: BARS, rules: &rules, resettable: true, ..GuestInfo::NONE };
    let mut guest = Guest::given(device(false, 0x00, false), info).expect("the rule is sound");
    guest.write(PMCSR, 2, 3);
    assert_eq!(guest.read(PMCSR, 2), 0x8103, "the device's high byte, and it is in D0");
    for (offset, bytes) in [(PMCSR + 1, 1), (PMCSR + 2, 2), (PMCSR + 3, 1)] {
        assert!(!asks(&mut guest, offset, bytes, 0), "{bytes} bytes at {offset:#x}");
        assert_eq!(guest.read(PMCSR, 2) & 3, 3, "{bytes} bytes at {offset:#x}");
    }
    assert!(asks(&mut guest, PMCSR, 1, 0));
}

/// A rule that shows a dword of a capability.
const fn rule(id: CapabilityId, offset: u16) -> Rule {
    Rule {
        vendor: 0xffff,
        device: 0xffff,
        class_mask: 0,
        class_value: 0,
        scope: Scope::Standard(id).raw(),
        offset,
        length: 4,
        key_offset: 0,
        zero: 0,
        key_mask: 0,
        key_value: 0,
        read: u32::MAX,
        write: 0,
    }
}

#[test]
fn no_rule_shows_a_reset_that_is_not_there() {
    let rules = [
        rule(CapabilityId::EXPRESS, 4),
        rule(CapabilityId::AF, 0),
        rule(CapabilityId::AF, 4),
        rule(CapabilityId::PM, 4),
    ];
    let info = GuestInfo { bars: BARS, rules: &rules, ..GuestInfo::NONE };
    let mut guest = Guest::given(everything(), info).expect("the rules are sound");
    let flr = guest.read(DEVCAP, 4) & FLR_CAPABLE;
    assert_eq!((flr, guest.read(ADVANCED + 3, 1) & 3, guest.read(PMCSR, 2) & 8), (0, 0, 8));
    // What else is in these dwords they show.
    assert_eq!(guest.read(DEVCAP, 4), !FLR_CAPABLE);
    let control = guest.read(DEVCTL, 2);
    guest.is_dropped(DEVCTL, 2, control | INITIATE_FLR, Refusal::Reset);
}
