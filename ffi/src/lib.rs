//! Stub.
#![no_std]

/// Stub.
#[unsafe(no_mangle)]
pub extern "C" fn rvpci_abi_version() -> u32 {
    1
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        fn rvpci_panic_is_reachable() -> !;
    }
    // SAFETY: the symbol is defined nowhere: an object that keeps this call does not link.
    unsafe { rvpci_panic_is_reachable() }
}
