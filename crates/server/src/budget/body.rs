//! A request body that enforces its limits.

use std::{
    future::Future as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use ::budget::{ReserveError, Reserved};
use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Limits, Refused, Shape, message, message::Messages};

/// The refusal of a body that was evicted for others.
const EVICTED: Refused = Refused::Overloaded(ReserveError::Evicted);

/// The reason why a body was refused, if it was.
pub(super) type Refusal = Mutex<Option<Refused>>;

/// Takes the refusal, and leaves `None`.
pub(super) fn take(refusal: &Refusal) -> Option<Refused> {
    refusal
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

/// A body that ends with an error when it reaches a limit, and stores the reason in its [`Refusal`].
pub(super) struct LimitedBody {
    inner: Body,
    limits: Limits,
    reserved: Arc<Reserved>,
    refusal: Arc<Refusal>,
    started: Instant,
    last: Instant,
    /// Created when the body is first awaited.
    timer: Option<Pin<Box<Sleep>>>,
    received: usize,
    messages: Messages,
    is_over: bool,
}

impl LimitedBody {
    pub(super) fn new(
        inner: Body,
        limits: Limits,
        reserved: Arc<Reserved>,
        refusal: Arc<Refusal>,
    ) -> Self {
        let now = Instant::now();
        Self {
            inner,
            limits,
            reserved,
            refusal,
            started: now,
            last: now,
            timer: None,
            received: 0,
            messages: Messages::default(),
            is_over: false,
        }
    }

    fn receive(&mut self, data: &[u8]) -> Result<(), Refused> {
        self.last = Instant::now();
        let most = self.limits.most;
        let too_large = Refused::TooLarge { most };
        self.received = self.received.saturating_add(data.len());
        let held = match self.limits.shape {
            Shape::Whole if self.received > most => return Err(too_large),
            Shape::Whole => self.received,
            Shape::Message | Shape::Messages => {
                let pushed = self.messages.push(data, most);
                pushed.map_err(|message::TooLarge| too_large)?;
                match self.limits.shape {
                    Shape::Messages => self.messages.pending(),
                    // The call has one message, but bytes after it are held as well.
                    _ if self.received > most.saturating_add(message::PREFIX) => {
                        return Err(too_large);
                    }
                    _ => self.received,
                }
            }
        };
        self.reserved.hold(held).map_err(Refused::Overloaded)?;
        self.check_time()
    }

    /// Protects a body that has arrived from eviction, unless it stays evictable.
    fn arrived(&self) {
        if !self.limits.stays_evictable {
            self.reserved.complete();
        }
    }

    fn check_time(&self) -> Result<(), Refused> {
        match self.deadline() {
            Some(deadline) if deadline <= Instant::now() => Err(Refused::TimedOut),
            Some(_) | None => Ok(()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let limits = &self.limits;
        if limits.shape == Shape::Messages && self.messages.has_completed() {
            return limits.stream_idle.map(|idle| self.last + idle);
        }
        Some((self.last + limits.idle).min(self.started + limits.total))
    }

    /// Waits for the deadline, which may move meanwhile.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<Refused> {
        loop {
            let Some(deadline) = self.deadline() else {
                self.timer = None;
                return Poll::Pending;
            };
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                return Poll::Ready(Refused::TimedOut);
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn refuse(&mut self, refused: Refused) -> axum::Error {
        self.is_over = true;
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        axum::Error::new(refused)
    }
}

impl HttpBody for LimitedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.reserved.eviction().poll(context.waker()) {
            return Poll::Ready(Some(Err(self.refuse(EVICTED))));
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                match self.receive(data) {
                    Ok(()) => {
                        if self.inner.is_end_stream() {
                            self.arrived();
                        }
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Err(refused) => Poll::Ready(Some(Err(self.refuse(refused)))),
                }
            }
            Poll::Ready(end) => {
                self.is_over = true;
                self.arrived();
                Poll::Ready(end)
            }
            Poll::Pending => match self.poll_deadline(context) {
                Poll::Ready(refused) => Poll::Ready(Some(Err(self.refuse(refused)))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The body of an endless response. It stays charged until it ends or is evicted.
pub(super) struct ChargedBody {
    body: Body,
    reserved: Arc<Reserved>,
}

impl ChargedBody {
    pub(super) fn new(body: Body, reserved: Arc<Reserved>) -> Self {
        // The request is handled, and its bytes are freed.
        let _ = reserved.hold(0);
        Self { body, reserved }
    }
}

impl HttpBody for ChargedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.reserved.eviction().poll(context.waker()) {
            return Poll::Ready(Some(Err(axum::Error::new(EVICTED))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
