//! What devices do that their registers do not say, and how they are reset.
//!
//! [`Quirks`] is what is known of one device, merged from the rows of the tables. The only contact with a device is a
//! trait that the caller implements; nothing here waits, allocates or panics.
//!
//! "PCIe" is the PCI Express Base Specification 6.0, "PCI" the PCI Local Bus Specification 3.0.
#![no_std]

mod device;
mod flags;
pub mod mirrors;
pub mod reset;
pub mod table;

pub use flags::{DeviceReset, Flags, Method, Methods, Order, Quirks};
