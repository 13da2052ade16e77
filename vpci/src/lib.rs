//! In-hypervisor mediation of PCI configuration space.
//!
//! A [`Function`] is a PCI function under mediation: a map from dwords to [`Register`]s, the state behind them, and
//! the effects of writing some of them. An [`Emulated`] is one that no device is behind. A [`Domain`] routes an
//! [`Sbdf`](capabilities::Sbdf) to its owner. All live in memory that the caller provides; the only contact with the
//! world is the [`Host`].
//!
//! "PCIe" is the PCI Express Base Specification 6.0.
#![no_std]

mod attach;
mod audit;
mod bar;
mod command;
mod domain;
mod emulated;
mod function;
mod guest;
mod guest_bar;
mod guest_list;
mod guest_rules;
mod host;
mod lists;
mod map;
mod mapping;
mod msi;
mod msix;
mod msix_mmio;
mod pages;
mod refusal;
mod register;
#[cfg(feature = "guest")]
mod reset;
mod rom;
mod withheld;

pub use attach::{AttachError, GuestInfo, Info, VirtualFunction};
pub use audit::Record;
pub use bar::{Bar, BarKind};
pub use domain::{
    ClaimError, Domain, DomainError, Handle, Kind, MAX_CLAIMED, Owner, Server, Slot, Window, find_free,
    find_slot, find_window, may_forward, windows_for,
};
pub use emulated::Emulated;
pub use function::{Function, Locked, State, View, Written, read_virtual, write_virtual};
pub use host::{Host, HostError, Message, Pirq};
pub use map::{DefineError, Definition, Source};
pub use mapping::{Progress, Siblings};
pub use msi::Msi;
pub use msix::{Msix, Vector};
pub use pages::{PAGE_SHIFT, Pages};
pub use refusal::Refusal;
pub use register::Register;
pub use withheld::{HOLES, Hole, Mirrors, TRAPPED, Way};
