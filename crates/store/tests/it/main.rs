//! The conformance suite for every backend, and tests specific to one of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod clocks;
mod conformance;
mod deadlines;
mod durability;
mod failover;
mod fixture;
mod history;
mod linearizability;
mod maintenance;
mod plans;
mod postgres;
mod sealing;
mod stopped_writer;
