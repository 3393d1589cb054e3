//! A store whose commits can be made to fail. It wraps a real store.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::platform_v1::{AccessEvent, AuditEvent};
use async_trait::async_trait;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{
    AccessQuery, AuditQuery, Bounds, Changes, CommitError, Committed, Counter, Cursor, Document,
    FeedState, Listing, Page, Pages, Query, Store, StoreError, Transaction, Usage, WithSecret,
};
use tokio::sync::watch;
use zeroize::Zeroizing;

pub(crate) struct Failing {
    inner: Arc<dyn Store>,
    fails: AtomicBool,
    fails_reads: AtomicBool,
}

impl Failing {
    pub(crate) fn over(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            fails: AtomicBool::new(false),
            fails_reads: AtomicBool::new(false),
        }
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// Makes reads of single documents fail.
    pub(crate) fn fail_reads(&self, fails: bool) {
        self.fails_reads.store(fails, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Failing {
    async fn get(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError> {
        if self.fails_reads.load(Ordering::SeqCst) {
            return Err(StoreError {
                context: "injected".to_owned(),
                transient: true,
                source: None,
            });
        }
        self.inner.get(kind, uid, now).await
    }

    async fn get_by_name(
        &self,
        kind: Kind,
        name: &str,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError> {
        self.inner.get_by_name(kind, name, now).await
    }

    async fn list(&self, query: Query) -> Result<Page, StoreError> {
        self.inner.list(query).await
    }

    async fn bounds(&self, listing: Listing, pages: Pages) -> Result<Bounds, StoreError> {
        self.inner.bounds(listing, pages).await
    }

    async fn scan(
        &self,
        kind: Kind,
        after: Option<Uid>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Document>, StoreError> {
        self.inner.scan(kind, after, limit, now).await
    }

    async fn secret(&self, kind: Kind, uid: Uid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        self.inner.secret(kind, uid).await
    }

    async fn get_with_secret(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<WithSecret>, StoreError> {
        if self.fails_reads.load(Ordering::SeqCst) {
            return Err(StoreError {
                context: "injected".to_owned(),
                transient: true,
                source: None,
            });
        }
        self.inner.get_with_secret(kind, uid, now).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(CommitError::Store(StoreError {
                context: "injected".to_owned(),
                transient: true,
                source: None,
            }));
        }
        self.inner.commit(transaction).await
    }

    async fn take(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.take(kind, key, now).await
    }

    async fn has_record(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.inner.has_record(kind, key, now).await
    }

    async fn count(
        &self,
        key: &str,
        window: Duration,
        now: UnixMillis,
    ) -> Result<Counter, StoreError> {
        self.inner.count(key, window, now).await
    }

    async fn counter(&self, key: &str, now: UnixMillis) -> Result<Option<Counter>, StoreError> {
        self.inner.counter(key, now).await
    }

    async fn reset_counter(&self, key: &str) -> Result<(), StoreError> {
        self.inner.reset_counter(key).await
    }

    async fn add_usage(&self, usage: BTreeMap<Uid, Usage>) -> Result<(), StoreError> {
        self.inner.add_usage(usage).await
    }

    async fn usage(&self, uids: &[Uid]) -> Result<BTreeMap<Uid, Usage>, StoreError> {
        self.inner.usage(uids).await
    }

    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError> {
        self.inner.changes(after, limit).await
    }

    fn feed(&self) -> watch::Receiver<FeedState> {
        self.inner.feed()
    }

    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), StoreError> {
        self.inner.append_audit(events).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, u64), StoreError> {
        self.inner.audit(query).await
    }

    async fn trim_audit(&self, before: UnixMillis) -> Result<u64, StoreError> {
        self.inner.trim_audit(before).await
    }

    async fn append_access(&self, events: Vec<AccessEvent>) -> Result<(), StoreError> {
        self.inner.append_access(events).await
    }

    async fn access(&self, query: AccessQuery) -> Result<(Vec<AccessEvent>, u64), StoreError> {
        self.inner.access(query).await
    }

    async fn collect(&self, now: UnixMillis) -> Result<u64, StoreError> {
        self.inner.collect(now).await
    }

    fn cluster_uid(&self) -> Uid {
        self.inner.cluster_uid()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}
