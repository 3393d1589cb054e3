//! Web Authentication (`WebAuthn` Level 3): verification of registrations and authentications by a relying party.
//!
//! This module keeps no state. The caller manages challenges, their single use, signature counters and credential ids.
//! All returned values were verified, unless their documentation states otherwise.

mod attestation;
mod authentication;
mod authenticator_data;
mod cbor;
mod client_data;
mod error;
mod key;
mod registration;
mod response;

pub use attestation::{Attestation, Format, Statement};
pub use authentication::{Authenticated, AuthenticationResponse, Stored, authenticate};
pub use authenticator_data::{Aaguid, Flags};
pub use client_data::{Ceremony, Embedding};
pub use error::{Refusal, Result};
pub use key::{Algorithm, PublicKey};
pub use registration::{AttestedModel, Registered, RegistrationResponse, register};
pub use response::{Attachment, AuthenticationJson, RegistrationJson};

/// Relying party and expected properties of a ceremony.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// RP ID: a domain without scheme and port.
    pub rp_id: &'a str,
    /// Allowed origins: scheme, host, and port if it is not the default.
    pub origins: &'a [&'a str],
    /// Policy for ceremonies in a frame of another site.
    pub embedding: Embedding<'a>,
    /// Challenge of this ceremony.
    pub challenge: &'a [u8],
    /// True if user verification is required, not only user presence.
    pub user_verification: bool,
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
