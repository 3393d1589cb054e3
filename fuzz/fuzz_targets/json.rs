//! Fuzzes JSON bodies. An accepted body has the value that other parsers read, no repeated keys and a bounded size.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::json_body(bytes));
