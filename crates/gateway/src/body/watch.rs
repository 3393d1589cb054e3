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
    standing: Option<Standing>,
    armed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

#[derive(Clone)]
struct Standing {
    revoked: CancellationToken,
    until: Option<Instant>,
}

impl Watch {
    /// Creates a watch for an anonymous request. It never ends.
    pub(crate) fn unlimited() -> Self {
        Self {
            standing: None,
            armed: None,
        }
    }

    /// Creates a watch that ends with the Session or after `remaining`.
    pub(crate) fn new(revoked: CancellationToken, remaining: Duration) -> Self {
        Self {
            standing: Some(Standing {
                revoked,
                until: Instant::now().checked_add(remaining),
            }),
            armed: None,
        }
    }

    /// Returns a copy without a registered wake-up.
    pub(crate) fn another(&self) -> Self {
        Self {
            standing: self.standing.clone(),
            armed: None,
        }
    }

    /// Returns true if the Session has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| {
            standing.revoked.is_cancelled()
                || standing.until.is_some_and(|until| until <= Instant::now())
        })
    }

    /// Polls for the end of the Session and registers the task for a wake-up.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(standing) = &self.standing else {
            return Poll::Pending;
        };
        let armed = self.armed.get_or_insert_with(|| {
            let standing = standing.clone();
            Box::pin(async move { standing.wait().await })
        });
        armed.as_mut().poll(cx)
    }

    /// Waits for the end of the Session.
    pub(crate) async fn over(&self) {
        match &self.standing {
            Some(standing) => standing.wait().await,
            None => std::future::pending().await,
        }
    }
}

impl Standing {
    async fn wait(&self) {
        match self.until {
            Some(until) => {
                let _ = tokio::time::timeout_at(until, self.revoked.cancelled()).await;
            }
            None => self.revoked.cancelled().await,
        }
    }
}
