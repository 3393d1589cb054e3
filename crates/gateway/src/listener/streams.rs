//! Timeouts of HTTP/2 streams whose client grants no window. [`StallTimeout`](super::StallTimeout) does not detect
//! them, because nothing is written to the connection meanwhile.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep};

use super::Limit;

thread_local! {
    /// The last state of the response of the stream that is being polled.
    static ANSWER: Cell<Answer> = const { Cell::new(Answer::Waits) };
    /// True if that response was polled.
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// The reason why a stream waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The stream waits for its Service or upstream, without a limit.
    Waits,
    /// The stream has more to send and waits for the client.
    IsReady,
}

impl Answer {
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
        let limit = self.stall;
        tokio::spawn(async move {
            let mut stream = pin!(stream);
            let mut watch = Watch {
                answer: Answer::Waits,
                timer: None,
            };
            poll_fn(|cx| watch.poll(stream.as_mut(), limit, cx)).await;
        });
    }
}

struct Watch {
    answer: Answer,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Is ready when the stream is, or when it has waited for its client for too long. Dropping the stream resets it.
    fn poll<F: Future<Output = ()>>(
        &mut self,
        stream: Pin<&mut F>,
        limit: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        // A response that is not polled keeps its previous state.
        ANSWER.set(self.answer);
        IS_ASKED.set(false);
        let polled = stream.poll(cx);
        if polled.is_ready() {
            return polled;
        }
        self.answer = ANSWER.get();
        if self.answer == Answer::Waits {
            self.timer = None;
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if IS_ASKED.get() {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx).map(|()| Limit::StallTime.reached())
    }
}
