//! Each row of the tables that bears on resets, on a function that is as the row says: what a reader of the row expects
//! comes of it, and without the row does not.

use std::collections::BTreeSet;

use capabilities::Width;
use quirks::reset::{Outcome, Reason, Request, Reset};
use quirks::table::{DEVICES, FAMILIES, Identity, Known, Row, Says, Traits, find};
use quirks::{DeviceReset, Flags, Method, Methods, Order, Quirks};
use tests::device::Device;
use tests::reset::MS;
use tests::reset::bridge::{Below, Bridge};
use tests::reset::function::{Kind, Part};
use tests::reset::memory::Memory;
use tests::reset::model::{BRIDGE, Model, members};
use tests::reset::sample::{BARS, EXPRESS, MSIX, POWER, Sample};

/// The flags that resets, and what they restore, depend on.
const OF_RESETS: Flags = Flags::NO_FLR
    .union(Flags::NO_PM_RESET)
    .union(Flags::NO_BUS_RESET)
    .union(Flags::NO_D3)
    .union(Flags::NO_ATS)
    .union(Flags::CAP_LIST_TRUNCATED)
    .union(Flags::D3HOT_DELAY_GLOBAL);
/// The flags that none does: those of interrupts, of the way to memory, of vital product data, of assignment.
const OF_OTHERS: Flags = Flags::MSI_INTX_DISABLE_BUG
    .union(Flags::BROKEN_INTX_MASKING)
    .union(Flags::NO_RELAXED_ORDERING)
    .union(Flags::NO_EXT_TAGS)
    .union(Flags::VPD_BLACKLIST)
    .union(Flags::VPD_REF_F0)
    .union(Flags::ROM_BAR_OVERLAP)
    .union(Flags::PASID_NO_TLP)
    .union(Flags::HAS_MSI_MASKING)
    .union(Flags::DENY)
    .union(Flags::BOGUS_INTX_PIN)
    .union(Flags::ACS_EQUIVALENT)
    .union(Flags::ACS_DWORDS);

/// How long a bus is in reset, and how long the link takes after that.
const HOLD_AND_LINK: u64 = 22 * MS;
const FLR: u64 = 100 * MS;
/// Where the PCI Express capability is that is in no list.
const TRUNCATED: u16 = 0x50;
/// ATS Control of a sample.
const ATS_CONTROL: u16 = 0x146;

fn known() -> impl Iterator<Item = &'static Known> {
    DEVICES.into_iter().chain([FAMILIES]).flatten()
}

/// Whether a reset depends on what the row says.
fn bears(row: &Row) -> bool {
    match row.says {
        Says::Flags(flags) => flags.intersects(OF_RESETS),
        Says::VpdLength(_) => false,
        Says::D3hotDelay(_)
        | Says::D3hotDelayOfAll(_)
        | Says::D3coldDelay(_)
        | Says::Reset(_)
        | Says::Order(_) => true,
    }
}

/// The functions that a row is for: both ends of what is a range, all else as the row has it.
fn functions(row: &Row) -> Vec<Identity> {
    let last = (row.ids.first..=row.ids.last).rev().find(|device| row.ids.contains(*device));
    let devices = BTreeSet::from([row.ids.first, last.expect("the first is one")]);
    let revisions = BTreeSet::from([row.when.revisions.0, row.when.revisions.1]);
    // Where any will do, that of a network card.
    let class = if row.when.class_mask == 0 { 0x0200_0000 } else { row.when.class_value };
    let of = |device, revision| Identity {
        vendor: row.vendor,
        device,
        class: class | u32::from(revision),
        subsystem: row.when.subsystem.unwrap_or(0x1100_1af4),
        traits: row.when.has,
        firmware: None,
    };
    devices.iter().flat_map(|device| revisions.iter().map(|revision| of(*device, *revision))).collect()
}

/// A function that has all methods, but for those of whose absence the row tells.
struct Case {
    says: Says,
    part: Part,
    quirks: Quirks,
    offered: Methods,
}

/// What a reset did to a function.
#[derive(PartialEq, Debug)]
struct Seen {
    outcome: Outcome,
    /// Microseconds.
    time: u64,
    resets: Vec<Kind>,
    /// It was brought to D3hot.
    lowered: bool,
    /// The device's own sequence took place.
    own: bool,
    command: u16,
    ats: u32,
    /// Violations, and what was left behind.
    wrong: Vec<String>,
}

impl Case {
    fn new(row: &Row, of: Identity) -> Self {
        let says = row.says;
        let unadvertised = says == Says::Reset(DeviceReset::UnadvertisedFlr);
        let truncated = says == Says::Flags(Flags::CAP_LIST_TRUNCATED);
        let is_virtual = unadvertised || says == Says::Reset(DeviceReset::HinicFirmware);
        let sample = Sample { flr: !unadvertised, advanced: true, soft_reset: true, ..Sample::default() };
        let mut part = sample.part();
        if truncated {
            truncate(&mut part);
        }
        let quirks = if let Says::D3hotDelayOfAll(_) = says {
            // It is said of a port, and what a hypervisor makes of it is for a function that has no row.
            let above = identify(&Device::bridge(of.vendor, of.device), row, &of);
            assert!(above.flags.contains(Flags::D3HOT_DELAY_GLOBAL));
            Quirks::NONE.with_d3hot_delay_of_all(above.d3hot_delay_ms.expect("a delay"))
        } else {
            let kind = if of.traits.contains(Traits::DOWNSTREAM_PORT) { 6 } else { 0 };
            for device in [&mut part.device, &mut part.fresh] {
                device.set(0x00, Width::Dword, u32::from(of.device) << 16 | u32::from(of.vendor));
                device.set(0x2c, Width::Dword, of.subsystem);
                device.set(part.places.express + 2, Width::Word, kind << 4 | 2);
                device.set(0x08, Width::Dword, of.class);
            }
            identify(&part.device, row, &of)
        };
        if is_virtual {
            part.virtual_function = true;
            for device in [&mut part.device, &mut part.fresh] {
                device.set(0x00, Width::Dword, u32::MAX);
            }
        }
        let mut offered = Methods::all();
        offered.set(Methods::DEVICE, matches!(says, Says::Reset(_)));
        offered.set(Methods::FLR, !unadvertised);
        offered.set(Methods::ADVANCED_FLR, !truncated);
        offered.set(Methods::BUS, !is_virtual);
        (part.timing.d3hot, part.timing.d3cold) = delays(says);
        if let Says::Reset(reset) = says {
            part.memory = memory(reset);
            part.wants_master = reset == DeviceReset::ChelsioMsix;
        }
        Self { says, part, quirks, offered }
    }

    /// The methods in the order that the row asks for.
    fn order(&self) -> Vec<Method> {
        let order = match self.says {
            Says::Order(order) => order,
            Says::Reset(DeviceReset::RadeonConfig) => Order::DEVICE_LAST,
            _ => Order::STANDARD,
        };
        order.0.into_iter().flatten().collect()
    }

    /// The methods that the row forbids.
    fn forbidden(&self) -> Methods {
        let Says::Flags(flags) = self.says else { return Methods::empty() };
        let mut methods = Methods::empty();
        methods.set(Methods::FLR | Methods::ADVANCED_FLR, flags.contains(Flags::NO_FLR));
        methods.set(Methods::POWER, flags.intersects(Flags::NO_PM_RESET | Flags::NO_D3));
        methods.set(Methods::BUS, flags.contains(Flags::NO_BUS_RESET));
        methods
    }

    /// What a reader of the row expects of a reset by one of `methods`, the function being `asleep` before.
    fn expected(&self, methods: &[Method], asleep: bool) -> Seen {
        let may = self.offered - self.forbidden();
        let method = methods.iter().copied().find(|method| may.contains((*method).into()));
        let (command, ats) = (self.part.device.command(), self.part.device.get(ATS_CONTROL, Width::Word));
        assert!(command & 4 != 0 && ats != 0, "it has something to lose");
        let (d3hot, d3cold) = delays(self.says);
        let mut seen = Seen {
            outcome: Outcome::Refused(Reason::NoMethod),
            time: 0,
            resets: Vec::new(),
            lowered: false,
            own: false,
            command,
            ats,
            wrong: Vec::new(),
        };
        let Some(method) = method else { return seen };
        if asleep {
            // The way to D0 is a reset of a function like this.
            seen.resets.push(Kind::Power);
            seen.time = d3hot;
        }
        let (kind, time) = match (method, self.says) {
            (Method::Flr, _) => (Some(Kind::Flr), FLR),
            (Method::AdvancedFlr, _) => (Some(Kind::AdvancedFlr), FLR),
            (Method::Power, _) => (Some(Kind::Power), 2 * d3hot),
            (Method::Bus, _) => (Some(Kind::Bus), HOLD_AND_LINK + d3cold),
            (Method::Device, Says::Reset(reset)) => own(reset),
            (Method::Device, _) => panic!("a row without a sequence"),
        };
        seen.resets.extend(kind);
        seen.time += time;
        seen.outcome = Outcome::Ready(method);
        (seen.lowered, seen.own) = (method == Method::Power, method == Method::Device);
        seen.command &= !4;
        if self.says == Says::Flags(Flags::NO_ATS) {
            seen.ats = 0;
        }
        seen
    }

    /// What a reset does, if `quirks` are known of the function.
    fn seen(&self, quirks: Quirks, methods: &[Method], asleep: bool) -> Seen {
        let model = Model::new(Some(Bridge::new(Below::Fast)));
        model.add(self.part.clone(), BARS, quirks);
        let snapshots = model.snapshots();
        if asleep {
            model.place(0).part.set_power(3);
        }
        let outcome = run(&model, &snapshots, methods);
        let mut wrong = model.violations();
        wrong.extend(model.leftovers());
        let lowered = model.writes().iter().any(|write| write.offset == POWER + 4 && write.value & 3 == 3);
        let own = outcome == Outcome::Ready(Method::Device) && self.is_own(&model);
        let time = model.now();
        let place = model.place(0);
        let device = &place.part.device;
        Seen {
            outcome,
            time,
            resets: place.part.resets.clone(),
            lowered,
            own,
            command: device.command(),
            ats: device.get(ATS_CONTROL, Width::Word),
            wrong,
        }
    }

    /// Whether what the device has instead of a reset register was told what it has to be told.
    fn is_own(&self, model: &Model) -> bool {
        let writes = model.writes().clone();
        let at = |offset, value| writes.iter().position(|w| (w.offset, w.value) == (offset, value));
        let flr = writes.iter().position(|w| w.offset == EXPRESS + 8 && w.value & 0x8000 != 0);
        let before_flr = |offset, value| at(offset, value).is_some_and(|at| Some(at) < flr);
        let place = model.place(0);
        match (self.says, &place.part.memory) {
            // Bus mastering, and MSI-X enabled and masked.
            (Says::Reset(DeviceReset::ChelsioMsix), _) => {
                before_flr(4, 0x0404) && before_flr(MSIX + 2, 0xc00f)
            }
            (_, Memory::IvyBridge { written, .. }) => {
                written[..] == [(0x4_5010, 2), (0xc_2004, 5), (0xc_7204, 0xabcd_0002), (0xd_0100, 2)]
            }
            (_, Memory::Hinic { busy, .. }) => *busy && at(0, 0).is_some(),
            (_, Memory::Radeon { set, graphics_only, .. }) => *graphics_only && *set == [true; 2],
            // Of these the time tells.
            _ => flr.is_some(),
        }
    }
}

/// What is known of a device that the row is for.
fn identify(device: &Device, row: &Row, of: &Identity) -> Quirks {
    let is = Identity::read(device, BRIDGE, Traits::empty());
    assert!(row.matches(&is) && is.device == of.device, "{is:x?}");
    find(&is, &[])
}

/// Microseconds that a function needs between D3hot and D0, and after a reset of its bus.
fn delays(says: Says) -> (u64, u64) {
    match says {
        Says::D3hotDelay(ms) | Says::D3hotDelayOfAll(ms) => (u64::from(ms) * MS, 100 * MS),
        Says::D3coldDelay(ms) => (10 * MS, u64::from(ms) * MS),
        _ => (10 * MS, 100 * MS),
    }
}

fn memory(reset: DeviceReset) -> Memory {
    match reset {
        DeviceReset::NvmeDisable => Memory::nvme(4, 250 * MS),
        DeviceReset::IvyBridgeGraphics => Memory::ivy_bridge(33 * MS),
        DeviceReset::HinicFirmware => Memory::hinic(true, 155 * MS),
        DeviceReset::RadeonConfig => Memory::radeon(true, 0, 5 * MS),
        DeviceReset::UnadvertisedFlr | DeviceReset::DelayAfterFlr | DeviceReset::ChelsioMsix => Memory::Plain,
    }
}

/// What registers show of a device's own sequence, and how long it takes with [`memory`].
fn own(reset: DeviceReset) -> (Option<Kind>, u64) {
    match reset {
        DeviceReset::UnadvertisedFlr | DeviceReset::ChelsioMsix => (Some(Kind::Flr), FLR),
        DeviceReset::DelayAfterFlr => (Some(Kind::Flr), FLR + 250 * MS),
        // Looked at each 100 ms until it is disabled.
        DeviceReset::NvmeDisable => (Some(Kind::Flr), 300 * MS + FLR),
        // Looked at each 10 ms.
        DeviceReset::IvyBridgeGraphics => (None, 40 * MS),
        // Looked at each 20 ms from the end of the function-level reset on.
        DeviceReset::HinicFirmware => (Some(Kind::Flr), 160 * MS),
        DeviceReset::RadeonConfig => (Some(Kind::Own), 5 * MS),
    }
}

/// The list of capabilities ends before PCI Express.
fn truncate(part: &mut Part) {
    for device in [&mut part.device, &mut part.fresh] {
        device.set(0x34, Width::Byte, u32::from(POWER));
        device.set(POWER + 1, Width::Byte, 0);
        for (offset, value) in [(0, 0x0002_0010), (4, 0x1000_8001)] {
            device.set(TRUNCATED + offset, Width::Dword, value);
        }
    }
    (part.places.express, part.places.advanced) = (TRUNCATED, 0);
}

/// Resets the first function by one of `methods`, the others being members.
fn run(model: &Model, snapshots: &[(Box<quirks::reset::Snapshot>, Quirks)], methods: &[Method]) -> Outcome {
    let methods = methods.iter().copied().map(Methods::from).collect();
    let request = Request { methods, ..model.request() };
    model.run(&mut Reset::new(request), &members(snapshots))
}

#[test]
fn each_row_does_what_it_says() {
    let mut rows = 0;
    for Known { row, why } in known().filter(|known| bears(&known.row)) {
        for of in functions(row) {
            let case = Case::new(row, of);
            let order = case.order();
            // Of which the function may have all, or all but the first, or ...
            let tails = (0..order.len()).map(|first| &order[first..]);
            let asleep: &[bool] = if matches!(row.says, Says::Reset(_)) { &[false] } else { &[false, true] };
            let runs = tails.flat_map(|methods| asleep.iter().map(move |asleep| (methods, *asleep)));
            let mut differs = false;
            for (methods, asleep) in runs {
                let expected = case.expected(methods, asleep);
                let seen = case.seen(case.quirks, methods, asleep);
                assert_eq!(seen, expected, "{of:x?}, by {methods:?}, asleep {asleep}: {why}");
                differs |= case.seen(Quirks::NONE, methods, asleep) != expected;
            }
            assert!(differs, "{of:x?} does not need the row: {why}");
        }
        rows += 1;
    }
    // All rows that say anything but what is of no reset.
    let others = |row: &Row| {
        let says = row.says.quirks();
        Quirks { flags: says.flags - OF_OTHERS, vpd_len: None, ..says } == Quirks::NONE
    };
    println!("{rows} rows");
    assert_eq!(rows, known().filter(|known| !others(&known.row)).count());
    assert_ne!(rows, 0);
    assert_eq!(OF_RESETS ^ OF_OTHERS, Flags::all(), "a flag that this test does not know");
}

#[test]
fn each_row_counts_for_what_is_behind_the_same_bridge() {
    for Known { row, why } in known().filter(|known| bears(&known.row)) {
        for of in functions(row) {
            let case = Case::new(row, of);
            let model = Model::new(Some(Bridge::new(Below::Fast)));
            model.add(Sample::default().part(), BARS, Quirks::NONE);
            model.add(case.part.clone(), BARS, case.quirks);
            let outcome = run(&model, &model.snapshots(), &[Method::Bus]);
            let (expected, time) = if (case.offered - case.forbidden()).contains(Methods::BUS) {
                // Of two delays the longer one counts.
                (Outcome::Ready(Method::Bus), HOLD_AND_LINK + delays(row.says).1.max(100 * MS))
            } else {
                (Outcome::Refused(Reason::NoMethod), 0)
            };
            assert_eq!((outcome, model.now()), (expected, time), "{of:x?}: {why}");
            assert_eq!((model.violations(), model.leftovers()), (vec![], vec![]), "{of:x?}: {why}");
        }
    }
}

#[test]
fn a_port_that_must_not_reset_its_bus_resets_nothing_behind_it() {
    let no_bus_reset = |known: &&Known| known.row.says == Says::Flags(Flags::NO_BUS_RESET);
    let ports: Vec<_> =
        known().filter(no_bus_reset).filter(|known| known.why.contains("root port")).collect();
    assert!(!ports.is_empty());
    for Known { row, why } in ports {
        let mut bridge = Bridge::new(Below::Fast);
        let ids = u32::from(row.ids.first) << 16 | u32::from(row.vendor);
        bridge.device.set(0x00, Width::Dword, ids);
        assert!(row.matches(&Identity::read(&bridge.device, BRIDGE, Traits::ROOT_BUS)));
        let model = Model::new(Some(bridge));
        model.add(Sample::default().part(), BARS, Quirks::NONE);
        let outcome = run(&model, &model.snapshots(), &[Method::Bus]);
        assert_eq!(outcome, Outcome::Refused(Reason::NoMethod), "behind {ids:08x}: {why}");
    }
}
