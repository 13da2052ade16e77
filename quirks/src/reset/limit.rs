//! Resets that a guest asks for.

use capabilities::Sbdf;
use zerocopy::FromZeros;

use super::engine::Request;
use super::times::{SECOND, Time};
use crate::Methods;

/// From the end of a function's reset to the start of the next one that its guest asks for, in microseconds.
pub const GUEST_INTERVAL: u64 = SECOND;

/// How often a guest has a function reset. All zeros is one that never was.
///
/// A reset that comes too soon is not refused but starts later: its guest sees a function that takes its time to get
/// ready, as it may (PCIe 6.6.2), and never one that ignores a reset. While it waits, the function is withdrawn, so that
/// there is at most one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromZeros)]
#[repr(transparent)]
pub struct Limiter {
    next: u64,
}

impl Limiter {
    /// What to do about a reset that the guest asks for at `now`: of its function alone.
    #[must_use]
    pub fn request(&self, bridge: Option<Sbdf>, now: Time) -> Request {
        Request { bridge, methods: Methods::FUNCTION, not_before: now.max(Time(self.next)) }
    }

    /// A reset of the function ended at `now`, whoever asked for it and however it ended.
    pub const fn ended(&mut self, now: Time) {
        self.next = now.after(GUEST_INTERVAL).0;
    }
}
