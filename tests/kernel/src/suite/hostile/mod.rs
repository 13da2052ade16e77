//! What a guest must not get away with: the abuse cases that need no special hardware.
//!
//! Each case tries it and looks from inside: the register reads as before, or keeps the value and nothing comes of it. After each
//! the device has to work, with the state it had: a reset that went through would show there.

mod access;
mod bars;
mod capabilities;
mod header;
mod interrupts;

pub(crate) use access::machine;

use super::worker::{Worker, still_works};
use crate::{
    pci::Function,
    report::{self, Fault, ensure},
};

/// The device that is abused, at work.
struct Victim<'a> {
    function: Function,
    worker: &'a mut Worker,
}

/// How a case ended that did not fail.
enum Tried {
    /// It was tried, so often.
    Times(u32),
    /// The hypervisor reset the function, as the guest may ask for, so often.
    Resets(u32),
    /// The function has nothing to try it on.
    Nothing(&'static str),
}

type Outcome = Result<Tried, Fault>;

/// A case: its name, which starts with its number in the list of abuse cases, and what it does.
type Case = (&'static str, fn(&mut Victim) -> Outcome);

const CASES: [&[Case]; 5] =
    [header::CASES, bars::CASES, interrupts::CASES, capabilities::CASES, access::CASES];

/// All cases on one device.
pub(crate) fn run(function: Function, worker: &mut Worker) {
    let mut victim = Victim { function, worker };
    for (seed, (name, case)) in (1000..).zip(CASES.into_iter().flatten()) {
        let fingerprint = victim.worker.fingerprint();
        let outcome = case(&mut victim).and_then(|tried| {
            match tried {
                Tried::Times(_) => still_works(victim.worker, fingerprint, seed)?,
                Tried::Resets(_) => _ = victim.worker.exercise(seed)?,
                Tried::Nothing(_) => {}
            }
            Ok(tried)
        });
        match outcome {
            Ok(Tried::Times(times)) => {
                report::check(function, name, true, format_args!("{times} tries"));
            }
            Ok(Tried::Resets(times)) => {
                report::check(function, name, true, format_args!("{times} resets"));
            }
            Ok(Tried::Nothing(why)) => report::skip(function, name, why),
            Err(fault) => {
                report::check(function, name, false, fault);
            }
        }
    }
}

/// Writes a value; a fault if the register reads otherwise than before.
fn unmoved(function: Function, offset: u16, bytes: u32, value: u32) -> Result<(), Fault> {
    let (address, access) = (function.address, function.access);
    let before = access.read(address, offset, bytes);
    access.write(address, offset, bytes, value);
    let after = access.read(address, offset, bytes);
    ensure(before == after, "a register changed", u64::from(offset) << 32 | u64::from(after))
}

/// Writes bits of a word; a fault if one of those in `never` is set afterwards.
fn never_set(function: Function, offset: u16, value: u16, never: u16) -> Result<(), Fault> {
    let before = function.read16(offset);
    function.write16(offset, value);
    let after = function.read16(offset);
    function.write16(offset, before);
    ensure(after & never == 0, "a bit was taken", u64::from(offset) << 32 | u64::from(after))
}
