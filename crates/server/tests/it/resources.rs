//! Resources.

mod administrators;
mod apply;
mod audit;
mod bootstrap;
mod identity_provider;
mod rules;
mod second_factors;
mod secret;
mod update;
mod watch;
