//! The control plane on real stores.

mod cluster;
mod resources;
