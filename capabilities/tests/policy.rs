//! The policy tables against the specifications, and what a guest must not have.

use std::collections::BTreeSet;

use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{
    self, Act, Control, Dword, EXTENDED, Field, HEADER, Length, Policy, STANDARD, Treatment, Visibility,
    extended_dword, header_dword, standard_dword,
};
use capabilities::standard::{advanced, express, msi, msix, pm, sata, subsystem, vpd};
use capabilities::{extended, standard};

const PM: CapabilityId = CapabilityId(0x01);
const EXPRESS: CapabilityId = CapabilityId(0x10);
const AF: CapabilityId = CapabilityId(0x13);
const AER: ExtendedId = ExtendedId(0x0001);

fn all() -> impl Iterator<Item = Policy> {
    STANDARD.into_iter().chain(EXTENDED)
}

/// How the dword with the register at `offset` of a standard capability is served.
fn register(id: CapabilityId, offset: u16) -> Dword {
    standard_dword(id, offset / 4)
}

/// The bits that may read other than 0.
fn seen(dword: Dword) -> u32 {
    dword.snapshot | dword.live | dword.write | dword.ones | dword.reset | dword.acts
}

/// The most bytes that the capability can have, its fields included.
fn longest(length: Length) -> u16 {
    match length {
        Length::Bytes(bytes) => bytes,
        Length::Express => 0x3c,
        Length::Msi => 0x18,
        Length::Sata => 8,
        Length::Byte2 | Length::Vendor | Length::Open => 0,
    }
}

#[test]
fn every_id_has_a_row_with_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for policy in all() {
        assert!(!policy.name.is_empty() && !policy.section.is_empty());
        assert!(!policy.why.is_empty(), "{} has no reason", policy.name);
        // The list of standard capabilities has a null capability, and so has the other.
        assert!(names.insert(policy.name) || policy.name == "Null", "{} is there twice", policy.name);
    }
    assert_eq!((STANDARD.len(), EXTENDED.len()), (0x16, 0x3b));
}

#[test]
fn names_stand_at_their_ids() {
    for (id, name) in [
        (0x00, "Null"),
        (0x01, "Power Management"),
        (0x03, "Vital Product Data"),
        (0x05, "Message Signalled Interrupts"),
        (0x07, "PCI-X"),
        (0x09, "Vendor-Specific"),
        (0x0a, "Debug port"),
        (0x0c, "PCI Hot-Plug"),
        (0x0d, "Subsystem ID and Subsystem Vendor ID"),
        (0x0f, "Secure Device"),
        (0x10, "PCI Express"),
        (0x11, "MSI-X"),
        (0x12, "Serial ATA"),
        (0x13, "Conventional PCI Advanced Features"),
        (0x14, "Enhanced Allocation"),
        (0x15, "Flattening Portal Bridge"),
    ] {
        assert_eq!(STANDARD[id].name, name, "{id:02x}");
    }
    for (id, name) in [
        (0x0000, "Null"),
        (0x0001, "Advanced Error Reporting"),
        (0x0002, "Virtual Channel"),
        (0x0003, "Device Serial Number"),
        (0x0008, "Multi-Function Virtual Channel"),
        (0x000b, "Vendor-Specific Extended"),
        (0x000d, "Access Control Services"),
        (0x000e, "Alternative Routing-ID Interpretation"),
        (0x000f, "Address Translation Services"),
        (0x0010, "Single Root I/O Virtualization"),
        (0x0012, "Multicast"),
        (0x0013, "Page Request Interface"),
        (0x0015, "Resizable BAR"),
        (0x0017, "TPH Requester"),
        (0x0018, "Latency Tolerance Reporting"),
        (0x0019, "Secondary PCI Express"),
        (0x001b, "Process Address Space ID"),
        (0x001d, "Downstream Port Containment"),
        (0x001e, "L1 PM Substates"),
        (0x001f, "Precision Time Measurement"),
        (0x0022, "Readiness Time Reporting"),
        (0x0023, "Designated Vendor-Specific Extended"),
        (0x0024, "VF Resizable BAR"),
        (0x0025, "Data Link Feature"),
        (0x0026, "Physical Layer 16.0 GT/s"),
        (0x0027, "Lane Margining at the Receiver"),
        (0x0029, "Native PCIe Enclosure Management"),
        (0x002a, "Physical Layer 32.0 GT/s"),
        (0x002c, "System Firmware Intermediary"),
        (0x002e, "Data Object Exchange"),
        (0x002f, "Device 3"),
        (0x0030, "Integrity and Data Encryption"),
        (0x0031, "Physical Layer 64.0 GT/s"),
        (0x0034, "Flit Error Injection"),
        (0x0035, "Streamlined Virtual Channel"),
        (0x0038, "Scalable I/O Virtualization"),
        (0x003a, "Captured Data"),
    ] {
        assert_eq!(EXTENDED[id].name, name, "{id:04x}");
    }
}

#[test]
fn policies_stand_in_the_files_of_their_names() {
    let files = [
        (0x01, pm::POLICY),
        (0x03, vpd::POLICY),
        (0x05, msi::POLICY),
        (0x0d, subsystem::POLICY),
        (0x10, express::POLICY),
        (0x11, msix::POLICY),
        (0x12, sata::POLICY),
        (0x13, advanced::POLICY),
    ];
    for (id, policy) in files {
        assert_eq!(standard::POLICIES[id], policy);
    }
    assert_eq!(extended::POLICIES[0x0001], extended::error::POLICY);
    assert_eq!(extended::POLICIES[0x0003], extended::serial::POLICY);
}

#[test]
fn what_a_guest_has() {
    let ids = |table: &[Policy], guest| -> Vec<usize> {
        (0..table.len()).filter(|id| table[*id].guest == guest).collect()
    };
    assert_eq!(ids(&STANDARD, Visibility::Shown), [0x01, 0x05, 0x0d, 0x10, 0x11, 0x12, 0x13]);
    assert_eq!(ids(&STANDARD, Visibility::OnRequest), [0x03]);
    assert_eq!(ids(&EXTENDED, Visibility::Shown), [0x0001]);
    assert_eq!(ids(&EXTENDED, Visibility::OnRequest), [0x0003]);
}

#[test]
fn what_no_rule_shows() {
    let ids = |table: &[Policy]| -> Vec<usize> { (0..table.len()).filter(|id| table[*id].floor).collect() };
    assert_eq!(
        ids(&STANDARD),
        [0x02, 0x04, 0x05, 0x06, 0x08, 0x0b, 0x0c, 0x0e, 0x0f, 0x11, 0x14, 0x15],
        "MSI, MSI-X, EA; bridge and hot-plug control; AGP, HyperTransport, the IOMMU"
    );
    assert_eq!(
        ids(&EXTENDED),
        [
            0x02, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x15, 0x1b,
            0x1d, 0x21, 0x24, 0x2c, 0x2d, 0x2e, 0x30, 0x34, 0x35, 0x36, 0x38
        ],
        "VC, MFVC, root complex, ACS, ARI, ATS, IOV, multicast, PRI, ReBAR, PASID, DPC, mailboxes and keys"
    );
    const { assert!(HEADER.floor) };
}

#[test]
fn ids_beyond_the_tables_are_hidden() {
    for id in [0x16, 0x80, 0xff] {
        let entry = policy::standard(CapabilityId(id));
        assert_eq!((entry.guest, entry.length, entry.floor), (Visibility::Hidden, Length::Open, false));
        assert_eq!(standard_dword(CapabilityId(id), 0), Dword::HIDDEN);
    }
    for id in [0x003b, 0x1000, 0xffff] {
        assert_eq!(policy::extended(ExtendedId(id)).guest, Visibility::Hidden);
        assert_eq!(extended_dword(ExtendedId(id), 0), Dword::HIDDEN);
    }
}

#[test]
fn a_hidden_capability_has_no_field() {
    for policy in all().filter(|policy| policy.guest == Visibility::Hidden) {
        assert_eq!(policy.fields, [], "{}", policy.name);
    }
    for number in 0..64 {
        assert_eq!(standard_dword(CapabilityId(0x09), number), Dword::HIDDEN);
        assert_eq!(extended_dword(ExtendedId(0x0010), number), Dword::HIDDEN);
    }
}

#[test]
fn tables_end_where_their_capabilities_do() {
    for policy in all().filter(|policy| policy.guest != Visibility::Hidden) {
        let end = longest(policy.length);
        for Field { name, offset, bits, .. } in policy.fields {
            // CAST: at most 4.
            let bytes = (u32::BITS - bits.leading_zeros()).div_ceil(8) as u16;
            assert!(offset + bytes <= end, "{}: {name} ends behind {end:#x}", policy.name);
        }
    }
    // The dwords behind a table are hidden, not the next table's.
    assert_eq!(register(PM, 8), Dword::HIDDEN);
    assert_eq!(register(EXPRESS, 0x34), Dword::HIDDEN);
    assert_eq!(extended_dword(AER, 0x2c / 4), Dword::HIDDEN);
    assert_eq!(header_dword(16), Dword::HIDDEN);
}

#[test]
fn links_are_the_engines_and_ids_are_pinned() {
    for policy in STANDARD.iter().filter(|policy| policy.guest != Visibility::Hidden) {
        assert_eq!(policy.fields[..2], [standard::POLICIES[1].fields[0], standard::POLICIES[1].fields[1]]);
    }
    for (id, policy) in (0..).zip(STANDARD).filter(|(_, policy)| policy.guest != Visibility::Hidden) {
        let dword = standard_dword(CapabilityId(id), 0);
        assert_eq!(dword.snapshot & 0xffff, 0x00ff, "{}", policy.name);
        assert_eq!((dword.live | dword.write | dword.ones | dword.acts) & 0xffff, 0, "{}", policy.name);
    }
    for (id, policy) in (0..).zip(EXTENDED).filter(|(_, policy)| policy.guest != Visibility::Hidden) {
        let dword = extended_dword(ExtendedId(id), 0);
        let header = Dword { snapshot: 0x000f_ffff, ..Dword::HIDDEN };
        assert_eq!(dword, header, "{}", policy.name);
    }
    let next = |field: &&Field| field.guest == Treatment::Engine(Act::Link);
    for policy in all().filter(|policy| policy.guest != Visibility::Hidden) {
        let links: Vec<_> = policy.fields.iter().filter(next).collect();
        assert_eq!((links.len(), links[0].host), (1, Control::Pinned), "{}", policy.name);
        assert_eq!(policy.fields[0].host, Control::Pinned, "{}", policy.name);
    }
}

#[test]
fn no_bit_is_served_in_two_ways() {
    let standard = (0..=0xff).flat_map(|id| (0..64).map(move |n| standard_dword(CapabilityId(id), n)));
    let extended = (0..=0x100).flat_map(|id| (0..64).map(move |n| extended_dword(ExtendedId(id), n)));
    for dword in standard.chain(extended).chain((0..16).map(header_dword)) {
        assert_eq!(dword.live & (dword.snapshot | dword.write | dword.ones | dword.reset | dword.acts), 0);
        assert_eq!(dword.acts & (dword.snapshot | dword.write | dword.ones | dword.reset), 0);
        assert_eq!((dword.ones | dword.reset) & (dword.snapshot | dword.write), 0);
        assert_eq!(dword.acts == 0, dword.act == Act::None);
    }
}

#[test]
fn a_field_knows_its_place() {
    let field = Field::new("Data", 0x07, 0x81, Treatment::Live);
    assert_eq!((field.dword(), field.mask()), (0x04, 0x8100_0000));
    assert_eq!((field.host, field.why), (Control::Device, ""));
    let field = Field::new("Data", 0x0a, 0x8001, Treatment::Live).because("so").host(Control::Pinned);
    assert_eq!((field.dword(), field.mask()), (0x08, 0x8001_0000));
    assert_eq!((field.host, field.why, field.name), (Control::Pinned, "so", "Data"));
    let policy = Policy::hidden("Name", "1.2", Length::Open, "so");
    assert_eq!((policy.guest, policy.floor, policy.floor().floor), (Visibility::Hidden, false, true));
}

#[test]
fn a_guest_sees_no_pme() {
    let capabilities = register(PM, pm::CAPABILITIES);
    assert_eq!(seen(capabilities) >> 16, 0x0007, "the version alone");
    let control = register(PM, pm::CONTROL_STATUS);
    assert_eq!(seen(control) & 0xff00, 0, "PME_En, PME_Status");
}

#[test]
fn the_power_state_is_storage() {
    let control = register(PM, pm::CONTROL_STATUS);
    assert_eq!((control.act, control.acts), (Act::PowerState, 0x0003));
    assert_eq!((control.ones, control.reset), (0x0008, 0x0008), "No_Soft_Reset");
    assert!(control.tells_of_reset(0x0003) && !control.tells_of_reset(0x0008));
    assert_eq!((control.live, control.write), (0, 0));
}

#[test]
fn device_control_is_storage_but_for_phantom_functions_and_flr() {
    let control = register(EXPRESS, express::DEVICE_CONTROL);
    assert_eq!(control.write & 0xffff, 0x7dff);
    assert_eq!(seen(control) & 0x0200, 0, "Phantom Functions Enable");
}

#[test]
fn error_reporting_starts_disabled_and_sizes_start_as_they_are() {
    let control = register(EXPRESS, express::DEVICE_CONTROL);
    assert_eq!(control.snapshot & 0xffff, 0x7df0);
}

#[test]
fn an_flr_bit_is_no_storage_and_shows_with_a_reset_alone() {
    let control = register(EXPRESS, express::DEVICE_CONTROL);
    assert_eq!((control.act, control.acts), (Act::Reset, u32::from(express::INITIATE_FLR)));
    let capabilities = register(EXPRESS, express::DEVICE_CAPABILITIES);
    assert_eq!((capabilities.reset, capabilities.ones), (express::FUNCTION_LEVEL_RESET, 0));
    assert_eq!(capabilities.snapshot & capabilities.reset, 0);
    let control = register(AF, advanced::CONTROL);
    assert_eq!((control.act, control.acts), (Act::Reset, u32::from(advanced::INITIATE_FLR)));
    assert_eq!(register(AF, advanced::STATUS).live, 0x0100, "Transactions Pending, as in Device Status");
    let capabilities = register(AF, advanced::CAPABILITIES);
    assert_eq!((capabilities.reset, capabilities.ones), (0x0300_0000, 0));
    for (bits, tells) in [(0x0000, false), (0x0100, false), (0x0200, false), (0x0300, true), (0xff00, true)] {
        assert_eq!(capabilities.tells_of_reset(bits << 16), tells, "both bits or none: {bits:#x}");
    }
}

#[test]
fn a_guest_sees_what_the_device_says_of_its_errors_and_cannot_clear_it() {
    let status = register(EXPRESS, express::DEVICE_STATUS);
    assert_eq!((status.live >> 16, status.write >> 16), (0x003f, 0));
    assert_ne!(status.live >> 16 & u32::from(express::TRANSACTIONS_PENDING), 0);
    for offset in [extended::error::UNCORRECTABLE_STATUS, extended::error::CORRECTABLE_STATUS] {
        let status = extended_dword(AER, offset / 4);
        assert_eq!((status.write, status.snapshot, status.acts), (0, 0, 0));
        assert_ne!(status.live, 0);
    }
}

#[test]
fn phantom_functions_do_not_show() {
    assert_eq!(seen(register(EXPRESS, express::DEVICE_CAPABILITIES)) & 0x0000_0018, 0);
}

#[test]
fn the_link_is_neither_disabled_nor_retrained() {
    let control = register(EXPRESS, express::LINK_CONTROL);
    assert_eq!(seen(control) & 0x0030, 0);
    assert_eq!(control.write, 0x03cb, "as in xen_pt");
    assert_eq!(control.live >> 16, 0x33ff, "speed, width, clock, active");
}

#[test]
fn slots_and_roots_do_not_show() {
    for offset in (0x14..0x24).step_by(4) {
        assert_eq!(register(EXPRESS, offset), Dword::HIDDEN);
    }
}

#[test]
fn of_device_control_2_a_guest_has_the_timeout() {
    let control = register(EXPRESS, express::DEVICE_CONTROL_2);
    assert_eq!((control.write, control.snapshot, seen(control)), (0x001f, 0x001f, 0x001f));
    let capabilities = register(EXPRESS, express::DEVICE_CAPABILITIES_2);
    assert_eq!(
        capabilities,
        Dword { snapshot: 0x0000_039f, ..Dword::HIDDEN },
        "no OBFF, LTR, 10-bit tags, prefixes"
    );
}

#[test]
fn link_control_2_is_storage() {
    let control = register(EXPRESS, express::LINK_CONTROL_2);
    assert_eq!((control.write, control.live >> 16, control.acts), (0xffbf, 0x07ff, 0));
}

#[test]
fn error_masks_are_storage_and_the_header_log_is_hidden() {
    let dword = |offset: u16| extended_dword(AER, offset / 4);
    for (offset, bits) in [
        (extended::error::UNCORRECTABLE_MASK, extended::error::UNCORRECTABLE),
        (extended::error::UNCORRECTABLE_SEVERITY, extended::error::UNCORRECTABLE),
        (extended::error::CORRECTABLE_MASK, extended::error::CORRECTABLE),
    ] {
        assert_eq!(dword(offset), Dword { snapshot: bits, write: bits, ..Dword::HIDDEN });
    }
    assert_eq!(seen(dword(extended::error::CONTROL)), 0x1f, "no ECRC");
    for offset in (0..16).step_by(4) {
        assert_eq!(dword(extended::error::HEADER_LOG + offset), Dword::HIDDEN);
    }
}

#[test]
fn interrupts_are_the_engines() {
    let msi = |offset| register(CapabilityId::MSI, offset);
    assert_eq!((msi(msi::CONTROL).act, msi(msi::CONTROL).acts), (Act::MsiControl, 0x01ff_0000));
    for offset in (4..0x18).step_by(4) {
        assert_eq!(msi(offset), Dword { act: Act::Msi, acts: u32::MAX, ..Dword::HIDDEN });
    }
    let control = register(CapabilityId::MSIX, msix::CONTROL);
    assert_eq!((control.act, control.acts), (Act::MsixControl, 0xc7ff_0000));
    for offset in [msix::TABLE, msix::PBA] {
        let place = register(CapabilityId::MSIX, offset);
        assert_eq!(place, Dword { snapshot: u32::MAX, ..Dword::HIDDEN }, "never read again");
    }
    for policy in [msi::POLICY, msix::POLICY] {
        for field in policy.fields.iter().filter(|field| matches!(field.guest, Treatment::Engine(_))) {
            assert_ne!(field.host, Control::Device, "{}", field.name);
        }
    }
}

#[test]
fn product_data_comes_from_the_engine() {
    let vpd = CapabilityId(0x03);
    assert_eq!((register(vpd, vpd::ADDRESS).act, register(vpd, vpd::ADDRESS).acts), (Act::Vpd, 0xffff_0000));
    assert_eq!((register(vpd, vpd::DATA).act, register(vpd, vpd::DATA).acts), (Act::Vpd, u32::MAX));
}

#[test]
fn identification_is_a_snapshot() {
    let whole = Dword { snapshot: u32::MAX, ..Dword::HIDDEN };
    assert_eq!(register(CapabilityId(0x0d), subsystem::VENDOR_ID), whole);
    assert_eq!(subsystem::VENDOR_ID / 4, subsystem::SUBSYSTEM_ID / 4);
    for offset in [extended::serial::LOWER, extended::serial::UPPER] {
        assert_eq!(extended_dword(ExtendedId(0x0003), offset / 4), whole);
    }
    let location = register(CapabilityId(0x12), sata::LOCATION);
    assert_eq!(location, Dword { snapshot: 0x00ff_ffff, ..Dword::HIDDEN });
}

#[test]
fn base_addresses_are_the_engines_and_a_self_test_does_not_start() {
    for number in 4..10 {
        assert_eq!(header_dword(number), Dword { act: Act::Bar, acts: u32::MAX, ..Dword::HIDDEN });
    }
    assert_eq!(header_dword(12).act, Act::Rom);
    assert_eq!(seen(header_dword(3)) & 0xff00_0000, 0, "BIST");
    assert_eq!(seen(header_dword(15)) & 0xffff_ff00, 0, "no interrupt pin");
    assert_eq!((header_dword(1).act, header_dword(1).acts), (Act::Command, 0xffff));
    assert_eq!(header_dword(1).write, 0, "no bit of STATUS is cleared");
}

#[test]
fn where_storage_stands_for_the_device_the_row_says_why() {
    let stands_for = |treatment| {
        let reset = matches!(treatment, Treatment::Engine(Act::Reset | Act::PowerState));
        reset || matches!(treatment, Treatment::Virtual | Treatment::VirtualSnapshot)
    };
    for policy in all() {
        for field in policy.fields {
            assert!(!field.name.is_empty());
            assert!(!stands_for(field.guest) || !field.why.is_empty(), "{}: {}", policy.name, field.name);
        }
    }
}
