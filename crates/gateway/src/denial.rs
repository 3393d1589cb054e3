//! Responses that the gateway sends without the upstream, and their wire format.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use policy::StepUp;

use crate::{Body, canonical::Ambiguity, denial_reason::Denial, mode::Mode, request_id::RequestId};

mod page;

/// The RFC 9110 status, the gRPC status and the message for the caller.
struct Form {
    status: StatusCode,
    grpc: &'static str,
    message: &'static str,
}

/// Builds the response with the step-up challenge (RFC 9470 §3).
pub(crate) fn step_up(step_up: &StepUp, format: DenialFormat<'_>, id: RequestId) -> Response<Body> {
    let mut response = Denial::StepUp.render(&step_up.to_string(), format, id);
    if let Ok(challenge) = HeaderValue::try_from(step_up.challenge()) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The format of a denial.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DenialFormat<'a> {
    /// Plain text, for programs.
    Text,
    /// A gRPC status.
    Grpc,
    /// An HTML page, for people.
    Page {
        /// The URL of the Cluster's pages.
        portal: &'a str,
    },
}

impl<'a> DenialFormat<'a> {
    /// Selects gRPC if the Service has that mode, else a page for people, else text.
    pub(crate) fn of(mode: Mode, is_person: bool, portal: &'a str) -> Self {
        match (mode, is_person) {
            (Mode::Grpc, _) => Self::Grpc,
            (Mode::Http | Mode::Web, true) => Self::Page { portal },
            (Mode::Http | Mode::Web, false) => Self::Text,
        }
    }
}

impl Denial {
    /// Returns a stable identifier for the log.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Ambiguous(ambiguity) => ambiguity.reason(),
            Self::NoService => "no_service",
            Self::Stale => "stale",
            Self::IdentityUnavailable => "identity_unavailable",
            Self::NoToken => "no_token",
            Self::InvalidToken => "invalid_token",
            Self::Scope => "scope",
            Self::Policy => "policy",
            Self::StepUp => "insufficient_user_authentication",
            Self::Expression => "expression",
            Self::NoConfig => "no_config",
            Self::RateLimited => "rate_limited",
            Self::NoAssertion => "no_assertion",
            Self::NoCredential => "no_credential",
            Self::UnsignedField => "unsigned_field",
            Self::NotJsonType => "not_json_type",
            Self::NotJson => "not_json",
            Self::Origin => "origin",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyIdle => "body_idle",
            Self::BodySlow => "body_slow",
            Self::BodyOverload => "body_overload",
            Self::BodyBroken => "body_broken",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamOverload => "upstream_overload",
        }
    }

    /// Builds the response. It carries the request id; a gRPC response consists of trailers only.
    pub(crate) fn response(self, format: DenialFormat<'_>, id: RequestId) -> Response<Body> {
        let format = match self {
            // A gRPC denial has the HTTP status 200, which other clients would take for success.
            Self::Ambiguous(Ambiguity::NotGrpc) => DenialFormat::Text,
            _ => format,
        };
        self.render(self.form().message, format, id)
    }

    fn render(self, message: &str, format: DenialFormat<'_>, id: RequestId) -> Response<Body> {
        let Form {
            status,
            grpc: grpc_status,
            ..
        } = self.form();
        let mut response = match format {
            DenialFormat::Grpc => {
                let mut response = Response::new(Body::empty());
                let headers = response.headers_mut();
                set(headers, header::CONTENT_TYPE.as_str(), "application/grpc");
                set(headers, "grpc-status", grpc_status);
                // Percent-encoded, as the gRPC protocol requires.
                if let Ok(message) = HeaderValue::from_str(&message.replace('%', "%25")) {
                    headers.insert("grpc-message", message);
                }
                response
            }
            DenialFormat::Page { portal } => {
                let title = match self {
                    Self::StepUp => "Verify it's you",
                    _ => page::title(status),
                };
                page::page(status, title, message, id, portal)
            }
            DenialFormat::Text => {
                let text = [message.as_bytes(), b"\n"].concat();
                let mut response = Response::new(Body::full(Bytes::from(text)));
                *response.status_mut() = status;
                let headers = response.headers_mut();
                set(
                    headers,
                    header::CONTENT_TYPE.as_str(),
                    "text/plain; charset=utf-8",
                );
                response
            }
        };
        let headers = response.headers_mut();
        set(headers, header::CACHE_CONTROL.as_str(), "no-store");
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            headers.insert("x-request-id", id);
        }
        if let Some(challenge) = self.challenge() {
            set(headers, header::WWW_AUTHENTICATE.as_str(), challenge);
        }
        if matches!(
            self,
            Self::NoToken
                | Self::InvalidToken
                | Self::Scope
                | Self::Policy
                | Self::StepUp
                | Self::Expression
                | Self::NoConfig
        ) {
            set(headers, "x-octelium-unauthorized", "true");
        }
        // After an ambiguous or unfinished request, no later bytes of the connection must be parsed as a request.
        if matches!(
            self,
            Self::Ambiguous(_)
                | Self::BodyTooLarge
                | Self::BodyIdle
                | Self::BodySlow
                | Self::BodyOverload
        ) {
            set(headers, header::CONNECTION.as_str(), "close");
        }
        if matches!(self, Self::BodyOverload | Self::UpstreamOverload) {
            set(headers, header::RETRY_AFTER.as_str(), "1");
        }
        response
    }

    /// Returns the challenge of RFC 6750 §3.
    fn challenge(self) -> Option<&'static str> {
        match self {
            Self::NoToken => Some("Bearer realm=\"octelium\""),
            Self::InvalidToken => Some(
                "Bearer realm=\"octelium\", error=\"invalid_token\", \
                 error_description=\"The access token is invalid, has expired or was revoked\"",
            ),
            Self::Scope => Some("Bearer realm=\"octelium\", error=\"insufficient_scope\""),
            _ => None,
        }
    }

    fn form(self) -> Form {
        let (status, grpc, message) = match self {
            Self::Ambiguous(ambiguity) => (ambiguity.status(), "3", ambiguity.message()),
            Self::NoService => (StatusCode::NOT_FOUND, "12", "not found"),
            Self::Stale | Self::IdentityUnavailable | Self::NoAssertion => (
                StatusCode::SERVICE_UNAVAILABLE,
                "14",
                "access cannot be decided at the moment; try again",
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "16",
                "an access token is required",
            ),
            Self::InvalidToken => (
                StatusCode::UNAUTHORIZED,
                "16",
                "the access token is invalid, has expired or was revoked",
            ),
            Self::Scope => (
                StatusCode::FORBIDDEN,
                "7",
                "the scopes of this Session do not include this Service",
            ),
            Self::Policy => (StatusCode::FORBIDDEN, "7", "access was denied"),
            Self::StepUp => (
                StatusCode::UNAUTHORIZED,
                "16",
                "this requires that you verify your identity again",
            ),
            Self::Expression | Self::NoConfig => (
                StatusCode::FORBIDDEN,
                "7",
                "this Service is not configured for this request",
            ),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "8", "too many requests"),
            Self::NoCredential => (
                StatusCode::BAD_GATEWAY,
                "14",
                "the upstream's credential is not available at the moment",
            ),
            Self::UnsignedField => (
                StatusCode::FORBIDDEN,
                "7",
                "the request has an X-Amz field or query parameter that this Service does not sign",
            ),
            Self::NotJsonType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "3",
                "the request body must be JSON, in UTF-8 and without an encoding",
            ),
            Self::NotJson => (
                StatusCode::BAD_REQUEST,
                "3",
                "the request body is not JSON, repeats a key or has a number that is too large",
            ),
            Self::Origin => (StatusCode::FORBIDDEN, "7", "the origin is not allowed"),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "8",
                "the request body is larger than this Service accepts",
            ),
            Self::BodyIdle | Self::BodySlow => (
                StatusCode::REQUEST_TIMEOUT,
                "4",
                "the request body took too long",
            ),
            Self::BodyOverload | Self::UpstreamOverload => (
                StatusCode::SERVICE_UNAVAILABLE,
                "14",
                "too many requests are open; try again",
            ),
            Self::BodyBroken => (
                StatusCode::BAD_REQUEST,
                "1",
                "the request body is incomplete",
            ),
            Self::UpstreamUnavailable => (
                StatusCode::BAD_GATEWAY,
                "14",
                "the upstream cannot be reached",
            ),
            Self::UpstreamTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "4",
                "the upstream took too long",
            ),
        };
        Form {
            status,
            grpc,
            message,
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}
