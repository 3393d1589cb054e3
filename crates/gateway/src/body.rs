//! Streamed request bodies: counted, limited, and aborted when the Session ends.

mod request;
mod transfer;
mod watch;

pub(crate) use request::{Bounds, RequestBody, RequestTrailers};
pub(crate) use transfer::{Transfer, TransferState};
pub(crate) use watch::Watch;

/// The reason why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The Session of the request is no longer valid.
    #[error("access was revoked")]
    Revoked,
    /// The client sent more than the Service accepts.
    #[error("the request body is too large")]
    TooLarge,
    /// The client paused for too long.
    #[error("the client paused for too long")]
    Idle,
    /// The client's connection broke.
    #[error("the client closed the connection early")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The upstream's connection broke.
    #[error("the upstream closed the connection early")]
    Upstream(#[source] hyper::Error),
}
