//! Bodies of HTTP/2 requests that are answered before they were read.
//!
//! Dropping a stream while its client still sends resets it, and some clients then report the reset instead of the
//! response. So the rest of the body is read and discarded (RFC 9113 §8.1), within limits of bytes, time and streams.
//! Beyond them the stream is reset.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The limits for discarding unread bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discard {
    /// Bytes of one body. A client can send the window of the stream without waiting.
    pub bytes: u64,
    /// The maximum time for one body.
    pub time: Duration,
    /// Concurrent bodies of one connection.
    pub per_connection: usize,
    /// Concurrent bodies of all connections.
    pub in_total: usize,
}

impl Default for Discard {
    fn default() -> Self {
        Self {
            bytes: 256 * 1024,
            time: Duration::from_secs(3),
            per_connection: 16,
            in_total: 1024,
        }
    }
}

/// The limits of one listener.
#[derive(Debug, Clone)]
pub(super) struct Discards {
    limits: Discard,
    in_total: Arc<Semaphore>,
}

/// The limits of one connection.
pub(super) struct ConnectionDiscards {
    all: Discards,
    here: Arc<Semaphore>,
}

impl Discards {
    pub(super) fn new(limits: Discard) -> Self {
        Self {
            limits,
            in_total: Arc::new(Semaphore::new(limits.in_total)),
        }
    }

    pub(super) fn of_connection(&self) -> Arc<ConnectionDiscards> {
        Arc::new(ConnectionDiscards {
            all: self.clone(),
            here: Arc::new(Semaphore::new(self.limits.per_connection)),
        })
    }
}

impl ConnectionDiscards {
    fn permits(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let here = Arc::clone(&self.here).try_acquire_owned().ok()?;
        let in_total = Arc::clone(&self.all.in_total).try_acquire_owned().ok()?;
        Some([here, in_total])
    }

    /// Reads the rest of the body in its own task, if the limits allow it.
    fn discard(&self, body: Incoming) {
        let (Some(permits), Ok(runtime)) = (self.permits(), Handle::try_current()) else {
            return;
        };
        let Discard { bytes, time, .. } = self.all.limits;
        runtime.spawn(async move {
            // After the timeout, the stream is reset.
            let _ = timeout(time, drain(body, bytes)).await;
            drop(permits);
        });
    }
}

/// Reads until the body ends, breaks, or exceeds `most` bytes.
async fn drain<B>(mut body: B, most: u64)
where
    B: Body + Unpin,
    B::Data: Buf,
{
    let mut left = most;
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let length = frame.data_ref().map_or(0, Buf::remaining) as u64;
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// The body of a request. If an HTTP/2 body is dropped early, the rest is discarded.
pub struct ClientBody {
    /// `None` only after the drop.
    incoming: Option<Incoming>,
    discards: Option<Arc<ConnectionDiscards>>,
}

impl ClientBody {
    pub(super) fn new(incoming: Incoming, discards: Option<Arc<ConnectionDiscards>>) -> Self {
        Self {
            incoming: Some(incoming),
            discards,
        }
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if let (Some(body), Some(discards)) = (self.incoming.take(), &self.discards)
            && !body.is_end_stream()
        {
            discards.discard(body);
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Yields chunks of 1000 bytes without end.
    struct Endless(Arc<AtomicUsize>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1000])))))
        }
    }

    #[tokio::test]
    async fn a_body_without_end_is_given_up_g10() {
        let read = Arc::new(AtomicUsize::new(0));
        drain(Endless(Arc::clone(&read)), 10_000).await;
        assert_eq!(read.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn bodies_are_discarded_within_both_bounds_g10() {
        let all = Discards::new(Discard {
            per_connection: 2,
            in_total: 3,
            ..Discard::default()
        });
        let (one, other) = (all.of_connection(), all.of_connection());
        let first = one.permits().unwrap();
        let _second = one.permits().unwrap();
        assert!(one.permits().is_none(), "of the connection");
        let _third = other.permits().unwrap();
        assert!(other.permits().is_none(), "in total");
        drop(first);
        assert!(other.permits().is_some());
    }
}
