//! A state that one guest leaves, and another one finds.

use super::{BRIDGE, PORTS, window::Window};
use crate::{
    cpu,
    pci::config::{CONFIG_ADDRESS, CONFIG_DATA, selector},
    report::{Fault, ensure},
};

/// Both halves of PCIEXBAR count.
const WINDOW: Window = Window { base: 0x3_d400_0000, length: 2 };

/// Registers, their bytes and what is in them: SKPD, TOLUD, PAM.
const VALUES: [(u16, u32, u32); 4] =
    [(0xdc, 4, 0x5afe_c0de), (0xb0, 2, 0xd000), (0x90, 4, 0x1122_3310), (0x94, 4, 0x0033_1122)];
/// Likewise TSEGMB, and SMRAM with the lock, which is written last.
const LOCKED: [(u16, u32, u32); 2] = [(0xac, 4, 0x7ff0_0000), (0x9d, 1, 0x1a)];

/// Leaves it. The address port comes last: any other access by the ports would change it.
pub(super) fn leave() -> Result<u32, Fault> {
    for (register, bytes, value) in VALUES.into_iter().chain(LOCKED) {
        PORTS.write(BRIDGE, register, bytes, value);
        let found = PORTS.read(BRIDGE, register, bytes);
        ensure(found == value, "a register does not keep its value", found)?;
    }
    WINDOW.open();
    WINDOW.here()?;
    cpu::port_write(CONFIG_ADDRESS, 4, selector(BRIDGE, VALUES[0].0));
    Ok(VALUES.len() as u32)
}

/// Finds it: first of all where the data port leads to.
pub(super) fn restored() -> Result<u32, Fault> {
    let (address, data) = (cpu::port_read(CONFIG_ADDRESS, 4), cpu::port_read(CONFIG_DATA, 4));
    ensure(address == selector(BRIDGE, VALUES[0].0), "CONFIG_ADDRESS is not what it was", address)?;
    ensure(data == VALUES[0].2, "the data port leads elsewhere", data)?;
    WINDOW.here()?;
    for access in [PORTS, WINDOW.access()] {
        for (register, bytes, value) in VALUES.into_iter().chain(LOCKED) {
            let found = access.read(BRIDGE, register, bytes);
            ensure(
                found == value,
                "a register is not what it was",
                u64::from(register) << 32 | u64::from(found),
            )?;
        }
    }
    // The lock came along.
    for (register, bytes, value) in LOCKED {
        PORTS.write(BRIDGE, register, bytes, 0);
        let found = PORTS.read(BRIDGE, register, bytes);
        ensure(found == value, "the lock is gone", u64::from(register) << 32 | u64::from(found))?;
    }
    super::window::moves()?;
    Ok(VALUES.len() as u32)
}
