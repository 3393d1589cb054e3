//! Proofs of identity, tokens and what becomes of them, on both stores and several replicas.

pub(crate) mod api;
mod assertion;
mod crash;
mod device;
mod history;
mod keys;
mod lookup;
mod one_time;
mod recovery;
mod revocation;
mod standing;
