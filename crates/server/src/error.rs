//! What a use case fails with: a kind, a text for the caller, a cause for the log.

use std::{error::Error as StdError, fmt, time::Duration};

use domain::kind::Kind;
use store::{CommitError, StoreError};

/// Why a use case did not do what it was asked.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    public: String,
    reason: Option<&'static str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What sort of failure it is. Each surface maps these in exactly one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong in itself.
    InvalidArgument,
    /// There is no such object, or none that the caller may know of.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// The caller is known and may not.
    PermissionDenied,
    /// The caller is not known.
    Unauthenticated,
    /// Somebody else has changed the object in between.
    Conflict,
    /// Right in itself, but not in the present state.
    FailedPrecondition,
    /// Too often.
    RateLimited {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The body of the request has more bytes than the limit.
    TooLarge,
    /// The body of the request did not arrive in time.
    TimedOut,
    /// Unfinished requests hold all memory that there is for them; worth trying again.
    Overloaded,
    /// Part of the contract, and not served.
    Unimplemented,
    /// The Cluster cannot answer at present; worth trying again.
    Unavailable,
    /// The Cluster has failed.
    Internal,
}

impl Error {
    /// An error of `kind` that tells the caller `public`.
    pub fn new(kind: ErrorKind, public: impl Into<String>) -> Self {
        Self {
            kind,
            public: public.into(),
            reason: None,
            source: None,
        }
    }

    /// The request is wrong: says what, where, and what to do.
    pub fn invalid(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, public)
    }

    /// `core.v1.<Kind> <name or uid> does not exist`.
    pub fn not_found(kind: Kind, which: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::NotFound,
            format!("core.v1.{kind} {which} does not exist"),
        )
    }

    /// `The <Kind> <name> already exists`.
    pub fn already_exists(kind: Kind, name: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::AlreadyExists,
            format!("The {kind} {name} already exists"),
        )
    }

    /// The caller is known and may not.
    pub fn denied(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::PermissionDenied, public)
    }

    /// Somebody else has changed the object in between.
    pub fn conflict(kind: Kind, which: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Conflict,
            format!("Cannot Update. core.v1.{kind} {which} has already changed"),
        )
    }

    /// Right in itself, but not in the present state.
    pub fn precondition(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::FailedPrecondition, public)
    }

    /// The Cluster has failed. The caller learns nothing but that.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Internal,
            public: "Internal error".to_owned(),
            reason: None,
            source: Some(source.into()),
        }
    }

    /// The Cluster cannot answer at present.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            public: "The Cluster cannot answer at present; try again".to_owned(),
            reason: None,
            source: Some(source.into()),
        }
    }

    /// With a stable word for audit, as `credential_disabled`.
    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// With another text for the caller.
    #[must_use]
    pub fn telling(mut self, public: impl Into<String>) -> Self {
        self.public = public.into();
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What the caller may read.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The stable word for audit, where there is one.
    pub fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The cause, where it is the Cluster's and not the caller's: worth a line in the log.
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
    /// A use case that can say more (which name, which limit) matches on the error before it comes here.
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
            CommitError::RecordTaken => Self::precondition("It has been used already"),
            CommitError::Store(error) => error.into(),
        }
    }
}
