//! Fuzzes HTTP/1.1 framing. The result does not depend on how the bytes are split, and chunk size lines are strict.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::framing(bytes));
