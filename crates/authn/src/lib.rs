//! Proofs of identity beyond Credentials: identity providers and the assertions of workloads.
//!
//! Everything that comes from outside is verified here, and nothing here knows how it is stored: what a proof says is a
//! value, which `server` maps to a User.

pub mod assertion;
pub mod fetched;
pub mod issuer;
mod json;
pub mod jwk;
pub mod jwks;
pub mod jws;
pub mod mds;
pub mod outbound;
pub mod provider;
pub mod saml;
pub mod saml_source;
pub mod totp;
pub mod tpm;
pub mod webauthn;
pub mod x509;
