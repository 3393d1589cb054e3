//! Opening of the configured store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use domain::{
    clock::{Clock, UnixMillis},
    kind::Kind,
    rng::SystemRng,
};
use store::{
    Backend, DatabaseUrl, Document, Location, Store, StoreConfig, StoreError,
    postgres::PostgresOptions,
    seal::{MasterKeys, load_or_create},
    sqlite::{DATABASE_FILE, MASTER_KEY_FILE},
};

use crate::{
    files,
    settings::{StoreSettings, Switch},
};

/// The number of documents read at a time.
const PAGE: u32 = 1000;
/// The default number of PostgreSQL connections for reads.
const DEFAULT_CONNECTIONS: u16 = 16;

/// Returns the data directory, and creates it if it does not exist.
///
/// # Errors
///
/// Returns an error if it is not configured or cannot be created.
pub(crate) fn data_dir(settings: &StoreSettings) -> anyhow::Result<PathBuf> {
    let path = settings
        .data_dir
        .as_deref()
        .context("the data directory is not set: use --data-dir or OCTELIUM_DATA_DIR")?;
    files::create_directory(path)
}

/// Returns the data directory of an existing store. A mistyped path must not create a new store.
///
/// # Errors
///
/// Returns an error if it is not configured or contains no store.
pub(crate) fn present_data_dir(settings: &StoreSettings) -> anyhow::Result<PathBuf> {
    if settings.database_url.is_none() {
        let path = settings.data_dir.as_deref().unwrap_or(Path::new(""));
        let database = path.join(DATABASE_FILE);
        ensure!(
            settings.data_dir.is_none() || database.exists(),
            "{} does not exist: is this the data directory of a Cluster?",
            database.display()
        );
    }
    data_dir(settings)
}

/// Opens the store and migrates it to the schema of this version.
///
/// # Errors
///
/// Returns an error if the store cannot be opened, or if its master key is missing or wrong.
pub(crate) async fn open(
    settings: &StoreSettings,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Store>> {
    Ok(open_backend(settings, data_dir, clock).await?.store())
}

/// Opens the store like [`open`]. Returns the backend, for functions that are not in the port.
///
/// # Errors
///
/// Returns the same errors as [`open`].
pub(crate) async fn open_backend(
    settings: &StoreSettings,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Backend> {
    Ok(store::open_backend(config(settings, data_dir, clock)?).await?)
}

/// Builds the configuration of the store.
///
/// # Errors
///
/// Returns an error if the master key is missing or cannot be read.
pub(crate) fn config(
    settings: &StoreSettings,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<StoreConfig> {
    Ok(StoreConfig {
        location: location(settings, data_dir),
        keys: master_keys(settings)?,
        clock,
    })
}

/// Loads the existing master key of the embedded store.
///
/// # Errors
///
/// Returns an error if it is missing or cannot be read.
pub(crate) fn present_master_keys(
    settings: &StoreSettings,
    data_dir: &Path,
) -> anyhow::Result<MasterKeys> {
    if let Some(keys) = master_keys(settings)? {
        return Ok(keys);
    }
    let path = data_dir.join(MASTER_KEY_FILE);
    ensure!(
        path.exists(),
        "{} does not exist: put the master key of the backed-up Cluster there, or set --master-key-file",
        path.display()
    );
    Ok(MasterKeys::new(load_or_create(&path, &SystemRng)?))
}

/// Returns all documents of a kind.
///
/// # Errors
///
/// Returns an error if the store fails.
pub(crate) async fn all(
    store: &dyn Store,
    kind: Kind,
    now: UnixMillis,
) -> Result<Vec<Document>, StoreError> {
    let mut documents: Vec<Document> = Vec::new();
    loop {
        let after = documents.last().map(|document| document.uid);
        let page = store.scan(kind, after, PAGE, now).await?;
        let is_last = page.len() < PAGE as usize;
        documents.extend(page);
        if is_last {
            return Ok(documents);
        }
    }
}

fn location(settings: &StoreSettings, data_dir: &Path) -> Location {
    let Some(url) = &settings.database_url else {
        return Location::Directory(data_dir.to_owned());
    };
    Location::Postgres(PostgresOptions {
        url: DatabaseUrl::new(url),
        ca_certificate: settings.database_ca.clone(),
        connections: settings
            .database_connections
            .unwrap_or(DEFAULT_CONNECTIONS)
            .max(1)
            .into(),
        changes_wait_for_standby: settings.database_sync_changes == Some(Switch::On),
    })
}

fn master_keys(settings: &StoreSettings) -> anyhow::Result<Option<MasterKeys>> {
    let Some(path) = &settings.master_key_file else {
        ensure!(
            settings.database_url.is_none(),
            "PostgreSQL requires a master key that all replicas share: \
             `openssl rand -hex 32 > FILE; chmod 600 FILE`, then --master-key-file FILE"
        );
        return Ok(None);
    };
    ensure!(
        path.exists(),
        "master key file {} does not exist",
        path.display()
    );
    Ok(Some(MasterKeys::new(load_or_create(path, &SystemRng)?)))
}
