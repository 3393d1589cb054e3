//! Fuzzes trailers of clients and upstreams. They must not contain fields that are forbidden in the head, in any
//! spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::trailers(bytes));
