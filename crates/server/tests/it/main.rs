//! Integration tests of the control plane on real stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::cast_precision_loss,
    clippy::duration_suboptimal_units,
    clippy::too_many_lines,
    reason = "a test that cannot go on has failed"
)]

mod authentication;
mod authorization;
mod clients;
mod cluster;
mod failing;
mod helpdesk;
mod names;
mod oauth2;
mod replicas;
mod resources;
mod return_to;
mod web;
