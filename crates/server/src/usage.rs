//! Batched counts of the uses of unlimited Credentials.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use domain::{clock::UnixMillis, id::Uid};
use store::{Store, StoreError, Usage};

/// Uses since the last flush. A crash loses them.
#[derive(Default)]
pub struct UsageBatch(Mutex<BTreeMap<Uid, Usage>>);

impl UsageBatch {
    /// Counts one use of the Credential `uid`.
    pub(crate) fn count(&self, uid: Uid, now: UnixMillis) {
        let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = batch.entry(uid).or_default();
        usage.count += 1;
        usage.last_at = usage.last_at.max(now);
    }

    /// Writes the counts. After a failure they are kept for the next flush.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub async fn flush(&self, store: &dyn Store) -> Result<(), StoreError> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let written = store.add_usage(taken.clone()).await;
        if written.is_err() {
            let mut batch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (uid, lost) in taken {
                let usage = batch.entry(uid).or_default();
                usage.count += lost.count;
                usage.last_at = usage.last_at.max(lost.last_at);
            }
        }
        written
    }
}
