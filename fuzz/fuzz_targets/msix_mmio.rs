//! Accesses to the pages of an MSI-X table and PBA: see [`fuzz::msix_mmio`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: fuzz::msix_mmio::Input| fuzz::msix_mmio::run(&input));
