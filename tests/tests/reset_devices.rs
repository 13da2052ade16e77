//! What is known of devices, one after the other: the sequences of their own, and what a flag or a figure changes.

use capabilities::Width;
use quirks::reset::{Outcome, Reason};
use quirks::{DeviceReset, Flags, Method, Quirks};
use tests::reset::bridge::{Below, Bridge};
use tests::reset::function::Kind;
use tests::reset::judge::judge;
use tests::reset::memory::Memory;
use tests::reset::model::Model;
use tests::reset::sample::{BARS, EXPRESS, MSI, MSIX, Sample};
use tests::reset::{MS, NEVER, SECOND};

const FLR: Sample = Sample {
    ids: (0x8086, 0x0a54),
    class: 0x01_0802,
    express: true,
    flr: true,
    advanced: false,
    soft_reset: false,
    at_once: false,
};

fn with(sample: Sample, reset: DeviceReset, memory: Memory) -> Model {
    let model = Model::new(None);
    model.add(sample.part(), BARS, Quirks { reset: Some(reset), ..Quirks::NONE });
    model.place(0).part.memory = memory;
    model
}

fn flagged(sample: Sample, flags: Flags) -> Model {
    let model = Model::new(Some(Bridge::new(Below::Fast)));
    model.add(sample.part(), BARS, Quirks { flags, ..Quirks::NONE });
    model
}

fn end(model: &Model) -> Outcome {
    let outcome = model.reset();
    judge(model, outcome, 1);
    outcome
}

const READY: Outcome = Outcome::Ready(Method::Device);

#[test]
fn intel_82599_virtual_functions_do_not_say_that_they_can_be_reset() {
    let sample = Sample { flr: false, ..FLR };
    let model = with(sample, DeviceReset::UnadvertisedFlr, Memory::Plain);
    assert_eq!(end(&model), READY);
    assert_eq!((model.now(), &model.place(0).part.resets[..]), (100 * MS, &[Kind::Flr][..]));
}

#[test]
fn data_centre_ssds_get_250_ms_more() {
    let model = with(FLR, DeviceReset::DelayAfterFlr, Memory::Plain);
    model.place(0).part.timing.ready = 3 * MS;
    assert_eq!(end(&model), READY);
    assert_eq!(model.now(), (100 + 3 + 250) * MS);
    // Without a function-level reset, that is not their sequence.
    let model = with(Sample { flr: false, advanced: true, ..FLR }, DeviceReset::DelayAfterFlr, Memory::Plain);
    assert_eq!(end(&model), Outcome::Ready(Method::AdvancedFlr));
}

#[test]
fn an_nvme_controller_is_disabled_first() {
    let model = with(FLR, DeviceReset::NvmeDisable, Memory::nvme(4, 250 * MS));
    assert_eq!(end(&model), READY);
    // It is looked at each 100 ms.
    assert_eq!(model.now(), (300 + 100) * MS);
    let Memory::Nvme { idle_at, .. } = model.place(0).part.memory else { panic!() };
    assert_eq!(idle_at, 0, "it was reset after that");
    // One that does not get there within CAP.TO is reset all the same.
    let model = with(FLR, DeviceReset::NvmeDisable, Memory::nvme(4, NEVER));
    assert_eq!(end(&model), READY);
    assert_eq!(model.now(), 2500 * MS + 100 * MS);
    // One that is disabled is not waited for.
    let model = with(
        FLR,
        DeviceReset::NvmeDisable,
        Memory::Nvme { configuration: 0, timeout: 255, takes: NEVER, idle_at: NEVER },
    );
    assert_eq!(end(&model), READY);
    assert_eq!(model.now(), 100 * MS);
}

#[test]
fn what_is_no_nvme_controller_is_not_treated_as_one() {
    let model = with(Sample { class: 0x01_0601, ..FLR }, DeviceReset::NvmeDisable, Memory::nvme(4, 0));
    assert_eq!(end(&model), Outcome::Ready(Method::Flr));
}

#[test]
fn ivy_bridge_graphics_wait_for_their_panel() {
    let model =
        with(Sample { flr: false, ..FLR }, DeviceReset::IvyBridgeGraphics, Memory::ivy_bridge(33 * MS));
    assert_eq!(end_unreset(&model), READY);
    assert_eq!(model.now(), 40 * MS);
    let Memory::IvyBridge { ref written, .. } = model.place(0).part.memory else { panic!() };
    assert_eq!(written[..], [(0x4_5010, 2), (0xc_2004, 5), (0xc_7204, 0xabcd_0002), (0xd_0100, 2)]);
    let model = with(Sample { flr: false, ..FLR }, DeviceReset::IvyBridgeGraphics, Memory::ivy_bridge(NEVER));
    assert_eq!(end(&model), Outcome::Quarantined(Reason::Sequence));
    assert_eq!(model.now(), 10 * SECOND);
}

/// Its registers show nothing of this reset.
fn end_unreset(model: &Model) -> Outcome {
    model.place(0).part.resets.push(Kind::Own);
    end(model)
}

#[test]
fn chelsio_has_bus_mastering_and_masked_msix_during_the_reset() {
    let model = with(Sample { flr: false, ..FLR }, DeviceReset::ChelsioMsix, Memory::Plain);
    model.place(0).part.wants_master = true;
    assert_eq!(end(&model), READY);
    let writes = model.writes().clone();
    let at = |offset, value| {
        let found = writes.iter().position(|write| write.offset == offset && write.value == value);
        found.unwrap_or_else(|| panic!("{offset:#x} is not {value:#x}"))
    };
    let flr = writes.iter().position(|w| w.offset == EXPRESS + 8 && w.value & 0x8000 != 0);
    let flr = flr.expect("a function-level reset");
    assert!(at(4, 0x0404) < flr && at(MSIX + 2, 0xc00f) < flr);
}

#[test]
fn hinic_firmware_takes_part_in_the_reset() {
    for takes in [0, 55 * MS] {
        let model = with(FLR, DeviceReset::HinicFirmware, Memory::hinic(true, takes));
        model.place(0).part.forgets_id = true;
        // Before the reset its memory answers.
        model.place(0).part.forgets_id = false;
        assert_eq!(end(&model), READY);
        assert_eq!(model.now(), 100 * MS + takes.saturating_sub(100 * MS).div_ceil(20 * MS) * 20 * MS);
        assert!(model.writes().iter().any(|write| write.offset == 0), "it gets no requester ID");
    }
    let model = with(FLR, DeviceReset::HinicFirmware, Memory::hinic(true, 155 * MS));
    assert_eq!(end(&model), READY);
    assert_eq!(model.now(), 160 * MS);
    let model = with(FLR, DeviceReset::HinicFirmware, Memory::hinic(true, NEVER));
    assert_eq!(end(&model), Outcome::Quarantined(Reason::Sequence));
    assert_eq!(model.now(), 15_100 * MS);
    // Firmware that takes no part: the usual way.
    let model = with(FLR, DeviceReset::HinicFirmware, Memory::hinic(false, 0));
    assert_eq!(end(&model), Outcome::Ready(Method::Flr));
}

#[test]
fn radeon_is_reset_by_a_key_if_nothing_else_resets_it() {
    let sample = Sample { flr: false, ..FLR };
    for fuse in [0, 64] {
        let model = with(sample, DeviceReset::RadeonConfig, Memory::radeon(true, fuse, 5 * MS));
        assert_eq!(end(&model), READY);
        assert_eq!(model.place(0).part.resets, [Kind::Own]);
        let Memory::Radeon { set, graphics_only, .. } = model.place(0).part.memory else { panic!() };
        assert_eq!((set, graphics_only), ([true; 2], true));
    }
    let model = with(sample, DeviceReset::RadeonConfig, Memory::radeon(true, 0, NEVER));
    assert_eq!(end(&model), Outcome::Quarantined(Reason::Sequence));
    // The management controller does not run.
    let model = with(sample, DeviceReset::RadeonConfig, Memory::radeon(false, 0, 0));
    assert_eq!(end(&model), Outcome::Quarantined(Reason::NoMethod));
    // Something else resets it.
    let model = with(FLR, DeviceReset::RadeonConfig, Memory::radeon(true, 0, 0));
    assert_eq!(end(&model), Outcome::Ready(Method::Flr));
}

#[test]
fn a_device_with_the_ids_of_another_and_small_bars_is_not_written_to() {
    for reset in [DeviceReset::IvyBridgeGraphics, DeviceReset::HinicFirmware, DeviceReset::NvmeDisable] {
        let model = Model::new(None);
        let mut bars = BARS;
        bars[0].size = 0x10;
        model.add(FLR.part(), bars, Quirks { reset: Some(reset), ..Quirks::NONE });
        assert_eq!(end(&model), Outcome::Ready(Method::Flr));
    }
}

#[test]
fn no_flr_is_for_both_kinds_and_for_sequences_with_one() {
    let all = Sample { advanced: true, soft_reset: true, ..FLR };
    assert_eq!(end(&flagged(all, Flags::NO_FLR)), Outcome::Ready(Method::Power));
    let model = with(all, DeviceReset::NvmeDisable, Memory::nvme(4, 0));
    model.place(0).quirks.flags = Flags::NO_FLR;
    assert_eq!(end(&model), Outcome::Ready(Method::Power));
}

#[test]
fn flags_take_methods_away() {
    let power = Sample { flr: false, soft_reset: true, ..FLR };
    assert_eq!(end(&flagged(power, Flags::empty())), Outcome::Ready(Method::Power));
    assert_eq!(end(&flagged(power, Flags::NO_PM_RESET)), Outcome::Ready(Method::Bus));
    assert_eq!(end(&flagged(power, Flags::NO_D3)), Outcome::Ready(Method::Bus));
    let none = Flags::NO_PM_RESET | Flags::NO_BUS_RESET;
    assert_eq!(end(&flagged(power, none)), Outcome::Refused(Reason::NoMethod));
    // Of any function on the bus.
    let model = flagged(power, Flags::NO_PM_RESET);
    model.add(power.part(), BARS, Quirks { flags: Flags::NO_BUS_RESET, ..Quirks::NONE });
    assert_eq!(model.reset(), Outcome::Refused(Reason::NoMethod));
}

#[test]
fn a_truncated_list_hides_no_function_level_reset() {
    // MSI is the last capability in the list; PCI Express is at 50h.
    let sample = |flags| {
        let model = Model::new(None);
        let mut part = FLR.part();
        for device in [&mut part.device, &mut part.fresh] {
            device.set(0x34, Width::Byte, 0x40);
            device.set(0x41, Width::Byte, 0);
            for (offset, value) in [(0x50, 0x0002_0010), (0x54, 0x1000_8001)] {
                device.set(offset, Width::Dword, value);
            }
        }
        part.places.express = 0x50;
        model.add(part, BARS, Quirks { flags, ..Quirks::NONE });
        model
    };
    assert_eq!(end(&sample(Flags::CAP_LIST_TRUNCATED)), Outcome::Ready(Method::Flr));
    assert_eq!(end(&sample(Flags::empty())), Outcome::Refused(Reason::NoMethod));
}

#[test]
fn broken_ats_stays_off() {
    for (flags, enabled) in [(Flags::empty(), true), (Flags::NO_ATS, false)] {
        let model = flagged(FLR, flags);
        assert_eq!(end(&model), Outcome::Ready(Method::Flr));
        let control = model.place(0).part.device.get(0x146, Width::Word);
        assert_eq!(control != 0, enabled);
    }
}

#[test]
fn interrupts_are_off_whoever_left_them_on() {
    let model = flagged(Sample { flr: false, soft_reset: true, ..FLR }, Flags::empty());
    let snapshots = model.snapshots();
    model.place(0).part.device.set(MSI + 2, Width::Word, 0x018b);
    model.place(0).part.device.set(MSIX + 2, Width::Word, 0x800f);
    assert_eq!(model.reset_with(&snapshots), Outcome::Ready(Method::Power));
    let writes = model.writes();
    let quiet: Vec<_> = writes.iter().map(|write| (write.offset, write.value)).take(3).collect();
    assert_eq!(quiet, [(4, 0x0400), (MSI + 2, 0x018a), (MSIX + 2, 0x000f)]);
}
