//! Runs the programs against a fake Cluster.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::assigning_clones,
    clippy::cast_possible_truncation,
    clippy::unnecessary_wraps,
    reason = "tests"
)]

mod apply;
mod authenticators;
mod credentials;
mod exit;
mod fake;
mod login;
mod output;
mod policy;
mod program;
mod watch;
