//! The control plane on real stores.

mod authorization;
mod cluster;
mod resources;
