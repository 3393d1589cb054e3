//! Ends a streaming reply when whom it is for no longer stands.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// `body`, until `revoked` is cancelled: then the call ends as unauthenticated.
pub(super) fn until(revoked: CancellationToken, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Guarded {
        body: Some(body),
        revoked: Box::pin(revoked.cancelled_owned()),
    })
}

struct Guarded {
    /// `None` once it has ended.
    body: Option<Body>,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
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
        // What is ready goes out first: a reply that was complete stays complete.
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(context) {
            let ends = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
            let is_revoked = !ends && self.revoked.as_mut().poll(context).is_ready();
            if !is_revoked {
                return Poll::Ready(frame);
            }
        } else if self.revoked.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.body = None;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("16"));
        trailers.insert(
            "grpc-message",
            HeaderValue::from_static("Octelium: Unauthenticated"),
        );
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // It may end early.
        SizeHint::default()
    }
}
