//! Which Authenticators Users have, for hints about what they could prove: nothing is decided by it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::core_v1::Authenticator;
use domain::{authenticator::MAX_PER_USER, clock::UnixMillis, id::Uid};
use store::{Store, StoreError};

use super::cache::Cache;
use crate::resource::{index, load};

/// For how long a list is taken without looking, whatever has changed: whoever is denied again and again costs the store
/// no more.
const TAKEN_FOR: Duration = Duration::from_millis(100);

/// Lists of those that were asked for, by the uid of the User.
pub(super) struct Authenticators {
    lists: Cache<Uid, List>,
    /// How often any Authenticator has changed.
    changes: AtomicU64,
}

#[derive(Clone)]
struct List {
    all: Arc<[Authenticator]>,
    changes: u64,
    read_at: UnixMillis,
}

impl Authenticators {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            lists: Cache::new(capacity),
            changes: AtomicU64::new(0),
        }
    }

    /// One of them, or any, has changed.
    pub(super) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// All of a User, oldest first.
    pub(super) async fn of(
        &self,
        user: Uid,
        store: &dyn Store,
        now: UnixMillis,
    ) -> Result<Arc<[Authenticator]>, StoreError> {
        let changes = self.changes.load(Ordering::Acquire);
        if let Some(list) = self.lists.get(&user)
            && (list.changes == changes || now.since(list.read_at) < TAKEN_FOR)
        {
            return Ok(list.all);
        }
        let key = user.to_string();
        let (all, _) =
            load::by_index::<Authenticator>(store, index::USER, &key, MAX_PER_USER, now).await?;
        let all: Arc<[Authenticator]> = all.into_iter().map(|stored| stored.message).collect();
        let list = List {
            all: all.clone(),
            changes,
            read_at: now,
        };
        self.lists.insert(user, list);
        Ok(all)
    }
}
