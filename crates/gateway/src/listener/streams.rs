//! HTTP/2 streams whose client gives no window. [`StallTimeout`](super::StallTimeout) does not see them: nothing is
//! written to the connection meanwhile.

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
    /// What the answer of the stream that is being polled has said last.
    static ANSWER: Cell<Answer> = const { Cell::new(Answer::Waits) };
    /// Whether it was asked.
    static IS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It waits for its service or upstream, for any time.
    Waits,
    /// It has more to send: it waits for the client to take it.
    IsReady,
}

impl Answer {
    /// Notes what the answer of the current stream waits for.
    pub(super) fn note<T>(polled: &Poll<T>) {
        IS_ASKED.set(true);
        ANSWER.set(if polled.is_ready() {
            Self::IsReady
        } else {
            Self::Waits
        });
    }
}

/// Runs each stream of a connection, and resets those whose client takes nothing for too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// How long a client may take nothing.
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
        // An answer that is not asked keeps what it has said before.
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
