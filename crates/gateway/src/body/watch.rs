//! Whether the right to a stream still stands.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Looks at a Session for as long as something of it is open. Costs nothing to make; the wake-up is armed only by
/// what really waits.
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
    /// For an anonymous request: it never ends.
    pub(crate) fn unlimited() -> Self {
        Self {
            standing: None,
            armed: None,
        }
    }

    /// Ends with the Session or with `remaining`.
    pub(crate) fn new(revoked: CancellationToken, remaining: Duration) -> Self {
        Self {
            standing: Some(Standing {
                revoked,
                until: Instant::now().checked_add(remaining),
            }),
            armed: None,
        }
    }

    /// The same, not armed.
    pub(crate) fn another(&self) -> Self {
        Self {
            standing: self.standing.clone(),
            armed: None,
        }
    }

    /// Looks once.
    pub(crate) fn is_over(&self) -> bool {
        self.standing.as_ref().is_some_and(|standing| {
            standing.revoked.is_cancelled()
                || standing.until.is_some_and(|until| until <= Instant::now())
        })
    }

    /// Looks, and wakes the task at the end.
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

    /// Waits for the end.
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
