//! Ends a streaming reply when it is no longer authorized.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;

use crate::Error;

/// Returns `body`, cut off with the error when `ends` resolves.
pub(super) fn until(ends: impl Future<Output = Error> + Send + 'static, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Guarded {
        body: Some(body),
        ends: Box::pin(ends),
    })
}

struct Guarded {
    /// `None` after the end.
    body: Option<Body>,
    ends: Pin<Box<dyn Future<Output = Error> + Send>>,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(context);
        // A reply that ends normally keeps its own ending.
        if matches!(&frame, Poll::Ready(frame) if !matches!(frame, Some(Ok(frame)) if frame.is_data()))
        {
            return frame;
        }
        let Poll::Ready(error) = self.ends.as_mut().poll(context) else {
            return frame;
        };
        self.body = None;
        let mut trailers = HeaderMap::new();
        if Status::from(error).add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", HeaderValue::from_static("16"));
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // The body may end early, so its size is unknown.
        SizeHint::default()
    }
}
