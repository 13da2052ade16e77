//! What the targets with hostile devices share: the devices, and the host that they and their domain are on.

use capabilities::{Access, ConfigReader, Width};
use vpci::Function;
use zerocopy::FromZeros;

use self::host::HostileHost;

pub(crate) mod frames;
pub(crate) mod host;
pub(crate) mod plan;

/// The function as its domain sees it.
pub(crate) struct Seen<'f, 'm>(pub(crate) &'f Function<'m>, pub(crate) &'f HostileHost);

impl ConfigReader for Seen<'_, '_> {
    fn read(&self, offset: u16, width: Width) -> u32 {
        self.0.read(self.1, access(offset, width))
    }
}

/// An access that hardware knows.
pub(crate) fn access(offset: u16, width: Width) -> Access {
    Access::new(u32::from(offset), u32::from(width.bytes())).expect("a legal access")
}

/// Memory as a hypervisor gives it.
pub(crate) fn zeroed<T: FromZeros>(count: usize) -> Vec<T> {
    std::iter::repeat_with(T::new_zeroed).take(count).collect()
}
