//! Rate limits per key and time window, shared by all replicas.

use std::{fmt, time::Duration};

use domain::{clock::UnixMillis, id::Uid};
use moka::{policy::EvictionPolicy, sync::Cache};
use store::Store;

use crate::Error;

/// Maximum number of keys in [`OverLimit`].
const MOST_KEYS: u64 = 10_000;

/// The subject of a limit. Each subject has its own counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// Codes of device logins that a User enters.
    DeviceCodes(Uid),
    /// Polls for the tokens of one device login.
    DevicePolls(Uid),
    /// Access tokens that an OAuth2 client revokes, by the uid of its Credential.
    TokenRevocations(Uid),
}

impl fmt::Display for Key {
    /// Writes the key of the counter in the store. Replicas of other versions count under the same key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceCodes(user) => write!(f, "device-code:{user}"),
            Self::DevicePolls(id) => write!(f, "device-poll:{id}"),
            Self::TokenRevocations(credential) => write!(f, "token-revocation:{credential}"),
        }
    }
}

/// The keys over their limit, with the ends of their windows. Further hits of these keys do not write to the store.
///
/// If there are too many keys, the one that was used least recently is forgotten. Its next hit is counted in the store
/// and refused there.
pub(crate) struct OverLimit(Cache<Key, UnixMillis>);

impl Default for OverLimit {
    fn default() -> Self {
        Self::new(MOST_KEYS)
    }
}

/// The reason why a hit is not allowed.
#[derive(Debug)]
pub(crate) enum TooMany {
    /// The key has too many hits. The window ends at this time.
    Until(UnixMillis),
    Failed(Error),
}

/// The hits that a key is allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowed {
    pub(crate) most: u64,
    pub(crate) window: Duration,
}

impl OverLimit {
    fn new(most_keys: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(most_keys)
            .eviction_policy(EvictionPolicy::lru());
        Self(cache.build())
    }

    /// Counts a hit of `key`.
    ///
    /// # Errors
    /// Returns [`TooMany::Until`] if there are more hits than allowed, and [`TooMany::Failed`] if the store fails.
    pub(crate) async fn count(
        &self,
        store: &dyn Store,
        key: Key,
        allowed: Allowed,
        now: UnixMillis,
    ) -> Result<(), TooMany> {
        if let Some(until) = self.0.get(&key) {
            // A clock that was set back must not extend the refusal beyond one window.
            if now < until && until.since(now) <= allowed.window {
                return Err(TooMany::Until(until));
            }
            self.0.invalidate(&key);
        }
        let counter = store.count(&key.to_string(), allowed.window, now).await;
        let counter = counter.map_err(|error| TooMany::Failed(error.into()))?;
        if counter.count <= allowed.most {
            return Ok(());
        }
        self.0.insert(key, counter.resets_at);
        Err(TooMany::Until(counter.resets_at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{
        clock::{Clock as _, ManualClock},
        rng::SeededRng,
    };

    use super::*;

    const ALLOWED: Allowed = Allowed {
        most: 3,
        window: Duration::from_mins(1),
    };

    struct Limiter {
        store: Arc<dyn Store>,
        over_limit: OverLimit,
        clock: ManualClock,
        rng: SeededRng,
    }

    impl Limiter {
        fn new(most_keys: u64) -> Self {
            Self {
                store: store::testing::sqlite(),
                over_limit: OverLimit::new(most_keys),
                clock: ManualClock::at(UnixMillis(1_795_305_600_000)),
                rng: SeededRng::new(1),
            }
        }

        fn key(&self) -> Key {
            Key::DeviceCodes(Uid::random(&self.rng))
        }

        /// Returns the end of the window if the hit is refused.
        async fn hit(&self, key: Key) -> Option<UnixMillis> {
            let now = self.clock.now();
            let hit = self.over_limit.count(&*self.store, key, ALLOWED, now);
            match hit.await {
                Ok(()) => None,
                Err(TooMany::Until(until)) => Some(until),
                Err(TooMany::Failed(error)) => panic!("{error}"),
            }
        }

        /// Returns the number of hits that the store has counted in this window.
        async fn stored(&self, key: Key) -> u64 {
            let key = key.to_string();
            let counter = self.store.counter(&key, self.clock.now()).await;
            counter.unwrap().map_or(0, |counter| counter.count)
        }

        /// Hits the key until it is over its limit, and returns the end of the window.
        async fn exhaust(&self, key: Key) -> UnixMillis {
            for _ in 0..ALLOWED.most {
                assert_eq!(self.hit(key).await, None);
            }
            self.hit(key).await.unwrap()
        }
    }

    #[tokio::test]
    async fn hits_over_the_limit_do_not_write_until_the_window_ends_s02() {
        let limiter = Limiter::new(100);
        let key = limiter.key();
        let start = limiter.clock.now();
        let until = limiter.exhaust(key).await;
        assert_eq!(until, start.saturating_add(ALLOWED.window));
        let stored = limiter.stored(key).await;
        limiter
            .clock
            .advance(ALLOWED.window.saturating_sub(Duration::from_millis(1)));
        for _ in 0..100 {
            assert_eq!(limiter.hit(key).await, Some(until));
        }
        assert_eq!(limiter.stored(key).await, stored);
    }

    #[tokio::test]
    async fn a_window_ends_by_the_given_clock() {
        let limiter = Limiter::new(100);
        let key = limiter.key();
        let until = limiter.exhaust(key).await;
        limiter.clock.set(until);
        let second = limiter.exhaust(key).await;
        assert_eq!(second, until.saturating_add(ALLOWED.window));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_is_not_answered_from_memory() {
        let limiter = Limiter::new(100);
        let key = limiter.key();
        let until = limiter.exhaust(key).await;
        let stored = limiter.stored(key).await;
        limiter
            .clock
            .set(until.saturating_sub(ALLOWED.window + Duration::from_millis(1)));
        // The store still has the window, and decides.
        assert_eq!(limiter.hit(key).await, Some(until));
        assert_eq!(limiter.stored(key).await, stored + 1);
    }

    #[tokio::test]
    async fn keys_do_not_share_a_limit() {
        let limiter = Limiter::new(100);
        let uid = Uid::random(&limiter.rng);
        limiter.exhaust(Key::DeviceCodes(uid)).await;
        for other in [
            limiter.key(),
            Key::DevicePolls(uid),
            Key::TokenRevocations(uid),
        ] {
            assert_eq!(limiter.hit(other).await, None, "{other}");
            assert_eq!(limiter.stored(other).await, 1, "{other}");
        }
    }

    #[tokio::test]
    async fn a_bounded_number_of_keys_is_remembered_and_the_others_stay_refused_s02() {
        const MOST: u64 = 5;
        let limiter = Limiter::new(MOST);
        let keys: Vec<Key> = (0..40).map(|_| limiter.key()).collect();
        for key in &keys {
            limiter.exhaust(*key).await;
        }
        let cache = &limiter.over_limit.0;
        for _ in 0..100 {
            cache.run_pending_tasks();
        }
        assert!(cache.entry_count() <= MOST, "{}", cache.entry_count());
        for key in &keys {
            assert!(limiter.hit(*key).await.is_some(), "{key}");
        }
    }

    #[test]
    fn counters_keep_their_keys_in_the_store() {
        let uid: Uid = "6fa459ea-ee8a-4ca4-894e-db77e160355e".parse().unwrap();
        for (key, stored) in [
            (Key::DeviceCodes(uid), format!("device-code:{uid}")),
            (Key::DevicePolls(uid), format!("device-poll:{uid}")),
            (
                Key::TokenRevocations(uid),
                format!("token-revocation:{uid}"),
            ),
        ] {
            assert_eq!(key.to_string(), stored);
        }
    }
}
