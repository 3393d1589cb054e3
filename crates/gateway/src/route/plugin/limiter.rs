//! Rate limits by key, in bounded memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

/// The maximum number of keys. The least recently seen keys are evicted and start with a full burst again.
const KEYS: usize = 1 << 16;
const SHARDS: usize = 16;
const MOST: i64 = 1_000_000;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(30 * 24);

type Rate = RateLimiter<NotKeyed, InMemoryState, Uptime, NoOpMiddleware<Nanos>>;

/// A rate limit for each key: a leaky bucket (GCRA) that holds as many requests as the limit allows in one window.
pub(super) struct Limiter {
    quota: Quota,
    clock: Uptime,
    window: Duration,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations of keys: recently used ones, and older ones that the next turn evicts.
struct Shard {
    young: HashMap<u64, Arc<Rate>>,
    old: HashMap<u64, Arc<Rate>>,
    rotated_at: Instant,
}

impl Shard {
    fn rotate(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.rotated_at = now;
    }
}

/// A clock that counts from the creation of the limiter.
#[derive(Debug, Clone)]
struct Uptime(Instant);

impl Clock for Uptime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

impl Limiter {
    /// Creates a limiter. Returns `None` if the limit or the window is out of range.
    pub(super) fn new(limit: i64, window: Duration) -> Option<Self> {
        if !(1..=MOST).contains(&limit) || !(SHORTEST..=LONGEST).contains(&window) {
            return None;
        }
        let burst = NonZeroU32::new(u32::try_from(limit).ok()?)?;
        let now = Instant::now();
        Some(Self {
            quota: Quota::with_period(window / burst.get())?.allow_burst(burst),
            clock: Uptime(now),
            window,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    young: HashMap::new(),
                    old: HashMap::new(),
                    rotated_at: now,
                })
            }),
        })
    }

    /// Counts a request.
    ///
    /// # Errors
    ///
    /// Returns the time until the next request passes, if this one exceeds the limit.
    pub(super) fn check(&self, key: &str) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(key);
        let rate = self.rate(hash);
        rate.check()
            .map_err(|refused| refused.wait_time_from(self.clock.now()))
    }

    fn rate(&self, hash: u64) -> Arc<Rate> {
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let Some(shard) = self.shards.get(shard) else {
            return Arc::new(self.fresh());
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // A key that was idle for a whole window has its full burst again, so its state can be dropped.
        if now.duration_since(shard.rotated_at) > self.window * 2 {
            shard.rotate(now);
        }
        if let Some(rate) = shard.young.get(&hash) {
            return Arc::clone(rate);
        }
        if shard.young.len() >= KEYS / SHARDS / 2 {
            shard.rotate(now);
        }
        let known = shard.old.remove(&hash);
        let rate = known.unwrap_or_else(|| Arc::new(self.fresh()));
        shard.young.insert(hash, Arc::clone(&rate));
        rate
    }

    fn fresh(&self) -> Rate {
        RateLimiter::direct_with_clock(self.quota, self.clock.clone())
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        let shards = self.shards.iter().map(|shard| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        });
        shards.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_key_has_its_own_limit_for_each_window() {
        let limiter = Limiter::new(3, Duration::from_mins(1)).unwrap();
        for _ in 0..3 {
            assert_eq!(limiter.check("a"), Ok(()));
        }
        let wait = limiter.check("a").unwrap_err();
        assert_eq!(wait, Duration::from_secs(20));
        assert_eq!(limiter.check("b"), Ok(()));
        tokio::time::advance(wait).await;
        assert_eq!(limiter.check("a"), Ok(()));
        assert!(limiter.check("a").is_err());
        tokio::time::advance(Duration::from_mins(1)).await;
        for _ in 0..3 {
            assert_eq!(limiter.check("a"), Ok(()));
        }
        assert!(limiter.check("a").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_is_bounded_and_does_not_reset_active_keys() {
        let limiter = Limiter::new(1, Duration::from_hours(1)).unwrap();
        assert_eq!(limiter.check("me"), Ok(()));
        for flood in 0..4 * KEYS {
            let _ = limiter.check(&flood.to_string());
            if flood % 100 == 0 {
                assert!(limiter.check("me").is_err(), "{flood}");
            }
        }
        assert!(limiter.keys() <= KEYS, "{}", limiter.keys());
    }

    #[tokio::test(start_paused = true)]
    async fn idle_keys_go_with_time() {
        let limiter = Limiter::new(1, Duration::from_secs(1)).unwrap();
        for key in 0..1000 {
            let _ = limiter.check(&key.to_string());
        }
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(3)).await;
            for key in 0..200 {
                let _ = limiter.check(&format!("other {key}"));
            }
        }
        assert!(limiter.keys() <= 200, "{}", limiter.keys());
    }
}
