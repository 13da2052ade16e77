//! Schedules of resets: see [`fuzz::reset`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: fuzz::reset::Input| fuzz::reset::run(&input));
