//! Detection of the end of a Session while a request is open.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Watches the Session of an open request. It is cheap to create; only a task that waits registers a wake-up.
pub(crate) struct Watch {
    session_end: Option<SessionEnd>,
    armed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

#[derive(Clone)]
struct SessionEnd {
    revoked: CancellationToken,
    until: Option<Instant>,
}

impl Watch {
    /// Creates a watch for an anonymous request. It never ends.
    pub(crate) fn unlimited() -> Self {
        Self {
            session_end: None,
            armed: None,
        }
    }

    /// Creates a watch that ends with the Session or after `remaining`.
    pub(crate) fn new(revoked: CancellationToken, remaining: Duration) -> Self {
        Self {
            session_end: Some(SessionEnd {
                revoked,
                until: Instant::now().checked_add(remaining),
            }),
            armed: None,
        }
    }

    /// Returns a copy without a registered wake-up.
    pub(crate) fn another(&self) -> Self {
        Self {
            session_end: self.session_end.clone(),
            armed: None,
        }
    }

    /// Returns true if the Session has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.session_end.as_ref().is_some_and(|session_end| {
            session_end.revoked.is_cancelled()
                || session_end
                    .until
                    .is_some_and(|until| until <= Instant::now())
        })
    }

    /// Polls for the end of the Session and registers the task for a wake-up.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(session_end) = &self.session_end else {
            return Poll::Pending;
        };
        let armed = self.armed.get_or_insert_with(|| {
            let session_end = session_end.clone();
            Box::pin(async move { session_end.wait().await })
        });
        armed.as_mut().poll(cx)
    }

    /// Waits for the end of the Session.
    pub(crate) async fn over(&self) {
        match &self.session_end {
            Some(session_end) => session_end.wait().await,
            None => std::future::pending().await,
        }
    }
}

impl SessionEnd {
    async fn wait(&self) {
        match self.until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until, self.revoked.cancelled()).await;
            }
            None => self.revoked.cancelled().await,
        }
    }
}
