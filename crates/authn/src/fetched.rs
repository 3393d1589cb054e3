//! Cache for data that is fetched from an identity provider.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::clock::{Clock, UnixMillis};

/// Age after which the value is refetched.
const FRESH: Duration = Duration::from_hours(1);
/// Age up to which the value is used if the provider does not answer.
const USABLE: Duration = Duration::from_hours(24);
/// Minimum time between refetches because something seems to be missing. It limits the requests that an attacker with
/// forged tokens can cause.
const REFRESH_AFTER: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// The provider does not answer, or its response is unusable.
#[derive(Debug, Clone)]
pub struct Unavailable(Arc<str>);

impl Unavailable {
    /// Creates the error from its cause.
    pub(crate) fn because(what: &dyn fmt::Display) -> Self {
        Self(what.to_string().into())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}

/// A cached value with single-flight fetching. While one caller fetches, the others use the cached value or wait.
pub struct Fetched<T> {
    state: Mutex<State<T>>,
    flight: tokio::sync::Mutex<()>,
    clock: Arc<dyn Clock>,
}

struct State<T> {
    value: Option<(Arc<T>, UnixMillis)>,
    /// Time of the last attempt, its error, and the number of consecutive failures.
    attempted_at: Option<UnixMillis>,
    failure: Option<Unavailable>,
    failures: u32,
}

impl<T> Fetched<T> {
    /// Creates an empty cache.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::new(State {
                value: None,
                attempted_at: None,
                failure: None,
                failures: 0,
            }),
            flight: tokio::sync::Mutex::default(),
            clock,
        }
    }

    /// Returns the value, and fetches it if it is missing or old.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if fetching fails and the cached value is missing or too old.
    pub async fn get<E: fmt::Display>(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, Unavailable> {
        let now = self.clock.now();
        let usable = {
            let state = self.lock();
            let usable = state.usable(now);
            if let Some((value, fetched_at)) = usable
                && (now.since(*fetched_at) < FRESH || !state.may_retry(now))
            {
                return Ok(value.clone());
            }
            usable.map(|(value, _)| value.clone())
        };
        let _flight = match &usable {
            // Another caller is fetching, so the cached value is used.
            Some(value) => match self.flight.try_lock() {
                Ok(flight) => flight,
                Err(_) => return Ok(value.clone()),
            },
            None => self.flight.lock().await,
        };
        self.fetch(fetch, |state, now| {
            state
                .value
                .as_ref()
                .filter(|(_, fetched_at)| now.since(*fetched_at) < FRESH)
                .map(|(value, _)| value.clone())
        })
        .await
    }

    /// Returns a newer value than `seen`, in which something is missing. Returns `seen` if it is too early to refetch.
    ///
    /// # Errors
    /// Returns [`Unavailable`] if fetching fails and the cached value is missing or too old.
    pub async fn newer<E: fmt::Display>(
        &self,
        seen: &Arc<T>,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, Unavailable> {
        if let Some(value) = self.lock().unless_due(seen, self.clock.now()) {
            return Ok(value);
        }
        let _flight = self.flight.lock().await;
        self.fetch(fetch, |state, now| state.unless_due(seen, now))
            .await
    }

    /// Fetches the value. The caller holds the flight lock. `known` returns the value if another caller fetched it
    /// meanwhile.
    async fn fetch<E: fmt::Display>(
        &self,
        fetch: impl AsyncFnOnce() -> Result<T, E>,
        known: impl FnOnce(&State<T>, UnixMillis) -> Option<Arc<T>>,
    ) -> Result<Arc<T>, Unavailable> {
        let now = self.clock.now();
        {
            let mut state = self.lock();
            if let Some(value) = known(&state, now) {
                return Ok(value);
            }
            if !state.may_retry(now) {
                return state.fallback(now);
            }
            // Recorded before the fetch, so that a cancelled fetch counts as an attempt.
            state.attempted_at = Some(now);
        }
        let outcome = fetch().await;
        let now = self.clock.now();
        let mut state = self.lock();
        match outcome {
            Ok(value) => {
                let value = Arc::new(value);
                state.value = Some((value.clone(), now));
                state.failure = None;
                state.failures = 0;
                Ok(value)
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                state.failure = Some(Unavailable(error.to_string().into()));
                state.fallback(now)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn usable(&self, now: UnixMillis) -> Option<&(Arc<T>, UnixMillis)> {
        self.value
            .as_ref()
            .filter(|(_, fetched_at)| now.since(*fetched_at) < USABLE)
    }

    /// Returns true if the wait is over. Each consecutive failure doubles the wait.
    fn may_retry(&self, now: UnixMillis) -> bool {
        let (Some(attempted_at), Some(last)) = (self.attempted_at, self.failures.checked_sub(1))
        else {
            return true;
        };
        let wait = FIRST_RETRY.saturating_mul(1 << last.min(6)).min(LAST_RETRY);
        now.since(attempted_at) >= wait
    }

    /// Returns the current value if it is not `seen`, or `seen` if the last attempt is too recent.
    fn unless_due(&self, seen: &Arc<T>, now: UnixMillis) -> Option<Arc<T>> {
        match &self.value {
            Some((value, _)) if !Arc::ptr_eq(value, seen) => Some(value.clone()),
            _ => {
                let attempted_at = self.attempted_at?;
                (now.since(attempted_at) < REFRESH_AFTER).then(|| seen.clone())
            }
        }
    }

    fn fallback(&self, now: UnixMillis) -> Result<Arc<T>, Unavailable> {
        match (self.usable(now), &self.failure) {
            (Some((value, _)), _) => Ok(value.clone()),
            (None, Some(failure)) => Err(failure.clone()),
            (None, None) => Err(Unavailable("has not answered".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use domain::clock::ManualClock;

    use super::*;

    struct Scene {
        clock: Arc<ManualClock>,
        fetched: Fetched<usize>,
        count: AtomicUsize,
    }

    impl Scene {
        fn new() -> Self {
            let clock = Arc::new(ManualClock::at(UnixMillis(0)));
            Self {
                fetched: Fetched::new(clock.clone()),
                clock,
                count: AtomicUsize::new(0),
            }
        }

        async fn answers(&self) -> Result<usize, &'static str> {
            tokio::task::yield_now().await;
            Ok(self.count.fetch_add(1, Ordering::SeqCst))
        }

        async fn fails(&self) -> Result<usize, &'static str> {
            tokio::task::yield_now().await;
            self.count.fetch_add(1, Ordering::SeqCst);
            Err("down")
        }

        fn count(&self) -> usize {
            self.count.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn w54_concurrent_callers_share_one_fetch() {
        let scene = Scene::new();
        let all = (0..50).map(|_| scene.fetched.get(async || scene.answers().await));
        for value in futures_util::future::join_all(all).await {
            assert_eq!(*value.unwrap(), 0);
        }
        assert_eq!(scene.count(), 1);
    }

    #[tokio::test]
    async fn stale_documents_are_fetched_again_and_kept_if_the_provider_is_down() {
        let scene = Scene::new();
        let first = scene
            .fetched
            .get(async || scene.answers().await)
            .await
            .unwrap();
        scene.clock.advance(FRESH);
        let second = scene
            .fetched
            .get(async || scene.fails().await)
            .await
            .unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(scene.count(), 2);
        // The failure delays the next attempt.
        scene
            .fetched
            .get(async || scene.fails().await)
            .await
            .unwrap();
        assert_eq!(scene.count(), 2);
        scene.clock.advance(USABLE);
        let error = scene
            .fetched
            .get(async || scene.fails().await)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "down");
    }

    #[tokio::test]
    async fn w54_requests_to_a_provider_that_is_down_back_off() {
        let scene = Scene::new();
        for _ in 0..600 {
            let _ = scene.fetched.get(async || scene.fails().await).await;
            scene.clock.advance(Duration::from_secs(1));
        }
        // Waits of 1, 2, 4, 8, 16 and 32 s, then one attempt a minute.
        assert!((14..=17).contains(&scene.count()), "{}", scene.count());
        scene.clock.advance(LAST_RETRY);
        scene
            .fetched
            .get(async || scene.answers().await)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn w54_forged_key_ids_do_not_hammer_the_provider() {
        let scene = Scene::new();
        let mut seen = scene
            .fetched
            .get(async || scene.answers().await)
            .await
            .unwrap();
        for _ in 0..600 {
            for _ in 0..10 {
                let fetch = async || scene.answers().await;
                seen = scene.fetched.newer(&seen, fetch).await.unwrap();
            }
            scene.clock.advance(Duration::from_secs(1));
        }
        assert!((59..=61).contains(&scene.count()), "{}", scene.count());
    }

    #[tokio::test]
    async fn a_cancelled_fetch_does_not_block_other_callers() {
        let scene = Scene::new();
        {
            let hangs = scene
                .fetched
                .get(async || std::future::pending::<Result<usize, &str>>().await);
            let given_up = tokio::time::timeout(Duration::from_millis(1), hangs).await;
            assert!(given_up.is_err());
        }
        scene
            .fetched
            .get(async || scene.answers().await)
            .await
            .unwrap();
    }
}
