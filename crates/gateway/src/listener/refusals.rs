//! The pace of refusals. A client that floods the server with requests without authentication waits for the responses,
//! so that it leaves the processor to others.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The refusals that are sent at once.
const BURST: u64 = 1000;
/// The time between two refusals after a burst: 200 a second.
const INTERVAL: Duration = Duration::from_millis(5);
/// The maximum delay of a refusal.
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Marks a response to a request without authentication that was refused.
#[derive(Debug, Clone, Copy)]
pub struct Unauthenticated;

/// The refusals of one client, as a leaky bucket.
#[derive(Debug)]
pub(super) struct RefusalPace {
    started: Instant,
    /// Microseconds from `started` to the time at which the bucket is empty.
    empty_at: AtomicU64,
}

impl RefusalPace {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            empty_at: AtomicU64::new(0),
        }
    }

    /// Counts a refusal and returns the delay of its response.
    pub(super) fn delay(&self) -> Duration {
        let now = micros(self.started.elapsed());
        let burst = BURST * micros(INTERVAL);
        let full = now + burst + micros(LONGEST_DELAY);
        let add = |empty_at: u64| Some((empty_at.max(now) + micros(INTERVAL)).min(full));
        let before = self
            .empty_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        let (Ok(before) | Err(before)) = before;
        Duration::from_micros(before.saturating_sub(now + burst))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_delayed_s02() {
        let pace = RefusalPace::new();
        for _ in 0..=BURST {
            assert_eq!(pace.delay(), Duration::ZERO);
        }
        assert_eq!(pace.delay(), INTERVAL);
        assert_eq!(pace.delay(), INTERVAL * 2);
        for _ in 0..BURST {
            assert!(pace.delay() <= LONGEST_DELAY);
        }
        assert_eq!(pace.delay(), LONGEST_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_at_a_usual_rate_are_not_delayed() {
        let pace = RefusalPace::new();
        for _ in 0..BURST * 10 {
            assert_eq!(pace.delay(), Duration::ZERO);
            tokio::time::advance(INTERVAL).await;
        }
        // After a flood, the pace recovers.
        for _ in 0..BURST * 2 {
            pace.delay();
        }
        assert_eq!(pace.delay(), LONGEST_DELAY);
        tokio::time::advance(LONGEST_DELAY + INTERVAL).await;
        assert_eq!(pace.delay(), Duration::ZERO);
    }
}
