//! Fuzzes HTTP/2 streams. The frames do not depend on how the bytes are split.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::http2_frames(bytes));
