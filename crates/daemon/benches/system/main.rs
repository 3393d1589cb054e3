//! Whole-system benchmarks of a real `octeliumd` with its embedded, durable store.
//!
//! `cargo bench -p daemon --bench system [-- SCENARIO…]` prints one tab-separated line for each figure. Latencies of
//! open-loop runs count from the time at which a request was due, so that a stall also counts for the requests that it
//! delays.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has failed"
)]

mod api;
mod figures;
mod http;
mod load;
mod population;
mod provider;
#[allow(dead_code, reason = "shared with the other benchmark")]
mod replica;
mod scenario;
mod upstream;

use figures::Figures;

fn main() {
    // Cargo passes `--bench`. Arguments without a leading dash are names of scenarios.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let runtime = tokio::runtime::Runtime::new().expect("an asynchronous runtime");
    let mut figures = Figures::start();
    for (name, is_quick, run) in scenario::ALL {
        let chosen = if wanted.is_empty() {
            is_quick
        } else {
            wanted.iter().any(|wanted| wanted == name)
        };
        if chosen {
            runtime.block_on(run(&mut figures));
        }
    }
}
