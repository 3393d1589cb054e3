//! Resources.

mod administrators;
mod apply;
mod audit;
mod bootstrap;
mod rules;
mod update;
mod watch;
