//! A bounded concurrent map.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

const SHARDS: usize = 64;

/// A map with a fixed capacity. It evicts entries that were not read since the last round (CLOCK).
pub(crate) struct Cache<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: RandomState,
    per_shard: usize,
}

struct Shard<K, V> {
    entries: HashMap<K, Entry<V>>,
    // May contain removed keys; see `Shard::tidy`.
    hand: VecDeque<K>,
}

struct Entry<V> {
    value: V,
    asked_for: bool,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let shard = || {
            Mutex::new(Shard {
                entries: HashMap::new(),
                hand: VecDeque::new(),
            })
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            per_shard: capacity.div_ceil(SHARDS).max(1),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut shard = self.shard(key)?;
        let entry = shard.entries.get_mut(key)?;
        entry.asked_for = true;
        Some(entry.value.clone())
    }

    /// Inserts a value, and returns the evicted values.
    pub(crate) fn insert(&self, key: K, value: V) -> Vec<V> {
        self.insert_if(key, value, || true).unwrap_or_default()
    }

    /// Like [`Self::insert`], if `holds` returns true; otherwise returns `None`. `holds` runs under the lock, so the
    /// key cannot be removed concurrently.
    pub(crate) fn insert_if(
        &self,
        key: K,
        value: V,
        holds: impl FnOnce() -> bool,
    ) -> Option<Vec<V>> {
        let mut shard = self.shard(&key)?;
        if !holds() {
            return None;
        }
        let entry = Entry {
            value,
            asked_for: false,
        };
        if shard.entries.insert(key.clone(), entry).is_none() {
            shard.hand.push_back(key);
        }
        Some(shard.shrink(self.per_shard))
    }

    pub(crate) fn remove(&self, key: &K) -> Option<V> {
        let mut shard = self.shard(key)?;
        let entry = shard.entries.remove(key)?;
        shard.tidy();
        Some(entry.value)
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.entries.clear();
            shard.hand.clear();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).entries.len())
            .sum()
    }

    fn shard(&self, key: &K) -> Option<MutexGuard<'_, Shard<K, V>>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        self.shards.get(index).map(lock)
    }
}

impl<K: Hash + Eq + Clone, V> Shard<K, V> {
    fn shrink(&mut self, capacity: usize) -> Vec<V> {
        let mut gone = Vec::new();
        while self.entries.len() > capacity {
            let Some(key) = self.hand.pop_front() else {
                break;
            };
            match self.entries.get_mut(&key) {
                Some(entry) if entry.asked_for => {
                    entry.asked_for = false;
                    self.hand.push_back(key);
                }
                Some(_) => gone.extend(self.entries.remove(&key).map(|entry| entry.value)),
                None => {}
            }
        }
        gone
    }

    fn tidy(&mut self) {
        if self.hand.len() > 2 * self.entries.len() + 64 {
            let entries = &self.entries;
            let mut seen = std::collections::HashSet::new();
            self.hand
                .retain(|key| entries.contains_key(key) && seen.insert(key.clone()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_keeps_to_its_limit_and_keeps_used_entries() {
        let cache = Cache::new(SHARDS * 4);
        cache.insert(0_u32, 0_u32);
        for key in 1..10_000 {
            cache.insert(key, key);
            assert_eq!(cache.get(&0), Some(0));
        }
        assert!(cache.len() <= SHARDS * 4);
    }

    #[test]
    fn a_removed_and_put_back_key_is_there_once() {
        let cache = Cache::new(SHARDS);
        for _ in 0..1_000 {
            cache.insert(1_u32, ());
            cache.remove(&1);
        }
        assert_eq!(cache.len(), 0);
        assert!(cache.get(&1).is_none());
    }

    #[test]
    fn nothing_is_inserted_if_the_condition_is_false() {
        let cache = Cache::new(SHARDS);
        assert!(cache.insert_if(1_u32, (), || false).is_none());
        assert_eq!(cache.len(), 0);
    }
}
