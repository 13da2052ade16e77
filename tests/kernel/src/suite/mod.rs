//! What is checked, in which role.

pub(crate) mod dom0;
