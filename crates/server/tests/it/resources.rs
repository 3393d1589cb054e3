//! Resources.

mod administrators;
mod apply;
mod audit;
mod bootstrap;
mod identity_provider;
mod rules;
mod update;
mod watch;
