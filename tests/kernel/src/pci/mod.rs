//! PCI as a driver sees it.

pub(crate) mod bar;
pub(crate) mod config;
pub(crate) mod function;
pub(crate) mod msi;

pub(crate) use config::{Access, Address};
pub(crate) use function::Function;
