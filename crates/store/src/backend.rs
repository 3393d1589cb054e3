//! Operations of the backends beyond the port: backup, restore, consistency checks, key rotation.

use std::sync::Arc;

use domain::id::Uid;
use tokio::sync::mpsc;

use crate::{
    Finding, Store, StoreError,
    backup_format::{Item, Load},
    postgres::Postgres,
    seal::Sealer,
    sqlite::Sqlite,
};

/// An open store with its backend.
#[derive(Clone)]
pub enum Backend {
    /// The embedded SQLite database.
    Sqlite(Arc<Sqlite>),
    /// A PostgreSQL database.
    Postgres(Arc<Postgres>),
}

impl Backend {
    /// Returns the storage port.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Postgres(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// Checks the store for damage: corrupt pages, index entries without a document, documents of unknown kinds, and
    /// secrets that fail to open.
    ///
    /// # Errors
    /// Returns an error if the store does not answer.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        match self {
            Self::Sqlite(store) => store.check().await,
            Self::Postgres(store) => store.check().await,
        }
    }

    /// Seals every secret that is sealed under a former master key again, under the current one. Returns the number of
    /// resealed secrets. The former key is not needed afterwards.
    ///
    /// Running replicas must already have the current key, at least as a former one.
    ///
    /// # Errors
    /// Returns an error if a secret fails to open or the store fails. The store is then unchanged.
    pub async fn reseal(&self) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.reseal().await,
            Self::Postgres(store) => store.reseal().await,
        }
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        match self {
            Self::Sqlite(store) => store.sealer(),
            Self::Postgres(store) => store.sealer(),
        }
    }

    pub(crate) fn cluster_uid(&self) -> Uid {
        match self {
            Self::Sqlite(store) => store.cluster_uid(),
            Self::Postgres(store) => store.cluster_uid(),
        }
    }

    /// Streams the content of a backup, from one snapshot.
    pub(crate) fn dump(&self, buffered: usize) -> mpsc::Receiver<Result<Item, StoreError>> {
        let (items, dumped) = mpsc::channel(buffered);
        match self {
            Self::Sqlite(store) => store.dump(items),
            Self::Postgres(store) => store.dump(items),
        }
        dumped
    }

    /// Fills the empty store in one transaction, which also marks the restore as unfinished. The content of an
    /// unfinished restore is replaced. Returns false if the sender gave up; the transaction is then rolled back.
    pub(crate) async fn load(
        &self,
        cluster_uid: Uid,
        items: mpsc::Receiver<Load>,
    ) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.load(cluster_uid, items).await,
            Self::Postgres(store) => store.load(cluster_uid, items).await,
        }
    }

    /// Returns true if a restore into the store has begun and has not finished.
    pub(crate) async fn is_restoring(&self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(store) => store.is_restoring().await,
            Self::Postgres(store) => store.is_restoring().await,
        }
    }

    /// Removes the mark of an unfinished restore, which [`Self::load`] sets.
    pub(crate) async fn finish_restore(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.finish_restore().await,
            Self::Postgres(store) => store.finish_restore().await,
        }
    }
}
