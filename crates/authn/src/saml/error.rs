//! What a refused message, metadata document or key was refused for.

use std::fmt;

/// The part of the protocol that said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Octets that are no message: encoding, XML, structure.
    Malformed,
    /// No signature, a wrong one, or one of a form that is not accepted.
    Signature,
    /// What is encrypted cannot be decrypted.
    Encryption,
    /// Well made, but not for this service provider, this request or this moment.
    Refused,
    /// The identity provider itself says that it did not do what was asked.
    Denied,
    /// The metadata of the identity provider.
    Metadata,
    /// A key or certificate of the service provider.
    Key,
}

/// A refusal. `Display` is what anyone may see; [`Error::reason`] is for logs and administrators and says precisely
/// what was wrong. Neither holds keys or claims.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    reason: String,
}

impl Error {
    /// The part of the protocol that said no.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was wrong, for logs and administrators.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }

    pub(super) fn malformed(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, reason)
    }

    pub(super) fn signature(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Signature, reason)
    }

    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, reason)
    }

    /// The same refusal, told as one of the metadata.
    pub(super) fn in_metadata(self) -> Self {
        Self::new(ErrorKind::Metadata, self.reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Denied => "The identity provider did not do what was asked.",
            ErrorKind::Metadata => "The identity provider's metadata cannot be used.",
            ErrorKind::Key => "The service provider's key cannot be used.",
            ErrorKind::Malformed
            | ErrorKind::Signature
            | ErrorKind::Encryption
            | ErrorKind::Refused => "The identity provider's message was refused.",
        })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.reason)
    }
}

impl std::error::Error for Error {}

/// A text of the message for a reason: short, and without what could forge lines of a log.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
