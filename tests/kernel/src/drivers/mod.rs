//! Drivers, no larger than it takes to move data and to be interrupted.

pub(crate) mod ahci;
pub(crate) mod e1000e;
pub(crate) mod nvme;

/// How long a device may take, in microseconds. Emulated devices on a busy machine are slow.
pub(crate) const PATIENCE: u64 = 5_000_000;

/// How long an interrupt takes that comes, in microseconds.
pub(crate) const SOON: u64 = 3_000;

/// The block of a disk that is written. The first page is the host's, which knows what is there.
pub(crate) const WRITTEN: u32 = 64;
