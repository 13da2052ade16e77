//! What the targets with hostile devices share: the devices, and the host that they and their domain are on.

pub(crate) mod frames;
pub(crate) mod host;
pub(crate) mod plan;
