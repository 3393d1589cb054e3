//! Converts outcomes to OAuth 2.0 responses (RFC 6749 §5).

use std::time::Duration;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{Caller, Context, Error, ErrorKind};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A successful response.
pub(super) enum Reply {
    /// 200 with a JSON object.
    Json(Vec<u8>),
    /// 200 without a body.
    Empty,
}

impl Reply {
    pub(super) fn json(body: &impl Serialize) -> Result<Self, Failure> {
        serde_json::to_vec(body)
            .map(Self::Json)
            .map_err(|error| Error::internal(error).into())
    }
}

/// Error codes of RFC 6749 §5.2 and RFC 8628 §3.5, and further ones that are not the client's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureCode {
    /// The request is malformed.
    InvalidRequest,
    /// Client authentication failed.
    InvalidClient,
    /// The token belongs to another client.
    InvalidGrant,
    /// The client is authenticated, but not authorized.
    UnauthorizedClient,
    /// The grant type is not supported.
    UnsupportedGrantType,
    /// The scope is invalid.
    InvalidScope,
    /// There are too many Sessions or requests.
    TooMany,
    /// The person has not answered yet (RFC 8628 §3.5).
    AuthorizationPending,
    /// The client polls too often.
    SlowDown,
    /// The person rejected the request.
    AccessDenied,
    /// The device code expired.
    ExpiredToken,
    /// The body is too large.
    TooLarge,
    /// The body did not arrive in time.
    TimedOut,
    /// A temporary failure; the client can retry.
    TemporarilyUnavailable,
    /// A failure of the Cluster.
    ServerError,
}

/// A refused request.
#[derive(Debug)]
pub(super) struct Failure {
    code: FailureCode,
    description: String,
    /// The cause, for the log.
    pub(super) error: Option<Error>,
}

impl Failure {
    pub(super) fn new(code: FailureCode, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            error: None,
        }
    }

    /// Returns the same text for every client that is not authenticated.
    pub(super) fn unknown_client() -> Self {
        Self::new(FailureCode::InvalidClient, "client authentication failed")
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn description(&self) -> &str {
        &self.description
    }
}

impl From<Error> for Failure {
    /// Converts errors that do not concern the client's identity.
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::NotFound | ErrorKind::AlreadyExists => {
                FailureCode::InvalidRequest
            }
            ErrorKind::PermissionDenied if error.reason() == Some("session_limit") => {
                FailureCode::TooMany
            }
            ErrorKind::PermissionDenied
            | ErrorKind::FailedPrecondition
            | ErrorKind::Unimplemented => FailureCode::UnauthorizedClient,
            ErrorKind::Unauthenticated => FailureCode::InvalidClient,
            ErrorKind::RateLimited { .. } => FailureCode::TooMany,
            ErrorKind::TooLarge => FailureCode::TooLarge,
            ErrorKind::TimedOut => FailureCode::TimedOut,
            ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Overloaded => {
                FailureCode::TemporarilyUnavailable
            }
            ErrorKind::Internal => FailureCode::ServerError,
        };
        Self {
            code,
            description: described(error.public()),
            error: Some(error),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    error_description: &'a str,
}

/// Converts an outcome to a response. No response may be cached.
pub(super) fn finish(ctx: &Context, caller: &Caller, outcome: Result<Reply, Failure>) -> Response {
    let mut response = match outcome {
        Ok(Reply::Empty) => StatusCode::OK.into_response(),
        Ok(Reply::Json(body)) => json(StatusCode::OK, body),
        Err(failure) => refusal(ctx, caller, &failure),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    if let Ok(id) = HeaderValue::from_str(&caller.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn refusal(ctx: &Context, caller: &Caller, failure: &Failure) -> Response {
    if let Some(fault) = failure.error.as_ref().and_then(Error::fault) {
        tracing::error!(request_id = caller.request_id, error = %fault, "an OAuth 2.0 request failed");
    }
    let (status, error) = match failure.code {
        FailureCode::InvalidRequest => (StatusCode::BAD_REQUEST, "invalid_request"),
        FailureCode::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
        FailureCode::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant"),
        FailureCode::UnauthorizedClient => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        FailureCode::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        FailureCode::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope"),
        FailureCode::TooMany => (StatusCode::TOO_MANY_REQUESTS, "access_denied"),
        FailureCode::AuthorizationPending => (StatusCode::BAD_REQUEST, "authorization_pending"),
        FailureCode::SlowDown => (StatusCode::BAD_REQUEST, "slow_down"),
        FailureCode::AccessDenied => (StatusCode::BAD_REQUEST, "access_denied"),
        FailureCode::ExpiredToken => (StatusCode::BAD_REQUEST, "expired_token"),
        FailureCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
        FailureCode::TimedOut => (StatusCode::REQUEST_TIMEOUT, "invalid_request"),
        FailureCode::TemporarilyUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
        FailureCode::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
    };
    let body = ErrorBody {
        error,
        error_description: &failure.description,
    };
    let mut response = json(status, serde_json::to_vec(&body).unwrap_or_default());
    let headers = response.headers_mut();
    if failure.code == FailureCode::InvalidClient {
        let challenge = format!(
            "Basic realm=\"{}\", charset=\"UTF-8\"",
            ctx.domain.authority()
        );
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    let retry_after = match failure.error.as_ref().map(Error::kind) {
        Some(ErrorKind::RateLimited { retry_after }) => Some(retry_after),
        _ if failure.code == FailureCode::TemporarilyUnavailable => Some(Duration::from_secs(1)),
        _ if failure.code == FailureCode::TooMany => Some(Duration::from_mins(1)),
        _ => None,
    };
    if let Some(after) = retry_after {
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(after.as_secs().max(1)),
        );
    }
    response
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Replaces characters that RFC 6749 §5.2 does not allow in `error_description`.
fn described(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '"' | '`' => '\'',
            ' '..='~' if character != '\\' => character,
            _ => '?',
        })
        .collect()
}
