//! What the library calls, as functions that the hypervisor defines.

use core::ffi::c_void;

use capabilities::{Sbdf, Width};
#[cfg(feature = "reset")]
use quirks::reset::{Member, Platform, Scope};
#[cfg(feature = "reset")]
use vpci::Progress;
use vpci::{Host, HostError, Message, Pages, Pirq};

unsafe extern "C" {
    /// Reads `bytes` (1, 2 or 4) at `offset` of the physical function `sbdf`.
    fn rvpci_host_config_read(sbdf: u32, offset: u32, bytes: u32) -> u32;
    /// Writes likewise.
    fn rvpci_host_config_write(sbdf: u32, offset: u32, bytes: u32, value: u32);
    /// Maps `count` host frames from `mfn` on at `gfn`. Returns how many it did, at least one, or a negative errno.
    fn rvpci_host_map(domain: *mut c_void, gfn: u64, mfn: u64, count: u64) -> i64;
    /// Unmaps likewise. A frame that is not mapped counts as done.
    fn rvpci_host_unmap(domain: *mut c_void, gfn: u64, mfn: u64, count: u64) -> i64;
    /// Makes accesses to `gfn` trap. 0 or a negative errno.
    fn rvpci_host_make_hole(domain: *mut c_void, gfn: u64) -> i32;
    /// The lowest part of host frames `first` to `last` that the host's memory map claims. Whether there is one.
    fn rvpci_host_next_reserved(first: u64, last: u64, found_first: *mut u64, found_last: *mut u64) -> bool;
    /// Whether guest frames `first` to `last` are free for a BAR: no memory, no mapping, nothing that the hypervisor or
    /// the guest's memory map has there.
    fn rvpci_host_may_place(domain: *mut c_void, first: u64, last: u64) -> bool;
    /// Whether a BAR of a function other than `sbdf` has bytes in the host frame `mfn`.
    fn rvpci_host_is_shared(sbdf: u32, mfn: u64) -> bool;
    /// The four bytes at `address`, a multiple of 4 below 0x8000, of the device's vital product data, from a cache; 0
    /// where there are none. Asked for only where `RVPCI_VPD` was given.
    fn rvpci_host_vpd_read(device: *mut c_void, address: u32) -> u32;
    /// Whether long work should pause.
    fn rvpci_host_preempt() -> bool;
    /// Allocates PIRQs in sequence for MSI. The first, or a negative errno.
    fn rvpci_host_map_msi(device: *mut c_void, vectors: u32) -> i32;
    /// Allocates a PIRQ for an MSI-X vector; `table` is the host address of the BAR with the table.
    fn rvpci_host_map_msix(device: *mut c_void, entry: u32, table: u64) -> i32;
    /// Gives back what one of the two allocated.
    fn rvpci_host_unmap_pirq(device: *mut c_void, pirq: i32);
    /// Delivers `vectors` PIRQs as this message. 0, or a negative errno and none is bound.
    fn rvpci_host_bind(
        device: *mut c_void,
        pirq: i32,
        vectors: u32,
        address: u64,
        data: u32,
        mask: u32,
    ) -> i32;
    /// Undoes it.
    fn rvpci_host_unbind(device: *mut c_void, pirq: i32, vectors: u32);
    /// Masks or unmasks a PIRQ.
    fn rvpci_host_mask(device: *mut c_void, pirq: i32, masked: bool);
    /// What to write to MSI-X Message Control at `offset` when the domain wants `value`; a negative errno for nothing.
    fn rvpci_host_filter_msix_control(device: *mut c_void, offset: u32, value: u32) -> i32;
    /// Reads `bytes` (1, 2, 4 or 8) at `offset` of the host frame `mfn`. 0 or a negative errno.
    fn rvpci_host_mmio_read(
        device: *mut c_void,
        slot: u32,
        mfn: u64,
        offset: u32,
        bytes: u32,
        value: *mut u64,
    ) -> i32;
    /// Writes likewise.
    fn rvpci_host_mmio_write(device: *mut c_void, slot: u32, mfn: u64, offset: u32, bytes: u32, value: u64);
}

#[cfg(feature = "reset")]
unsafe extern "C" {
    /// Reads the dword at the host address `address`, inside a memory BAR of the physical function `sbdf`. All ones if it
    /// cannot be mapped.
    fn rvpci_host_memory_read(sbdf: u32, address: u64) -> u32;
    /// Writes likewise; dropped if it cannot be mapped.
    fn rvpci_host_memory_write(sbdf: u32, address: u64, value: u32);
    /// Takes the physical function `sbdf` from whoever has it, by `rvpci_device_withdraw`. `RVPCI_AGAIN` as long as that
    /// says so, else `RVPCI_DONE`, also for a function that nobody has.
    fn rvpci_host_withdraw(sbdf: u32) -> i32;
    /// Whether the reset of `sbdf` can have it to itself: no other reset has it, nor the bus that it is on.
    fn rvpci_host_claim(sbdf: u32) -> bool;
    /// The end of that.
    fn rvpci_host_release(sbdf: u32);
    /// Whether the reset of `first` can have the bus behind `bridge` to itself: all other functions there are members of
    /// the reset and idle, that is, no domain and no driver uses them, and in no other reset. The hardware domain is then
    /// kept from writing to the bridge.
    fn rvpci_host_claim_bus(bridge: u32, first: u32) -> bool;
    /// The end of that.
    fn rvpci_host_release_bus(bridge: u32, first: u32);
}

/// The hypervisor, for one device of one domain: the names that C gave them.
#[derive(Clone, Copy)]
pub(crate) struct Xen {
    pub(crate) domain: *mut c_void,
    pub(crate) device: *mut c_void,
}

/// A count or a negative errno.
fn counted(result: i64) -> Result<u64, HostError> {
    u64::try_from(result).map_err(|_| HostError)
}

fn pirq(result: i32) -> Result<Pirq, HostError> {
    if result < 0 { Err(HostError) } else { Ok(Pirq(result)) }
}

fn zero(result: i32) -> Result<(), HostError> {
    if result == 0 { Ok(()) } else { Err(HostError) }
}

impl Host for Xen {
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        // SAFETY: the function has no preconditions beyond an aligned access of 1, 2 or 4 bytes below 0x1000.
        unsafe { rvpci_host_config_read(sbdf.0, u32::from(offset), u32::from(width.bytes())) }
    }

    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        // SAFETY: as for `config_read`.
        unsafe { rvpci_host_config_write(sbdf.0, u32::from(offset), u32::from(width.bytes()), value) }
    }

    fn map(&self, guest: Pages, host: u64) -> Result<u64, HostError> {
        // SAFETY: `domain` is what the caller named the domain at its creation.
        counted(unsafe { rvpci_host_map(self.domain, guest.first, host, guest.count()) })
    }

    fn unmap(&self, guest: Pages, host: u64) -> Result<u64, HostError> {
        // SAFETY: as for `map`.
        counted(unsafe { rvpci_host_unmap(self.domain, guest.first, host, guest.count()) })
    }

    fn make_hole(&self, guest: u64) -> Result<(), HostError> {
        // SAFETY: as for `map`.
        zero(unsafe { rvpci_host_make_hole(self.domain, guest) })
    }

    fn next_reserved(&self, range: Pages) -> Option<Pages> {
        let (mut first, mut last) = (0, 0);
        // SAFETY: both pointers are to locals, which the function writes when it returns true.
        let found =
            unsafe { rvpci_host_next_reserved(range.first, range.last, &raw mut first, &raw mut last) };
        found.then_some(Pages { first, last })
    }

    fn may_place(&self, guest: Pages) -> bool {
        // SAFETY: as for `map`.
        unsafe { rvpci_host_may_place(self.domain, guest.first, guest.last) }
    }

    fn is_shared(&self, sbdf: Sbdf, host: u64) -> bool {
        // SAFETY: the function has no preconditions.
        unsafe { rvpci_host_is_shared(sbdf.0, host) }
    }

    fn vpd_read(&self, address: u16) -> u32 {
        // SAFETY: as for `map_msi`.
        unsafe { rvpci_host_vpd_read(self.device, u32::from(address)) }
    }

    fn preempt(&self) -> bool {
        // SAFETY: the function has no preconditions.
        unsafe { rvpci_host_preempt() }
    }

    fn map_msi(&self, vectors: u8) -> Result<Pirq, HostError> {
        // SAFETY: `device` is what the caller named the device when it attached it.
        pirq(unsafe { rvpci_host_map_msi(self.device, u32::from(vectors)) })
    }

    fn map_msix(&self, entry: u16, table: u64) -> Result<Pirq, HostError> {
        // SAFETY: as for `map_msi`.
        pirq(unsafe { rvpci_host_map_msix(self.device, u32::from(entry), table) })
    }

    fn unmap_pirq(&self, pirq: Pirq) {
        // SAFETY: as for `map_msi`.
        unsafe { rvpci_host_unmap_pirq(self.device, pirq.0) }
    }

    fn bind(&self, pirq: Pirq, vectors: u8, message: Message, mask: u32) -> Result<(), HostError> {
        let Message { address, data } = message;
        // SAFETY: as for `map_msi`.
        zero(unsafe { rvpci_host_bind(self.device, pirq.0, u32::from(vectors), address, data, mask) })
    }

    fn unbind(&self, pirq: Pirq, vectors: u8) {
        // SAFETY: as for `map_msi`.
        unsafe { rvpci_host_unbind(self.device, pirq.0, u32::from(vectors)) }
    }

    fn mask(&self, pirq: Pirq, index: u8, masked: bool) {
        // SAFETY: as for `map_msi`.
        unsafe { rvpci_host_mask(self.device, pirq.0.wrapping_add(i32::from(index)), masked) }
    }

    fn filter_msix_control(&self, offset: u16, value: u16) -> Option<u16> {
        // SAFETY: as for `map_msi`.
        let value =
            unsafe { rvpci_host_filter_msix_control(self.device, u32::from(offset), u32::from(value)) };
        u16::try_from(value).ok()
    }

    fn mmio_read(&self, slot: u8, frame: u64, offset: u16, bytes: u8) -> Option<u64> {
        let (slot, offset, bytes) = (u32::from(slot), u32::from(offset), u32::from(bytes));
        let mut value = 0;
        // SAFETY: as for `map_msi`; the pointer is to a local.
        let result = unsafe { rvpci_host_mmio_read(self.device, slot, frame, offset, bytes, &raw mut value) };
        (result == 0).then_some(value)
    }

    fn mmio_write(&self, slot: u8, frame: u64, offset: u16, bytes: u8, value: u64) {
        let (slot, offset, bytes) = (u32::from(slot), u32::from(offset), u32::from(bytes));
        // SAFETY: as for `map_msi`.
        unsafe { rvpci_host_mmio_write(self.device, slot, frame, offset, bytes, value) }
    }
}

/// The hypervisor, for all physical functions.
#[cfg(feature = "reset")]
pub(crate) struct Machine;

#[cfg(feature = "reset")]
impl Machine {
    pub(crate) fn config_read(sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        // SAFETY: as for a device.
        unsafe { rvpci_host_config_read(sbdf.0, u32::from(offset), u32::from(width.bytes())) }
    }
}

/// The function whose bus is reset.
#[cfg(feature = "reset")]
fn first(members: &[Member<'_>]) -> u32 {
    members.first().map_or(crate::RVPCI_NO_SBDF, |member| member.snapshot.sbdf().0)
}

#[cfg(feature = "reset")]
impl Platform for Machine {
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32 {
        Self::config_read(sbdf, offset, width)
    }

    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32) {
        // SAFETY: as for `config_read`.
        unsafe { rvpci_host_config_write(sbdf.0, u32::from(offset), u32::from(width.bytes()), value) }
    }

    fn memory_read(&self, sbdf: Sbdf, address: u64) -> u32 {
        // SAFETY: the address is in a BAR that the caller named when the function was learnt.
        unsafe { rvpci_host_memory_read(sbdf.0, address) }
    }

    fn memory_write(&self, sbdf: Sbdf, address: u64, value: u32) {
        // SAFETY: likewise.
        unsafe { rvpci_host_memory_write(sbdf.0, address, value) }
    }

    fn withdraw(&self, sbdf: Sbdf) -> Progress {
        // SAFETY: the function has no preconditions.
        let again = unsafe { rvpci_host_withdraw(sbdf.0) } == crate::RVPCI_AGAIN;
        if again { Progress::Again } else { Progress::Done }
    }

    fn claim(&self, scope: Scope<'_>) -> bool {
        match scope {
            // SAFETY: the function has no preconditions.
            Scope::Function(sbdf) => unsafe { rvpci_host_claim(sbdf.0) },
            // SAFETY: likewise.
            Scope::Bus { bridge, members } => unsafe { rvpci_host_claim_bus(bridge.0, first(members)) },
        }
    }

    fn release(&self, scope: Scope<'_>) {
        match scope {
            // SAFETY: the function has no preconditions.
            Scope::Function(sbdf) => unsafe { rvpci_host_release(sbdf.0) },
            // SAFETY: likewise.
            Scope::Bus { bridge, members } => unsafe { rvpci_host_release_bus(bridge.0, first(members)) },
        }
    }
}
