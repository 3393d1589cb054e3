//! Fuzzes client addresses from load balancers: PROXY protocol headers and `X-Forwarded-For`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    gateway::fuzzing::proxy_header(bytes);
    gateway::fuzzing::forwarded_for(bytes);
});
