//! What a guest's device is known as, kept with it: it says what of its BARs is not the guest's.

#[cfg(not(feature = "reset"))]
use capabilities::Width;
use vpci::{AttachError, Function};
#[cfg(not(feature = "reset"))]
use vpci::{Bar, Way};

use crate::abi::rvpci_device_info;
use crate::host::Xen;

/// What a device is. All zeros is one of which nothing is known.
#[cfg(feature = "reset")]
pub(crate) type Known = quirks::table::Identity;
/// Nothing is known of any.
#[cfg(not(feature = "reset"))]
#[derive(Clone, Copy)]
pub(crate) struct Known;

#[cfg(not(feature = "reset"))]
impl vpci::Mirrors for Known {
    fn way(&self, _: &[Bar; 7], _: u8, _: u64, _: Width, _: Option<u32>) -> Way {
        Way::Device
    }
}

/// What the device is that is to be attached.
///
/// # Safety
///
/// `info.physical` is NULL or a physical function.
#[cfg(feature = "reset")]
pub(crate) unsafe fn known(info: &rvpci_device_info) -> Known {
    // SAFETY: the caller promises it.
    unsafe { info.physical.as_ref() }.map(|physical| physical.kept.identity).unwrap_or_default()
}

#[cfg(not(feature = "reset"))]
pub(crate) const unsafe fn known(_: &rvpci_device_info) -> Known {
    Known
}

/// Whether the guest is one that may have any device.
pub(crate) const fn is_trusted(info: &rvpci_device_info) -> bool {
    info.flags & crate::RVPCI_TRUSTED != 0
}

/// Withholds from a guest that just got the device what its mirrors say.
///
/// # Errors
///
/// Those of [`quirks::mirrors::guard`].
#[cfg(feature = "reset")]
#[inline(never)]
pub(crate) fn guard(
    function: &mut Function<'_>,
    xen: Xen,
    known: Known,
    trusted: bool,
) -> Result<(), AttachError> {
    quirks::mirrors::guard(function, &xen, &known, trusted)
}

#[cfg(not(feature = "reset"))]
#[expect(clippy::unnecessary_wraps, reason = "there is one that fails")]
pub(crate) const fn guard(_: &mut Function<'_>, _: Xen, _: Known, _: bool) -> Result<(), AttachError> {
    Ok(())
}
