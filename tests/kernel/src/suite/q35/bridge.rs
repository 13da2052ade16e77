//! The host bridge's registers, and that both ways to configuration space say the same of every function.

use super::{BRIDGE, IDS, PORTS, devices::Others, servers::Servers, window::Window};
use crate::{
    pci::{
        Access, Address,
        function::{BAR0, CAPABILITIES, COMMAND, HEADER_TYPE, REVISION, ROM, STATUS},
    },
    report::{Fault, ensure},
};

/// What it is: a host bridge without BARs, capabilities or an interrupt pin.
pub(super) fn identity(window: Window) -> Result<u32, Fault> {
    for access in [PORTS, window.access()] {
        let read = |offset, bytes| access.read(BRIDGE, offset, bytes);
        ensure(read(0, 4) == IDS, "not 8086:29c0", read(0, 4))?;
        ensure(read(REVISION, 4) >> 8 == 0x06_0000, "not a host bridge", read(REVISION, 4))?;
        ensure(read(HEADER_TYPE, 1) == 0, "not a single function of type 0", read(HEADER_TYPE, 1))?;
        ensure(read(STATUS, 2) & 0x10 == 0, "it lists capabilities", read(STATUS, 2))?;
        ensure(read(CAPABILITIES, 1) == 0, "it points to capabilities", read(CAPABILITIES, 1))?;
        ensure(read(0x3d, 1) == 0, "it has an interrupt pin", read(0x3d, 1))?;
        for register in (BAR0..=0x24).step_by(4).chain([ROM]) {
            access.write(BRIDGE, register, 4, u32::MAX);
            ensure(read(register, 4) == 0, "it has a BAR", register)?;
        }
        // Memory and bus mastering are always on.
        access.write(BRIDGE, COMMAND, 2, 0);
        ensure(read(COMMAND, 2) == 6, "COMMAND", read(COMMAND, 2))?;
        ensure(read(0, 4) == IDS, "COMMAND turns it off", read(0, 4))?;
    }
    Ok(30)
}

/// It has no extended configuration space: all ones at every width, writes without effect.
pub(super) fn extended(window: Window) -> Result<u32, Fault> {
    let ecam = window.access();
    for offset in (0x100..0x1000).step_by(4) {
        ecam.write(BRIDGE, offset, 4, 0);
        ensure(ecam.read(BRIDGE, offset, 4) == u32::MAX, "an extended register is there", offset)?;
        ensure(ecam.read(BRIDGE, offset + 2, 2) == 0xffff, "half of one is there", offset)?;
        ensure(ecam.read(BRIDGE, offset + 1, 1) == 0xff, "a byte of one is there", offset)?;
    }
    Ok(3 * 0xf00 / 4)
}

/// Every dword of every function of bus 0 below 0x100, by both ways. What is not there is all ones, above 0x100 too.
pub(super) fn both_ways(window: Window, servers: &Servers, others: &mut Others) -> Result<u32, Fault> {
    let mut there = 0;
    for address in (0..256).map(Address) {
        let served = servers.iter().find(|served| served.address == address);
        let read = |access: Access, offset| match &served {
            Some(served) => served.read(access, offset, 4),
            None => access.read(address, offset, 4),
        };
        let exists = read(PORTS, 0) != u32::MAX;
        for offset in (0..0x100).step_by(4) {
            let (ports, ecam) = (read(PORTS, offset), read(window.access(), offset));
            let place = u64::from(address.0) << 16 | u64::from(offset);
            ensure(ports == ecam, "the ways differ", place)?;
            ensure(exists || ports == u32::MAX, "a part of a function is there", place)?;
        }
        if !exists {
            absent(window, address)?;
        } else if served.is_none() && address != BRIDGE {
            others.add(address)?;
        }
        there += u32::from(exists);
    }
    // Behind bus 0 there is nothing.
    for bus in [1, 2, 0x3f] {
        absent(window, Address::new(bus, 0, 0))?;
        absent(window, Address::new(bus, 31, 7))?;
    }
    Ok(there)
}

/// Nothing answers, and writes do no harm.
fn absent(window: Window, address: Address) -> Result<(), Fault> {
    for (access, offset) in [(PORTS, 0x04), (window.access(), 0x04), (window.access(), 0x100)] {
        access.write(address, offset, 4, u32::MAX);
        let all = access.read(address, offset, 4);
        let part = access.read(address, offset + 1, 1) | access.read(address, offset + 2, 2) << 16;
        ensure(all == u32::MAX && part == 0xffff_00ff, "an absent function answers", address.0)?;
    }
    Ok(())
}

/// SMRAM, which has the lock.
const SMRAM: u16 = 0x9d;

/// What `D_LCK` locks: a register, its bytes, and two values of which it keeps either before. GGC, ESMRAMC, GBSM, BGSM, TSEGMB.
const LOCKED: [(u16, u32, [u32; 2]); 5] = [
    (0x52, 2, [0x30, 0x10]),
    (0x9e, 1, [0x87, 0x00]),
    (0xa4, 4, [0x8000_0000, 0x4000_0000]),
    (0xa8, 4, [0x8010_0000, 0x4000_0000]),
    (0xac, 4, [0x7ff0_0000, 0x4000_0000]),
];

/// What it does not lock: MCHBAR, PAM1, TOLUD, SKPD.
const FREE: [(u16, u32, [u32; 2]); 4] = [
    (0x48, 4, [0xfed1_4001, 0xfed1_0000]),
    (0x91, 1, [0x33, 0x11]),
    (0xb0, 2, [0x8000, 0x4000]),
    (0xdc, 4, [0x1234_5678, 0x9abc_def0]),
];

/// A fault unless the register reads as wanted after a write.
fn keeps(access: Access, register: u16, bytes: u32, value: u32, wanted: u32) -> Result<(), Fault> {
    access.write(BRIDGE, register, bytes, value);
    let found = access.read(BRIDGE, register, bytes);
    ensure(found == wanted, "another value", u64::from(register) << 32 | u64::from(found))
}

/// `D_LCK`, which a guest cannot take back. It clears `D_OPEN`, and freezes what the datasheet says.
pub(super) fn lock(window: Window) -> Result<u32, Fault> {
    let ways = [PORTS, window.access()];
    // C_BASE_SEG cannot be cleared; D_OPEN and G_SMRAME can be set.
    keeps(PORTS, SMRAM, 1, 0x00, 0x02)?;
    keeps(PORTS, SMRAM, 1, 0x4a, 0x4a)?;
    for (register, bytes, [one, other]) in LOCKED {
        keeps(PORTS, register, bytes, other, other)?;
        keeps(PORTS, register, bytes, one, one)?;
    }
    keeps(PORTS, SMRAM, 1, 0x5a, 0x1a)?;
    for access in ways {
        // D_CLS alone can still be written.
        for (value, wanted) in [(0xff, 0x3a), (0x00, 0x1a), (0x4a, 0x1a), (0x60, 0x3a), (0x08, 0x1a)] {
            keeps(access, SMRAM, 1, value, wanted)?;
        }
        access.write(BRIDGE, SMRAM - 1, 4, 0);
        let found = access.read(BRIDGE, SMRAM - 1, 4);
        ensure(found == 0x0087_1a00, "a dword undoes the lock", found)?;
        for (register, bytes, [one, other]) in LOCKED {
            keeps(access, register, bytes, other, one)?;
            access.write(BRIDGE, register, 1, other);
            keeps(access, register, bytes, one, one)?;
        }
        for (register, bytes, values) in FREE {
            values.into_iter().try_for_each(|value| keeps(access, register, bytes, value, value))?;
        }
    }
    // PCIEXBAR is free, too.
    super::window::moves()?;
    window.open();
    keeps(window.access(), SMRAM, 1, 0x00, 0x1a)?;
    Ok(2 * (6 + 3 * LOCKED.len() as u32 + 2 * FREE.len() as u32))
}
