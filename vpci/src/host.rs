//! What the engine asks of the hypervisor.

use capabilities::{Sbdf, Width, msi};

use crate::Pages;

/// The number of a physical interrupt that the host bound to a domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Pirq(pub i32);

/// A message signalled interrupt as the domain wrote it. It never reaches the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// Message Address (PCIe 7.7.1.3, 7.7.1.4).
    pub address: u64,
    /// Message Data (PCIe 7.7.1.5).
    pub data: u32,
}

impl Message {
    /// Whether this is an interrupt that a local APIC takes from a device: an address in its range, and a delivery mode
    /// of fixed or lowest priority (Intel SDM 3A, 11.11). NMI, SMI, INIT and `ExtINT` are not a device's to send.
    #[must_use]
    pub const fn is_deliverable(&self) -> bool {
        self.address >> msi::APIC_RANGE_SHIFT == msi::APIC_RANGE
            && self.data & msi::DELIVERY_MODE <= msi::LOWEST_PRIORITY
    }
}

/// The host did not do what it was asked, and changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostError;

/// The hypervisor, for one function and the domain that owns it.
///
/// Frames are numbers of 4 KiB pages; "guest" frames are those of the domain's p2m. No method waits.
pub trait Host {
    /// Reads a register of the physical function `sbdf`: `width` bytes at `offset`, aligned.
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32;

    /// Writes a register of the physical function `sbdf`.
    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32);

    /// Maps the frames from `host` on at `guest` in the p2m. Returns how many it did from the front, at least one.
    /// A frame that is mapped so already counts as done; one that is mapped otherwise is an error, not a crash.
    ///
    /// # Errors
    ///
    /// Nothing more is mapped: no permission, no memory, or another mapping is there.
    fn map(&self, guest: Pages, host: u64) -> Result<u64, HostError>;

    /// Takes the frames `guest`, mapped from `host` on, out of the p2m. Returns how many it did from the front, at
    /// least one. A frame that is not mapped counts as done.
    ///
    /// # Errors
    ///
    /// The first frame cannot be unmapped.
    fn unmap(&self, guest: Pages, host: u64) -> Result<u64, HostError>;

    /// Makes sure that accesses to the guest frame `guest` trap, taking away an identity mapping.
    ///
    /// # Errors
    ///
    /// Something else is mapped there.
    fn make_hole(&self, guest: u64) -> Result<(), HostError>;

    /// The lowest range of host frames inside `range` that the host's memory map claims, clipped to `range`.
    fn next_reserved(&self, range: Pages) -> Option<Pages>;

    /// Whether the guest frames are free for a BAR: no memory, no other mapping, nothing that the hypervisor or the
    /// guest's memory map has there.
    fn may_place(&self, guest: Pages) -> bool;

    /// Whether a BAR of a function other than the physical function `sbdf` has bytes in the host frame `host`.
    fn is_shared(&self, sbdf: Sbdf, host: u64) -> bool;

    /// The four bytes at `address`, a multiple of 4 below 0x8000, of the device's vital product data, from a cache; 0
    /// where there are none.
    fn vpd_read(&self, address: u16) -> u32;

    /// Whether long work should pause here.
    fn preempt(&self) -> bool;

    /// Allocates `vectors` PIRQs, in sequence, for MSI. Returns the first.
    ///
    /// # Errors
    ///
    /// Nothing is allocated.
    fn map_msi(&self, vectors: u8) -> Result<Pirq, HostError>;

    /// Allocates a PIRQ for the MSI-X vector `entry`; `table` is the host address of the BAR with the table.
    ///
    /// # Errors
    ///
    /// Nothing is allocated.
    fn map_msix(&self, entry: u16, table: u64) -> Result<Pirq, HostError>;

    /// Gives back what [`map_msi`](Self::map_msi) or [`map_msix`](Self::map_msix) allocated, all vectors of it.
    fn unmap_pirq(&self, pirq: Pirq);

    /// Delivers `vectors` PIRQs from `pirq` on as `message`; bit n of `mask` masks the n-th.
    ///
    /// # Errors
    ///
    /// None of them is bound.
    fn bind(&self, pirq: Pirq, vectors: u8, message: Message, mask: u32) -> Result<(), HostError>;

    /// Undoes [`bind`](Self::bind).
    fn unbind(&self, pirq: Pirq, vectors: u8);

    /// Masks or unmasks the `index`-th vector of `pirq`.
    fn mask(&self, pirq: Pirq, index: u8, masked: bool);

    /// The MSI-X control value to write to `offset` of the physical function when the domain wants `value`, as the
    /// host masks vectors for reasons of its own; `None` if it must not be written.
    fn filter_msix_control(&self, offset: u16, value: u16) -> Option<u16>;

    /// Reads `bytes` (1, 2, 4 or 8) at byte `offset` of the host frame `frame`. `slot`, 0 to 3, names a mapping that
    /// the host may keep until it is asked for another frame in that slot. `None` if it cannot be mapped.
    fn mmio_read(&self, slot: u8, frame: u64, offset: u16, bytes: u8) -> Option<u64>;

    /// Writes likewise; dropped if the frame cannot be mapped.
    fn mmio_write(&self, slot: u8, frame: u64, offset: u16, bytes: u8, value: u64);
}
