//! What load balancers say of clients: PROXY protocol headers, and fields `X-Forwarded-For`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    gateway::fuzzing::proxy_header(bytes);
    gateway::fuzzing::forwarded_for(bytes);
});
