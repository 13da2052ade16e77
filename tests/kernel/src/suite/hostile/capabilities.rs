//! Capabilities: what a guest sees of them, and what becomes of what it writes there.

use super::{Case, Outcome, Tried, Victim, never_set, unmoved};
use crate::{
    memory,
    pci::{
        bar,
        function::{
            ADVANCED_FEATURES, COMMAND, MSI, MSIX, PCIE, POWER_MANAGEMENT, SATA, SUBSYSTEM,
            VITAL_PRODUCT_DATA,
        },
    },
    report::{Fault, ensure},
    suite::reset::{self, Way},
    xen,
};

pub(super) const CASES: &[Case] = &[
    ("14-payload-size", payload),
    ("15-read-request-size", read_request),
    ("16-phantom-functions-and-tags", phantom),
    ("17-function-level-reset", reset),
    ("18-advanced-features-reset", af_reset),
    ("19-link-disable-retrain", link),
    ("20-platform-power", platform_power),
    ("21-power-state-then-access", power_state),
    ("22-pme", pme),
    ("23-vital-product-data", vpd),
    ("24-vendor-capabilities", vendor),
    ("33-list-and-links", list),
    ("33-hidden-bytes", hidden),
];

// Registers of the PCI Express capability (PCIe 6.0, 7.5.3).
const DEVICE_CAPABILITIES: u16 = 0x04;
const DEVICE_CONTROL: u16 = 0x08;
const DEVICE_STATUS: u16 = 0x0a;
const LINK_CONTROL: u16 = 0x10;
const DEVICE_CONTROL_2: u16 = 0x28;
const LINK_CONTROL_2: u16 = 0x30;

const RESET: u16 = 0x8000;

fn express(victim: &Victim) -> Result<u16, Tried> {
    victim.function.capability(PCIE).ok_or(Tried::Nothing("not PCI Express"))
}

/// Each value of a field of a register: the device goes on with what the host set.
fn each_value(victim: &mut Victim, register: u16, shift: u16, bits: u16) -> Outcome {
    let at = match express(victim) {
        Ok(at) => at + register,
        Err(nothing) => return Ok(nothing),
    };
    let before = victim.function.read16(at);
    for value in 0..1 << bits {
        victim.function.write16(at, before & !(((1 << bits) - 1) << shift) | value << shift);
        victim.worker.exercise(u32::from(value))?;
    }
    victim.function.write16(at, before);
    ensure(victim.function.read16(at) == before, "it does not come back", victim.function.read16(at))?;
    Ok(Tried::Times(1 << bits))
}

/// Another payload size than the port's makes malformed packets.
fn payload(victim: &mut Victim) -> Outcome {
    each_value(victim, DEVICE_CONTROL, 5, 3)
}

/// 4 KiB requests hog the link.
fn read_request(victim: &mut Victim) -> Outcome {
    each_value(victim, DEVICE_CONTROL, 12, 3)
}

/// Phantom functions take requester ids that are others' (XSA-449); tags and status bits.
fn phantom(victim: &mut Victim) -> Outcome {
    let Ok(at) = express(victim) else { return Ok(Tried::Nothing("not PCI Express")) };
    let function = victim.function;
    ensure(function.read32(at + DEVICE_CAPABILITIES) & 0x18 == 0, "phantom functions show", at)?;
    never_set(function, at + DEVICE_CONTROL, 0x0200, 0x0200)?;
    never_set(function, at + DEVICE_CONTROL, 0x7fff, 0x8200)?;
    never_set(function, at + DEVICE_CONTROL_2, 0x1000, 0x1000)?;
    unmoved(function, at + DEVICE_STATUS, 2, 0xffff)?;
    unmoved(function, at, 4, u32::MAX)?;
    unmoved(function, at + DEVICE_CAPABILITIES, 4, u32::MAX)?;
    Ok(Tried::Times(6))
}

/// Where the function shows a reset: in the middle of its work, at every width, and over and over. The hypervisor does no more than
/// one in a second, and the function works afterwards.
fn shown(victim: &mut Victim, way: Way) -> Outcome {
    let function = victim.function;
    for bytes in [2, 1, 4] {
        victim.worker.leave_running();
        way.ask(function, bytes);
        ensure(reset::has_left(function), "it is still there", bytes)?;
        reset::wait(function)?;
        victim.worker.restart()?;
        victim.worker.exercise(bytes)?;
    }
    victim.worker.leave_running();
    let (begun, mut resets) = (xen::now(), 0);
    for _ in 0..1000 {
        resets += u32::from(reset::is_ready(function));
        way.ask(function, 2);
        xen::pause(2000);
    }
    let most = (xen::now() - begun) / 1_000_000 + 1;
    ensure(u64::from(resets) <= most, "too many resets", resets)?;
    reset::wait(function)?;
    victim.worker.restart()?;
    Ok(Tried::Resets(resets + 3))
}

/// Over and over, and at every width: no reset that the hypervisor does not do.
fn reset(victim: &mut Victim) -> Outcome {
    let Ok(at) = express(victim) else { return Ok(Tried::Nothing("not PCI Express")) };
    let function = victim.function;
    if let Some(way) = Way::express(function) {
        return shown(victim, way);
    }
    for _ in 0..100 {
        never_set(function, at + DEVICE_CONTROL, RESET | function.read16(at + DEVICE_CONTROL), RESET)?;
    }
    function.write8(at + DEVICE_CONTROL + 1, 0x80 | function.read8(at + DEVICE_CONTROL + 1));
    function.write32(at + DEVICE_CONTROL, u32::from(RESET) | function.read32(at + DEVICE_CONTROL));
    ensure(function.read16(at + DEVICE_CONTROL) & RESET == 0, "the reset bit stays", at)?;
    Ok(Tried::Times(102))
}

/// The same by the conventional capability (PCIe 6.0, 7.5.2.4 refers to the ECN).
fn af_reset(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(ADVANCED_FEATURES) else {
        return Ok(Tried::Nothing("no Advanced Features"));
    };
    if let Some(way) = Way::advanced(function) {
        return shown(victim, way);
    }
    for _ in 0..100 {
        function.write8(at + 4, 1);
        ensure(function.read8(at + 4) & 1 == 0, "the reset bit stays", at)?;
    }
    Ok(Tried::Times(100))
}

/// The link is the port's. What an endpoint has of it is stored at most.
fn link(victim: &mut Victim) -> Outcome {
    let Ok(at) = express(victim) else { return Ok(Tried::Nothing("not PCI Express")) };
    let function = victim.function;
    never_set(function, at + LINK_CONTROL, 0x0030, 0x0030)?;
    never_set(function, at + LINK_CONTROL, 0xffff, 0xec30)?;
    unmoved(function, at + LINK_CONTROL + 2, 2, 0xffff)?;
    if function.read8(at + 2) & 0xf >= 2 {
        for value in [0xffff, 0x0010, 0x0001] {
            let before = function.read16(at + LINK_CONTROL_2);
            function.write16(at + LINK_CONTROL_2, value);
            victim.worker.exercise(u32::from(value))?;
            function.write16(at + LINK_CONTROL_2, before);
        }
    }
    Ok(Tried::Times(6))
}

/// LTR, OBFF, ARI, atomics, emergency power: the platform's.
fn platform_power(victim: &mut Victim) -> Outcome {
    let Ok(at) = express(victim) else { return Ok(Tried::Nothing("not PCI Express")) };
    if victim.function.read8(at + 2) & 0xf < 2 {
        return Ok(Tried::Nothing("version 1"));
    }
    never_set(victim.function, at + DEVICE_CONTROL_2, 0xffff, 0xffe0)?;
    Ok(Tried::Times(1))
}

/// The power state that PMCSR (PCIe 6.0, 7.5.2.2) shows.
fn state(victim: &Victim, at: u16) -> u16 {
    victim.function.read16(at + 4) & 3
}

/// D3hot is what the guest reads; the device stays awake, and its BARs stay mapped. The way back is a reset where the function says so.
fn power_state(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(POWER_MANAGEMENT) else {
        return Ok(Tried::Nothing("no power states"));
    };
    let bar = bar::bars(function).into_iter().flatten().find(|b| !b.io).ok_or(Fault("no memory BAR", 0))?;
    let (seen, command) = (memory::read32(bar.address), function.read16(COMMAND));
    let way = Way::power(function);
    for _ in 0..10 {
        function.write16(at + 4, function.read16(at + 4) & !3 | 3);
        ensure(state(victim, at) == 3, "D3hot is not kept", function.read16(at + 4))?;
        ensure(memory::read32(bar.address) == seen, "the device fell asleep", memory::read32(bar.address))?;
        ensure(function.read16(COMMAND) == command, "COMMAND changed", function.read16(COMMAND))?;
        if let Some(way) = way {
            return shown(victim, way);
        }
        function.write16(at + 4, function.read16(at + 4) & !3);
        ensure(state(victim, at) == 0, "D0 is not kept", function.read16(at + 4))?;
    }
    // States that it does not have.
    for other in [1, 2] {
        function.write16(at + 4, function.read16(at + 4) & !3 | other);
        ensure(state(victim, at) == 0, "D1 or D2 was taken", other)?;
    }
    Ok(Tried::Times(12))
}

/// A PME wakes the host.
fn pme(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(POWER_MANAGEMENT) else {
        return Ok(Tried::Nothing("no power states"));
    };
    ensure(function.read16(at + 2) & 0xf800 == 0, "PME shows", function.read16(at + 2))?;
    never_set(function, at + 4, 0xff00, 0xff00)?;
    never_set(function, at + 4, 0x0100, 0xff00)?;
    unmoved(function, at + 2, 2, 0xffff)?;
    unmoved(function, at + 6, 2, 0xffff)?;
    Ok(Tried::Times(4))
}

/// Read at most; a write would change the card, and a slow answer must not hang us.
fn vpd(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let Some(at) = function.capability(VITAL_PRODUCT_DATA) else {
        return Ok(Tried::Nothing("no vital product data"));
    };
    function.write16(at + 2, 0);
    let first = function.read32(at + 4);
    function.write32(at + 4, !first);
    function.write16(at + 2, 0x8000);
    function.write16(at + 2, 0);
    ensure(function.read32(at + 4) == first, "it was written", function.read32(at + 4))?;
    Ok(Tried::Times(2))
}

/// Vendor-specific capabilities can be anything (firmware, backdoors to configuration space): they do not exist.
fn vendor(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    ensure(function.capability(0x09).is_none(), "a vendor-specific capability shows", 0_u32)?;
    Ok(Tried::Times(1))
}

/// The list has what the policy shows and nothing else; it ends; ids and links cannot be written.
fn list(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let mut tries = 0;
    let mut seen = [false; 64];
    for (at, id) in function.capabilities() {
        let known =
            [POWER_MANAGEMENT, VITAL_PRODUCT_DATA, MSI, SUBSYSTEM, PCIE, MSIX, SATA, ADVANCED_FEATURES];
        ensure(known.contains(&id), "a capability that is not for guests", id)?;
        let place = &mut seen[usize::from(at / 4)];
        ensure(!*place, "the list comes back to itself", at)?;
        *place = true;
        unmoved(function, at, 1, 0xff)?;
        unmoved(function, at + 1, 1, 0x40)?;
        unmoved(function, at, 2, 0)?;
        tries += 3;
    }
    Ok(Tried::Times(tries))
}

/// What no capability owns reads 0 at every width and keeps nothing.
fn hidden(victim: &mut Victim) -> Outcome {
    let function = victim.function;
    let mut shown = [false; 64];
    for (at, id) in function.capabilities() {
        let length = function.capability_length(at, id);
        for dword in (at..at + length).step_by(4) {
            if let Some(place) = shown.get_mut(usize::from(dword / 4)) {
                *place = true;
            }
        }
    }
    let mut tries = 0;
    for offset in (0x40..0x100).step_by(4).filter(|offset| !shown[usize::from(offset / 4)]) {
        for (at, bytes) in
            [(0, 4), (0, 2), (2, 2), (0, 1), (1, 1), (2, 1), (3, 1)].map(|(at, bytes)| (offset + at, bytes))
        {
            for value in [u32::MAX, 0x0101_0101] {
                function.access.write(function.address, at, bytes, value);
                let found = function.access.read(function.address, at, bytes);
                ensure(found == 0, "a hidden byte shows", u64::from(at) << 32 | u64::from(found))?;
                tries += 1;
            }
        }
    }
    Ok(Tried::Times(tries))
}
