//! Hostile devices in the hands of hostile guests: see [`fuzz::hostile_guest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: fuzz::hostile_guest::Input| fuzz::hostile_guest::run(&input));
