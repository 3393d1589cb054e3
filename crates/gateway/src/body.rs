//! Streamed bodies: counted, limited, and aborted when the Session ends.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

mod request;
mod response;
mod transfer;
mod watch;

pub(crate) use request::{Bounds, RequestBody, RequestTrailers};
pub(crate) use response::{FirstFrame, Proxied, first_frame};
pub(crate) use transfer::{Transfer, TransferState};
pub(crate) use watch::Watch;

/// The body of a response of the gateway.
pub struct Body(Inner);

enum Inner {
    Empty,
    Full(Bytes),
    Proxied(Box<Proxied>),
}

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

impl Body {
    pub(crate) fn empty() -> Self {
        Self(Inner::Empty)
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Inner::Full(bytes))
        }
    }

    pub(crate) fn proxied(body: Proxied) -> Self {
        Self(Inner::Proxied(Box::new(body)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Proxied(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(_) => false,
            Inner::Proxied(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Inner::Proxied(body) => body.size_hint(),
        }
    }
}
