//! Devices whose configuration space changes between any two reads: see [`fuzz::hostile_device`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: fuzz::hostile_device::Input| fuzz::hostile_device::run(&input));
