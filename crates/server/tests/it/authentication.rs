//! Proofs of identity, tokens and what becomes of them, on both stores and several replicas.

mod one_time;
mod revocation;
