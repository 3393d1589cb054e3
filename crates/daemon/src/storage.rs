//! The store that the settings name.

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

/// How many documents are read at a time.
const PAGE: u32 = 1000;
/// How many connections to PostgreSQL read.
const DEFAULT_CONNECTIONS: u16 = 16;

/// The data directory, made where it is not there.
///
/// # Errors
/// Where none is given, or it cannot be made.
pub(crate) fn data_dir(settings: &StoreSettings) -> anyhow::Result<PathBuf> {
    let path = settings
        .data_dir
        .as_deref()
        .context("no data directory is given: --data-dir or OCTELIUM_DATA_DIR")?;
    files::create_directory(path)
}

/// The data directory of a store that has begun: what is done to one must not begin another by a mistyped path.
///
/// # Errors
/// Where none is given, or there is no store.
pub(crate) fn present_data_dir(settings: &StoreSettings) -> anyhow::Result<PathBuf> {
    if settings.database_url.is_none() {
        let path = settings.data_dir.as_deref().unwrap_or(Path::new(""));
        let database = path.join(DATABASE_FILE);
        ensure!(
            settings.data_dir.is_none() || database.exists(),
            "{} is not there: is this the data directory of a Cluster?",
            database.display()
        );
    }
    data_dir(settings)
}

/// Opens the store and brings it to this version's schema.
///
/// # Errors
/// Where it cannot be opened, or its master key is missing or another.
pub(crate) async fn open(
    settings: &StoreSettings,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<dyn Store>> {
    Ok(open_backend(settings, data_dir, clock).await?.store())
}

/// As [`open`], for what the port does not offer.
///
/// # Errors
/// As of [`open`].
pub(crate) async fn open_backend(
    settings: &StoreSettings,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Backend> {
    Ok(store::open_backend(config(settings, data_dir, clock)?).await?)
}

/// The store that the settings name.
///
/// # Errors
/// Where its master key is missing.
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

/// The master key of the embedded store, which must be there already.
///
/// # Errors
/// Where it is not, or cannot be read.
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
        "{} is not there: put the master key of the backed-up Cluster there, or name it by --master-key-file",
        path.display()
    );
    Ok(MasterKeys::new(load_or_create(&path, &SystemRng)?))
}

/// All documents of a kind.
///
/// # Errors
/// Where the store fails.
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
            "PostgreSQL needs a master key that all replicas share: \
             `openssl rand -hex 32 > FILE; chmod 600 FILE`, then --master-key-file FILE"
        );
        return Ok(None);
    };
    ensure!(
        path.exists(),
        "master key file {} is not there",
        path.display()
    );
    Ok(Some(MasterKeys::new(load_or_create(path, &SystemRng)?)))
}
