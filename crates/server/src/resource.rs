//! Resources: validation, derived state, and reads.
//!
//! A write is planned in a [`draft::Draft`], which overlays the store with the staged changes and commits them in one
//! transaction. A single call plans one step and `apply` many. Both use the same rules, one file per kind.

pub mod access;
pub mod administrators;
pub mod apply;
mod attrs;
pub mod audit;
pub mod authenticator;
pub mod author;
pub(crate) mod authorization;
pub(crate) mod built_in;
pub mod cluster_config;
mod config;
mod credential;
mod device;
pub mod draft;
mod duration;
mod group;
pub(crate) mod identity_provider;
pub mod metadata;
mod namespace;
mod policy;
pub mod read;
mod rules;
pub(crate) mod secret;
pub mod served;
mod service;
mod session;
mod unserved;
pub(crate) mod upgrade;
mod user;
pub mod visible;
pub mod watch;
pub mod write;
