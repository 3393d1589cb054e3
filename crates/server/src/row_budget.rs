//! How many rows callers may add to the store in a minute.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{address_prefix::AddressPrefix, clock::UnixMillis};

use crate::{Caller, Error, ErrorKind, limit::Limit};

/// How long rows are counted together.
const WINDOW: Duration = Duration::from_mins(1);

/// Logins that failed at an identity provider, in a minute: of one address prefix, and of all. Each is remembered.
const FAILED_LOGINS: (u32, u32) = (60, 120);
/// Logins that machines without a browser ask for, in a minute: of one address prefix, and of all. Each has three
/// rows.
const DEVICE_LOGINS: (u32, u32) = (30, 70);

/// Rows that requests store before anybody is authenticated.
pub(crate) struct AnonymousRows {
    failed_logins: RowBudget<Option<AddressPrefix>>,
    device_logins: RowBudget<Option<AddressPrefix>>,
}

impl Default for AnonymousRows {
    fn default() -> Self {
        let new = |(share, total)| RowBudget::new(share, total);
        Self {
            failed_logins: new(FAILED_LOGINS),
            device_logins: new(DEVICE_LOGINS),
        }
    }
}

impl AnonymousRows {
    /// Whether a login may come back from its provider.
    ///
    /// # Errors
    /// Returns `RateLimited` if too many logins from this address have failed, or from all together.
    pub(crate) fn check_login(&self, caller: &Caller, now: UnixMillis) -> Result<(), Error> {
        let prefix = caller.ip.map(AddressPrefix::from);
        let is_open = self.failed_logins.is_open(prefix, now);
        allowed(is_open, prefix)
    }

    /// Counts a login that has failed after it had come back.
    pub(crate) fn count_failed_login(&self, caller: &Caller, now: UnixMillis) {
        self.failed_logins
            .take(caller.ip.map(AddressPrefix::from), now);
    }

    /// Counts a login that a machine asks for.
    ///
    /// # Errors
    /// Returns `RateLimited` if there were too many.
    pub(crate) fn take_device_login(&self, caller: &Caller, now: UnixMillis) -> Result<(), Error> {
        let prefix = caller.ip.map(AddressPrefix::from);
        let is_taken = self.device_logins.take(prefix, now);
        allowed(is_taken, prefix)
    }
}

fn allowed(is_allowed: bool, prefix: Option<AddressPrefix>) -> Result<(), Error> {
    if is_allowed {
        return Ok(());
    }
    Limit::AnonymousRows.reached_by(prefix);
    let kind = ErrorKind::RateLimited {
        retry_after: WINDOW,
    };
    Err(Error::new(
        kind,
        "There were too many attempts. Wait a minute and try again.",
    ))
}

/// Rows of a kind that a replica stores in a minute: of one caller, and of all.
pub(crate) struct RowBudget<K> {
    share: u32,
    total: u32,
    window: Mutex<Window<K>>,
}

/// Has an entry for each caller that has stored a row, so its length is bounded by the total.
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

    /// Counts a row of `key`. `false` if it must not be stored in this minute.
    pub(crate) fn take(&self, key: K, now: UnixMillis) -> bool {
        self.with(key, now, |is_open, window| {
            if is_open {
                window.total += 1;
                *window.by.entry(key).or_default() += 1;
            }
        })
    }

    /// Whether `key` may store a row. Counts nothing.
    pub(crate) fn is_open(&self, key: K, now: UnixMillis) -> bool {
        self.with(key, now, |_, _| {})
    }

    fn with(&self, key: K, now: UnixMillis, act: impl FnOnce(bool, &mut Window<K>)) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not stop the window.
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
        assert!(!budget.is_open(1, start));
        assert!(budget.is_open(2, start));
        let all: usize = (2..100).map(|caller| take(caller, start)).sum();
        assert_eq!(all, 7);
        assert!(!budget.is_open(200, start));
        let later = start.saturating_add(Duration::from_secs(59));
        assert_eq!(take(1, later), 0);
        assert_eq!(take(1, start.saturating_add(WINDOW)), 3);
        assert_eq!(take(1, start), 3, "the clock was set back");
    }
}
