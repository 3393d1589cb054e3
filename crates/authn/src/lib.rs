//! Authentication methods other than Credentials: identity providers, workload assertions, passkeys, TOTP and TPMs.
//!
//! This crate verifies external input and returns the result as plain values. It does not access the store; `server`
//! maps the values to Users.

pub mod assertion;
pub mod fetched;
pub mod issuer;
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
