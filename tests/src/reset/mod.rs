//! Functions behind a bridge, with a clock: what the reset engine is tried on.
//!
//! Times are those of the PCI Express Base Specification 6.0: 6.6.1 (conventional reset), 6.6.2 (function-level reset),
//! 5.9 (power states). What no software may do, an access before its time for one, is kept as a violation.

pub mod bridge;
pub mod function;
pub mod judge;
pub mod memory;
pub mod model;
pub mod sample;
pub mod schedule;

/// A millisecond.
pub const MS: u64 = 1_000;
/// A second.
pub const SECOND: u64 = 1_000_000;
/// Never.
pub const NEVER: u64 = u64::MAX;
