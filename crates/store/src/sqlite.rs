//! The embedded backend: one SQLite database in a directory.
//!
//! It uses a write-ahead log that is flushed at each commit. One thread writes, in group commits. Readers are pooled
//! and run on blocking threads. Other processes can open the same database concurrently (backup, recovery).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::platform_v1::{AccessEvent, AuditEvent};
use async_trait::async_trait;
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    kind::Kind,
    rng::SystemRng,
};
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};
use zeroize::Zeroizing;

use crate::{
    AccessQuery, AuditQuery, Bounds, Changes, CommitError, Committed, Counter, Cursor, Document,
    FeedState, Finding, Listing, Page, Pages, Query, Store, StoreError, Transaction, Usage,
    WithSecret,
    backup_format::{Item, Load},
    prepared::prepare,
    row,
    seal::{MasterKeys, Sealer, SecretLocation, load_or_create},
};

mod access;
mod audit;
mod change;
mod collect;
mod connection;
mod document;
mod dump;
mod ephemeral;
mod feed;
mod log;
mod maintenance;
mod query;
mod readers;
mod schema;
mod transaction;
mod writer;

use feed::Feed;
use readers::Readers;
use writer::Writer;

/// The file name of the database in its directory.
pub const DATABASE_FILE: &str = "octelium.db";
/// The file name of the master key in the directory, if none was configured.
pub const MASTER_KEY_FILE: &str = "master-key";
/// The file name of the next master key during [`rotate_own_key`].
const NEXT_MASTER_KEY_FILE: &str = "master-key.next";

/// The embedded store.
pub struct Sqlite {
    cluster_uid: Uid,
    path: PathBuf,
    sealer: Arc<Sealer>,
    readers: Readers,
    feed: Feed,
    /// Dropped after the others: the last connection to close removes the write-ahead log, if it is allowed to write.
    writer: Writer,
    /// Deleted together with the store.
    #[cfg(feature = "testing")]
    pub(crate) temporary: Option<tempfile::TempDir>,
}

impl Sqlite {
    /// Opens the store in `directory`, creating and migrating it if necessary.
    ///
    /// Without `keys`, the master key is read from [`MASTER_KEY_FILE`], which is created together with the database.
    ///
    /// # Errors
    /// Returns an error if the directory is unusable, a newer version has migrated the database, or its secrets are
    /// sealed under another master key.
    pub fn open(
        directory: &Path,
        keys: Option<MasterKeys>,
        clock: &dyn Clock,
    ) -> Result<Self, StoreError> {
        connection::prepare_directory(directory)?;
        let path = directory.join(DATABASE_FILE);
        let keys = match keys {
            Some(keys) => keys,
            None => own_keys(directory, &path)?,
        };
        let sealer = Arc::new(keys.sealer()?);
        connection::prepare_files(&path)?;
        let mut writing = connection::open_writer(&path)?;
        let cluster_uid = schema::prepare(&mut writing, &sealer, clock.now(), &SystemRng)?;
        let head = change::head(&writing)?;
        let feed = Feed::start(connection::open_reader(&path)?, head)?;
        Ok(Self {
            cluster_uid,
            sealer,
            readers: Readers::new(path.clone()),
            path,
            writer: Writer::start(writing, feed.publisher())?,
            feed,
            #[cfg(feature = "testing")]
            temporary: None,
        })
    }
}

/// Operations beyond the port, for [`crate::Backend`].
impl Sqlite {
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let sealer = Arc::clone(&self.sealer);
        self.readers
            .read(move |connection| maintenance::check(connection, &sealer))
            .await
    }

    pub(crate) async fn reseal(&self) -> Result<u64, StoreError> {
        let sealer = Arc::clone(&self.sealer);
        self.writer
            .write(move |connection| maintenance::reseal(connection, &sealer))
            .await
    }

    pub(crate) fn dump(&self, items: mpsc::Sender<Result<Item, StoreError>>) {
        let path = self.path.clone();
        spawn_blocking(move || match connection::open_reader(&path) {
            Ok(mut connection) => dump::dump(&mut connection, &items),
            Err(error) => {
                let _ = items.blocking_send(Err(error));
            }
        });
    }

    pub(crate) async fn load(
        &self,
        cluster_uid: Uid,
        mut items: mpsc::Receiver<Load>,
    ) -> Result<bool, StoreError> {
        let (path, sealer) = (self.path.clone(), Arc::clone(&self.sealer));
        spawn_blocking(move || {
            let mut connection = connection::open_writer(&path)?;
            // The restore is one transaction of any size, so it must be able to exceed the memory.
            connection.execute_batch("PRAGMA cache_spill = ON")?;
            dump::load(&mut connection, &sealer, cluster_uid, &mut items)
        })
        .await
        .map_err(|error| StoreError::new("the restore was interrupted").caused_by(error))?
    }

    pub(crate) async fn is_restoring(&self) -> Result<bool, StoreError> {
        self.readers.read(schema::is_restoring).await
    }

    pub(crate) async fn finish_restore(&self) -> Result<(), StoreError> {
        self.writer.write(schema::finish_restore).await
    }
}

/// Replaces the master key that the store in `directory` keeps next to its database, and seals all secrets again.
/// Returns the number of resealed secrets. No other process may have the store open. After an interruption, another
/// call completes the rotation; until then the store opens with both keys.
///
/// # Errors
/// Returns an error if the store or one of its secrets fails to open.
pub async fn rotate_own_key(directory: &Path, clock: &dyn Clock) -> Result<u64, StoreError> {
    let next = directory.join(NEXT_MASTER_KEY_FILE);
    if !directory.join(MASTER_KEY_FILE).exists() {
        return Err(StoreError::new(format!(
            "{} has no master key of its own to replace",
            directory.display()
        )));
    }
    load_or_create(&next, &SystemRng)?;
    let store = Sqlite::open(directory, None, clock)?;
    let resealed = store.reseal().await?;
    drop(store);
    std::fs::rename(&next, directory.join(MASTER_KEY_FILE))
        .and_then(|()| std::fs::File::open(directory)?.sync_all())
        .map_err(|error| StoreError::new("replacing the master key").caused_by(error))?;
    Ok(resealed)
}

/// Reads the master key of the store, creating it for a new database. An existing database never gets a new key, because
/// the secrets sealed before could not be opened.
fn own_keys(directory: &Path, database: &Path) -> Result<MasterKeys, StoreError> {
    let path = directory.join(MASTER_KEY_FILE);
    if database.exists() && !path.exists() {
        return Err(StoreError::new(format!(
            "{} exists, but its master key {} does not: put the key back, or set it in the configuration",
            database.display(),
            path.display()
        )));
    }
    let key = load_or_create(&path, &SystemRng)?;
    let next = directory.join(NEXT_MASTER_KEY_FILE);
    if next.exists() {
        return Ok(MasterKeys::new(load_or_create(&next, &SystemRng)?).with_former(key));
    }
    Ok(MasterKeys::new(key))
}

#[async_trait]
impl Store for Sqlite {
    async fn get(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError> {
        self.readers
            .read(move |connection| query::get(connection, kind, uid, now))
            .await
    }

    async fn get_by_name(
        &self,
        kind: Kind,
        name: &str,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError> {
        let name = name.to_owned();
        self.readers
            .read(move |connection| query::get_by_name(connection, kind, &name, now))
            .await
    }

    async fn list(&self, query: Query) -> Result<Page, StoreError> {
        self.readers
            .read(move |connection| query::list(connection, &query))
            .await
    }

    async fn bounds(&self, listing: Listing, pages: Pages) -> Result<Bounds, StoreError> {
        self.readers
            .read(move |connection| match &listing {
                Listing::Documents(query) => query::bounds(connection, query, pages),
                Listing::Audit(query) => log::bounds(connection, query.into(), pages),
                Listing::Access(query) => log::bounds(connection, query.into(), pages),
            })
            .await
    }

    async fn scan(
        &self,
        kind: Kind,
        after: Option<Uid>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Document>, StoreError> {
        self.readers
            .read(move |connection| query::scan(connection, kind, after, limit, now))
            .await
    }

    async fn secret(&self, kind: Kind, uid: Uid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = self
            .readers
            .read(move |connection| query::sealed(connection, kind, uid))
            .await?;
        sealed
            .map(|sealed| {
                self.sealer
                    .open(SecretLocation::of_document(kind, uid), &sealed)
            })
            .transpose()
    }

    async fn get_with_secret(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<WithSecret>, StoreError> {
        let found = self
            .readers
            .read(move |connection| query::get_with_sealed(connection, kind, uid, now))
            .await?;
        self.sealer.open_with(found)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        let prepared = prepare(transaction, &self.sealer)?;
        self.writer
            .write(move |connection| transaction::run(connection, &prepared))
            .await
    }

    async fn take(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.to_vec();
        self.writer
            .write(move |connection| ephemeral::take(connection, kind, &key, now))
            .await
    }

    async fn has_record(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        let key = key.to_vec();
        self.readers
            .read(move |connection| ephemeral::has_record(connection, kind, &key, now))
            .await
    }

    async fn count(
        &self,
        key: &str,
        window: Duration,
        now: UnixMillis,
    ) -> Result<Counter, StoreError> {
        let key = key.to_owned();
        self.writer
            .write(move |connection| ephemeral::count(connection, &key, window, now))
            .await
    }

    async fn counter(&self, key: &str, now: UnixMillis) -> Result<Option<Counter>, StoreError> {
        let key = key.to_owned();
        self.readers
            .read(move |connection| ephemeral::counter(connection, &key, now))
            .await
    }

    async fn reset_counter(&self, key: &str) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.writer
            .write(move |connection| ephemeral::reset_counter(connection, &key))
            .await
    }

    async fn add_usage(&self, usage: BTreeMap<Uid, Usage>) -> Result<(), StoreError> {
        if usage.is_empty() {
            return Ok(());
        }
        self.writer
            .write(move |connection| ephemeral::add_usage(connection, &usage))
            .await
    }

    async fn usage(&self, uids: &[Uid]) -> Result<BTreeMap<Uid, Usage>, StoreError> {
        let uids = uids.to_vec();
        self.readers
            .read(move |connection| ephemeral::usage(connection, &uids))
            .await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.readers
            .read(move |connection| change::after(connection, after, limit))
            .await
    }

    fn feed(&self) -> watch::Receiver<FeedState> {
        self.feed.subscribe()
    }

    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.writer
            .write(move |connection| audit::append(connection, &events))
            .await
    }

    async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, u64), StoreError> {
        self.readers
            .read(move |connection| log::page(connection, (&query).into(), row::audit_event))
            .await
    }

    async fn trim_audit(&self, before: UnixMillis) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let slice = self
                .writer
                .write(move |connection| audit::trim(connection, before))
                .await?;
            removed += slice;
            if slice == 0 {
                return Ok(removed);
            }
        }
    }

    async fn append_access(&self, events: Vec<AccessEvent>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        self.writer
            .write(move |connection| access::append(connection, &events))
            .await
    }

    async fn access(&self, query: AccessQuery) -> Result<(Vec<AccessEvent>, u64), StoreError> {
        self.readers
            .read(move |connection| log::page(connection, (&query).into(), row::access_event))
            .await
    }

    async fn collect(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let ends = self.readers.read(access::ends).await?;
        let mut removed = 0;
        // In batches, so that logins can proceed in between.
        loop {
            let slice = self
                .writer
                .write(move |connection| collect::slice(connection, now, ends))
                .await?;
            removed += slice;
            if slice == 0 {
                return Ok(removed);
            }
        }
    }

    fn cluster_uid(&self) -> Uid {
        self.cluster_uid
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.readers
            .read(|connection| change::head(connection).map(|_| ()))
            .await
    }
}
