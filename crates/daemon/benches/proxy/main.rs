//! Benchmarks of the gateway of a real `octeliumd` against other proxies.
//!
//! `cargo bench -p daemon --bench proxy [-- SCENARIO…]` starts octeliumd (embedded store), nginx, nginx with
//! `auth_request`, haproxy and, if it is installed, Envoy with `jwt_authn` and RBAC. All terminate TLS, keep
//! connections to the same upstream, write an access log, and get a bearer token with each request.
//!
//! The proxies are measured in short alternating rounds. Figures are medians over the rounds; ratios are medians of the
//! ratios within a round. Only the CPU time of the proxy's own processes counts, so that other load on the machine has
//! little effect.

#![allow(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark fails by panicking"
)]

#[allow(dead_code, reason = "shared with the other benchmark")]
#[path = "../system/api.rs"]
mod api;
#[allow(dead_code, reason = "shared with the other benchmark")]
#[path = "../system/figures.rs"]
mod figures;
#[allow(dead_code, reason = "shared with the other benchmark")]
#[path = "../system/http.rs"]
mod http;
#[allow(dead_code, reason = "shared with the other benchmark")]
#[path = "../system/load.rs"]
mod load;
mod paced;
mod peer;
mod process;
#[allow(dead_code, reason = "shared with the other benchmark")]
#[path = "../system/replica.rs"]
mod replica;
mod rounds;
mod scenario;
mod stage;
mod tool;
mod upstream;

use figures::Figures;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments
        .first()
        .is_some_and(|first| first == upstream::ROLE)
    {
        return upstream::serve();
    }
    // Cargo passes `--bench`. Arguments without a leading dash are names of scenarios.
    let wanted: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("an asynchronous runtime");
    let mut figures = Figures::start();
    for (name, run) in scenario::ALL {
        if wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name) {
            runtime.block_on(run(&mut figures));
        }
    }
}
