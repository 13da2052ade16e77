//! The C ABI of the vPCI library, and the only crate with `unsafe`.
//!
//! `include/vpci.h` is generated from this crate; `tests/header.rs` holds the two together. Nothing here decides
//! anything about PCI: it turns pointers into references, errors into errno values and the host's functions into a
//! [`vpci::Host`].
//!
//! # Contract with the caller
//!
//! - The library takes no lock. "Shared" and "exclusive" name the modes of one lock for each domain, "device" a lock
//!   for each device. A function that names a lock is called with it held.
//! - Memory is the caller's. A domain or device begins at the address given at its creation, and the library keeps no
//!   pointer to it once it is detached or moved.
//! - No function waits, allocates or calls back into the caller but through `rvpci_host_*`. No function panics.
#![no_std]

mod abi;
mod access;
mod device;
mod domain;
#[cfg(feature = "guest")]
mod guest;
mod host;
mod known;
#[cfg(feature = "q35")]
mod mch;
#[cfg(feature = "reset")]
mod physical;
mod query;
#[cfg(feature = "reset")]
mod reset;
#[cfg(feature = "q35")]
mod server;
#[cfg(feature = "reset")]
mod withdraw;

pub use abi::*;
pub use access::*;
pub use device::*;
pub use domain::*;
#[cfg(feature = "guest")]
pub use guest::*;
#[cfg(feature = "q35")]
pub use mch::*;
#[cfg(feature = "reset")]
pub use physical::*;
pub use query::*;
#[cfg(feature = "reset")]
pub use reset::*;
#[cfg(feature = "q35")]
pub use server::*;
#[cfg(feature = "reset")]
pub use withdraw::*;

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn rvpci_panic_is_reachable() -> !;
    }
    // SAFETY: the symbol is defined nowhere: an object that keeps this call does not link.
    unsafe { rvpci_panic_is_reachable() }
}
