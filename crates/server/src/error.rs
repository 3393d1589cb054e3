//! The error of a use case: a kind, a message for the caller, and a cause for the log.

use std::{error::Error as StdError, fmt, time::Duration};

use domain::kind::Kind;
use store::{CommitError, StoreError};

/// The error of a use case.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    public: String,
    reason: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kind of an error. Each surface maps it to a response in exactly one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is invalid, regardless of the current state.
    InvalidArgument,
    /// The object does not exist, or the caller must not know of it.
    NotFound,
    /// The object already exists.
    AlreadyExists,
    /// The caller is authenticated but not authorized.
    PermissionDenied,
    /// The caller is not authenticated.
    Unauthenticated,
    /// The object was changed concurrently.
    Conflict,
    /// The request is valid but not possible in the current state.
    FailedPrecondition,
    /// The caller sends too many requests.
    RateLimited {
        /// Time to wait before a retry.
        retry_after: Duration,
    },
    /// The body of the request exceeds the size limit.
    TooLarge,
    /// The body of the request did not arrive in time.
    TimedOut,
    /// Unfinished requests use the whole memory budget. A retry can succeed.
    Overloaded,
    /// The operation is part of the contract but not implemented.
    Unimplemented,
    /// The Cluster cannot answer now. A retry can succeed.
    Unavailable,
    /// An internal failure of the Cluster.
    Internal,
}

impl Error {
    /// Builds an error of `kind` with the message `public` for the caller.
    pub fn new(kind: ErrorKind, public: impl Into<String>) -> Self {
        Self {
            kind,
            public: public.into(),
            reason: None,
            source: None,
        }
    }

    /// Builds an `InvalidArgument` error. The message names the problem, its place and the remedy.
    pub fn invalid(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, public)
    }

    /// Builds a `NotFound` error: `core.v1.<Kind> <name or uid> does not exist`.
    pub fn not_found(kind: Kind, which: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("core.v1.{kind} {which} does not exist"),
        )
    }

    /// Builds an `AlreadyExists` error: `The <Kind> <name> already exists`.
    pub fn already_exists(kind: Kind, name: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::AlreadyExists,
            format!("The {kind} {name} already exists"),
        )
    }

    /// Builds a `PermissionDenied` error.
    pub fn denied(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::PermissionDenied, public)
    }

    /// Builds a `Conflict` error for an object that was changed concurrently.
    pub fn conflict(kind: Kind, which: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Conflict,
            format!("Cannot Update. core.v1.{kind} {which} has already changed"),
        )
    }

    /// Builds a `FailedPrecondition` error.
    pub fn precondition(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailedPrecondition, public)
    }

    /// Builds an `Internal` error. The caller does not see `source`.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Internal,
            public: "Internal error".to_owned(),
            reason: None,
            source: Some(source.into()),
        }
    }

    /// Builds an `Unavailable` error. The caller does not see `source`.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            public: "The Cluster cannot answer at the moment; try again".to_owned(),
            reason: None,
            source: Some(source.into()),
        }
    }

    /// Sets a stable identifier for audit events, such as `credential_disabled`.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Replaces the message for the caller.
    #[must_use]
    pub fn with_public_message(mut self, public: impl Into<String>) -> Self {
        self.public = public.into();
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message for the caller.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Returns the stable identifier for audit events, if there is one.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Returns the cause if it is a fault of the Cluster, not of the caller. It should be logged.
    pub fn fault(&self) -> Option<&(dyn StdError + Send + Sync)> {
        match self.kind {
            ErrorKind::Internal | ErrorKind::Unavailable => self.source.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.transient {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }
}

impl From<CommitError> for Error {
    /// Maps the error to a general message. A use case that knows more details matches the error first.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { kind, uid } => Self::conflict(kind, uid),
            CommitError::NameTaken { kind, name } => Self::already_exists(kind, name),
            CommitError::IndexTaken { kind, index } => Self::new(
                ErrorKind::AlreadyExists,
                format!("A {kind} with the same {index} already exists"),
            ),
            CommitError::LimitReached { kind, .. } => {
                Self::denied(format!("The limit of {kind}s is reached")).because("limit_reached")
            }
            CommitError::RecordTaken => Self::precondition("It was already used"),
            CommitError::Store(error) => error.into(),
        }
    }
}
