//! Defects that mediators of PCI configuration space have had, one test each: the right behaviour, or the library's
//! part in it.

use capabilities::Width;
use tests::device::Device;
use tests::host::{Event, Preempt};
use tests::machine::Machine;
use vpci::{AttachError, Info, Locked, Owner, Progress, Refusal, View, Written};

const COMMAND: u16 = 0x04;

/// MSI-X with 4 vectors in page 1 of a BAR of 4 pages, and MSI.
fn device() -> Device {
    Device::endpoint(1, 1).with_bar32(0, 0xfe00_0000, 0x4000).with_msi(0x50, 0x0080).with_msix(
        0xa0,
        4,
        (0, 0x1000),
        (0, 0x1800),
    )
}

/// Uses both kinds of interrupts.
fn use_interrupts(machine: &mut Machine) {
    machine.write(0, 0x54, 4, 0xfee0_0000);
    machine.write(0, 0x52, 2, 1);
    machine.write(0, 0xa2, 2, 0x8000);
    machine.mmio_write(0xfe00_1000, 8, 0xfee0_0000);
    machine.mmio_write(0xfe00_1008, 8, 0x40);
    assert_eq!(machine.host.pirqs().bound(), 2);
}

#[test]
fn t1_a_function_may_leave_and_return_for_ever() {
    // A domain used up one handler slot each time its last MSI-X function returned.
    let mut machine = Machine::with(device().with_command(2));
    let used = machine.domain_use();
    for _ in 0..1000 {
        machine.detach(0);
        assert_eq!(machine.domain_use(), (0, 0));
        assert_eq!(machine.window(0xfe00_1000), None);
        machine.attach(0).unwrap();
        machine.settle(0);
        assert_eq!(machine.domain_use(), used);
        assert_eq!(machine.window(0xfe00_1000), Some(0));
    }
}

#[test]
fn t2_the_view_is_given_not_derived() {
    // A function's view was derived from who owned the device at the moment: a hidden one was taken for a guest's.
    let mut machine = Machine::with(device().with_command(2));
    for owner in [Owner::Hidden, Owner::ReadOnly] {
        let sbdf = machine.sbdf(0);
        machine.set_owner(sbdf, Owner::Default);
        machine.set_owner(sbdf, owner);
        machine.write(0, COMMAND, 2, 0);
        assert!(machine.host.p2m().is_empty(), "work went undone for {owner:?}");
        machine.write(0, 0x10, 4, 0xfc00_0000);
        assert_eq!(machine.read(0, 0x10, 4), 0xfc00_0000, "the hardware domain moves BARs");
        machine.write(0, COMMAND, 2, 2);
        assert_eq!(machine.host.p2m().frames(), [0xfc000, 0xfc002, 0xfc003]);
        machine.write(0, COMMAND, 2, 0);
        machine.write(0, 0x10, 4, 0xfe00_0000);
        machine.write(0, COMMAND, 2, 2);
        machine.set_owner(sbdf, Owner::Default);
    }
}

#[test]
fn t3_a_second_writer_finds_no_work_left_over() {
    // A second processor that changed decoding while the first was at it hit an assertion, or was forgotten.
    let mut machine = Machine::default();
    machine.host.set_preempt(Preempt::Always);
    machine.host.p2m_mut().chunk = 1;
    machine.add(device());
    for n in 0..200u32 {
        let memory = n / 3 % 2 * 2;
        let other = n % 2 * 4;
        let written = machine.start_write(0, COMMAND, 2, memory | other);
        let pending = machine.function(0, |function, _| function.is_pending());
        assert_eq!(written == Written::Pending, pending);
        for _ in 0..n % 4 {
            machine.step(0);
        }
        if n % 7 == 0 {
            machine.settle(0);
            assert_eq!(machine.read(0, COMMAND, 2), memory | other);
            assert_eq!(machine.host.p2m().len(), if memory == 0 { 0 } else { 3 });
        }
    }
}

#[test]
fn t4_a_function_that_leaves_takes_its_work_along() {
    // Work that was put off kept a pointer to a device that had gone.
    for steps in 0..8 {
        for command in [0, 2] {
            let mut machine = Machine::default();
            machine.host.set_preempt(Preempt::Always);
            machine.add(device().with_command(2 - command));
            assert_eq!(machine.start_write(0, COMMAND, 2, command.into()), Written::Pending);
            for _ in 0..steps {
                machine.step(0);
            }
            machine.detach(0);
            assert!(machine.host.holds_nothing(), "after {steps} steps");
            machine.host.take_events();
            assert_eq!(machine.step(0), Progress::Done);
            assert_eq!(machine.host.take_events(), [], "work was left after {steps} steps");
            assert!(!machine.function(0, |function, _| function.is_pending()));
        }
    }
}

#[test]
fn t4_a_device_that_is_pulled_in_the_middle() {
    for steps in 0..8 {
        let mut machine = Machine::default();
        machine.host.set_preempt(Preempt::Always);
        machine.add(device());
        use_interrupts_before_mapping(&mut machine);
        machine.start_write(0, COMMAND, 2, 2);
        for _ in 0..steps {
            machine.step(0);
        }
        machine.host.pull(machine.sbdf(0));
        machine.settle(0);
        assert_eq!(machine.read(0, COMMAND, 2), 0xffff);
        machine.write(0, COMMAND, 2, 0);
        machine.detach(0);
        assert!(machine.host.holds_nothing(), "pulled after {steps} steps");
    }
}

fn use_interrupts_before_mapping(machine: &mut Machine) {
    machine.write(0, 0x54, 4, 0xfee0_0000);
    machine.write(0, 0x52, 2, 1);
    machine.write(0, 0xa2, 2, 0x8000);
}

#[test]
fn t5_command_never_claims_what_was_not_mapped() {
    // The domain read MEMORY as set although mapping had failed.
    for special in [0xfe000, 0xfe001, 0xfe003] {
        let mut machine = Machine::default();
        machine.host.set_preempt(Preempt::Always);
        machine.add(device());
        machine.host.p2m_mut().set_special(special);
        machine.start_write(0, COMMAND, 2, 0x0006);
        while machine.step(0) == Progress::Again {
            assert_eq!(machine.read(0, COMMAND, 2) & 2, 0);
        }
        assert_eq!(machine.read(0, COMMAND, 2), 0x0004);
        assert_eq!(machine.device(0).command(), 0x0004);
        assert!(machine.host.p2m().is_empty());
    }
}

#[test]
fn t6_nothing_is_left_behind() {
    // PIRQs and p2m entries outlived the function that they belonged to.
    for command in [0, 2] {
        let mut machine = Machine::with(device().with_command(2));
        use_interrupts(&mut machine);
        machine.write(0, COMMAND, 2, command);
        machine.detach(0);
        assert!(machine.host.holds_nothing());
        // What returns after a reset starts anew.
        machine.device(0).set(COMMAND, Width::Word, 0);
        machine.attach(0).unwrap();
        assert!(machine.host.holds_nothing());
        assert_eq!(machine.read(0, 0x52, 2) & 1, 0);
        assert_eq!(machine.read(0, 0xa2, 2), 0x0003);
        machine.write(0, COMMAND, 2, 2);
        use_interrupts(&mut machine);
        assert_eq!(machine.host.pirqs().len(), 2);
        machine.detach(0);
        assert!(machine.host.holds_nothing());
    }
}

#[test]
fn t7_a_page_that_cannot_be_replaced_is_an_error() {
    // Mapping over a special page crashed the domain.
    let mut machine = Machine::default();
    machine.host.p2m_mut().set_special(0xfe002);
    machine.add(device().with_command(0x0406));
    assert_eq!(machine.device(0).command(), 0x0404);
    assert!(machine.host.p2m().is_empty());
    assert_eq!(machine.state(0).refusals(Refusal::Map), 1);
    assert_eq!(machine.state(0).refusal_counts()[Refusal::Map as usize], 1);
    // The domain may put the BAR elsewhere and go on.
    machine.write(0, 0x10, 4, 0xfc00_0000);
    machine.write(0, COMMAND, 2, 0x0406);
    assert_eq!(machine.device(0).command(), 0x0406);
    assert_eq!(machine.host.p2m().frames(), [0xfc000, 0xfc002, 0xfc003]);
}

#[test]
fn t8_a_guest_gets_no_function_that_is_not_prepared_for_it() {
    // A guest got a device with decoding and bus mastering as firmware had left them.
    let mut machine = Machine::default();
    machine.plug(device().with_command(0x0007));
    let info = Info { view: View::Guest, ..Info::hardware(machine.sbdf(0)) };
    let odd = Info { ignore_bars: true, ..info };
    machine.host.take_events();
    assert_eq!(machine.attach_as(0, &odd), Err(AttachError::Unsupported));
    let events = machine.host.take_events();
    assert!(events.iter().all(|event| matches!(event, Event::Read(..))), "{events:x?}");
    assert_eq!(machine.device(0).command(), 0x0007);
    assert!(machine.host.holds_nothing());
    assert_eq!(machine.owner(info.sbdf), Owner::Default);

    assert_eq!(machine.attach_as(0, &info), Ok(Written::Done));
    assert_eq!(machine.read(0, COMMAND, 2), 0);
    let command = machine.device(0).command();
    assert_eq!(command & 0x0404, 0x0400, "no bus mastering, no INTx: {command:#x}");
}

#[test]
fn the_shared_lock_is_enough_for_all_but_mappings() {
    // Every write took the domain's exclusive lock.
    let mut machine = Machine::with(device().with_command(2));
    for offset in (0..0x1000u16).step_by(4).filter(|offset| *offset != COMMAND) {
        let value = machine.read(0, offset, 4);
        let written = machine.write_locked(0, offset, 4, value, Locked::Shared);
        assert_eq!(written, Written::Done, "dword {offset:#x}");
    }
}
