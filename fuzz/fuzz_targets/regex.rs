//! Fuzzes the translation of RE2 regular expressions to the `regex` crate. Each translation must compile.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|pattern: &str| policy::fuzzing::regular_expression(pattern));
