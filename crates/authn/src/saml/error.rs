//! Errors for rejected messages, metadata documents and keys.

use std::fmt;

/// Category of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The encoding, XML or structure is invalid.
    Malformed,
    /// The signature is missing, invalid or of an unsupported form.
    Signature,
    /// Decryption failed.
    Encryption,
    /// The message is valid, but for another service provider, request or time.
    Refused,
    /// The identity provider reports that the request failed.
    Denied,
    /// The metadata of the identity provider cannot be used.
    Metadata,
    /// A key or certificate cannot be used.
    Key,
}

/// A SAML error. `Display` is a public message; [`Error::reason`] has the details for logs and administrators. Neither
/// contains keys or claims.
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    reason: String,
}

impl Error {
    /// Returns the category.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the details for logs and administrators.
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

    /// Converts the error to [`ErrorKind::Metadata`].
    pub(super) fn in_metadata(self) -> Self {
        Self::new(ErrorKind::Metadata, self.reason)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            ErrorKind::Denied => "The identity provider did not fulfill the request.",
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

/// Quotes a text of a message for an error reason. Truncates it and escapes control characters, which prevents log
/// injection.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
