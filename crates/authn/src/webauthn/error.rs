//! Reasons why a response is rejected.

/// Reasons why a response is rejected. They contain no secrets and are meant for the log. The sender only learns that
/// the response was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are malformed.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// `type` belongs to the other ceremony.
    #[error("the client data has another ceremony type")]
    Ceremony,
    /// The challenge does not match.
    #[error("the challenge does not match this ceremony")]
    Challenge,
    /// The origin is not allowed.
    #[error("the origin {0:?} does not belong to the relying party")]
    Origin(String),
    /// The ceremony ran in a frame of another site that is not allowed.
    #[error("the ceremony took place in a frame of another site")]
    Embedded,
    /// The RP ID hash does not match.
    #[error("the RP ID does not match")]
    RpId,
    /// The user was not present.
    #[error("the user was not present")]
    UserPresence,
    /// The user was not verified.
    #[error("the user was not verified")]
    UserVerification,
    /// The backup flags contradict each other or the registration.
    #[error("the backup flags contradict each other")]
    BackupFlags,
    /// The algorithm is not supported or was not requested.
    #[error("the algorithm {0} is not accepted")]
    Algorithm(i64),
    /// The key is malformed or too weak.
    #[error("the public key is not accepted: {0}")]
    Key(&'static str),
    /// The signature does not verify.
    #[error("the signature is wrong")]
    Signature,
    /// The attestation format is not supported.
    #[error("the attestation format {0:?} is not accepted")]
    Format(String),
    /// The attestation is invalid or belongs to another credential.
    #[error("the attestation is not accepted: {0}")]
    Attestation(&'static str),
}

/// Result of a verification.
pub type Result<T> = std::result::Result<T, Refusal>;
