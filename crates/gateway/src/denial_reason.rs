//! The reasons to deny a request.

use crate::canonical::Ambiguity;

/// The reason why a request did not get a response of its Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The request is ambiguous.
    Ambiguous(Ambiguity),
    /// No public, enabled Service has this name.
    NoService,
    /// The local copy of the Cluster state is too old.
    Stale,
    /// The token could not be checked.
    IdentityUnavailable,
    /// The request has no token.
    NoToken,
    /// The token is invalid, expired or revoked.
    InvalidToken,
    /// The scopes of the Session do not include this Service.
    Scope,
    /// The Policies deny the request.
    Policy,
    /// The Policies deny the request, but would allow it after a fresh authentication.
    StepUp,
    /// An expression of the Service failed for this request.
    Expression,
    /// The Service has no configuration for this request.
    NoConfig,
    /// The caller exceeded a rate limit.
    RateLimited,
    /// The assertion of the caller's identity could not be signed.
    NoAssertion,
    /// The gateway's credential for the upstream is not available.
    NoCredential,
    /// The request has a field that the gateway does not sign for clients.
    UnsignedField,
    /// The body must be JSON, but its header fields say otherwise.
    NotJsonType,
    /// The body must be JSON, but is invalid or ambiguous.
    NotJson,
    /// The origin is not allowed to access this Service.
    Origin,
    /// The body is longer than the Service accepts.
    BodyTooLarge,
    /// The client paused for too long within the body.
    BodyIdle,
    /// The whole body took too long.
    BodySlow,
    /// Buffered bodies use the whole memory budget of the caller, or of the process.
    BodyOverload,
    /// The client aborted the body.
    BodyBroken,
    /// No endpoint could be reached, or the connection broke.
    UpstreamUnavailable,
    /// The upstream took too long to begin its response.
    UpstreamTimeout,
    /// The caller, or all callers together, have too many open requests at upstreams.
    UpstreamOverload,
}
