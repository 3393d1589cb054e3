//! Limits on the rows that callers can add to the store per minute.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{address_prefix::AddressPrefix, clock::UnixMillis};

use crate::{Caller, Error, ErrorKind, limit::Limit};

/// Length of a counting window.
const WINDOW: Duration = Duration::from_mins(1);

/// Failed logins at identity providers per minute: the limit of one address prefix, and the maximum that is counted in
/// total. The total bounds the memory of the count.
const FAILED_LOGINS: (u32, u32) = (60, 10_000);

/// The logins at identity providers that failed in the last minute. Their limit protects the providers. They add no
/// rows.
pub(crate) struct FailedLogins(RowBudget<Option<AddressPrefix>>);

impl Default for FailedLogins {
    fn default() -> Self {
        let (share, total) = FAILED_LOGINS;
        Self(RowBudget::new(share, total))
    }
}

impl FailedLogins {
    /// Checks that the callback of a login may proceed.
    ///
    /// # Errors
    /// Returns `RateLimited` if too many logins from this address prefix failed. Failures of other prefixes do not
    /// count.
    pub(crate) fn check(&self, caller: &Caller, now: UnixMillis) -> Result<(), Error> {
        let prefix = caller.ip.map(AddressPrefix::from);
        if self.0.is_below_share(prefix, now) {
            return Ok(());
        }
        Limit::FailedLogins.reached_by(prefix);
        Err(too_many())
    }

    /// Counts a login that failed at its callback.
    pub(crate) fn count(&self, caller: &Caller, now: UnixMillis) {
        self.0.take(caller.ip.map(AddressPrefix::from), now);
    }
}

fn too_many() -> Error {
    let kind = ErrorKind::RateLimited {
        retry_after: WINDOW,
    };
    Error::new(
        kind,
        "There were too many attempts. Wait a minute and try again.",
    )
}

/// A limit on the rows of one kind that a replica stores per minute, per caller and in total.
pub(crate) struct RowBudget<K> {
    share: u32,
    total: u32,
    window: Mutex<Window<K>>,
}

/// Counts of one window. Only callers that stored a row have an entry, so the total bounds the size.
struct Window<K> {
    started: UnixMillis,
    total: u32,
    by: HashMap<K, u32>,
}

impl<K: Copy + Eq + Hash> RowBudget<K> {
    pub(crate) fn new(share: u32, total: u32) -> Self {
        Self {
            share,
            total,
            window: Mutex::new(Window {
                started: UnixMillis::default(),
                total: 0,
                by: HashMap::new(),
            }),
        }
    }

    /// Counts a row of `key`. Returns `false` if a limit is reached and the row must not be stored.
    pub(crate) fn take(&self, key: K, now: UnixMillis) -> bool {
        self.with(key, now, |is_open, window| {
            if is_open {
                window.total += 1;
                *window.by.entry(key).or_default() += 1;
            }
        })
    }

    /// Returns whether `key` is below its share, regardless of other keys. Counts nothing.
    fn is_below_share(&self, key: K, now: UnixMillis) -> bool {
        let mut is_below = true;
        self.with(key, now, |_, window| {
            is_below = window.by.get(&key).is_none_or(|own| *own < self.share);
        });
        is_below
    }

    fn with(&self, key: K, now: UnixMillis, act: impl FnOnce(bool, &mut Window<K>)) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not keep the window from ending.
        if now < window.started || now.since(window.started) >= WINDOW {
            window.started = now;
            window.total = 0;
            window.by.clear();
        }
        let own = window.by.get(&key).copied().unwrap_or(0);
        let is_open = own < self.share && window.total < self.total;
        act(is_open, &mut window);
        is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_bounded_for_each_caller_and_in_total_s06() {
        let budget = RowBudget::new(3, 10);
        let start = UnixMillis(1_000_000);
        let take = |caller, now| (0..100).filter(|_| budget.take(caller, now)).count();
        assert_eq!(take(1, start), 3);
        assert!(!budget.is_below_share(1, start));
        assert!(budget.is_below_share(2, start));
        let all: usize = (2..100).map(|caller| take(caller, start)).sum();
        assert_eq!(all, 7);
        assert!(!budget.take(200, start));
        assert!(budget.is_below_share(200, start));
        let later = start.saturating_add(Duration::from_secs(59));
        assert_eq!(take(1, later), 0);
        assert_eq!(take(1, start.saturating_add(WINDOW)), 3);
        assert_eq!(take(1, start), 3, "the clock was set back");
    }
}
