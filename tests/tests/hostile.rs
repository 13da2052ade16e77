//! A device whose registers read differently each time: the library goes on, and nothing stays taken.

use capabilities::Width;
use tests::device::Device;
use tests::machine::Machine;
use tests::random::Random;
use vpci::{Locked, Written};

const LIVES: u64 = 3000;

fn device() -> Device {
    Device::endpoint(1, 1)
        .with_bar32(0, 0xfe00_0000, 0x4000)
        .with_bar64(2, 0x40_0000_0000, 0x4000)
        .with_rom(0xfd00_0001, 0x1000)
        .with_capability(0x40, 0x01, &[0; 6])
        .with_msi(0x50, 0x0186)
        .with_capability(0x70, 0x09, &[0; 6])
        .with_msix(0xa0, 4, (0, 0x1000), (2, 0x1000))
        .with_extended(0x100, 0x0001, 0x48, 0)
        .with_extended(0x200, 0x0003, 0x0c, 0)
        .with_extended(0x300, 0x0018, 0x08, 0)
        .with_command(2)
}

/// Follows the pinned pointers.
fn walk(machine: &mut Machine, seed: u64) {
    if machine.device(0).get(0x34, Width::Byte) == 0 {
        return;
    }
    let mut at = machine.read(0, 0x34, 1) & 0xfc;
    for _ in 0..=48 {
        let Ok(offset @ 0x40..) = u16::try_from(at) else { return };
        at = machine.read(0, offset + 1, 1) & 0xfc;
    }
    panic!("the list of seed {seed} does not end");
}

#[test]
fn registers_that_never_read_the_same() {
    let mut taken = 0;
    for seed in 1..=LIVES {
        let mut random = Random::new(seed);
        let mut machine = Machine::default();
        machine.plug(device());
        machine.host.set_noise(Some(random.clone()));
        if machine.attach(0).is_err() {
            continue;
        }
        taken += 1;
        machine.settle(0);
        for _ in 0..40 {
            let bytes = random.pick(&[1, 2, 4]);
            let offset = random
                .pick(&[0x04, 0x04, 0x10, 0x18, 0x1c, 0x30, 0x34, 0x50, 0x54, 0x58, 0x60, 0xa0, 0xa0, 0x100]);
            let offset =
                (offset + u16::try_from(random.below(4)).unwrap()) & !(u16::try_from(bytes).unwrap() - 1);
            let value = random.bits32() | if random.one_in(2) { 0x8001_0002 } else { 0 };
            match machine.write_locked(0, offset, bytes, value, Locked::Shared) {
                Written::NeedsExclusive => machine.write(0, offset, bytes, value),
                Written::Pending => {
                    machine.step(0);
                }
                Written::Done => {}
                Written::Reset => panic!("nobody made it resettable"),
            }
            let address = 0xfe00_1000 + u64::from(random.below(0x60));
            machine.mmio_write(address, random.pick(&[1, 2, 4, 8]), 0xfee0_0000);
            machine.mmio_read(address, random.pick(&[1, 2, 4, 8]));
        }
        machine.settle(0);
        machine.host.set_noise(None);
        walk(&mut machine, seed);
        machine.detach(0);
        assert!(machine.host.holds_nothing(), "seed {seed}");
    }
    assert!(taken > LIVES / 4, "{taken} functions were taken");
}
