//! What may reach a guest's device: the traffic of the library, judged access by access.

use std::collections::BTreeMap;

use capabilities::header::{BAR0, Command, ROM_TYPE0};
use capabilities::id::{CapabilityId, ExtendedId};
use capabilities::policy::{self, BUILT_IN, Rule};
use capabilities::{Width, msi, msix};

use super::rules::masks;
use crate::hostile::host::Traffic;

const COMMAND: u16 = 0x04;
const DECODING: u32 = 3;
const MASTER: u32 = 4;
const INTX_DISABLE: u32 = 0x400;

/// What is known of a function that a guest has.
#[derive(Clone, Default, Debug)]
pub(crate) struct Known {
    /// COMMAND before the guest got it.
    pub(crate) original: u32,
    /// COMMAND as the guest has it in the device, bus mastering aside.
    pub(crate) command: u32,
    /// The guest's standard and extended lists: offsets and IDs.
    pub(crate) standard: Vec<(u16, u8)>,
    pub(crate) extended: Vec<(u16, u16)>,
    /// What the guest read first of MSI and MSI-X control, and where.
    pub(crate) msi: Option<(u16, u32)>,
    pub(crate) msix: Option<(u16, u32)>,
    /// The rules that it was given.
    pub(crate) rules: Vec<Rule>,
}

/// Whether this is a write of Message Control of MSI or of MSI-X.
fn is_control(known: &Known, offset: u16, width: Width, value: u32) -> bool {
    let is = |control: Option<(u16, u32)>, mask: u16| {
        let at = control.filter(|(at, _)| *at == offset && width == Width::Word);
        at.is_some_and(|(_, first)| (value ^ first) & !u32::from(mask) == 0)
    };
    is(known.msi, msi::WRITABLE) || is(known.msix, msix::ENABLE | msix::FUNCTION_MASK)
}

/// The traffic of an attach that went well, or, if `known` is none, of one that failed. COMMAND of the device before and
/// after it.
///
/// # Panics
///
/// If anything but COMMAND, sizing, and the ROM's enable bit was written, or sizing was not undone.
pub(crate) fn check_attach(traffic: &[Traffic], known: Option<&Known>) -> Option<(u32, u32)> {
    let mut read: BTreeMap<u16, u32> = BTreeMap::new();
    let mut original = None;
    let mut command = None;
    let mut probing = None;
    for access in traffic {
        let (offset, width, value) = match *access {
            Traffic::Read(offset, width, value) => {
                if (offset, width) == (COMMAND, Width::Word) && original.is_none() {
                    original = Some(value);
                }
                if probing != Some(offset) {
                    read.insert(offset, value);
                }
                continue;
            }
            Traffic::Write(offset, width, value) => (offset, width, value),
        };
        if let Some(at) = probing.take() {
            assert_eq!(offset, at, "something is written before sizing is over");
            assert_eq!(Some(&value), read.get(&at), "the old value of {at:#x} is not restored");
            continue;
        }
        let is_bar = (BAR0..BAR0 + 24).contains(&offset) || offset == ROM_TYPE0;
        if (offset, width) == (COMMAND, Width::Word) {
            command = Some(value);
        } else if is_bar && width == Width::Dword && value == u32::MAX {
            assert_eq!(command.map(|command| command & DECODING), Some(0), "sizing, while decoding is on");
            probing = Some(offset);
        } else if offset == ROM_TYPE0 && width == Width::Dword && value & 1 != 0 && value & 0x7fe == 0 {
            assert!(known.is_some(), "the ROM is enabled, and the device not taken");
        } else {
            // MSI as it was but for its enable bit, MSI-X off.
            let at = |control: Option<(u16, u32)>| {
                control.is_some_and(|(at, _)| (at, Width::Word) == (offset, width))
            };
            let old = read.get(&offset).map(|old| old & !u32::from(msi::ENABLE));
            let due = known.is_some_and(|known| {
                at(known.msi) && old == Some(value) || at(known.msix) && value & u32::from(msix::ENABLE) == 0
            });
            assert!(due, "{access:x?} is not due when a device is taken");
        }
    }
    assert_eq!(probing, None, "sizing is not over");
    let (original, command) = (original.zip(command))?;
    if known.is_some() {
        assert_eq!(command & !DECODING, INTX_DISABLE, "COMMAND is {command:#x} when a guest gets the device");
    } else {
        assert_eq!(command, original, "COMMAND is not restored");
    }
    Some((original, command))
}

/// The traffic of anything that a guest does.
///
/// # Panics
///
/// If anything was written that is neither bus mastering, nor INTx disable, nor an interrupt control register, nor let by
/// a rule.
pub(crate) fn check_access(traffic: &[Traffic], known: &Known) {
    let mut read: BTreeMap<(u16, u8), u32> = BTreeMap::new();
    for access in traffic {
        match *access {
            Traffic::Read(offset, width, value) => {
                assert!(is_live(known, offset, width), "{access:x?}: the device is asked again");
                read.insert((offset, width.bytes()), value);
            }
            Traffic::Write(offset, width, value) if (offset, width) == (COMMAND, Width::Word) => {
                assert_eq!(value & !MASTER, known.command, "COMMAND becomes {value:#x}");
            }
            Traffic::Write(offset, width, value) if is_control(known, offset, width, value) => {}
            Traffic::Write(offset, width, value) => {
                let old = read.get(&(offset, width.bytes()));
                let changed = old.map_or(u32::MAX >> (32 - 8 * u32::from(width.bytes())), |old| old ^ value);
                for (at, byte) in (offset..offset + u16::from(width.bytes())).zip(changed.to_le_bytes()) {
                    let (_, allowed) = masks(&known.rules, at, &known.standard, &known.extended);
                    assert_eq!(
                        byte & !allowed,
                        0,
                        "{access:x?} reaches the device, with {allowed:#x} allowed"
                    );
                    assert!(!is_floor(known, at), "{access:x?} gets below the floor");
                }
            }
        }
    }
}

/// Whether any byte of a register is the device's each time that it is read: STATUS, what a table says, Pending Bits, or
/// what a rule shows.
fn is_live(known: &Known, offset: u16, width: Width) -> bool {
    // How many dwords behind the start of a capability.
    let behind = |start: u16| offset.checked_sub(start).map(|bytes| bytes / 4);
    let standard = known.standard.iter().any(|(start, id)| {
        let pending = *id == CapabilityId::MSI.0 && behind(*start).is_some_and(|n| matches!(n, 4 | 5));
        pending || behind(*start).is_some_and(|n| policy::standard_dword(CapabilityId(*id), n).live != 0)
    });
    let extended = known.extended.iter().any(|(start, id)| {
        behind(*start).is_some_and(|n| policy::extended_dword(ExtendedId(*id), n).live != 0)
    });
    let by_rule = || {
        let rules: Vec<Rule> = known.rules.iter().chain(&BUILT_IN).copied().collect();
        let bytes = offset..offset + u16::from(width.bytes());
        bytes.into_iter().any(|at| masks(&rules, at, &known.standard, &known.extended).0 != 0)
    };
    (4..8).contains(&offset) || standard || extended || by_rule()
}

/// Whether no rule may let this byte be written: the header, and the bodies of MSI and MSI-X.
fn is_floor(known: &Known, at: u16) -> bool {
    let inside = |control: Option<(u16, u32)>, length: u16| {
        control.is_some_and(|(control, _)| (control - 2..control - 2 + length).contains(&at))
    };
    at < 0x40 || inside(known.msi, 0x0a) || inside(known.msix, msix::LENGTH)
}

/// The traffic of a detach: the device is quiet, and as it was. Where the host failed, it may have kept MSI-X as it is.
///
/// # Panics
///
/// If it is not.
pub(crate) fn check_detach(traffic: &[Traffic], known: &Known, failed: bool) {
    let mut command = None;
    let (mut msi, mut msix) = (known.msi.is_none(), known.msix.is_none() || failed);
    for access in traffic {
        let Traffic::Write(offset, width, value) = *access else { continue };
        if (offset, width) == (COMMAND, Width::Word) {
            command = Some(value);
        } else if (offset, width) == (ROM_TYPE0, Width::Dword) {
            assert_eq!(value & 0x7ff, 0, "the ROM stays enabled");
        } else if known.msi.is_some_and(|(at, _)| at == offset) && width == Width::Word {
            assert_eq!(value & u32::from(capabilities::msi::ENABLE), 0, "MSI stays enabled");
            msi = true;
        } else if known.msix.is_some_and(|(at, _)| at == offset) && width == Width::Word {
            assert_eq!(value & u32::from(capabilities::msix::ENABLE), 0, "MSI-X stays enabled");
            msix = true;
        } else {
            panic!("{access:x?} is not due when a device is taken back");
        }
    }
    assert!(msi && msix, "interrupts are not turned off");
    let master = u32::from(Command::MASTER.bits());
    assert_eq!(command, Some(known.original & !master), "COMMAND is not as it was");
}
