//! The tables of quirks against a list of what Linux and QEMU know, row by row.
//!
//! The list is read here as its columns say, and without the code of the tables. Both must say the same of every
//! function that either has heard of, and of its neighbours.
#![cfg(feature = "corpus")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use quirks::table::{DEVICES, FAMILIES, Identity, Known, Traits, find};
use quirks::{DeviceReset, Flags, Quirks};
use tests::corpus;

/// How conditions start that are none of the row's: notes, and what a sequence or the engine looks at itself.
const NOT_OF_THE_ROW: [&str; 8] = [
    "global (sets system-wide minimum)",
    "class=undefined(any-at-early)",
    "PCIe cap really at 0x50",
    "FLR capable",
    "BAR0+0x1000 (BE) bit30 set",
    "BAR0 MMIO sequence",
    "only if kernel has no working reset",
    "VF supports FLR without advertising it",
];

/// A row of the list.
struct Fact {
    kind: String,
    vendor: u16,
    /// `None` for any.
    device: Option<u16>,
    condition: String,
    function: String,
    used: Cell<bool>,
}

fn number(text: &str) -> u16 {
    u16::from_str_radix(text.trim_start_matches("0x"), 16).expect("a number")
}

impl Fact {
    fn all() -> Vec<Self> {
        let fact = |[kind, vendor, device, condition, _, function]: [String; 6]| Self {
            kind,
            vendor: number(&vendor),
            device: (device != "ANY").then(|| number(&device)),
            condition,
            function,
            used: Cell::new(false),
        };
        corpus::list("reset-quirks.csv").into_iter().map(fact).collect()
    }

    /// Whether the column of conditions is true of a function.
    fn holds(&self, of: &Identity) -> bool {
        let has = |traits| of.traits.contains(traits);
        let (class, revision) = (of.class >> 16, of.class as u8);
        match self.condition.as_str() {
            "" => true,
            text if NOT_OF_THE_ROW.iter().any(|start| text.starts_with(start)) => true,
            "class=0x0101<<8" => class == 0x0101,
            "class=0x0403<<8" => class == 0x0403,
            "class=0x0604<<8" => class == 0x0604,
            "class=0x0300<<8; not on root bus" => class == 0x0300 && !has(Traits::ROOT_BUS),
            "class=0x0200<<8; function!=0 and class ethernet and multifunction" => {
                class == 0x0200 && has(Traits::LATER_FUNCTION) && has(Traits::MULTI_FUNCTION)
            }
            "class==0x010802 and FLR capable and BAR0 assigned" => of.class >> 8 == 0x01_0802,
            "not on root bus" => !has(Traits::ROOT_BUS),
            "PCIe type=downstream port" => has(Traits::DOWNSTREAM_PORT),
            "VF" => has(Traits::VIRTUAL),
            "SB700 SMBus rev 0x30..0x3a" => has(Traits::SB700),
            "multifunction endpoint" => has(Traits::MULTI_FUNCTION),
            "revision 0x21 or 0x30" => revision == 0x21 || revision == 0x30,
            "revision<0x18" => revision < 0x18,
            "revision<0x20" => revision < 0x20,
            "revision==0x01" => revision == 1,
            "subsystem 0x106b:0x00e2" => of.subsystem == 0x00e2_106b,
            "firmware minor >99 or <14 (BAR0+0)" => {
                of.firmware.is_none_or(|minor| !(14..=99).contains(&minor))
            }
            "(device & 0xffc0)==0x2340" => of.device & 0xffc0 == 0x2340,
            "(device & 0xf000)==0x4000" => of.device & 0xf000 == 0x4000,
            "see function for port-type/ID conditions" => self.function_holds(of),
            text if text.starts_with("chip=dev>>12") => vpd_length(of.device).is_some(),
            other => panic!("a condition that nobody knows: {other}"),
        }
    }

    /// What Linux's function asks of a device, where the list says no more than its name.
    fn function_holds(&self, of: &Identity) -> bool {
        let has = |traits| of.traits.contains(traits);
        let port = has(Traits::ROOT_PORT);
        match self.function.as_str() {
            "pci_quirk_amd_sb_acs" => {
                has(Traits::ROOT_BUS) && has(Traits::MULTI_FUNCTION) && has(Traits::AMD_IOMMU)
            }
            "pci_quirk_al_acs" => port,
            "pci_quirk_rciep_acs" => has(Traits::ROOT_COMPLEX_ENDPOINT),
            "pci_quirk_intel_pch_acs" => port && has(Traits::PEERS_CLOSED) && is_pch_port(of.device),
            "pci_quirk_intel_spt_pch_acs" => {
                let ids = matches!(of.device, 0xa110..=0xa11f | 0xa167..=0xa16a | 0xa290..=0xa29f);
                port && (ids || matches!(of.device, 0xa2e7..=0xa2ee | 0x9d10..=0x9d1b))
            }
            "pci_quirk_cavium_acs" => port && matches!(of.device, 0xa000..=0xa7ff | 0xaf84 | 0xb884),
            "pci_quirk_zhaoxin_pcie_ports_acs" => {
                let ids = matches!(of.device, 0x0710..=0x071e | 0x0721 | 0x0723..=0x0752);
                ids && (port || has(Traits::DOWNSTREAM_PORT))
            }
            "pci_quirk_wangxun_nic_acs" => matches!(of.device, 0x0100..=0x010f | 0x1001 | 0x2001),
            // These look at nothing.
            "pci_quirk_qcom_rp_acs"
            | "pci_quirk_nxp_rp_acs"
            | "pci_quirk_brcm_acs"
            | "pci_quirk_loongson_acs"
            | "pci_quirk_xgene_acs" => true,
            other => panic!("a function that nobody knows: {other}"),
        }
    }

    fn says(&self, device: u16) -> Quirks {
        let flags = |flags| Quirks { flags, ..Quirks::NONE };
        let delay = |ms| Quirks { d3hot_delay_ms: Some(ms), ..Quirks::NONE };
        match self.kind.as_str() {
            "no_d3" => flags(Flags::NO_D3),
            "pasid_no_tlp" => flags(Flags::PASID_NO_TLP),
            "d3hot_delay_ms=0" => delay(0),
            "d3hot_delay_ms=20" => delay(20),
            "d3hot_delay_ms=120" => Quirks { flags: Flags::D3HOT_DELAY_GLOBAL, ..delay(120) },
            "d3cold_delay_ms=1000" => Quirks { d3cold_delay_ms: Some(1000), ..Quirks::NONE },
            "msi_intx_disable_bug" => flags(Flags::MSI_INTX_DISABLE_BUG),
            "broken_intx_masking" => flags(Flags::BROKEN_INTX_MASKING),
            "no_bus_reset" => flags(Flags::NO_BUS_RESET),
            "no_pm_reset" => flags(Flags::NO_PM_RESET),
            "no_flr" => flags(Flags::NO_FLR),
            "no_relaxed_ordering" => flags(Flags::NO_RELAXED_ORDERING),
            "no_ext_tags" => flags(Flags::NO_EXT_TAGS),
            "no_ats" => flags(Flags::NO_ATS),
            "has_msi_masking" => flags(Flags::HAS_MSI_MASKING),
            "rom_bar_overlap" => flags(Flags::ROM_BAR_OVERLAP),
            "cap_list_truncated" => flags(Flags::CAP_LIST_TRUNCATED),
            "vpd_ref_f0" => flags(Flags::VPD_REF_F0),
            "vpd_blacklist" => flags(Flags::VPD_BLACKLIST),
            "vpd_len" => Quirks { vpd_len: vpd_length(device), ..Quirks::NONE },
            "vfio_denylist" => flags(Flags::DENY),
            "vfio_bogus_vf_intx_pin" => flags(Flags::BOGUS_INTX_PIN),
            "device_reset" | "device_reset_qemu" => Quirks { reset: Some(self.sequence()), ..Quirks::NONE },
            "acs_quirk" if self.function == "pci_quirk_intel_spt_pch_acs" => flags(Flags::ACS_DWORDS),
            "acs_quirk" => flags(Flags::ACS_EQUIVALENT),
            other => panic!("a kind that nobody knows: {other}"),
        }
    }

    fn sequence(&self) -> DeviceReset {
        match self.function.as_str() {
            "reset_intel_82599_sfp_virtfn" => DeviceReset::UnadvertisedFlr,
            "reset_ivb_igd" => DeviceReset::IvyBridgeGraphics,
            "nvme_disable_and_flr" => DeviceReset::NvmeDisable,
            "delay_250ms_after_flr" => DeviceReset::DelayAfterFlr,
            "reset_chelsio_generic_dev" => DeviceReset::ChelsioMsix,
            "reset_hinic_vf_dev" => DeviceReset::HinicFirmware,
            "QEMU vfio_radeon_reset" => DeviceReset::RadeonConfig,
            other => panic!("a sequence that nobody knows: {other}"),
        }
    }
}

/// 1002:15d8 is alone in having a condition in a note that the others share.
fn is_picasso(of: &Identity) -> bool {
    let subsystems = [0xce19_ea50, 0xcc10_ea50, 0xcc08_ea50];
    of.class as u8 == 0xcf && subsystems.contains(&of.subsystem)
}

fn vpd_length(device: u16) -> Option<u16> {
    let (chip, function, product) = (device >> 12, device >> 8 & 0xf, device & 0xff);
    if chip == 0 && product >= 0x20 { Some(8192) } else { (chip >= 4 && function < 8).then_some(2048) }
}

/// Root ports of Intel's PCHs from Ibex Peak to Wellsburg.
fn is_pch_port(device: u16) -> bool {
    let in_range = matches!(device, 0x3b42..=0x3b51 | 0x1c10..=0x1c1f | 0x1e10..=0x1e1f | 0x8c10..=0x8c1f)
        || matches!(device, 0x9c10..=0x9c1b | 0x9c90..=0x9c9b | 0x8d10..=0x8d1e);
    let every_other = matches!(device, 0x1d10..=0x1d1e | 0x8c90..=0x8c9e);
    in_range || every_other && device.is_multiple_of(2)
}

/// The list, by vendor.
struct List(BTreeMap<u16, Vec<Fact>>);

impl List {
    fn read() -> Self {
        let mut list = BTreeMap::<u16, Vec<Fact>>::new();
        for fact in Fact::all() {
            list.entry(fact.vendor).or_default().push(fact);
        }
        Self(list)
    }

    fn rows(&self) -> impl Iterator<Item = &Fact> {
        self.0.values().flatten()
    }

    fn says(&self, of: &Identity) -> Quirks {
        let mut all = Quirks::NONE;
        for fact in self.0.get(&of.vendor).into_iter().flatten() {
            let is = fact.device.is_none_or(|device| device == of.device);
            let picasso = (fact.vendor, fact.device) != (0x1002, Some(0x15d8)) || is_picasso(of);
            if is && picasso && fact.holds(of) {
                fact.used.set(true);
                all = all.merge(fact.says(of.device));
            }
        }
        all
    }
}

fn known() -> impl Iterator<Item = &'static Known> {
    DEVICES.into_iter().chain([FAMILIES]).flatten()
}

const CLASSES: [u32; 8] =
    [0, 0x0101_8000, 0x0108_0100, 0x0108_0200, 0x0200_0000, 0x0300_0000, 0x0403_0000, 0x0604_0000];
const REVISIONS: [u32; 14] =
    [0x00, 0x01, 0x02, 0x17, 0x18, 0x1f, 0x20, 0x21, 0x22, 0x2f, 0x30, 0x31, 0xcf, 0xff];
const SUBSYSTEMS: [u32; 6] = [0, 0x00e2_106b, 0x106b_00e2, 0xcc08_ea50, 0xcc10_ea50, 0xce19_ea50];

/// Nothing, everything, each alone, and everything but each.
fn traits() -> Vec<Traits> {
    let alone = Traits::all().iter();
    let without = Traits::all().iter().map(|one| Traits::all().difference(one));
    let pairs = [Traits::ROOT_PORT | Traits::PEERS_CLOSED, Traits::MULTI_FUNCTION | Traits::LATER_FUNCTION];
    [Traits::empty(), Traits::all()].into_iter().chain(alone).chain(without).chain(pairs).collect()
}

fn compare(list: &List, of: &Identity) {
    assert_eq!(find(of, &[]), list.says(of), "{of:x?}");
}

#[test]
fn the_tables_say_what_the_list_says() {
    let list = List::read();
    assert_eq!(list.rows().count(), 407);
    let mut devices = BTreeSet::new();
    let mut add = |vendor, device: u16| {
        let nearby = [device, device.wrapping_sub(1), device.wrapping_add(1)];
        devices.extend(nearby.map(|device| (vendor, device)));
    };
    for fact in list.rows() {
        add(fact.vendor, fact.device.unwrap_or(0x5678));
    }
    for known in known() {
        add(known.row.vendor, known.row.ids.first);
        add(known.row.vendor, known.row.ids.last);
    }
    let traits = traits();
    for (vendor, device) in devices {
        let plain = Identity { vendor, device, ..Identity::default() };
        for class in CLASSES {
            for revision in REVISIONS {
                for subsystem in SUBSYSTEMS {
                    compare(&list, &Identity { class: class | revision, subsystem, ..plain });
                }
            }
            for traits in &traits {
                compare(&list, &Identity { class, traits: *traits, ..plain });
            }
        }
        for firmware in [0, 13, 14, 50, 99, 100, u16::MAX] {
            compare(&list, &Identity { firmware: Some(firmware), ..plain });
        }
    }
    let unused: Vec<_> = list.rows().filter(|fact| !fact.used.get()).map(|fact| &fact.function).collect();
    assert!(unused.is_empty(), "rows that no function of this test has: {unused:?}");
}

#[test]
fn the_tables_say_nothing_of_other_devices() {
    let list = List::read();
    let families: BTreeSet<u16> = FAMILIES.iter().map(|known| known.row.vendor).collect();
    for vendor in families {
        for device in 0..=u16::MAX {
            let plain = Identity { vendor, device, ..Identity::default() };
            compare(&list, &plain);
            compare(&list, &Identity { traits: Traits::all(), class: 0x0200_0000, ..plain });
            compare(&list, &Identity { traits: Traits::ROOT_PORT, class: 0x0604_0000, ..plain });
        }
    }
}

#[test]
fn every_row_of_the_tables_is_in_the_list() {
    let list = List::read();
    let traits = traits();
    for Known { row, why } in known() {
        let device = row.ids.first;
        let (vendor, subsystem) = (row.vendor, row.when.subsystem.unwrap_or(0));
        let class = row.when.class_value | u32::from(row.when.revisions.0);
        let plain = Identity { vendor, device, class, subsystem, ..Identity::default() };
        let mut matching = traits.iter().map(|traits| Identity { traits: *traits, ..plain });
        let of = matching.find(|of| row.matches(of)).unwrap_or_else(|| panic!("{row:x?}: {why}"));
        let facts = list.0.get(&vendor).into_iter().flatten();
        let mut facts = facts.filter(|fact| fact.device.is_none_or(|one| one == device) && fact.holds(&of));
        assert!(facts.any(|fact| fact.says(device) == row.says.quirks()), "{row:x?}: {why}");
    }
}
