//! Bytes that are shared between callers.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use super::Size;
use crate::limit::Limit;

/// Bytes are taken in steps of this many. A request takes at least one: it stands for its head and its task.
pub(super) const STEP: usize = 16 * 1024;

/// The limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoRoom(pub(super) Limit);

/// What callers hold of a number of bytes.
///
/// A caller holds at most its share, and takes at most half of what is free. Therefore a caller that holds little is
/// served while a few others hold much.
pub(super) struct Pool<K> {
    size: Size,
    limits: (Limit, Limit),
    held: Mutex<Holdings<K>>,
}

/// Has an entry for each caller that holds at least one [`STEP`], so its length is bounded by the pool's total.
struct Holdings<K> {
    total: usize,
    by: HashMap<K, usize>,
}

/// A part of a pool. Returned when dropped.
pub(super) struct Reserved {
    bytes: Mutex<usize>,
    resize: Box<dyn Resize>,
}

/// A pool, and who holds.
trait Resize: Send + Sync {
    fn resize(&self, from: usize, to: usize) -> Result<(), NoRoom>;
}

struct Holder<K> {
    pool: Arc<Pool<K>>,
    key: K,
}

impl<K: Copy + Eq + Hash + Send + Sync + 'static> Pool<K> {
    pub(super) fn new(size: Size, limits: (Limit, Limit)) -> Self {
        Self {
            size,
            limits,
            held: Mutex::new(Holdings {
                total: 0,
                by: HashMap::new(),
            }),
        }
    }

    /// Takes one [`STEP`] for `key`.
    pub(super) fn reserve(pool: &Arc<Self>, key: K) -> Result<Reserved, NoRoom> {
        let holder = Holder {
            pool: Arc::clone(pool),
            key,
        };
        holder.resize(0, STEP)?;
        Ok(Reserved {
            bytes: Mutex::new(STEP),
            resize: Box::new(holder),
        })
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        (held.total, held.by.len())
    }
}

impl<K: Copy + Eq + Hash + Send + Sync> Resize for Holder<K> {
    fn resize(&self, from: usize, to: usize) -> Result<(), NoRoom> {
        let pool = &self.pool;
        let mut held = pool.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = held.by.get(&self.key).copied().unwrap_or(0);
        let wanted = own.saturating_sub(from).saturating_add(to);
        if to > from {
            let free = pool.size.total.saturating_sub(held.total);
            if wanted > pool.size.share {
                return Err(NoRoom(pool.limits.0));
            }
            if wanted > free {
                return Err(NoRoom(pool.limits.1));
            }
        }
        held.total = held.total.saturating_sub(from).saturating_add(to);
        if wanted == 0 {
            held.by.remove(&self.key);
        } else {
            held.by.insert(self.key, wanted);
        }
        Ok(())
    }
}

impl Reserved {
    /// Holds at least `bytes` from here on, and no more than needed.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), NoRoom> {
        let needed = bytes.div_ceil(STEP).max(1).saturating_mul(STEP);
        let mut held = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if needed != *held {
            self.resize.resize(*held, needed)?;
            *held = needed;
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let held = *self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        // Taking less never fails.
        let _ = self.resize.resize(held, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(share: usize, total: usize) -> Arc<Pool<u8>> {
        let size = Size {
            share: share * STEP,
            total: total * STEP,
        };
        let limits = (Limit::AnonymousShare, Limit::AnonymousTotal);
        Arc::new(Pool::new(size, limits))
    }

    #[test]
    fn a_share_is_bounded_and_comes_back_s02() {
        let pool = pool(3, 100);
        let held: Vec<_> = (0..3)
            .map(|_| Pool::reserve(&pool, 1).ok().unwrap())
            .collect();
        let refused = Pool::reserve(&pool, 1).err();
        assert_eq!(refused, Some(NoRoom(Limit::AnonymousShare)));
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
    fn greedy_callers_leave_room_for_another_s02() {
        let pool = pool(50, 400);
        let mut held = Vec::new();
        for caller in 0..10 {
            while let Ok(reserved) = Pool::reserve(&pool, caller) {
                held.push(reserved);
            }
        }
        assert!(Pool::reserve(&pool, 200).is_ok());
        let (total, callers) = pool.held();
        assert!(total < 400 * STEP, "{total}");
        assert_eq!(callers, 10);
    }
}
