//! TPM 2.0 as an authenticator.
//!
//! A client registers an attestation key and an endorsement key. [`Registration::verify`] checks the creation data of
//! the attestation key and the vendor's certificate of the endorsement key. Credential activation proves that both keys
//! are in one TPM: [`challenge`] encrypts a secret to the endorsement key, and a TPM releases the secret only if a key
//! with the name of the attestation key is loaded. Clients can also sign a quote over a nonce ([`QuoteRequest`]).
//! [`ChallengeResponse::verify`] checks the secret and the quote, at registration and at each authentication.
//!
//! This module does not store anything. The caller must use each secret and each nonce only once.

mod attestation_key;
mod challenge_response;
mod credential;
mod endorsement;
mod quote;
mod registration;
pub(crate) mod structures;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use attestation_key::{AttestationKey, AttestationParameters};
pub use challenge_response::{ChallengeResponse, Expected, Quoting};
pub use credential::{ActivationSecret, EncryptedCredential, challenge};
pub use endorsement::{Authorities, EndorsementCertificate, EndorsementKey, Presented, Trust};
pub use quote::{Quote, QuoteRequest, Quoted};
pub use registration::{Registered, Registration};
pub use structures::Clock;

use crate::x509::ChainError;

/// Reasons why a TPM is rejected. They contain no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field is missing or longer than 3000 bytes.
    #[error("{0} has not 1 to 3000 bytes")]
    Length(&'static str),
    /// The bytes are malformed.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The attestation key is too weak or allows other uses.
    #[error("the attestation key is not accepted: {0}")]
    AttestationKey(&'static str),
    /// The signed structure does not match the request.
    #[error("the attestation is not accepted: {0}")]
    Attestation(&'static str),
    /// The signature does not verify or uses another scheme.
    #[error("the signature of the attestation key is wrong")]
    Signature,
    /// The endorsement key is too weak or cannot be used for encryption.
    #[error("the endorsement key is not accepted: {0}")]
    EndorsementKey(&'static str),
    /// The certificate is not one of an endorsement key.
    #[error("the certificate of the endorsement key is not accepted: {0}")]
    Certificate(&'static str),
    /// The certificate does not lead to a trusted authority.
    #[error("the certificate of the endorsement key is not trusted: {0}")]
    Chain(ChainError),
    /// The endorsement key has no trusted certificate, which the Cluster requires.
    #[error("the endorsement key has no certificate, and the Cluster requires one")]
    Uncertified,
    /// The text of an authority is not a PEM certificate. Contains the index of the text.
    #[error("ekCACertificates[{0}] is not a certificate in PEM")]
    Authority(usize),
    /// The certificate of an authority is not a CA, by its basic constraints or key usage. Contains the index of the
    /// text.
    #[error("ekCACertificates[{0}] is not the certificate of an authority (CA)")]
    NoAuthority(usize),
    /// Certificates are required, but no authority is configured.
    #[error("requireCertifiedEK needs ekCACertificates")]
    NoAuthorities,
    /// The answer has no quote, which is required.
    #[error("the quote is missing: this TPM has quoted before, or the Cluster requires it")]
    QuoteMissing,
    /// The secret was not recovered: the TPM is another one or was cleared.
    #[error(
        "the secret was not recovered: this is another TPM, or it was cleared since it was registered"
    )]
    Activation,
}

/// Result of a verification.
pub type Result<T> = std::result::Result<T, Refusal>;
