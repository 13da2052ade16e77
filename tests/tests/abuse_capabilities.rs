//! What a hostile guest tries on the capabilities of its device: cases 14 to 32 and what answers them.
//! `docs/security.md` has the list.

use capabilities::Width;
use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{Rule, Scope};
use tests::device::Device;
use tests::guest::{
    ADVANCED, BAR0, BARS, COMMAND, EXPRESS, GAP, Guest, PM, VENDOR, VPD, everything, extended,
};
use tests::host::Event;
use tests::machine::Machine;
use vpci::{AttachError, GuestInfo, Refusal};

const DEVCAP: u16 = EXPRESS + 0x04;
const DEVCTL: u16 = EXPRESS + 0x08;
const LNKCTL: u16 = EXPRESS + 0x10;
const DEVCAP2: u16 = EXPRESS + 0x24;
const DEVCTL2: u16 = EXPRESS + 0x28;
const LNKCTL2: u16 = EXPRESS + 0x30;
/// Advanced Error Reporting.
const ERRORS: u16 = extended(1);

/// Writes the field under `mask` of the word at `offset` in all ways: it stays with the guest.
fn is_storage(guest: &mut Guest, offset: u16, mask: u32) {
    let first = guest.read(offset, 2);
    for field in [mask, 0, mask & 0x5555, mask & 0xaaaa] {
        let value = guest.read(offset, 2) & !mask | field;
        guest.is_kept(offset, 2, value);
    }
    guest.is_kept(offset, 2, first);
}

/// The bits under `mask` of the word at `offset` read 0, and a write that sets one is dropped.
fn has_no_bits(guest: &mut Guest, offset: u16, mask: u32) {
    assert_eq!(guest.read(offset, 2) & mask, 0, "bits of {offset:#x} show");
    for bit in (0..16).map(|bit| 1 << bit).filter(|bit| mask & bit != 0) {
        let value = guest.read(offset, 2);
        guest.is_dropped(offset, 2, value | bit, Refusal::ReadOnly);
    }
}

/// A rule for four bytes of a capability, which only reads.
const fn rule(scope: Scope) -> Rule {
    Rule {
        vendor: 0x8086,
        device: 0x1521,
        class_mask: 0,
        class_value: 0,
        scope: scope.raw(),
        offset: 4,
        length: 4,
        key_offset: 0,
        zero: 0,
        key_mask: 0,
        key_value: 0,
        read: u32::MAX,
        write: 0,
    }
}

/// These extended capabilities are not there, and no rule brings them back: neither by ID nor by their bytes.
fn are_below_the_floor(ids: &[u16]) {
    let mut guest = Guest::default();
    for id in ids.iter().copied() {
        guest.has_no_extended(id);
        let by_id = rule(Scope::Extended(ExtendedId(id)));
        let by_bytes = Rule { offset: extended(id) + 4, ..rule(Scope::Bytes) };
        for rule in [by_id, by_bytes] {
            let refused = Guest::allowed(everything(), &[rule]).err();
            assert_eq!(refused, Some(AttachError::Rule), "{id:#x}");
        }
    }
}

/// These are not there, and a rule lets a guest read them and no more.
fn are_never_written(ids: &[u16]) {
    let mut guest = Guest::default();
    for id in ids.iter().copied() {
        guest.has_no_extended(id);
        let reads = rule(Scope::Extended(ExtendedId(id)));
        let by_bytes = Rule { offset: extended(id) + 4, ..rule(Scope::Bytes) };
        for reads in [reads, by_bytes] {
            let writes = Rule { write: 1, ..reads };
            assert_eq!(Guest::allowed(everything(), &[writes]).err(), Some(AttachError::Rule), "{id:#x}");
            let mut guest = Guest::allowed(everything(), &[reads]).unwrap();
            assert_eq!(guest.read(extended(id) + 4, 4), 0xa5a5_a5a5);
            guest.is_dropped(extended(id) + 4, 4, 0x5a5a_5a5a, Refusal::ReadOnly);
        }
    }
}

#[test]
fn a14_payload_size_stays_the_hosts() {
    let mut guest = Guest::default();
    is_storage(&mut guest, DEVCTL, 0x00e0);
    guest.end();
}

#[test]
fn a15_read_request_size_stays_the_hosts() {
    let mut guest = Guest::default();
    is_storage(&mut guest, DEVCTL, 0x7000);
    guest.end();
}

#[test]
fn a16_no_tags_or_requester_ids_of_others() {
    let mut guest = Guest::default();
    is_storage(&mut guest, DEVCTL, 0x0100);
    has_no_bits(&mut guest, DEVCTL, 0x0200);
    has_no_bits(&mut guest, DEVCTL2, 0x1020);
    assert_eq!(guest.read(DEVCAP, 4) & 0x18, 0, "phantom functions show");
    assert_eq!(guest.read(DEVCAP2, 4) & 0x0003_0000, 0, "10-bit tags show");
    // 14-bit tags, and alternative routing.
    are_never_written(&[0x2f]);
    are_below_the_floor(&[0x0e]);
}

#[test]
fn a17_function_level_resets_are_refused() {
    let mut guest = Guest::default();
    assert_eq!(guest.read(DEVCAP, 4) & 1 << 28, 0, "there is no reset");
    guest.write(COMMAND, 2, 6);
    let frames = guest.machine.host.p2m().frames();
    for _ in 0..1000 {
        let value = guest.read(DEVCTL, 2);
        guest.is_dropped(DEVCTL, 2, value | 0x8000, Refusal::Reset);
        guest.is_dropped(DEVCTL + 1, 1, value >> 8 | 0x80, Refusal::Reset);
    }
    assert_eq!(guest.read(DEVCTL, 2) & 0x8000, 0);
    // Together with what is the guest's, that is taken.
    guest.write_apart(DEVCTL, 2, 0x8010);
    assert_eq!((guest.read(DEVCTL, 2), guest.refusals(Refusal::Reset)), (0x0010, 2001));
    assert_eq!(guest.machine.host.p2m().frames(), frames);
    assert_eq!(guest.device().command(), 0x0407);
    guest.end();
}

#[test]
fn a18_resets_by_advanced_features_are_refused() {
    let mut guest = Guest::default();
    assert_eq!(guest.read(ADVANCED + 3, 1), 0, "there is no reset");
    for _ in 0..1000 {
        guest.is_dropped(ADVANCED + 4, 1, 1, Refusal::Reset);
    }
    guest.is_dropped(ADVANCED + 4, 4, 1, Refusal::Reset);
    assert_eq!(guest.read(ADVANCED + 4, 1), 0);
    guest.end();
}

#[test]
fn a19_the_link_stays_as_it_is() {
    let mut guest = Guest::default();
    has_no_bits(&mut guest, LNKCTL, 0xec30);
    is_storage(&mut guest, LNKCTL, 0x03c8);
    // Target speed, compliance, margin.
    is_storage(&mut guest, LNKCTL2, 0xffbf);
    has_no_bits(&mut guest, LNKCTL2, 0x0040);
    are_never_written(&[0x19, 0x26, 0x27, 0x2a, 0x31, 0x39]);
    guest.end();
}

#[test]
fn a20_latencies_of_the_platform_stay() {
    let mut guest = Guest::default();
    is_storage(&mut guest, LNKCTL, 0x0003);
    has_no_bits(&mut guest, DEVCTL2, 0x6400);
    assert_eq!(guest.read(DEVCAP2, 4) & 0x000c_0800, 0, "LTR or OBFF shows");
    // LTR, L1 substates, power budgeting, dynamic power allocation.
    are_never_written(&[0x18, 0x1e, 0x04, 0x16]);
}

#[test]
fn a21_the_device_stays_in_d0() {
    let mut guest = Guest::default();
    guest.write(COMMAND, 2, 2);
    let frames = guest.machine.host.p2m().frames();
    assert_eq!(guest.read(PM + 4, 2), 8, "D0, and nothing is lost on the way there");
    assert_eq!(guest.read(PM + 2, 2) & 0x0600, 0, "there is no D1 and no D2");
    for state in [1, 2] {
        guest.is_dropped(PM + 4, 2, 8 | state, Refusal::ReadOnly);
    }
    for state in [3, 0, 3] {
        guest.is_kept(PM + 4, 2, 8 | state);
        // MMIO goes on to be answered, where it is mapped.
        assert_eq!(guest.machine.host.p2m().frames(), frames);
        assert_eq!(guest.device().get(PM + 4, Width::Word) & 3, 0);
        assert!(guest.machine.mmio_read(BAR0 + 0x1000, 4).is_some());
    }
    guest.end();
}

#[test]
fn a22_no_power_management_events() {
    let mut guest = Guest::default();
    assert_eq!(guest.read(PM + 2, 2) & 0xf800, 0, "PME is supported");
    has_no_bits(&mut guest, PM + 4, 0xff04);
    // PME_Status is set in the device and stays set.
    guest.is_dropped(PM + 5, 1, 0x80, Refusal::ReadOnly);
    assert_eq!(guest.device().get(PM + 4, Width::Word) & 0x8100, 0x8100);
}

#[test]
fn a23_vital_product_data_is_read_from_a_cache() {
    let mut guest = Guest::default();
    guest.is_absent(VPD + 4..VPD + 8);
    guest.is_dropped(VPD + 2, 2, 0x8000, Refusal::HiddenWrite);
    // Two functions that share an EEPROM: the flag of one says nothing of the other.
    let info = || GuestInfo { bars: BARS, vpd: true, ..GuestInfo::NONE };
    let mut guests =
        [Guest::given(everything(), info()).unwrap(), Guest::given(everything(), info()).unwrap()];
    for (n, guest) in (0u32..).zip(&mut guests) {
        guest.write_apart(VPD + 2, 2, 0x0100 + 4 * n);
    }
    for (n, guest) in (0u32..).zip(&mut guests) {
        assert_eq!(guest.read(VPD + 2, 2), 0x8100 + 4 * n, "it is there at once");
        assert_eq!(guest.read(VPD + 4, 4), 0x5650_0100 + 4 * n);
        guest.is_dropped(VPD + 4, 4, 0xdead_beef, Refusal::ReadOnly);
        guest.is_dropped(VPD + 2, 2, 0x8000, Refusal::Vpd);
        guest.is_dropped(VPD + 3, 1, 0x80, Refusal::Vpd);
        assert_eq!(guest.read(VPD + 4, 4), 0x5650_0100 + 4 * n);
        // Polled for ever, it costs the host nothing.
        guest.machine.host.take_events();
        for _ in 0..1000 {
            guest.write(VPD + 2, 2, 0x7ffc);
            guest.read(VPD, 4);
        }
        assert_eq!(guest.machine.host.take_events(), []);
    }
}

#[test]
fn a24_what_is_the_vendors_is_hidden_unless_listed() {
    let mut guest = Guest::default();
    assert!(guest.standard_list().iter().all(|(_, id)| *id != 0x09));
    guest.is_absent(VENDOR..VENDOR + 0x14);
    // A gap: AMD's GPUs are reset by a write to 7Ch.
    guest.is_absent(GAP);
    guest.has_no_extended(0x0b);
    guest.has_no_extended(0x23);
    let mut amd = Device::endpoint(0x1002, 0x67df).with_capability(0x48, 0x01, &[0; 6]);
    amd.set(0x7c, Width::Dword, 0x39d5_e86b);
    amd.allow(0x7c, Width::Dword, u32::MAX);
    Guest::with(amd).is_absent(0x7c..0x80);
    // A rule shows what it names: its bits are the device's, all others stay hidden.
    let listed = Rule { read: 0x00ff_ff00, write: 0x0000_ff00, ..rule(Scope::Standard(CapabilityId(0x09))) };
    let mut guest = Guest::allowed(everything(), &[listed]).unwrap();
    assert_eq!((guest.read(VENDOR + 4, 4), guest.read(VENDOR + 8, 4)), (0x00a5_a500, 0));
    guest.is_dropped(VENDOR + 4, 1, 0xff, Refusal::ReadOnly);
    guest.is_dropped(VENDOR + 6, 2, 0xffff, Refusal::ReadOnly);
    guest.is_dropped(VENDOR + 8, 4, u32::MAX, Refusal::ReadOnly);
    guest.is_dropped(VENDOR + 2, 1, 0xff, Refusal::ReadOnly);
    guest.machine.host.take_events();
    guest.write(VENDOR + 4, 4, 0x5a5a_5a5a);
    assert_eq!(guest.machine.host.take_writes(), [(VENDOR + 4, Width::Dword, 0xa5a5_5aa5)]);
    // Structure 5 of virtio reaches every BAR: it is not one of those that are brought along.
    let mut body = vec![0x14, 0x05];
    body.resize(0x12, 0xa5);
    let mut guest = Guest::with(Device::endpoint(0x1af4, 0x1041).with_capability(0x48, 0x09, &body));
    assert_eq!(guest.standard_list(), []);
    guest.is_absent(0x48..0x5c);
}

#[test]
fn a25_error_reporting_stays_the_hosts() {
    let mut guest = Guest::default();
    let mask = 0x07ff_f030;
    for (offset, mask) in [(0x08, mask), (0x0c, mask), (0x14, 0xf1c1)] {
        let was = guest.read(ERRORS + offset, 4);
        assert_eq!(was, 0xa5a5_a5a5 & mask);
        guest.is_kept(ERRORS + offset, 4, !was & mask);
        let now = guest.read(ERRORS + offset, 4);
        guest.is_dropped(ERRORS + offset, 4, now | !mask, Refusal::ReadOnly);
    }
    // Status: as it is, and not cleared.
    for (offset, mask) in [(0x04, mask), (0x10, 0xf1c1)] {
        assert_eq!(guest.read(ERRORS + offset, 4), 0xa5a5_a5a5 & mask);
        guest.is_dropped(ERRORS + offset, 4, u32::MAX, Refusal::ReadOnly);
        guest.device().set(ERRORS + offset, Width::Dword, 0x5a5a_5a5a);
        assert_eq!(guest.read(ERRORS + offset, 4), 0x5a5a_5a5a & mask);
    }
    // ECRC, and the header log with the addresses of others.
    assert_eq!(guest.read(ERRORS + 0x18, 4), 0x05);
    guest.is_dropped(ERRORS + 0x18, 4, 0x0145, Refusal::ReadOnly);
    for offset in (0x1c..0x2c).step_by(4) {
        assert_eq!(guest.read(ERRORS + offset, 4), 0);
    }
    // STATUS and Device Status: the evidence is the host's.
    for (offset, bits) in [(0x06, 0xf900), (EXPRESS + 0x0a, 0x000f)] {
        assert_eq!(guest.read(offset, 2) & bits, bits);
        guest.is_dropped(offset, 2, bits, Refusal::ReadOnly);
        assert_eq!(guest.read(offset, 2) & bits, bits);
    }
    // Which errors are reported.
    is_storage(&mut guest, DEVCTL, 0x000f);
    // Errors on demand: those of flits, and of a vendor (RAS-DES).
    are_below_the_floor(&[0x34]);
    guest.has_no_extended(0x0b);
}

#[test]
fn a26_access_control_stays() {
    are_below_the_floor(&[0x0d]);
}

#[test]
fn a27_no_translation_services() {
    are_below_the_floor(&[0x0f, 0x13, 0x1b]);
    let mut guest = Guest::default();
    // The prefixes that carry a PASID.
    assert_eq!(guest.read(DEVCAP2, 4) & 0x00f0_0000, 0);
}

#[test]
fn a28_no_functions_are_made() {
    are_below_the_floor(&[0x10, 0x11, 0x2d, 0x38]);
}

#[test]
fn a29_bars_keep_their_size() {
    are_below_the_floor(&[0x15, 0x24]);
    // Nor does it matter to the p2m that the device grew behind a back door.
    let mut guest = Guest::default();
    guest.device().allow(0x10, Width::Dword, 0xff00_0000);
    guest.write_apart(0x10, 4, u32::MAX);
    assert_eq!(guest.read(0x10, 4), 0xffff_c000);
    guest.write_apart(0x10, 4, 0xe000_0000);
    guest.write(COMMAND, 2, 2);
    // Four pages of which two trap, eight, and one.
    assert_eq!(guest.machine.host.p2m().len(), 2 + 8 + 1);
    guest.end();
}

#[test]
fn a30_no_copies_and_no_steering() {
    are_below_the_floor(&[0x12]);
    are_never_written(&[0x17]);
    let mut guest = Guest::default();
    assert_eq!(guest.read(DEVCAP2, 4) & 0x0000_3000, 0, "TPH shows");
}

#[test]
fn a31_no_port_is_contained() {
    are_below_the_floor(&[0x1d]);
}

#[test]
fn a32_no_mailboxes_and_no_keys() {
    are_below_the_floor(&[0x2e, 0x30]);
}

#[test]
fn the_lists_are_what_the_policy_shows() {
    let mut guest = Guest::default();
    let ids: Vec<u16> = guest.standard_list().iter().map(|(_, id)| *id).collect();
    assert_eq!(ids, [0x01, 0x05, 0x11, 0x10, 0x13, 0x12, 0x0d]);
    assert_eq!(guest.extended_list(), [(0x100, 0x01)]);
    for id in 2..=0x3a {
        guest.has_no_extended(id);
    }
    // And nothing of it was ever asked of the device.
    guest.machine.host.take_events();
    for id in 2..=0x3a {
        (extended(id)..extended(id) + 0x40).step_by(4).for_each(|offset| guest.write(offset, 4, u32::MAX));
    }
    let events = guest.machine.host.take_events();
    assert!(!events.iter().any(|event| matches!(event, Event::Read(..) | Event::Write(..))), "{events:x?}");
    // Two devices of one guest: none is the other's.
    let mut machine = Machine::default();
    machine.give(everything(), BARS);
    assert_eq!(machine.read(0, 0x0e, 1), 0, "one function, as far as its guest can tell");
}
