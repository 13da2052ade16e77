//! What the engine asks of the hypervisor.

use capabilities::{ConfigReader, Sbdf, Width};
use vpci::Progress;

use super::snapshot::Member;

/// What is reset together, and nobody else's business meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'m> {
    /// One function.
    Function(Sbdf),
    /// All functions behind a bridge.
    Bus {
        /// The bridge.
        bridge: Sbdf,
        /// The functions that the reset takes care of.
        members: &'m [Member<'m>],
    },
}

/// The hypervisor, for all physical functions. No method waits.
pub trait Platform {
    /// Reads a register of the physical function `sbdf`: `width` bytes at `offset`, aligned. All ones if there is none.
    ///
    /// Where the root complex does not tell software of a Request Retry Status (PCIe 2.3.1), this access is repeated
    /// by hardware for as long as the function asks for it: see [`enable_rrs`](super::enable_rrs).
    fn config_read(&self, sbdf: Sbdf, offset: u16, width: Width) -> u32;

    /// Writes a register of the physical function `sbdf`.
    fn config_write(&self, sbdf: Sbdf, offset: u16, width: Width, value: u32);

    /// Reads the dword at the host address `address`, inside a memory BAR of `sbdf`. All ones if it cannot be mapped.
    fn memory_read(&self, sbdf: Sbdf, address: u64) -> u32;

    /// Writes that dword; dropped if it cannot be mapped.
    fn memory_write(&self, sbdf: Sbdf, address: u64, value: u32);

    /// Takes the function from its domain: from now on accesses to it read all ones and writes are dropped, its
    /// interrupts are given back, and its pages leave the p2m. [`Progress::Again`] until they have. A function that nobody
    /// has, or that is withdrawn already, is [`Progress::Done`].
    fn withdraw(&self, sbdf: Sbdf) -> Progress;

    /// Whether the engine can have all of `scope` to itself, until it [releases](Self::release) it.
    ///
    /// A function: no reset that it is part of is going on, nor one of a bus that it is behind. A bus: every function
    /// behind the bridge is a member or idle, that is, no domain and no driver uses it; and none but the engine's first
    /// member is in another reset. Of what is idle and no member, the registers are lost.
    fn claim(&self, scope: Scope<'_>) -> bool;

    /// Ends a [`claim`](Self::claim).
    fn release(&self, scope: Scope<'_>);
}

/// The configuration space of one function.
pub(crate) struct Physical<'p, P> {
    platform: &'p P,
    pub(crate) sbdf: Sbdf,
}

impl<'p, P: Platform> Physical<'p, P> {
    pub(crate) const fn new(platform: &'p P, sbdf: Sbdf) -> Self {
        Self { platform, sbdf }
    }

    pub(crate) fn write16(&self, offset: u16, value: u16) {
        self.platform.config_write(self.sbdf, offset, Width::Word, u32::from(value));
    }

    pub(crate) fn write32(&self, offset: u16, value: u32) {
        self.platform.config_write(self.sbdf, offset, Width::Dword, value);
    }

    pub(crate) fn write(&self, offset: u16, width: Width, value: u32) {
        self.platform.config_write(self.sbdf, offset, width, value);
    }

    pub(crate) fn memory_read(&self, address: u64) -> u32 {
        self.platform.memory_read(self.sbdf, address)
    }

    pub(crate) fn memory_write(&self, address: u64, value: u32) {
        self.platform.memory_write(self.sbdf, address, value);
    }
}

impl<P: Platform> ConfigReader for Physical<'_, P> {
    fn read(&self, offset: u16, width: Width) -> u32 {
        self.platform.config_read(self.sbdf, offset, width)
    }
}
