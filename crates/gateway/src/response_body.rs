//! Streamed response bodies: counted, and aborted when the Session ends.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::body::BodyError;

mod proxied;

pub(crate) use proxied::{FirstFrame, Proxied, first_frame};

/// The body of a response of the gateway.
pub struct Body(Inner);

enum Inner {
    Empty,
    Full(Bytes),
    Proxied(Box<Proxied>),
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
