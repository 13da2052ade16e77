//! What is checked, in which role.

pub(crate) mod dom0;
mod firmware;
pub(crate) mod guest;
mod hammer;
mod hostile;
mod mirror;
pub(crate) mod q35;
mod reset;
pub(crate) mod toolstack;
mod worker;
