//! What is fetched when it is asked for: Users, Credentials, Devices.

use std::sync::Arc;

use domain::{clock::UnixMillis, id::Uid};
use store::{Store, StoreError};

use super::{cache::Cache, invalidation::Invalidations};
use crate::resource::{
    codec::{Resource, Stored},
    load,
};

/// A bounded cache of the resources of one kind.
pub(super) struct Documents<T>(Cache<Uid, Arc<Stored<T>>>);

impl<T: Resource> Documents<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// The resource, from the cache or the store.
    pub(super) async fn get(
        &self,
        uid: Uid,
        store: &dyn Store,
        invalidations: &Invalidations,
        now: UnixMillis,
    ) -> Result<Option<Arc<Stored<T>>>, StoreError> {
        if let Some(known) = self.0.get(&uid) {
            return Ok(Some(known));
        }
        let moment = invalidations.now();
        let Some(stored) = load::by_uid::<T>(store, uid, now).await? else {
            return Ok(None);
        };
        let stored = Arc::new(stored);
        // What was invalidated while it was read may be old: it is used for this once by whoever checks again.
        self.0
            .insert_if(uid, stored.clone(), || !invalidations.any_since(moment, &[uid]));
        Ok(Some(stored))
    }

    pub(super) fn invalidate(&self, uid: Uid) {
        self.0.remove(&uid);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}
