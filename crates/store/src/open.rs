//! Opening the configured store.

use std::{path::PathBuf, sync::Arc};

use domain::clock::Clock;

use crate::{
    Backend, Store, StoreError,
    postgres::{Postgres, PostgresOptions},
    seal::MasterKeys,
    sqlite::Sqlite,
};

/// The location of the store, and the keys that seal its secrets.
#[derive(Clone)]
pub struct StoreConfig {
    /// The location.
    pub location: Location,
    /// The master keys. An embedded store creates its own if `None`.
    pub keys: Option<MasterKeys>,
    /// The clock for timestamps, and for comparison with the clock of the database.
    pub clock: Arc<dyn Clock>,
}

/// The location of a store.
#[derive(Clone)]
pub enum Location {
    /// An embedded store in this directory.
    Directory(PathBuf),
    /// A PostgreSQL server. The master key must be configured, because the replicas share it.
    Postgres(PostgresOptions),
}

/// Opens the store, creating and migrating it if necessary.
///
/// # Errors
/// Returns an error if the store cannot be reached, a newer version has migrated it, it is sealed under another master
/// key, or a restore into it has not finished.
pub async fn open(config: StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    Ok(open_backend(config).await?.store())
}

/// Opens the store like [`open`], for operations beyond the port.
///
/// # Errors
/// Returns an error like [`open`].
pub async fn open_backend(config: StoreConfig) -> Result<Backend, StoreError> {
    let backend = open_unfinished(config).await?;
    if backend.is_restoring().await? {
        return Err(StoreError::new(
            "a restore into this store did not finish, so revoked tokens may be valid in it: repeat the restore",
        ));
    }
    Ok(backend)
}

/// Opens the store, even if a restore into it has not finished.
pub(crate) async fn open_unfinished(config: StoreConfig) -> Result<Backend, StoreError> {
    match config.location {
        Location::Directory(directory) => {
            let store = tokio::task::spawn_blocking(move || {
                Sqlite::open(&directory, config.keys, config.clock.as_ref())
            })
            .await
            .map_err(|error| StoreError::new("opening the store").caused_by(error))??;
            Ok(Backend::Sqlite(Arc::new(store)))
        }
        Location::Postgres(options) => {
            let keys = config.keys.ok_or_else(|| {
                StoreError::new(
                    "a store on PostgreSQL needs a master key, the same for all replicas: make one with \
                     `openssl rand -hex 32` and set it in the configuration",
                )
            })?;
            let store = Postgres::connect(&options, &keys, config.clock).await?;
            Ok(Backend::Postgres(Arc::new(store)))
        }
    }
}
