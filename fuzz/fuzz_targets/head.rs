//! Fuzzes heads of HTTP requests. Accepted heads have one interpretation and do not contain our internal headers.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::request(bytes));
