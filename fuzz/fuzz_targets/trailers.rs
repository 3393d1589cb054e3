//! Trailers of clients and upstreams: nothing that the head could not have, in any spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::trailers(bytes));
