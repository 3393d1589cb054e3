//! What went wrong, said to a person: what happened, and what to do (never a silent redirect).

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use maud::html;

use super::page::Page;
use crate::{Error, ErrorKind};

/// Why there is no page.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    title: String,
    text: String,
    /// Where to go on, and how that is called.
    action: Option<(String, String)>,
}

impl Failure {
    /// `title` says what happened in a few words, `text` why and what to do.
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

    /// Called otherwise.
    #[must_use]
    pub(crate) fn titled(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// With a way to go on.
    #[must_use]
    pub(crate) fn then(mut self, place: impl Into<String>, label: impl Into<String>) -> Self {
        self.action = Some((place.into(), label.into()));
        self
    }

    /// The Cluster cannot answer at present.
    pub(crate) fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not available at the moment",
            "The Cluster cannot answer at present. You are still logged in if you were. Try again in a moment.",
        )
    }

    /// Nothing is there.
    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is nothing here",
            "The address may be mistyped, or what was here is gone.",
        )
        .then("/", "Go to the portal")
    }

    /// The page. `request_id` is by which the log knows more.
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
            ErrorKind::Unauthenticated => (StatusCode::UNAUTHORIZED, "You could not be logged in"),
            ErrorKind::PermissionDenied => (StatusCode::FORBIDDEN, "You may not do this"),
            ErrorKind::Conflict => (StatusCode::CONFLICT, "Somebody else was faster"),
            ErrorKind::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts"),
            ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "That is too large"),
            ErrorKind::TimedOut => (
                StatusCode::REQUEST_TIMEOUT,
                "Your request did not arrive in time",
            ),
            ErrorKind::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "Too many requests"),
            ErrorKind::Unavailable => return Self::unavailable(),
            ErrorKind::Unimplemented => (StatusCode::NOT_IMPLEMENTED, "Not served"),
            ErrorKind::Internal => {
                return Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Something went wrong here",
                    "This is a fault of the Cluster. An administrator finds it in the log by the id below.",
                );
            }
        };
        Self::new(status, title, error.public())
    }
}

impl IntoResponse for Failure {
    /// An empty response that the layer of the pages fills in: it knows who is visiting.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
