//! Random registers and accesses against a byte-wise model: see [`fuzz::accesses`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: fuzz::accesses::Input| fuzz::accesses::run(&input));
