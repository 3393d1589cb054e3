//! Heads of HTTP requests: what is accepted reads the same whoever reads it, and has nothing of ours.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::request(bytes));
