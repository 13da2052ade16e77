//! What is known of physical functions: what they say, what the tables say, what a toolstack says.

use capabilities::Width;
use ffi::*;
use quirks::Quirks;
use tests::reset::bridge::{Below, Bridge};
use tests::reset::function::Part;
use tests::reset::memory::Memory;
use tests::reset::model::{BRIDGE, Model};
use tests::reset::sample::{BARS, Sample};
use tests::reset::{MS, SECOND};

use crate::bus::{Bus, FLR, NONE, POWER, ROW, end, says};
use crate::host;
use crate::record::{Record, info, run, step, virtual_info};

#[test]
fn a_record_of_zeros_is_one_of_which_nothing_is_known() {
    let mut bus = Bus::alone(FLR);
    bus.records[0] = Record::new();
    assert_eq!((bus.records[0].flags(), bus.records[0].methods()), (0, 0));
    bus.records[0].cancel();
    bus.records[0].quirks(&[says(RVPCI_SAYS_FLAGS, RVPCI_QUIRK_DENY)], 120);
    assert_eq!(bus.records[0].flags(), 0);
    assert_eq!(step(&bus.members(), 0).0, RVPCI_DONE);
    assert_eq!(bus.records[0].state().0, 0);
    assert_eq!(end(&mut bus), (-61, RVPCI_OUTCOME_REFUSED, RVPCI_REASON_NO_SNAPSHOT));
    assert_eq!(bus.model.place(0).part.resets, []);
}

#[test]
fn what_cannot_be_learnt_is_not_reset() {
    let mut bus = Bus::alone(FLR);
    let sbdf = bus.sbdf();
    let learn = |change: fn(&mut Part), bus: &mut Bus| {
        let part = bus.model.place(0).part.clone();
        change(&mut bus.model.place(0).part);
        let result = bus.records[0].learn(&info(sbdf, BARS));
        bus.model.place(0).part = part;
        assert_eq!((bus.records[0].methods(), bus.records[0].flags()), (0, 0));
        assert_eq!(bus.reset(RVPCI_METHODS_ALL).0, -61);
        result
    };
    assert_eq!(learn(Part::pull, &mut bus), -19);
    assert_eq!(learn(|part| part.device.set(0x0e, Width::Byte, 1), &mut bus), -95);
    assert_eq!(learn(|part| part.device.set(0x0e, Width::Byte, 0x7f), &mut bus), -95);
    // More vendor-specific capabilities than there is room for.
    let crowd = |part: &mut Part| {
        for offset in (0x100..0x1000u16).step_by(8) {
            let next = if offset < 0xff8 { u32::from(offset) + 8 } else { 0 };
            part.device.set(offset, Width::Dword, next << 20 | 0x1_000b);
        }
    };
    assert_eq!(learn(crowd, &mut bus), -7);
    // And what can be, is.
    assert_eq!(bus.records[0].learn(&info(sbdf, BARS)), 0);
    assert_eq!(bus.reset(RVPCI_METHODS_ALL).0, 0);
}

#[test]
fn a_row_given_at_run_time_changes_the_order() {
    let mut bus = Bus::behind(Below::Fast, &[FLR]);
    let bus_first = rvpci_quirk { says: RVPCI_SAYS_ORDER, order: [5, 2, 0, 0, 0], ..ROW };
    bus.records[0].quirks(&[bus_first], 0);
    assert_eq!(bus.time(RVPCI_METHOD_BUS), 122 * MS);
    // A row for another device, and one that is none.
    let other = rvpci_quirk { first: 0x1042, last: 0x1042, ..bus_first };
    let none = rvpci_quirk { zero: 1, ..bus_first };
    bus.records[0].quirks(&[other, none], 0);
    bus.time(RVPCI_METHOD_FLR);
    // No method at all.
    bus.records[0].quirks(&[rvpci_quirk { order: [0; 5], ..bus_first }], 0);
    assert_eq!((bus.reset(RVPCI_METHODS_ALL).0, bus.records[0].methods()), (-95, 0));
    // Rows count while they are given.
    bus.records[0].quirks(&[], 0);
    bus.time(RVPCI_METHOD_FLR);
}

#[test]
fn a_row_given_at_run_time_changes_delays() {
    let power = |rows: &[rvpci_quirk], d3hot_ms, takes: u64| {
        let mut bus = Bus::alone(POWER);
        bus.model.place(0).part.timing.d3hot = takes;
        bus.records[0].quirks(rows, d3hot_ms);
        bus.time(RVPCI_METHOD_POWER)
    };
    let delay = says(RVPCI_SAYS_D3HOT_DELAY, 50);
    assert_eq!(power(&[], 0, 10 * MS), 20 * MS);
    assert_eq!(power(&[delay], 0, 50 * MS), 100 * MS);
    // A slow port's delay is every device's, and makes none shorter.
    assert_eq!(power(&[], 120, 120 * MS), 240 * MS);
    assert_eq!(power(&[delay], 120, 120 * MS), 240 * MS);
    assert_eq!(power(&[delay], 5, 50 * MS), 100 * MS);
    assert_eq!(power(&[], 5, 10 * MS), 20 * MS);

    let mut bus = Bus::behind(Below::Fast, &[NONE, NONE]);
    bus.model.place(1).part.timing.d3cold = SECOND;
    bus.records[1].quirks(&[says(RVPCI_SAYS_D3COLD_DELAY, 1000)], 0);
    assert_eq!(bus.time(RVPCI_METHOD_BUS), 1022 * MS);
}

#[test]
fn quirks_do_not_change_in_the_middle_of_a_reset() {
    let mut bus = Bus::behind(Below::Fast, &[FLR]);
    bus.start(RVPCI_METHODS_ALL);
    step(&bus.members(), 0);
    bus.records[0].quirks(&[rvpci_quirk { says: RVPCI_SAYS_ORDER, order: [5, 0, 0, 0, 0], ..ROW }], 0);
    run(&bus.model, &bus.members());
    assert_eq!(bus.records[0].state().1.method, RVPCI_METHOD_FLR);
}

#[test]
fn rows_are_checked() {
    let check = |row: rvpci_quirk| {
        // SAFETY: the row can be read.
        unsafe { rvpci_quirk_check(&raw const row) }
    };
    assert_eq!(check(ROW), 0);
    assert_eq!(check(says(RVPCI_SAYS_SEQUENCE, 7)), 0);
    assert_eq!(check(says(RVPCI_SAYS_VPD_LENGTH, 0x800)), 0);
    for row in [
        says(RVPCI_SAYS_SEQUENCE, 8),
        says(7, 0),
        says(RVPCI_SAYS_FLAGS, 1 << 31),
        says(RVPCI_SAYS_D3HOT_DELAY, 0x1_0000),
        rvpci_quirk { first: 2, last: 1, ..ROW },
        rvpci_quirk { zeros: [0, 1, 0], ..ROW },
        rvpci_quirk { says: RVPCI_SAYS_ORDER, order: [6, 0, 0, 0, 0], ..ROW },
    ] {
        assert_eq!(check(row), -22);
    }
}

#[test]
fn the_tables_are_asked() {
    // QuickAssist: who has it can crash it and the host.
    let bus = Bus::alone(Sample { ids: (0x8086, 0x0435), ..FLR });
    assert_eq!(bus.records[0].flags() & RVPCI_QUIRK_DENY, RVPCI_QUIRK_DENY);
    // Its function-level reset hangs it.
    let bus = Bus::alone(Sample { ids: (0x8086, 0x1502), ..FLR });
    assert_eq!(bus.records[0].methods(), RVPCI_METHOD_BUS);
    // A row that depends on where it is: AMD's graphics say that D3hot resets them, but on a root bus.
    let graphics = Sample { ids: (0x1002, 0x1234), class: 0x03_0000, ..POWER };
    let mut bus = Bus::alone(graphics);
    assert_eq!(bus.records[0].methods(), RVPCI_METHOD_BUS);
    let root = rvpci_physical_info { traits: RVPCI_TRAIT_ROOT_BUS, ..info(bus.sbdf(), BARS) };
    assert_eq!(bus.records[0].learn(&root), 0);
    assert_eq!(bus.records[0].methods(), RVPCI_METHOD_POWER | RVPCI_METHOD_BUS);
}

#[test]
fn a_port_asks_for_a_delay_of_all() {
    for (ids, ms) in
        [((0x8086, 0x25e2), 120), ((0x8086, 0x25e1), 0), ((0x8086, 0x0412), 0), ((0x1022, 0x15e0), 0)]
    {
        let bus = Bus::alone(Sample { ids, ..FLR });
        let sbdf = bus.sbdf();
        assert_eq!(rvpci_d3hot_delay(sbdf.0), ms, "{ids:x?}");
    }
    let bus = Bus::alone(FLR);
    assert_eq!(rvpci_d3hot_delay(bus.sbdf().0 + 1), 0, "nothing is there");
    // A bridge is asked as well.
    let mut port = Bridge::new(Below::Fast);
    port.device.set(0x00, Width::Dword, 0x2609_8086);
    let _bus = Bus::of(Some(port), [FLR.part()]);
    assert_eq!(rvpci_d3hot_delay(BRIDGE.0), 120);
}

/// A virtual function, whose own registers say neither what it is nor where.
fn virtual_part() -> Part {
    let mut part = NONE.part();
    part.virtual_function = true;
    for device in [&mut part.fresh, &mut part.device] {
        device.set(0x00, Width::Dword, u32::MAX);
        (0x10..0x28).step_by(4).for_each(|offset| device.set(offset, Width::Dword, 0));
    }
    part
}

#[test]
fn a_virtual_function_is_what_its_physical_function_says() {
    let function = |ids, size| rvpci_virtual_function {
        ids,
        bar_register: [0xc, 0, 0, 0, 0, 0],
        zero: 0,
        address: [BARS[0].address, 0, 0, 0, 0, 0],
        size: [size, 0, 0, 0, 0, 0],
    };
    let mut bus = Bus::of(None, []);
    let model = Model::new(None);
    model.add(virtual_part(), BARS, Quirks::NONE);
    let sbdf = model.place(0).sbdf;
    bus.model = host::use_model(model, vec![sbdf]);
    bus.records.push(Record::new());
    let mut methods = |ids, size| {
        assert_eq!(bus.records[0].learn(&virtual_info(sbdf, &function(ids, size))), 0);
        bus.records[0].methods()
    };
    // It says of no reset, and its bus is its physical function's.
    assert_eq!(methods(0x1041_1af4, 0x10_0000), 0);
    // Intel's 82599 has one and does not say so.
    assert_eq!(methods(0x10ed_8086, 0x10_0000), RVPCI_METHOD_DEVICE);
    // Huawei's HINIC has registers in a BAR, which has to be large enough.
    assert_eq!(methods(0x375e_19e5, 0x10_0000), RVPCI_METHOD_DEVICE);
    assert_eq!(methods(0x375e_19e5, 0x1000), 0);
    assert_eq!(methods(0x10ed_8086, 0), RVPCI_METHOD_DEVICE);
    let (result, state) = bus.reset(RVPCI_METHODS_ALL);
    assert_eq!((result, state.method), (0, RVPCI_METHOD_DEVICE));
    // Without its physical function's word it does not answer.
    assert_eq!(bus.records[0].learn(&info(sbdf, BARS)), -19);
}

#[test]
fn memory_is_reached_where_the_bars_are() {
    // An NVMe controller that has to be disabled first.
    let sample = Sample { ids: (0x144d, 0xa804), class: 0x01_0802, ..FLR };
    let mut bus = Bus::alone(sample);
    bus.model.place(0).part.memory = Memory::nvme(4, 150 * MS);
    assert_eq!(bus.time(RVPCI_METHOD_DEVICE), 300 * MS);
    // Of a BAR that is too small for the registers, nothing is touched: its function-level reset is next.
    let mut bus = Bus::alone(sample);
    let mut small = BARS;
    small[0].size = 0x10;
    let info = info(bus.sbdf(), small);
    assert_eq!(bus.records[0].learn(&info), 0);
    assert_eq!(bus.time(RVPCI_METHOD_FLR), 100 * MS);
}
