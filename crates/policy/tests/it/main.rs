//! Tests of the policy engine through its public API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::default_trait_access,
    clippy::unnecessary_wraps,
    reason = "a test fails by panicking, and its builders read best short"
)]

mod checks;
mod context;
mod decisions;
mod hostile;
mod laws;
mod lists;
mod naive;
mod shadow;
mod support;
mod tricks;
