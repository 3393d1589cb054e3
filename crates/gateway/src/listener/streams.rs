//! Timeouts of HTTP/2 streams whose client grants no window. [`StallTimeout`](super::StallTimeout) does not detect
//! them, because nothing is written to the connection meanwhile.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::Limit;

thread_local! {
    /// The last state of the response of the stream that is being polled.
    static ANSWER: Cell<StreamWait> = const { Cell::new(StreamWait::Waits) };
    /// True if that response was polled.
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// The reason why a stream waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamWait {
    /// The stream waits for its Service or upstream, without a limit.
    Waits,
    /// The stream has more to send and waits for the client.
    IsReady,
}

impl StreamWait {
    /// Records the state of the current stream's response.
    pub(super) fn note<T>(polled: &Poll<T>) {
        IS_ASKED.set(true);
        ANSWER.set(if polled.is_ready() {
            Self::IsReady
        } else {
            Self::Waits
        });
    }
}

/// Runs the streams of a connection, and resets those whose client reads nothing for too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// The time that a client may read nothing.
    pub(super) stall: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        tokio::spawn(Watched {
            stream,
            limit: self.stall,
            answer: StreamWait::Waits,
            timer: None,
        });
    }
}

pin_project! {
    /// A stream that ends when it has waited for its client for too long. Dropping it then resets it.
    struct Watched<F> {
        #[pin]
        stream: F,
        limit: Duration,
        answer: StreamWait,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // A response that is not polled keeps its previous state.
        ANSWER.set(*this.answer);
        IS_ASKED.set(false);
        let polled = this.stream.poll(cx);
        if polled.is_ready() {
            return polled;
        }
        *this.answer = ANSWER.get();
        if *this.answer == StreamWait::Waits {
            *this.timer = None;
            return Poll::Pending;
        }
        let limit = *this.limit;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if IS_ASKED.get() {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx).map(|()| Limit::StallTime.reached())
    }
}
