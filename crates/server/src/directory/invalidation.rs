//! A log of recent invalidations. It keeps a read that began earlier from caching a stale object.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use domain::id::Uid;

/// Number of invalidations kept. A read during more than this many counts as invalidated.
const REMEMBERED: usize = 8192;

/// The most recent invalidations, numbered.
#[derive(Default)]
pub(super) struct Invalidations(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    recent: VecDeque<Uid>,
}

/// A position in the sequence of invalidations.
#[derive(Debug, Clone, Copy)]
pub(super) struct InvalidationPosition(u64);

impl Invalidations {
    /// Returns the current position. Call this before a read begins.
    pub(super) fn position(&self) -> InvalidationPosition {
        InvalidationPosition(self.lock().next)
    }

    /// Records the invalidation of `uid`. Call this when the new state can be read, and before `uid` is evicted from
    /// caches.
    pub(super) fn record(&self, uid: Uid) {
        let mut state = self.lock();
        state.next += 1;
        state.recent.push_back(uid);
        if state.recent.len() > REMEMBERED {
            state.recent.pop_front();
        }
    }

    /// Like [`Self::record`], for all objects.
    pub(super) fn record_all(&self) {
        let mut state = self.lock();
        state.next += 1;
        state.recent.clear();
    }

    /// Returns whether any of `uids` was invalidated after `position`.
    pub(super) fn any_invalidated_since(
        &self,
        position: InvalidationPosition,
        uids: &[Uid],
    ) -> bool {
        let state = self.lock();
        let passed = usize::try_from(state.next - position.0).unwrap_or(usize::MAX);
        if passed > state.recent.len() {
            return true;
        }
        state
            .recent
            .iter()
            .rev()
            .take(passed)
            .any(|uid| uids.contains(uid))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::rng::SeededRng;

    use super::*;

    #[test]
    fn only_invalidations_after_the_moment_count() {
        let rng = SeededRng::new(1);
        let [first, second] = [Uid::random(&rng), Uid::random(&rng)];
        let invalidations = Invalidations::default();
        invalidations.record(first);
        let position = invalidations.position();
        assert!(!invalidations.any_invalidated_since(position, &[first, second]));
        invalidations.record(second);
        assert!(invalidations.any_invalidated_since(position, &[first, second]));
        assert!(!invalidations.any_invalidated_since(position, &[first]));
    }

    #[test]
    fn a_read_that_outlasts_the_memory_counts_as_invalidated() {
        let rng = SeededRng::new(1);
        let [watched, other] = [Uid::random(&rng), Uid::random(&rng)];
        let invalidations = Invalidations::default();
        let position = invalidations.position();
        for _ in 0..=REMEMBERED {
            invalidations.record(other);
        }
        assert!(invalidations.any_invalidated_since(position, &[watched]));
    }
}
