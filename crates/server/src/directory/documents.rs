//! Caches of resources that are fetched on demand: Users, Credentials and Devices.

use std::sync::Arc;

use domain::{clock::UnixMillis, id::Uid};
use store::{Revision, Store, StoreError};

use super::{cache::Cache, invalidation::Invalidations};
use crate::document::{
    codec::{Resource, Stored},
    load,
};

/// A resource as it was read. Cheap to clone.
pub(crate) struct Versioned<T> {
    pub(crate) uid: Uid,
    pub(crate) revision: Revision,
    pub(crate) message: Arc<T>,
}

impl<T> Clone for Versioned<T> {
    fn clone(&self) -> Self {
        Self {
            uid: self.uid,
            revision: self.revision,
            message: self.message.clone(),
        }
    }
}

impl<T> From<Stored<T>> for Versioned<T> {
    fn from(stored: Stored<T>) -> Self {
        Self {
            uid: stored.uid,
            revision: stored.revision,
            message: Arc::new(stored.message),
        }
    }
}

/// A bounded cache of the resources of one kind.
pub(super) struct Documents<T>(Cache<Uid, Versioned<T>>);

impl<T: Resource> Documents<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    /// Returns the resource from the cache or the store.
    pub(super) async fn get(
        &self,
        uid: Uid,
        store: &dyn Store,
        invalidations: &Invalidations,
        now: UnixMillis,
    ) -> Result<Option<Versioned<T>>, StoreError> {
        if let Some(known) = self.0.get(&uid) {
            return Ok(Some(known));
        }
        let position = invalidations.position();
        let Some(stored) = load::with_token_ids::<T>(store, uid, now).await? else {
            return Ok(None);
        };
        let stored = Versioned::from(stored);
        // An object that was invalidated during the read may be stale. It is returned but not cached; the caller
        // checks again.
        self.0.insert_if(uid, stored.clone(), || {
            !invalidations.any_invalidated_since(position, &[uid])
        });
        Ok(Some(stored))
    }

    pub(super) fn invalidate(&self, uid: Uid) {
        self.0.remove(&uid);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}
