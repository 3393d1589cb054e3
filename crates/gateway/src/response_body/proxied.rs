//! Response bodies on their way to the client.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    body::{BodyError, Watch},
    canonical::{Names, clean_response_trailers},
    record::Record,
    shares::Exchange,
    upstream::Lease,
};

/// The body of an upstream's response, with everything that must live as long as it.
pub(crate) struct Proxied {
    /// `None` once it has ended.
    pub(crate) upstream: Option<Incoming>,
    /// The frame that arrived with the head.
    pub(crate) first: Option<FirstFrame>,
    pub(crate) watch: Watch,
    /// The connection, which is reused if the body is read to its end.
    pub(crate) lease: Option<Lease>,
    /// The place among the open requests, until the body has ended.
    pub(crate) exchange: Option<Exchange>,
    /// Written to the log when this is dropped.
    pub(crate) record: Box<Record>,
    /// True if a gRPC status ends the body.
    pub(crate) grpc: bool,
    /// Names of trailers that the Service removes or sets itself. `None` if there are none.
    pub(crate) trailers: Option<Arc<Names>>,
}

/// The first frame of a body, or the error in its place.
pub(crate) type FirstFrame = Result<Frame<Bytes>, hyper::Error>;

/// Returns the first frame of `body` if it arrived with the head, so that both are sent together. Gives the
/// connection's task one poll to deliver it, and never waits.
pub(crate) async fn first_frame(body: &mut Incoming) -> Option<FirstFrame> {
    let mut turns = 0..1;
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Pending if turns.next().is_some() => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Poll::Pending => Poll::Ready(None),
        Poll::Ready(frame) => Poll::Ready(frame),
    })
    .await
}

impl Proxied {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(upstream) = &mut self.upstream else {
            return Poll::Ready(None);
        };
        if self.watch.is_over() {
            return self.cut();
        }
        let frame = match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut *upstream).poll_frame(cx),
        };
        match frame {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    clean_response_trailers(trailers, self.trailers.as_deref());
                    self.record.set_grpc_status(trailers);
                }
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.record.add_sent(length as u64);
                if upstream.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.upstream = None;
                self.record.set_error("upstream_broke_off");
                Poll::Ready(Some(Err(BodyError::Upstream(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => match self.watch.poll_over(cx) {
                Poll::Ready(()) => self.cut(),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.upstream.as_ref().is_none_or(Incoming::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let Some(upstream) = &self.upstream else {
            return SizeHint::with_exact(0);
        };
        let first = match &self.first {
            Some(Ok(first)) => first.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) | None => 0,
        };
        match upstream.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(first.saturating_add(rest)),
            None => SizeHint::default(),
        }
    }

    fn finish(&mut self) {
        self.upstream = None;
        self.record.set_complete();
        if let Some(lease) = self.lease.take() {
            lease.release();
        }
        self.exchange = None;
    }

    /// Aborts a stream whose Session is no longer valid. A gRPC stream ends with a status. Other streams must break,
    /// because the client could not otherwise detect that the body is incomplete.
    fn cut(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let sized = self.size_hint().exact().is_some();
        self.upstream = None;
        self.lease = None;
        self.exchange = None;
        self.record.set_error("revoked");
        if !self.grpc || sized {
            return Poll::Ready(Some(Err(BodyError::Revoked)));
        }
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert("grpc-status", HeaderValue::from_static("16"));
        trailers.insert(
            "grpc-message",
            HeaderValue::from_static("access was revoked"),
        );
        self.record.set_grpc_status(&trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}
