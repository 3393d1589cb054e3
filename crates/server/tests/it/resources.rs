//! Resources.

mod administrators;
mod apply;
mod bootstrap;
mod rules;
mod update;
mod watch;
