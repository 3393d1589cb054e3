//! Opening the store that the configuration names.

use std::{path::PathBuf, sync::Arc};

use domain::clock::Clock;

use zeroize::Zeroizing;

use crate::{
    Backend, Store, StoreError,
    postgres::{Postgres, PostgresOptions},
    seal::MasterKeys,
    sqlite::Sqlite,
};

/// Where the store is and how its secrets are sealed.
#[derive(Clone)]
pub struct StoreConfig {
    /// Where.
    pub location: Location,
    /// The master key. An embedded store makes its own where none is given.
    pub keys: Option<MasterKeys>,
    /// For what happens at the first start.
    pub clock: Arc<dyn Clock>,
}

/// Where a store is.
#[derive(Clone)]
pub enum Location {
    /// Embedded, in this directory.
    Directory(PathBuf),
    /// On a PostgreSQL server. The master key must be given: the replicas share it.
    Postgres(PostgresOptions),
}

/// Opens the store, makes it where it is not there, and brings it up to date.
///
/// # Errors
/// Where it cannot be reached, is of a newer version, or is sealed under another master key.
pub async fn open(config: StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    Ok(open_backend(config).await?.store())
}

/// As [`open`], for what the port does not offer.
///
/// # Errors
/// As of [`open`].
pub async fn open_backend(config: StoreConfig) -> Result<Backend, StoreError> {
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
                     `openssl rand -hex 32` and give it by configuration",
                )
            })?;
            let store = Postgres::connect(&options, &keys, config.clock).await?;
            Ok(Backend::Postgres(Arc::new(store)))
        }
    }
}

/// The URL of a database. May hold a password: never printed.
#[derive(Clone)]
pub struct DatabaseUrl(Zeroizing<String>);

impl DatabaseUrl {
    /// Of `postgres://…`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(Zeroizing::new(url.into()))
    }

    /// Its text, for whoever connects by it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
