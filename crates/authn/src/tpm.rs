//! TPM 2.0 as an authenticator.
//!
//! A client registers an attestation key and an endorsement key. What the first says of itself is checked
//! ([`Registration::verify`]), and what its maker says of the second. That both are of one TPM is shown by credential
//! activation: [`challenge`] encrypts a secret to the endorsement key, which a TPM releases only where a key with the
//! name of the attestation key is loaded beside it. Clients that can sign a quote over a nonce too
//! ([`QuoteRequest`]). [`Answer::verify`] checks both, at registration and at each authentication.
//!
//! Nothing here knows how any of it is stored: secrets and nonces are to be used once.

mod answer;
mod attestation_key;
mod credential;
mod endorsement;
mod quote;
mod registration;
pub(crate) mod structures;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use answer::{Answer, Expected, Quoting};
pub use attestation_key::{AttestationKey, AttestationParameters};
pub use credential::{ActivationSecret, EncryptedCredential, challenge};
pub use endorsement::{Authorities, EndorsementCertificate, EndorsementKey, Presented, Trust};
pub use quote::{Quote, QuoteRequest, Quoted};
pub use registration::{Registered, Registration};
pub use structures::Clock;

use crate::x509::ChainError;

/// Why a TPM is refused. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Missing, or too long.
    #[error("{0} has not 1 to 3000 bytes")]
    Length(&'static str),
    /// Bytes that are not what they should be.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// A key that may be used otherwise, or is too weak.
    #[error("the attestation key is not accepted: {0}")]
    AttestationKey(&'static str),
    /// What was signed is not what was asked for.
    #[error("the attestation is not accepted: {0}")]
    Attestation(&'static str),
    /// A signature that the attestation key did not make, or not by its scheme.
    #[error("the signature of the attestation key is wrong")]
    Signature,
    /// A key that secrets cannot be encrypted to, or a weak one.
    #[error("the endorsement key is not accepted: {0}")]
    EndorsementKey(&'static str),
    /// A certificate that does not certify an endorsement key.
    #[error("the certificate of the endorsement key is not accepted: {0}")]
    Certificate(&'static str),
    /// A certificate that leads nowhere.
    #[error("the certificate of the endorsement key is not trusted: {0}")]
    Chain(ChainError),
    /// No certificate where one is asked for.
    #[error("the endorsement key has no certificate, and the Cluster requires one")]
    Uncertified,
    /// What is no certificate in place of an authority; the index of its text.
    #[error("ekCACertificates[{0}] is no certificate in PEM")]
    Authority(usize),
    /// A certificate that may certify nothing, as its basic constraints or its key usage say; the index of its text.
    #[error("ekCACertificates[{0}] is not the certificate of an authority (CA)")]
    NoAuthority(usize),
    /// A requirement that nothing could meet.
    #[error("requireCertifiedEK needs ekCACertificates")]
    NoAuthorities,
    /// The secret alone, where a quote is asked for too.
    #[error("the quote is missing: this TPM has quoted before, or the Cluster requires it")]
    QuoteMissing,
    /// Another TPM, one that was cleared, or none.
    #[error(
        "the secret was not recovered: this is another TPM, or it was cleared since it was registered"
    )]
    Activation,
}

/// Either what was verified or why it is refused.
pub type Result<T> = std::result::Result<T, Refusal>;
