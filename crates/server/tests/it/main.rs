//! The control plane on real stores.

mod authentication;
mod authorization;
mod cluster;
mod failing;
mod oauth2;
mod replicas;
mod resources;
