//! Resetting a function: a step machine that is told the time and never waits.
//!
//! A [`Reset`] takes the function from its domain and stops it, resets it by the first [method](crate::Method) that
//! applies, waits until it answers, writes its registers as its [`Snapshot`] has them, COMMAND last, and sees whether it
//! is the same function. It has no memory but itself, and nothing of the host's but what it [claims](Platform::claim) and
//! gives back. What may go wrong ends in [`Outcome::Quarantined`] within [`BOUND`].

mod bus;
mod engine;
mod limit;
mod methods;
mod platform;
mod port;
mod restore;
mod saved;
mod snapshot;
mod times;

pub(crate) use platform::Physical;
pub(crate) use snapshot::Facts;
pub(crate) use times::MS;

pub use engine::{Next, Outcome, Reason, Request, Reset};
pub use limit::{GUEST_INTERVAL, Limiter};
pub use platform::{Platform, Scope};
pub use port::enable_rrs;
pub use snapshot::{Member, Region, Snapshot, SnapshotError, Subject};
pub use times::{BOUND, MEMBERS, Time};
