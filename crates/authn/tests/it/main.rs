//! Tests with real identity providers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod saml_metadata;
mod simplesamlphp;
