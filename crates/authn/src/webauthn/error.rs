//! Why a response is refused.

/// What is wrong with a response. Nothing of it is secret, and all of it is for the log: whoever sends the response is
/// told no more than that it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Bytes that are not what they should be.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// `type` is that of the other ceremony.
    #[error("the client data is of another ceremony")]
    Ceremony,
    /// The challenge is another.
    #[error("the challenge is not the one of this ceremony")]
    Challenge,
    /// The origin is not ours.
    #[error("the origin {0:?} is not one of the relying party's")]
    Origin(String),
    /// In a frame of another site where that is not allowed.
    #[error("the ceremony took place in a frame of another site")]
    Embedded,
    /// Of another relying party.
    #[error("the RP ID is another")]
    RpId,
    /// Nobody was there.
    #[error("the user was not present")]
    UserPresence,
    /// Nobody was verified.
    #[error("the user was not verified")]
    UserVerification,
    /// Flags that contradict each other, or what was registered.
    #[error("the backup flags are not possible")]
    BackupFlags,
    /// No algorithm of ours, or one that was not asked for.
    #[error("the algorithm {0} is not accepted")]
    Algorithm(i64),
    /// A key that is none, or too weak.
    #[error("the public key is not accepted: {0}")]
    Key(&'static str),
    /// A signature that its key did not make.
    #[error("the signature is wrong")]
    Signature,
    /// An attestation of a format that is not known.
    #[error("the attestation format {0:?} is not accepted")]
    Format(String),
    /// An attestation that does not attest this.
    #[error("the attestation is not accepted: {0}")]
    Attestation(&'static str),
}

/// Either what was verified or why it is refused.
pub type Result<T> = std::result::Result<T, Refusal>;
