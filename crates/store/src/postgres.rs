//! The backend for many replicas: PostgreSQL 15 or later.
//!
//! It uses READ COMMITTED with guarded statements, group commit per replica, and a change log whose numbers become
//! visible in order. Connections must keep their session (`LISTEN`, prepared statements), so a connection pooler must
//! not work in transaction mode. Each operation has a deadline: see `deadline`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use api::platform_v1::{AccessEvent, AuditEvent};
use async_trait::async_trait;
use deadpool_postgres::{Client, Object, Pool};
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    kind::Kind,
    rng::SystemRng,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};
use zeroize::Zeroizing;

use crate::{
    AccessQuery, AuditQuery, Bounds, Changes, CommitError, Committed, Counter, Cursor, DatabaseUrl,
    Document, FeedState, Finding, Listing, Page, Pages, Query, Store, StoreError, Transaction,
    Usage, WithSecret,
    backup_format::{Item, Load},
    prepared::prepare,
    row,
    seal::{MasterKeys, Sealer, SecretLocation},
};

mod access;
mod audit;
mod change;
mod collect;
mod connection;
mod deadline;
mod dump;
mod ephemeral;
mod error;
mod feed;
mod group;
mod history;
mod holder;
mod lock;
mod log;
mod maintenance;
mod publisher;
mod query;
mod schema;
mod statement;
mod step;
mod target;
mod writer;

use change::{ChangeLogRead, Durability};
use connection::{Connector, Freshness, no_connection};
use deadline::{MAINTENANCE, OPERATION, exceeded, within};
use feed::Feed;
use publisher::Publisher;
use writer::Writer;

/// Options to connect to the database.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`. Without `sslmode=disable`, TLS is required for any host
    /// except localhost.
    pub url: DatabaseUrl,
    /// A PEM file with the certificate authorities for the server; those of the system if `None`.
    pub ca_certificate: Option<PathBuf>,
    /// The number of connections for reads. Three more connections write, listen and notify.
    pub connections: usize,
    /// True if a change of a document is acknowledged only after the synchronous standbys have it, even if the
    /// `synchronous_commit` setting of the server is weaker. A failover then never restores what was revoked. The
    /// creation of a Session does not wait. The server must set `synchronous_standby_names`.
    pub changes_wait_for_standby: bool,
}

/// The store that replicas share.
pub struct Postgres {
    cluster_uid: Uid,
    sealer: Sealer,
    connector: Connector,
    pool: Pool,
    freshness: Arc<Freshness>,
    durability: Durability,
    writer: Writer,
    feed: Feed,
}

impl Postgres {
    /// Connects and migrates the database.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached, a newer version has migrated the database, or its secrets are
    /// sealed under other keys than `keys`. Also returns one if changes must wait for a standby and the server has
    /// none.
    pub async fn connect(
        options: &PostgresOptions,
        keys: &MasterKeys,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let sealer = keys.sealer()?;
        let connector = Connector::new(options)?;
        let mut client = connector.connect().await?;
        let preparing = schema::prepare(&mut client, &sealer, clock.now(), &SystemRng);
        let cluster_uid = within(MAINTENANCE, "preparing the database", preparing).await?;
        let durability = if options.changes_wait_for_standby {
            let check = schema::check_standbys(&client);
            within(OPERATION, "reading the standbys", check).await?;
            Durability::OnStandby
        } else {
            Durability::OfServer
        };
        let freshness = Arc::new(Freshness::default());
        let publisher = async {
            let publisher = Publisher::start(&client, clock, Arc::clone(&freshness)).await;
            publisher.map_err(|error| error::failed("reading the change log", &error))
        };
        let publisher = within(OPERATION, "reading the change log", publisher).await?;
        let publisher = Arc::new(publisher);
        Ok(Self {
            cluster_uid,
            sealer,
            pool: connector.pool(
                options.connections.max(1),
                Arc::clone(&publisher),
                Arc::clone(&freshness),
            )?,
            freshness,
            durability,
            writer: Writer::start(connector.clone(), Arc::clone(&publisher), durability),
            feed: Feed::start(&connector, publisher),
            connector,
        })
    }

    async fn client(&self, deadline: Instant) -> Result<Client, StoreError> {
        match timeout_at(deadline, self.pool.get()).await {
            Ok(client) => client.map_err(|error| no_connection(&error)),
            Err(_) => Err(exceeded("waiting for a connection")),
        }
    }

    /// Closes a connection that did not answer. Other connections may hang, too.
    fn discard(&self, client: Client) {
        drop(Object::take(client));
        self.freshness.require_probe();
    }
}

/// Runs one operation on a pooled connection, with a deadline.
macro_rules! once {
    ($store:ident, $deadline:ident, $client:ident => $operation:expr) => {{
        let $client = $store.client($deadline).await?;
        let outcome = timeout_at($deadline, $operation).await;
        match outcome {
            Ok(result) => (result, $client.is_closed()),
            Err(_) => {
                $store.discard($client);
                (Err(exceeded("an operation")), false)
            }
        }
    }};
}

/// Runs an operation with a deadline.
macro_rules! bounded {
    ($store:ident, $client:ident => $operation:expr) => {{
        let deadline = Instant::now() + OPERATION;
        once!($store, deadline, $client => $operation).0
    }};
}

/// Runs a read, and retries it once if the connection was lost while it was idle.
macro_rules! read {
    ($store:ident, $client:ident => $read:expr) => {{
        let deadline = Instant::now() + OPERATION;
        match once!($store, deadline, $client => $read) {
            (Err(error), true) if error.transient => once!($store, deadline, $client => $read).0,
            (result, _) => result,
        }
    }};
}

/// Operations beyond the port, for [`crate::Backend`].
impl Postgres {
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let client = self.connector.connect().await?;
        let check = maintenance::check(&client, &self.sealer);
        within(MAINTENANCE, "checking", check).await
    }

    pub(crate) async fn reseal(&self) -> Result<u64, StoreError> {
        let mut client = self.connector.connect().await?;
        let reseal = maintenance::reseal(&mut client, &self.sealer);
        within(MAINTENANCE, "resealing", reseal).await
    }

    pub(crate) fn dump(&self, items: mpsc::Sender<Result<Item, StoreError>>) {
        let connector = self.connector.clone();
        tokio::spawn(async move {
            match connector.connect().await {
                Ok(client) => dump::dump(&client, &items).await,
                Err(error) => {
                    let _ = items.send(Err(error)).await;
                }
            }
        });
    }

    pub(crate) async fn load(
        &self,
        cluster_uid: Uid,
        mut items: mpsc::Receiver<Load>,
    ) -> Result<bool, StoreError> {
        let mut client = self.connector.connect().await?;
        dump::load(&mut client, &self.sealer, cluster_uid, &mut items).await
    }

    pub(crate) async fn is_restoring(&self) -> Result<bool, StoreError> {
        read!(self, client => schema::is_restoring(&**client))
    }

    pub(crate) async fn finish_restore(&self) -> Result<(), StoreError> {
        bounded!(self, client => schema::finish_restore(&client))
    }
}

#[async_trait]
impl Store for Postgres {
    async fn get(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError> {
        read!(self, client => query::get(&client, kind, uid, now))
    }

    async fn get_by_name(
        &self,
        kind: Kind,
        name: &str,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError> {
        read!(self, client => query::get_by_name(&client, kind, name, now))
    }

    async fn list(&self, query: Query) -> Result<Page, StoreError> {
        read!(self, client => query::list(&client, &query))
    }

    async fn bounds(&self, listing: Listing, pages: Pages) -> Result<Bounds, StoreError> {
        match &listing {
            Listing::Documents(query) => {
                read!(self, client => query::bounds(&client, query, pages))
            }
            Listing::Audit(query) => {
                read!(self, client => log::bounds(&client, query.into(), pages))
            }
            Listing::Access(query) => {
                read!(self, client => log::bounds(&client, query.into(), pages))
            }
        }
    }

    async fn scan(
        &self,
        kind: Kind,
        after: Option<Uid>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Document>, StoreError> {
        read!(self, client => query::scan(&client, kind, after, limit, now))
    }

    async fn secret(&self, kind: Kind, uid: Uid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = read!(self, client => query::sealed(&client, kind, uid))?;
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
        let found = read!(self, client => query::get_with_sealed(&client, kind, uid, now))?;
        self.sealer.open_with(found)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        let prepared = prepare(transaction, &self.sealer)?;
        self.writer.commit(prepared).await
    }

    async fn take(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        bounded!(self, client => ephemeral::take(&client, kind, key, now))
    }

    async fn has_record(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        read!(self, client => ephemeral::has_record(&client, kind, key, now))
    }

    async fn count(
        &self,
        key: &str,
        window: Duration,
        now: UnixMillis,
    ) -> Result<Counter, StoreError> {
        bounded!(self, client => ephemeral::count(&client, key, window, now))
    }

    async fn counter(&self, key: &str, now: UnixMillis) -> Result<Option<Counter>, StoreError> {
        read!(self, client => ephemeral::counter(&client, key, now))
    }

    async fn reset_counter(&self, key: &str) -> Result<(), StoreError> {
        bounded!(self, client => ephemeral::reset_counter(&client, key))
    }

    async fn add_usage(&self, usage: BTreeMap<Uid, Usage>) -> Result<(), StoreError> {
        bounded!(self, client => ephemeral::add_usage(&client, &usage))
    }

    async fn usage(&self, uids: &[Uid]) -> Result<BTreeMap<Uid, Usage>, StoreError> {
        read!(self, client => ephemeral::usage(&client, uids))
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        loop {
            let known = self.feed.publisher().known();
            let answer = read!(self, client => change::after(&client, after, limit, &known))?;
            let publisher = self.feed.publisher();
            match answer {
                ChangeLogRead::Changes(changes, last) => {
                    if let Some((cursor, mark)) = last {
                        publisher.read(&known, cursor, mark);
                    }
                    return Ok(changes);
                }
                ChangeLogRead::NotContinued { head, mark } => {
                    if publisher.replaced(&known, head, mark).is_some() {
                        return Ok(Changes::Replaced);
                    }
                    // This process learned of another change in the meantime: read again.
                }
            }
        }
    }

    fn feed(&self) -> watch::Receiver<FeedState> {
        self.feed.subscribe()
    }

    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        bounded!(self, client => audit::append(&client, &events))
    }

    async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, u64), StoreError> {
        read!(self, client => log::page(&client, (&query).into(), row::audit_event))
    }

    async fn trim_audit(&self, before: UnixMillis) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let slice = bounded!(self, client => audit::trim(&client, before))?;
            removed += slice;
            if slice == 0 {
                return Ok(removed);
            }
        }
    }

    async fn append_access(&self, events: Vec<AccessEvent>) -> Result<(), StoreError> {
        bounded!(self, client => access::append(&client, &events))
    }

    async fn access(&self, query: AccessQuery) -> Result<(Vec<AccessEvent>, u64), StoreError> {
        read!(self, client => log::page(&client, (&query).into(), row::access_event))
    }

    async fn collect(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let ends = bounded!(self, client => access::ends(&client))?;
        let mut removed = 0;
        // In batches, so that locks are held only briefly.
        loop {
            let deadline = Instant::now() + OPERATION;
            // Read before getting the connection: a newer connection belongs to a later history, so the change cannot
            // be attributed to the wrong one.
            let known = self.feed.publisher().known();
            let client = self.client(deadline).await?;
            let outcome = timeout_at(
                deadline,
                collect::slice(&client, now, ends, self.durability),
            )
            .await;
            let (slice, last) = match outcome {
                Ok(Ok(done)) => done,
                Ok(Err(error)) => {
                    // Closes the connection, together with a transaction that may be open.
                    drop(Object::take(client));
                    return Err(error);
                }
                Err(_) => {
                    self.discard(client);
                    return Err(exceeded("collecting"));
                }
            };
            if let Some((cursor, mark)) = last {
                self.feed.publisher().committed(cursor, mark, known.history);
            }
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
        bounded!(self, client => async {
            let pong = client.batch_execute("SELECT 1").await;
            pong.map_err(|error| error::failed("ping", &error))
        })?;
        self.writer.check().await
    }
}
