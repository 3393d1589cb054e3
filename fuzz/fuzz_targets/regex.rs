//! Fuzzes the translation of RE2 regular expressions to the `regex` crate. Each translation must compile.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|pattern: &str| cel::fuzzing::regular_expression(pattern));
