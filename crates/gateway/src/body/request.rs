//! Request bodies on their way to an upstream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::{
    body::{BodyError, Transfer, TransferState, Watch},
    canonical::{Names, clean_request_trailers},
};

/// The body of a request to an upstream.
pub(crate) enum RequestBody {
    Empty,
    /// A buffered body. The request can be sent again.
    Whole(Bytes),
    /// A streamed body. The request cannot be sent again.
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// The limits of a request body.
pub(crate) struct Bounds {
    /// In bytes.
    pub(crate) limit: Option<u64>,
    /// The maximum pause.
    pub(crate) idle: Option<Duration>,
    pub(crate) watch: Watch,
    pub(crate) trailers: RequestTrailers,
}

/// The treatment of trailers.
pub(crate) enum RequestTrailers {
    Dropped,
    /// Pass trailers that are allowed in the head, except the names that the Service removes or sets itself.
    Cleaned(Arc<Names>),
}

impl RequestBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Whole(bytes)
        }
    }

    /// Returns a copy of the body, or `None` for a stream.
    pub(crate) fn duplicate(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Stream(_) => None,
        }
    }

    /// Streams `body` and updates `transfer`.
    pub(crate) fn stream<B>(body: B, bounds: Bounds, transfer: Arc<Transfer>) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::Stream(Box::pin(Guarded {
            body,
            bounds,
            transfer,
            pause: None,
        }))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(_) => false,
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

struct Guarded<B> {
    body: B,
    bounds: Bounds,
    transfer: Arc<Transfer>,
    pause: Option<Pause>,
}

struct Pause {
    timer: Pin<Box<Sleep>>,
    running: bool,
}

impl<B> Guarded<B> {
    fn fail(&self, state: TransferState) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.transfer.set(state);
        let error = match state {
            TransferState::TooLarge => BodyError::TooLarge,
            TransferState::Idle => BodyError::Idle,
            TransferState::Revoked => BodyError::Revoked,
            TransferState::Running | TransferState::Finished | TransferState::ClientGone => {
                BodyError::Client("the request was not completed".into())
            }
        };
        Poll::Ready(Some(Err(error)))
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.bounds.idle else {
            return Poll::Pending;
        };
        let pause = self.pause.get_or_insert_with(|| Pause {
            timer: Box::pin(tokio::time::sleep(limit)),
            running: true,
        });
        if !pause.running {
            pause.timer.as_mut().reset(Instant::now() + limit);
            pause.running = true;
        }
        pause.timer.as_mut().poll(cx)
    }
}

impl<B> Body for Guarded<B>
where
    B: Body<Data = Bytes> + Send + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.bounds.watch.is_over() {
            return this.fail(TransferState::Revoked);
        }
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(pause) = &mut this.pause {
                    pause.running = false;
                }
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let total = this.transfer.add(length);
                if this.bounds.limit.is_some_and(|limit| total > limit) {
                    return this.fail(TransferState::TooLarge);
                }
                if frame.is_trailers() || this.body.is_end_stream() {
                    this.transfer.set(TransferState::Finished);
                }
                if let Some(trailers) = frame.trailers_mut() {
                    match &this.bounds.trailers {
                        RequestTrailers::Dropped => return Poll::Ready(None),
                        RequestTrailers::Cleaned(set) => clean_request_trailers(trailers, set),
                    }
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.transfer.set(TransferState::ClientGone);
                Poll::Ready(Some(Err(BodyError::Client(error.into()))))
            }
            Poll::Ready(None) => {
                this.transfer.set(TransferState::Finished);
                Poll::Ready(None)
            }
            Poll::Pending => {
                this.transfer.set_awaits_client();
                if this.bounds.watch.poll_over(cx).is_ready() {
                    return this.fail(TransferState::Revoked);
                }
                if this.poll_pause(cx).is_ready() {
                    return this.fail(TransferState::Idle);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
