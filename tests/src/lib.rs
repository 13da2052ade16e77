//! The fake host and the models that the integration tests and fuzz targets share.
//!
//! They are written from the specifications and check what the library asks of its host: a call that no hypervisor
//! may get (an unaligned configuration access, a PIRQ given back twice, ...) is a panic.

pub mod chipset;
pub mod corpus;
pub mod datasheet;
pub mod device;
pub mod dump;
pub mod given;
pub mod guest;
pub mod host;
pub mod lspci;
pub mod machine;
pub mod mch;
pub mod mirrored;
pub mod model;
pub mod oracle;
pub mod p2m;
pub mod pirqs;
pub mod qemu;
pub mod random;
pub mod reset;
pub mod trace;
