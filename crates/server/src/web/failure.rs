//! Errors as pages for people: what happened and what to do next. An error is never a silent redirect.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use maud::html;

use super::page::Page;
use crate::{Error, ErrorKind};

/// An error page.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    title: String,
    text: String,
    /// The link to continue with: address and label.
    action: Option<(String, String)>,
}

impl Failure {
    /// Creates a failure. `title` summarizes it in a few words; `text` explains the cause and the remedy.
    pub(crate) fn new(
        status: StatusCode,
        title: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            status,
            title: title.into(),
            text: text.into(),
            action: None,
        }
    }

    /// Replaces the title.
    #[must_use]
    pub(crate) fn titled(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// Adds a link to continue with.
    #[must_use]
    pub(crate) fn then(mut self, place: impl Into<String>, label: impl Into<String>) -> Self {
        self.action = Some((place.into(), label.into()));
        self
    }

    /// The Cluster is temporarily unavailable (503).
    pub(crate) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not available at the moment",
            "The Cluster cannot answer at the moment. If you were signed in, you still are. Try again in a moment.",
        )
    }

    /// The page does not exist (404).
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Page not found",
            "The address may be wrong, or the page no longer exists.",
        )
        .then("/", "Go to the portal")
    }

    /// Renders the page. `request_id` identifies the request in the logs.
    pub(super) fn page(&self, request_id: &str) -> Page {
        let body = html! {
            section.notice role="alert" {
                h1 { (self.title) }
                p { (self.text) }
                @if let Some((place, label)) = &self.action {
                    p { a.button href=(place) { (label) } }
                }
                p.fine { "Request " code { (request_id) } }
            }
        };
        Page::new(self.title.clone(), body).status(self.status)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(fault) = error.fault() {
            tracing::error!(error = %fault, "a page could not be served");
        }
        let (status, title) = match error.kind() {
            ErrorKind::InvalidArgument
            | ErrorKind::FailedPrecondition
            | ErrorKind::AlreadyExists => (StatusCode::BAD_REQUEST, "That did not work"),
            ErrorKind::NotFound => return Self::not_found(),
            ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "You could not be signed in"),
            ErrorKind::PermissionDenied => {
                (StatusCode::FORBIDDEN, "You are not allowed to do this")
            }
            ErrorKind::Conflict => (
                StatusCode::CONFLICT,
                "Someone else changed this at the same time",
            ),
            ErrorKind::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts"),
            ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            ErrorKind::TimedOut => (
                StatusCode::REQUEST_TIMEOUT,
                "Your request did not arrive in time",
            ),
            ErrorKind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Too many requests"),
            ErrorKind::Unavailable => return Self::unavailable(),
            ErrorKind::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "Not supported"),
            ErrorKind::Internal => {
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something went wrong here",
                    "This is an error of the Cluster. An administrator can find it in the log by the id below.",
                );
            }
        };
        Self::new(status, title, error.public())
    }
}

impl IntoResponse for Failure {
    /// Returns an empty response that carries the failure. The layer of the pages renders it, because it knows the
    /// visitor.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
