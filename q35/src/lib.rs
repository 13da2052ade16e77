//! The memory controller hub (MCH) of a Q35 machine, as a hypervisor has it.
//!
//! An [`Mch`] is function 00:00.0: its configuration space, and what comes of writing PCIEXBAR, which says where ECAM
//! is, and SMRAM, which locks other registers. [`decode_port`] and [`Window::decode`] turn the two ways to reach
//! configuration space into a function and a register. [`layout`] finds a place for ECAM before a guest is built.
//!
//! [`registers`] names the documents that the registers are from.
#![no_std]

mod image;
pub mod layout;
mod mch;
mod pciexbar;
mod port;
pub mod registers;

pub use image::{Image, ImageError};
pub use mch::{Info, InfoError, Mch};
pub use pciexbar::{Decoded, Window, pciexbar_decode, pciexbar_encode};
pub use port::decode_port;
