//! Web Authentication (`WebAuthn` Level 3): what a relying party verifies of registrations and authentications.
//!
//! Nothing here keeps state: challenges, their single use, counters and credential ids are the caller's. What is
//! returned was verified; what is not returned was not.

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

/// What the relying party is, and what it asks of a ceremony.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The RP ID: a domain without scheme and port.
    pub rp_id: &'a str,
    /// The origins at which a ceremony may take place: scheme, host, and port where it is not the default.
    pub origins: &'a [&'a str],
    /// Whether it may take place in a frame of another site.
    pub embedding: Embedding<'a>,
    /// The challenge of this ceremony.
    pub challenge: &'a [u8],
    /// Whether the user must have been verified, not only present.
    pub user_verification: bool,
}

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
