//! The pool of bytes and its eviction.

use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The unit of reservation, in bytes. A request takes at least one step, which covers its head and its task.
pub const STEP: usize = 16 * 1024;

/// The age from which a body can be evicted even if its caller does not hold more bytes than others.
const OLD: Duration = Duration::from_secs(1);

/// Limits of a [`Pool`], in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Limit per caller.
    pub share: usize,
    /// Limit of all callers together.
    pub total: usize,
}

/// The reason why a body gets no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReserveError {
    /// The caller would hold more than its share.
    Share,
    /// All callers together would hold more than the total, and no other body can be evicted.
    Total,
    /// The body was evicted to make room for another caller.
    Evicted,
}

/// The bytes that callers hold.
///
/// A caller holds at most its share. If the total is reached, the oldest unfinished body of the caller that holds most
/// is evicted. Therefore callers that delay their bodies cannot keep others out, however many they are.
pub struct Pool<K> {
    size: Size,
    held: Mutex<Accounts<K>>,
}

/// The bytes of all callers. Only callers with at least one [`STEP`] have an entry, so the total bounds the length.
struct Accounts<K> {
    total: usize,
    by: HashMap<K, Account>,
    /// The number of the next body.
    next: u64,
}

/// The bytes of one caller.
#[derive(Default)]
struct Account {
    bytes: usize,
    /// Bodies by number, in the order in which they started.
    bodies: BTreeMap<u64, Held>,
}

struct Held {
    bytes: usize,
    since: Instant,
    /// `None` if the body can no longer be evicted, because its handler runs and will finish.
    eviction: Option<Arc<Eviction>>,
}

/// The signal that an unfinished body was evicted.
#[derive(Default)]
pub struct Eviction {
    is_evicted: AtomicBool,
    waker: AtomicWaker,
}

/// The reserved bytes of one body. They are returned on drop.
pub struct Reserved {
    place: Box<dyn Place>,
    eviction: Arc<Eviction>,
}

/// The place of one body in a pool.
trait Place: Send + Sync {
    fn resize(&self, bytes: usize) -> Result<(), ReserveError>;
    fn complete(&self);
    fn leave(&self);
}

struct Holder<K> {
    pool: Arc<Pool<K>>,
    key: K,
    number: u64,
}

impl Eviction {
    /// Returns whether the body was evicted. If not, `waker` is woken when it is evicted.
    ///
    /// Only one task can wait at a time: only the last `waker` is woken.
    pub fn poll(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.is_evicted()
    }

    /// Waits until the body is evicted. Only one task can wait at a time.
    pub async fn evicted(&self) {
        poll_fn(|context| {
            if self.poll(context.waker()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Returns whether the body was evicted.
    pub fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Acquire)
    }

    fn evict(&self) {
        self.is_evicted.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl<K: Copy + Eq + Hash + Send + Sync + 'static> Pool<K> {
    /// Creates an empty pool.
    pub fn new(size: Size) -> Self {
        Self {
            size,
            held: Mutex::new(Accounts {
                total: 0,
                by: HashMap::new(),
                next: 0,
            }),
        }
    }

    /// Reserves one [`STEP`] for a body of `key`.
    ///
    /// # Errors
    /// Returns [`ReserveError::Share`] if the caller holds its full share, or [`ReserveError::Total`] if the pool
    /// is full.
    pub fn reserve(pool: &Arc<Self>, key: K) -> Result<Reserved, ReserveError> {
        let eviction = Arc::<Eviction>::default();
        let mut held = pool.lock();
        held.make_room(pool, key, STEP)?;
        let number = held.next;
        held.next += 1;
        held.total += STEP;
        let holding = held.by.entry(key).or_default();
        holding.bytes += STEP;
        holding.bodies.insert(
            number,
            Held {
                bytes: STEP,
                since: Instant::now(),
                eviction: Some(Arc::clone(&eviction)),
            },
        );
        drop(held);
        Ok(Reserved {
            place: Box::new(Holder {
                pool: Arc::clone(pool),
                key,
                number,
            }),
            eviction,
        })
    }

    /// Returns the bytes that all callers hold, and the number of these callers.
    pub fn held(&self) -> (usize, usize) {
        let held = self.lock();
        (held.total, held.by.len())
    }
}

impl<K> Pool<K> {
    fn lock(&self) -> MutexGuard<'_, Accounts<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Accounts<K> {
    /// Evicts bodies of other callers until `more` bytes fit for `key`.
    fn make_room(&mut self, pool: &Pool<K>, key: K, more: usize) -> Result<(), ReserveError> {
        let own = self.by.get(&key).map_or(0, |holding| holding.bytes);
        let wanted = own.saturating_add(more);
        if wanted > pool.size.share {
            return Err(ReserveError::Share);
        }
        while self.total.saturating_add(more) > pool.size.total {
            if !self.evict(key, wanted) {
                return Err(ReserveError::Total);
            }
        }
        Ok(())
    }

    /// Evicts the oldest unfinished body of the caller that holds most. A body qualifies if its caller holds more than
    /// `wanted` bytes, or if it is older than [`OLD`]. Returns `false` if no body qualifies.
    fn evict(&mut self, key: K, wanted: usize) -> bool {
        let unfinished = self.by.iter().filter(|(other, _)| **other != key);
        let unfinished = unfinished.filter_map(|(other, holding)| {
            let mut bodies = holding.bodies.iter();
            let (number, oldest) = bodies.find(|(_, body)| body.eviction.is_some())?;
            let may_go = holding.bytes > wanted || oldest.since.elapsed() >= OLD;
            may_go.then_some((holding.bytes, std::cmp::Reverse(*number), *other))
        });
        let Some((_, number, other)) =
            unfinished.max_by_key(|(bytes, number, _)| (*bytes, *number))
        else {
            return false;
        };
        if let Some(body) = self.remove(other, number.0) {
            if let Some(eviction) = body.eviction {
                eviction.evict();
            }
            return true;
        }
        false
    }

    fn remove(&mut self, key: K, number: u64) -> Option<Held> {
        let holding = self.by.get_mut(&key)?;
        let body = holding.bodies.remove(&number)?;
        holding.bytes = holding.bytes.saturating_sub(body.bytes);
        self.total = self.total.saturating_sub(body.bytes);
        if holding.bodies.is_empty() {
            self.by.remove(&key);
        }
        Some(body)
    }
}

impl<K: Copy + Eq + Hash + Send + Sync> Place for Holder<K> {
    fn resize(&self, bytes: usize) -> Result<(), ReserveError> {
        let mut held = self.pool.lock();
        let body = held.by.get(&self.key);
        let body = body.and_then(|holding| holding.bodies.get(&self.number));
        let Some(before) = body.map(|body| body.bytes) else {
            return Err(ReserveError::Evicted);
        };
        if bytes > before {
            held.make_room(&self.pool, self.key, bytes - before)?;
        }
        held.total = held.total.saturating_sub(before).saturating_add(bytes);
        if let Some(holding) = held.by.get_mut(&self.key) {
            holding.bytes = holding.bytes.saturating_sub(before).saturating_add(bytes);
            if let Some(body) = holding.bodies.get_mut(&self.number) {
                body.bytes = bytes;
            }
        }
        Ok(())
    }

    fn complete(&self) {
        let mut held = self.pool.lock();
        let holding = held.by.get_mut(&self.key);
        if let Some(body) = holding.and_then(|holding| holding.bodies.get_mut(&self.number)) {
            body.eviction = None;
        }
    }

    fn leave(&self) {
        self.pool.lock().remove(self.key, self.number);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.place.leave();
    }
}

impl Reserved {
    /// Changes the reservation to `bytes`, rounded up to whole steps.
    ///
    /// # Errors
    /// Returns [`ReserveError`] if the bytes do not fit, or if the body was evicted. The reservation does not change.
    pub fn hold(&self, bytes: usize) -> Result<(), ReserveError> {
        let needed = bytes.div_ceil(STEP).max(1).saturating_mul(STEP);
        self.place.resize(needed)
    }

    /// Protects the body from eviction. It keeps its bytes until it is dropped.
    pub fn complete(&self) {
        self.place.complete();
    }

    /// Returns the signal of the eviction of this body.
    pub fn eviction(&self) -> &Arc<Eviction> {
        &self.eviction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(share: usize, total: usize) -> Arc<Pool<u16>> {
        let size = Size {
            share: share * STEP,
            total: total * STEP,
        };
        Arc::new(Pool::new(size))
    }

    #[test]
    fn a_share_is_bounded_and_comes_back_s02() {
        let pool = pool(3, 100);
        let held: Vec<_> = (0..3)
            .map(|_| Pool::reserve(&pool, 1).ok().unwrap())
            .collect();
        let refused = Pool::reserve(&pool, 1).err();
        assert_eq!(refused, Some(ReserveError::Share));
        let other = Pool::reserve(&pool, 2).ok().unwrap();
        assert!(held[0].hold(STEP + 1).is_err());
        assert!(other.hold(3 * STEP).is_ok());
        assert_eq!(pool.held(), (6 * STEP, 2));
        assert!(other.hold(0).is_ok());
        assert_eq!(pool.held(), (4 * STEP, 2));
        drop(held);
        assert_eq!(pool.held(), (STEP, 1));
        drop(other);
        assert_eq!(pool.held(), (0, 0));
    }

    #[test]
    fn no_number_of_greedy_callers_keeps_others_out_s02() {
        let pool = pool(50, 400);
        let mut held = Vec::new();
        for caller in 0..100 {
            while let Ok(reserved) = Pool::reserve(&pool, caller) {
                held.push(reserved);
                assert!(held.len() <= 10_000, "a share has no end");
            }
        }
        assert_eq!(pool.held().0, 400 * STEP);
        let other = Pool::reserve(&pool, 200).ok().unwrap();
        let evicted = held.iter().filter(|body| body.eviction().is_evicted());
        assert!(evicted.count() > 0);
        assert!(!other.eviction().is_evicted());
        drop(held);
        assert_eq!(pool.held(), (STEP, 1));
    }

    #[test]
    fn complete_bodies_are_not_evicted_s02() {
        let pool = pool(2, 2);
        let complete = [(); 2].map(|()| Pool::reserve(&pool, 1).ok().unwrap());
        complete.iter().for_each(Reserved::complete);
        let refused = Pool::reserve(&pool, 2).err();
        assert_eq!(refused, Some(ReserveError::Total));
        assert!(complete.iter().all(|body| !body.eviction().is_evicted()));
    }

    #[tokio::test(start_paused = true)]
    async fn old_bodies_of_many_addresses_make_room_s02() {
        let pool = pool(2, 100);
        let held: Vec<_> = (0..100)
            .map(|caller| Pool::reserve(&pool, caller).ok().unwrap())
            .collect();
        assert!(Pool::reserve(&pool, 200).is_err());
        tokio::time::advance(OLD).await;
        assert!(Pool::reserve(&pool, 200).is_ok());
        assert!(held[0].eviction().is_evicted());
        held[0].eviction().evicted().await;
        assert_eq!(held[0].hold(1), Err(ReserveError::Evicted));
    }
}
