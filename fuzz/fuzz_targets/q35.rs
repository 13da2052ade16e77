//! The MCH against a byte-wise model: see [`fuzz::q35`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: fuzz::q35::Input| fuzz::q35::run(&input));
