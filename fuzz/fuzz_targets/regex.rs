//! Regular expressions in the syntax of RE2, translated into that of the crate `regex`: what is translated has a meaning
//! there.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|pattern: &str| policy::fuzzing::regular_expression(pattern));
