//! Proofs of identity, tokens and what becomes of them, on both stores and several replicas.

pub(crate) mod api;
mod assertion;
mod crash;
mod device;
mod keys;
mod one_time;
mod revocation;
mod standing;
