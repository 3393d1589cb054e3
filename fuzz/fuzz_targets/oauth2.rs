//! Fuzzes requests of OAuth2 clients. Accepted forms and HTTP Basic credentials have one interpretation.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| server::fuzzing::oauth2_request(bytes));
