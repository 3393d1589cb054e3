//! Fuzzes cookies that an upstream sets. They must not replace our own cookies or apply to another host.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::set_cookies(bytes));
