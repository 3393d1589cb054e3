//! The backends, where more is asked of them than the port offers: backup, restore, checks, key rotation.

use std::sync::Arc;

use domain::id::Uid;
use tokio::sync::mpsc;

use crate::{
    Store, StoreError,
    postgres::Postgres,
    seal::Sealer,
    sqlite::Sqlite,
    transfer::{Item, Load},
};

/// An open store, by its backend.
#[derive(Clone)]
pub enum Backend {
    /// Embedded.
    Sqlite(Arc<Sqlite>),
    /// On a server.
    Postgres(Arc<Postgres>),
}

/// Something that is wrong in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding(pub String);

impl Backend {
    /// As the port.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Postgres(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// Looks for damage: pages, index entries without their document, documents of unknown kinds, secrets that
    /// do not open.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        match self {
            Self::Sqlite(store) => store.check().await,
            Self::Postgres(store) => store.check().await,
        }
    }

    /// Seals anew, under the present master key, all that is sealed under a former one. Afterwards the former one
    /// can be forgotten. Returns how many secrets were sealed anew.
    ///
    /// Replicas that run meanwhile must already know the present key, at least as a former one.
    ///
    /// # Errors
    /// Where a secret does not open, or the store fails. Then nothing is changed.
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

    /// Everything that belongs into a backup, as of one instant.
    pub(crate) fn dump(&self, buffered: usize) -> mpsc::Receiver<Result<Item, StoreError>> {
        let (items, dumped) = mpsc::channel(buffered);
        match self {
            Self::Sqlite(store) => store.dump(items),
            Self::Postgres(store) => store.dump(items),
        }
        dumped
    }

    /// Fills the empty store in one transaction. False where that was given up, and nothing stays.
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
}
