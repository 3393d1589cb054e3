//! Cookies that an upstream sets: none of ours, and none for another host.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::set_cookies(bytes));
