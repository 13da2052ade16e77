//! Device-model servers: what they claim, and what they can be asked.

use capabilities::Sbdf;
use static_assertions::const_assert_eq;
use vpci::{Kind, Server};

use crate::abi::{EINVAL, Errno, RVPCI_OWNER_SERVER};
use crate::domain::{self, rvpci_domain};

const_assert_eq!(RVPCI_OWNER_SERVER, Kind::Server0 as u32);

/// Makes the device-model server `server`, 0 to 7, the owner of the functions `first` to `last`: of all or of none.
///
/// Lock: exclusive. Work: constant for each function on average, of which there are at most 4096.
/// Returns 0; -EINVAL for another server or `last` before `first`, -EEXIST if one of them has an owner, -ENOSPC if the
/// domain is full, -E2BIG if it would have more than 4096 owners.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_claim(domain: *mut rvpci_domain, first: u32, last: u32, server: u32) -> i32 {
    let Some(server) = Server::new(server).filter(|_| first <= last) else { return -EINVAL };
    // SAFETY: the caller promises a domain and holds the exclusive lock.
    let mut domain = unsafe { domain::exclusive(domain) };
    domain.claim(Sbdf(first), Sbdf(last), server).err().map_or(0, Errno::errno)
}

/// Takes from `server` what it owns of the functions `first` to `last`, which may be all there are.
///
/// Lock: exclusive. Work: linear in the slots of the domain.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_release(domain: *mut rvpci_domain, first: u32, last: u32, server: u32) {
    let Some(server) = Server::new(server) else { return };
    // SAFETY: the caller promises a domain and holds the exclusive lock.
    let mut domain = unsafe { domain::exclusive(domain) };
    domain.release(Sbdf(first), Sbdf(last), server);
}

/// Says whether `server`, 0 to 7, knows registers from 0x100 on. At first none does.
///
/// Lock: exclusive. Work: constant.
/// Returns 0; -EINVAL for another server.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_set_extended(domain: *mut rvpci_domain, server: u32, extended: bool) -> i32 {
    let Some(server) = Server::new(server) else { return -EINVAL };
    let bit = 1 << server.number();
    // SAFETY: the caller promises a domain and holds its lock.
    let servers = unsafe { domain::extended(domain) };
    let servers = if extended { servers | bit } else { servers & !bit };
    // SAFETY: the caller holds the exclusive lock.
    unsafe { domain::set_extended(domain, servers) };
    0
}

/// Whether the owner that `rvpci_find` gave is a server that can be asked for `bytes` at `offset`: 1, 2 or 4 bytes within
/// one dword, below 0x100 unless it knows more. What it cannot be asked reads as all ones, and is dropped when written.
///
/// Lock: shared. Work: constant.
///
/// # Safety
///
/// `domain` is a domain.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rvpci_may_forward(
    domain: *const rvpci_domain,
    owner: u32,
    offset: u32,
    bytes: u32,
) -> bool {
    let Some(server) = owner.checked_sub(RVPCI_OWNER_SERVER).and_then(Server::new) else { return false };
    // SAFETY: the caller promises a domain and holds its lock.
    let servers = unsafe { domain::extended(domain) };
    vpci::may_forward(offset, bytes, servers & 1 << server.number() != 0)
}
