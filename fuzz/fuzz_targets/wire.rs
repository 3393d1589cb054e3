//! Fuzzes the reader of the objects of API calls. It finds what the decoder of the request finds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| server::fuzzing::target(bytes));
