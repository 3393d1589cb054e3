//! The backend for many replicas: PostgreSQL 15 or later.
//!
//! READ COMMITTED with guarded statements; group commit per replica; a change log whose numbers are visible in
//! their order. Needs connections that keep their session (`LISTEN`, prepared statements): a pooler in between
//! must not work per transaction.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use api::platform_v1::{AccessEvent, AuditEvent};
use async_trait::async_trait;
use deadpool_postgres::{Client, Pool};
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    kind::Kind,
    rng::SystemRng,
};
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

use crate::{
    AccessQuery, AuditQuery, Bounds, Changes, CommitError, Committed, Counter, Cursor, DatabaseUrl,
    Document, FeedState, Finding, Listing, Page, Pages, Query, Store, StoreError, Transaction,
    Usage,
    prepared::prepare,
    row,
    seal::{MasterKeys, Place, Sealer},
    transfer::{Item, Load},
};

mod access;
mod audit;
mod change;
mod collect;
mod connection;
mod dump;
mod ephemeral;
mod error;
mod feed;
mod group;
mod holder;
mod lock;
mod log;
mod maintenance;
mod query;
mod schema;
mod statement;
mod step;
mod writer;

use connection::{Connector, no_connection};
use feed::Feed;
use writer::Writer;

/// How to reach the database.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?sslmode=…`. Without `sslmode=disable`, TLS is required for
    /// any host but this one.
    pub url: DatabaseUrl,
    /// The authorities, in PEM, that the server's certificate may come from; those of the system where `None`.
    pub ca_certificate: Option<PathBuf>,
    /// How many connections this replica reads with. Three more write, listen and notify.
    pub connections: usize,
}

/// The store that replicas share.
pub struct Postgres {
    cluster_uid: Uid,
    sealer: Sealer,
    connector: Connector,
    pool: Pool,
    writer: Writer,
    feed: Feed,
}

impl Postgres {
    /// Connects and brings the database up to date.
    ///
    /// # Errors
    /// Where the server cannot be reached, the database is of a newer version, or `keys` are not those under
    /// which its secrets are sealed.
    pub async fn connect(
        options: &PostgresOptions,
        keys: &MasterKeys,
        clock: &dyn Clock,
    ) -> Result<Self, StoreError> {
        let sealer = keys.sealer()?;
        let connector = Connector::new(options)?;
        let mut client = connector.connect().await?;
        let cluster_uid = schema::prepare(&mut client, &sealer, clock.now(), &SystemRng).await?;
        let head = change::head(&client)
            .await
            .map_err(|error| error::failed("reading the change log", &error))?;
        let feed = Feed::start(&connector, head);
        Ok(Self {
            cluster_uid,
            sealer,
            pool: connector.pool(options.connections.max(1))?,
            writer: Writer::start(connector.clone(), feed.publisher()),
            connector,
            feed,
        })
    }

    async fn client(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(|error| no_connection(&error))
    }
}

/// Reads, and once more where the connection turns out to have been lost while it was idle.
macro_rules! read {
    ($store:ident, $client:ident => $read:expr) => {{
        let $client = $store.client().await?;
        match $read.await {
            Err(error) if error.transient && $client.is_closed() => {
                let $client = $store.client().await?;
                $read.await
            }
            result => result,
        }
    }};
}

/// What more is asked of it than the port offers: see [`crate::Backend`].
impl Postgres {
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let client = self.connector.connect().await?;
        maintenance::check(&client, &self.sealer).await
    }

    pub(crate) async fn reseal(&self) -> Result<u64, StoreError> {
        let mut client = self.connector.connect().await?;
        maintenance::reseal(&mut client, &self.sealer).await
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
            .map(|sealed| self.sealer.open(Place::of_document(kind, uid), &sealed))
            .transpose()
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
        ephemeral::take(&self.client().await?, kind, key, now).await
    }

    async fn count(
        &self,
        key: &str,
        window: Duration,
        now: UnixMillis,
    ) -> Result<Counter, StoreError> {
        ephemeral::count(&self.client().await?, key, window, now).await
    }

    async fn counter(&self, key: &str, now: UnixMillis) -> Result<Option<Counter>, StoreError> {
        read!(self, client => ephemeral::counter(&client, key, now))
    }

    async fn reset_counter(&self, key: &str) -> Result<(), StoreError> {
        ephemeral::reset_counter(&self.client().await?, key).await
    }

    async fn add_usage(&self, usage: BTreeMap<Uid, Usage>) -> Result<(), StoreError> {
        ephemeral::add_usage(&self.client().await?, &usage).await
    }

    async fn usage(&self, uids: &[Uid]) -> Result<BTreeMap<Uid, Usage>, StoreError> {
        read!(self, client => ephemeral::usage(&client, uids))
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        read!(self, client => change::after(&client, after, limit))
    }

    fn feed(&self) -> watch::Receiver<FeedState> {
        self.feed.subscribe()
    }

    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        audit::append(&self.client().await?, &events).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, u64), StoreError> {
        read!(self, client => log::page(&client, (&query).into(), row::audit_event))
    }

    async fn append_access(&self, events: Vec<AccessEvent>) -> Result<(), StoreError> {
        access::append(&self.client().await?, &events).await
    }

    async fn access(&self, query: AccessQuery) -> Result<(Vec<AccessEvent>, u64), StoreError> {
        read!(self, client => log::page(&client, (&query).into(), row::access_event))
    }

    async fn collect(&self, now: UnixMillis) -> Result<u64, StoreError> {
        let mut client = self.client().await?;
        let mut removed = 0;
        // In slices, so that locks are held shortly.
        loop {
            let (slice, cursor) = collect::slice(&mut client, now).await?;
            if let Some(cursor) = cursor {
                self.feed.publisher().committed(cursor);
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
        self.client()
            .await?
            .batch_execute("SELECT 1")
            .await
            .map_err(|error| error::failed("ping", &error))
    }
}
