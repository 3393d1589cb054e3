//! Streams of HTTP/1.1: the same is found however the bytes come, and lines before chunks are strict.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gateway::fuzzing::framing(bytes));
