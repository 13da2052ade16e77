//! Resets of physical functions.

use core::slice;

use static_assertions::const_assert_eq;

use capabilities::Sbdf;
use quirks::Methods;
use quirks::reset::{MEMBERS, Member, Next, Outcome, Reason, Request, Reset, Time};

use crate::abi::{
    EAGAIN, EBUSY, EINTR, EINVAL, EIO, ENODATA, ENODEV, EOPNOTSUPP, ETIMEDOUT, RVPCI_AGAIN, RVPCI_DONE,
    RVPCI_MEMBERS, RVPCI_METHOD_BUS, RVPCI_METHODS_ALL, RVPCI_METHODS_FUNCTION, RVPCI_NO_SBDF,
    RVPCI_OUTCOME_NEVER, RVPCI_OUTCOME_QUARANTINED, RVPCI_OUTCOME_READY, RVPCI_OUTCOME_REFUSED,
    RVPCI_OUTCOME_RUNNING, rvpci_reset_state,
};
use crate::host::Machine;
use crate::physical::rvpci_physical;

/// Asks for a reset of a physical function, by one of `methods`, `RVPCI_METHOD_*`. `bridge` is the one above it, or
/// `RVPCI_NO_SBDF` on a root bus. `guest`: the guest that has it asks; not before a second after its last reset, and only
/// the function alone. `now` is a time that never goes back, in microseconds.
///
/// Work: constant. Nothing is done to the function before `rvpci_reset_step`, which is to be called until it is done.
/// Returns 0; -EBUSY if one goes on, -EINVAL for a method that there is not.
///
/// # Safety
///
/// `physical` is a physical function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_reset_start(
    physical: *mut rvpci_physical,
    bridge: u32,
    methods: u32,
    guest: bool,
    now: u64,
) -> i32 {
    // SAFETY: the caller promises a physical function for itself alone.
    let physical = unsafe { &mut (*physical).kept };
    let Some(methods) = Methods::from_bits(methods) else { return -EINVAL };
    if physical.running {
        return -EBUSY;
    }
    let bridge = (bridge != RVPCI_NO_SBDF).then_some(Sbdf(bridge));
    let request = if guest {
        let request = physical.limiter.request(bridge, Time(now));
        Request { methods: request.methods & methods, ..request }
    } else {
        Request { bridge, methods, not_before: Time(now) }
    };
    physical.reset = Reset::new(request);
    physical.running = true;
    0
}

/// Does what is due of a reset. `members` are the function that it is of, and behind it those that share its bus, at most
/// `RVPCI_MEMBERS` together: the same in each step, all learnt or of no use. The next step is due at `*due`, which may be now.
///
/// Work: at most 80 accesses to configuration space or memory and, for each member, one call of each other
/// `rvpci_host_*` function of resets; 5,000 instructions beside these.
/// Returns `RVPCI_AGAIN`, or `RVPCI_DONE` when it is over: see `rvpci_reset_state`; -EINVAL for no member or too many.
///
/// # Safety
///
/// There are `count` members, each another physical function that nobody else uses, nor a `rvpci_host_*` function that is
/// called meanwhile; `due` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_reset_step(
    members: *const *mut rvpci_physical,
    count: u32,
    now: u64,
    due: *mut u64,
) -> i32 {
    if !(1..=RVPCI_MEMBERS).contains(&count) {
        return -EINVAL;
    }
    let count = count as usize; // CAST: widening.
    // SAFETY: the caller promises so many.
    let members = unsafe { slice::from_raw_parts(members, count) };
    let Some(&first) = members.first() else { return -EINVAL };
    // SAFETY: it is a physical function for this call alone.
    let rvpci_physical { kept, snapshot } = unsafe { &mut *first };
    if !kept.running {
        return RVPCI_DONE;
    }
    let head = Member { snapshot, quirks: &kept.quirks };
    let mut all = [head; MEMBERS];
    for (to, from) in all.iter_mut().zip(members).skip(1) {
        // SAFETY: likewise for each, none of which is the first.
        *to = unsafe { &**from }.member();
    }
    let next = kept.reset.step(&Machine, all.get(..count).unwrap_or_default(), Time(now));
    let at = match next {
        Next::Again => now,
        Next::At(Time(at)) => at,
        Next::Done(outcome) => {
            kept.running = false;
            kept.outcome = Some(outcome);
            kept.count = kept.count.wrapping_add(1);
            kept.limiter.ended(Time(now));
            return RVPCI_DONE;
        }
    };
    // SAFETY: the caller promises a place to write to.
    unsafe { due.write(at) };
    RVPCI_AGAIN
}

/// A reset is not wanted any more. It is still to be stepped until it is done.
///
/// Work: constant.
///
/// # Safety
///
/// `physical` is a physical function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_reset_cancel(physical: *mut rvpci_physical) {
    // SAFETY: the caller promises a physical function for itself alone.
    unsafe { &mut *physical }.kept.reset.cancel();
}

/// Stores how the last reset of a physical function ended in `*state`.
///
/// Work: constant.
/// Returns 0 if it was reset, or never; -EAGAIN while one goes on; why it was refused: -ENODATA without a snapshot, -EBUSY
/// if it, its virtual functions or its bus are in use, -EOPNOTSUPP if no method applies; why it is in quarantine: -ENODEV if
/// it is gone, -ETIMEDOUT if it did not get ready, -EINTR if the reset was cancelled, -EIO for all else.
///
/// # Safety
///
/// `physical` is a physical function, and `state` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_reset_state(
    physical: *const rvpci_physical,
    state: *mut rvpci_reset_state,
) -> i32 {
    // SAFETY: the caller promises a physical function.
    let physical = unsafe { &*physical };
    let physical = &physical.kept;
    let (outcome, reason, method, errno) = match physical.outcome {
        _ if physical.running => (RVPCI_OUTCOME_RUNNING, None, None, -EAGAIN),
        None => (RVPCI_OUTCOME_NEVER, None, None, 0),
        Some(Outcome::Ready(method)) => (RVPCI_OUTCOME_READY, None, Some(method), 0),
        Some(Outcome::Refused(reason)) => (RVPCI_OUTCOME_REFUSED, Some(reason), None, errno(reason)),
        Some(Outcome::Quarantined(reason)) => (RVPCI_OUTCOME_QUARANTINED, Some(reason), None, errno(reason)),
    };
    let told = rvpci_reset_state {
        outcome,
        reason: reason.map_or(0, |reason| reason as u32), // CAST: the discriminants are RVPCI_REASON_*.
        method: method.map_or(0, |method| Methods::from(method).bits()),
        count: physical.count,
    };
    // SAFETY: the caller promises a place to write to.
    unsafe { state.write(told) };
    errno
}

const fn errno(reason: Reason) -> i32 {
    match reason {
        Reason::NoSnapshot => -ENODATA,
        Reason::Busy | Reason::VirtualFunctions | Reason::BusInUse => -EBUSY,
        Reason::NoMethod => -EOPNOTSUPP,
        Reason::Gone => -ENODEV,
        Reason::NotReady => -ETIMEDOUT,
        Reason::Cancelled => -EINTR,
        Reason::StillMapped
        | Reason::Power
        | Reason::Link
        | Reason::Sequence
        | Reason::Bridge
        | Reason::Bar
        | Reason::Layout => -EIO,
    }
}

const_assert_eq!(RVPCI_MEMBERS as usize, MEMBERS);
const_assert_eq!(RVPCI_METHOD_BUS, Methods::BUS.bits());
const_assert_eq!(RVPCI_METHODS_FUNCTION, Methods::FUNCTION.bits());
const_assert_eq!(RVPCI_METHODS_ALL, Methods::all().bits());
