//! Health of endpoints.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The failures to connect to an endpoint. The endpoint is skipped for 0.5 s after the first failure, twice as long
/// after each further one, and at most 30 s.
#[derive(Default)]
pub(crate) struct Health {
    failures: AtomicU32,
    /// Milliseconds since [`START`].
    rests_until: AtomicU64,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Health {
    pub(crate) fn is_good(&self) -> bool {
        self.failures.load(Ordering::Relaxed) == 0
            || self.rests_until.load(Ordering::Relaxed) <= millis()
    }

    pub(crate) fn succeeded(&self) {
        // A read is cheaper than a write, and every request gets here.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).min(6);
        let rest = Duration::from_millis(500 << failures).min(Duration::from_secs(30));
        let rest = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
        self.rests_until
            .store(millis().saturating_add(rest), Ordering::Relaxed);
    }
}

fn millis() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_rests_longer_with_each_failure() {
        let health = Health::default();
        assert!(health.is_good());
        for millis in [500, 1000, 2000] {
            health.failed();
            tokio::time::advance(Duration::from_millis(millis - 1)).await;
            assert!(!health.is_good());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(health.is_good());
        }
        health.failed();
        health.succeeded();
        assert!(health.is_good());
    }
}
