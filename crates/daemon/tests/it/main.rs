//! Whole-system tests: the layout of the sources, and scenarios with the real programs.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod admin_console;
mod attested;
mod authenticators;
mod browser;
mod budget;
mod connections;
mod crash;
mod credentials_page;
mod documentation;
mod existing_clients;
mod failover;
mod identity_providers;
mod listener;
mod login;
mod module_cycles;
mod oauth2;
mod operation;
#[cfg(feature = "otlp")]
mod otlp;
mod outage;
mod passkeys;
mod policies;
mod quickstart;
mod replicas;
mod restore;
mod restore_postgres;
mod revocation;
mod saml;
mod secrets_at_rest;
mod step_up;
mod support;
mod threats;
mod tidy;
mod trusted_proxies;
mod upstream_credentials;
