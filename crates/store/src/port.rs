//! The storage port. A new resource kind needs no change to it or to a backend.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use api::platform_v1::{AccessEvent, AuditEvent, access_event::Decision};
use async_trait::async_trait;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// The number of writes of one document, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A position in the change log. Later changes have greater positions. A reader never misses a change with a smaller
/// position than one it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(pub u64);

/// An index entry of a document. Queries use it to find documents of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The name of the index, such as `user`, `email`, `credential`.
    pub index: &'static str,
    /// The value, compared byte for byte.
    pub value: String,
    /// True if the value must be unique in this index among documents of the kind.
    pub unique: bool,
}

/// A stored document.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// The kind of the document.
    pub kind: Kind,
    /// The immutable id.
    pub uid: Uid,
    /// The name, unique within the kind.
    pub name: String,
    /// The revision that was read.
    pub revision: Revision,
    /// The time of creation. Lists are in this order by default.
    pub created_at: UnixMillis,
    /// The time of expiry. Reads ignore the document from then on; [`Store::collect`] deletes it later.
    pub expires_at: Option<UnixMillis>,
    /// The encoded message, without secrets.
    pub body: Vec<u8>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} ({}) revision {}",
            self.kind, self.name, self.uid, self.revision.0
        )
    }
}

/// A document and its opened secret, if it has one.
pub type WithSecret = (Document, Option<Zeroizing<Vec<u8>>>);

/// A document to write. The backend assigns the revision.
#[derive(Clone)]
pub struct NewDocument {
    /// The kind of the document.
    pub kind: Kind,
    /// The immutable id.
    pub uid: Uid,
    /// The name, unique within the kind.
    pub name: String,
    /// The time of creation; ignored if the document exists.
    pub created_at: UnixMillis,
    /// The time of expiry. See [`Document::expires_at`].
    pub expires_at: Option<UnixMillis>,
    /// The encoded message, without secrets.
    pub body: Vec<u8>,
    /// All index entries. They replace those of the previous revision.
    pub indexes: Vec<IndexEntry>,
    /// The change to the sealed part.
    pub secret: SecretWrite,
}

impl fmt::Debug for NewDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.name, self.uid)
    }
}

/// The change to the sealed part of a document.
#[derive(Clone)]
pub enum SecretWrite {
    /// Keeps the existing secret; a new document has none.
    Keep,
    /// Replaces the secret. It is sealed before it leaves the process.
    Set(Zeroizing<Vec<u8>>),
}

/// The state that a write expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Neither the uid, nor the name, nor a unique index value exists.
    Absent,
    /// The document is at this revision.
    Revision(Revision),
}

/// One step of a [`Transaction`].
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived; a box would cost an allocation each"
)]
#[derive(Debug, Clone)]
pub enum Operation {
    /// Writes a document if its expected state matches.
    Put(NewDocument, Expected),
    /// Deletes a document at this revision, or at any revision if `None`. Fails with a conflict if it does not match or
    /// the document does not exist.
    Delete(Kind, Uid, Option<Revision>),
    /// Fails the transaction unless the document is at this revision, and prevents changes to it until commit.
    Unchanged(Kind, Uid, Revision),
    /// Fails the transaction unless fewer than `below` live documents of `kind` have this index entry. The count
    /// includes earlier steps of the transaction. Concurrent transactions with the same limit wait for each other.
    Limit {
        /// The kind of the documents.
        kind: Kind,
        /// The name of the index.
        index: &'static str,
        /// The value in the index.
        value: String,
        /// The first count that fails.
        below: u32,
    },
    /// Stores a single-use record. Fails with [`CommitError::RecordTaken`] if a live record has the same key.
    Record {
        /// The kind of the record, such as `login-state`.
        kind: &'static str,
        /// The key, unique within the kind.
        key: Vec<u8>,
        /// The value that [`Store::take`] returns.
        value: Vec<u8>,
        /// The time of expiry. The record is ignored from then on.
        expires_at: UnixMillis,
    },
    /// Appends an audit event.
    Audit(AuditEvent),
}

/// Steps that are committed together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// The steps, in order.
    pub operations: Vec<Operation>,
    /// The current time, for expiry.
    pub now: UnixMillis,
}

impl Transaction {
    /// Creates an empty transaction.
    pub fn at(now: UnixMillis) -> Self {
        Self {
            operations: Vec::new(),
            now,
        }
    }

    /// Adds a step.
    pub fn push(&mut self, operation: Operation) -> &mut Self {
        self.operations.push(operation);
        self
    }
}

/// The result of a committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new revision of each `Put`, in order.
    pub revisions: Vec<Revision>,
    /// A position that includes the changes of the transaction.
    pub cursor: Cursor,
}

/// The reason why a transaction was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The document is not at the expected revision, or does not exist.
    #[error("{kind} {uid} has changed")]
    Conflict {
        /// The kind of the document.
        kind: Kind,
        /// The uid of the document.
        uid: Uid,
    },
    /// Another document has the name.
    #[error("{kind} {name} exists")]
    NameTaken {
        /// The kind of the document.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// Another document has the same value in a unique index.
    #[error("{kind} with the same {index} exists")]
    IndexTaken {
        /// The kind of the document.
        kind: Kind,
        /// The name of the index.
        index: &'static str,
    },
    /// An [`Operation::Limit`] was reached.
    #[error("limit of {kind} by {index} reached")]
    LimitReached {
        /// The kind of the documents.
        kind: Kind,
        /// The name of the index.
        index: &'static str,
    },
    /// A live record has the same key.
    #[error("record exists")]
    RecordTaken,
    /// The store failed. It is unknown if the transaction was committed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A failure of the store. Shown to operators, never to callers.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store: {context}")]
pub struct StoreError {
    /// The operation that failed, and the reason.
    pub context: String,
    /// True if a retry may succeed, such as after a lost connection or with a full queue.
    pub transient: bool,
    /// The cause.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The documents to list.
#[derive(Debug, Clone)]
pub struct Query {
    /// The kind of the documents.
    pub kind: Kind,
    /// Lists only documents with this index entry: the name of the index and the value.
    pub index: Option<(&'static str, String)>,
    /// The order.
    pub order: Order,
    /// The number of documents to skip.
    pub offset: u64,
    /// The maximum number of documents to return.
    pub limit: u32,
    /// The current time, for expiry.
    pub now: UnixMillis,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first, then by uid.
    #[default]
    Created,
    /// Newest first.
    CreatedDescending,
    /// Sorted by name.
    Name,
    /// Sorted by name, descending.
    NameDescending,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The documents.
    pub documents: Vec<Document>,
    /// The number of documents in the whole list.
    pub total: u64,
}

/// One entry of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The position of the change.
    pub cursor: Cursor,
    /// The kind of the document.
    pub kind: Kind,
    /// The uid of the document.
    pub uid: Uid,
    /// The name of the document.
    pub name: String,
    /// The new revision; `None` if the document was deleted.
    pub revision: Option<Revision>,
}

/// The result of reading the change log.
#[derive(Debug, Clone)]
pub enum Changes {
    /// The changes after the cursor, oldest first, up to the limit.
    Next(Vec<Change>),
    /// The log does not contain the position any longer. Read everything again, then continue from this cursor.
    Trimmed(Cursor),
    /// The history of the store was replaced, so it is not the one that this process followed. [`FeedState::history`]
    /// is already incremented.
    Replaced,
}

/// The state of the change feed of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedState {
    /// The last change known to be committed.
    pub cursor: Cursor,
    /// The time at which the store last confirmed the cursor, by the monotonic clock of this process.
    pub confirmed: std::time::Instant,
    /// The number of times that the history of the store was replaced while this process followed it. After a failover
    /// that lost the end of the change log, the same cursors refer to other changes. If this number changes, a
    /// subscriber must drop everything it has read and read it again. `cursor` belongs to this history.
    pub history: u64,
    /// The offset of this process's clock from the store's clock, in milliseconds; positive if it is ahead. Always 0
    /// for an embedded store.
    pub clock_ahead: i64,
}

/// The clock difference between this process and the store above which a warning is logged.
pub const CLOCK_WARNING: Duration = Duration::from_secs(5);
/// The clock difference above which this process must not make decisions that depend on its clock.
pub const CLOCK_BOUND: Duration = Duration::from_mins(1);

impl FeedState {
    /// Returns the absolute difference between the clocks of this process and of the store.
    pub fn clock_difference(&self) -> Duration {
        Duration::from_millis(self.clock_ahead.unsigned_abs())
    }

    /// Returns whether the clock difference is at most [`CLOCK_BOUND`].
    pub fn has_trusted_clock(&self) -> bool {
        self.clock_difference() <= CLOCK_BOUND
    }
}

/// The state of a cluster-wide counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Hits in the current window.
    pub count: u64,
    /// The end of the window.
    pub resets_at: UnixMillis,
}

/// Usage of a document, counted in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The number of uses.
    pub count: u64,
    /// The time of the last use.
    pub last_at: UnixMillis,
}

/// The number of retained access events of Users.
pub const ACCESS_KEPT: u32 = 100_000;
/// The number of retained access events without a User. They never evict events of Users.
pub const ACCESS_KEPT_ANONYMOUS: u32 = 25_000;
/// The total size of retained access events of Users, in bytes.
pub const ACCESS_BYTES: u32 = 64 * 1024 * 1024;
/// The total size of retained access events without a User, in bytes.
pub const ACCESS_BYTES_ANONYMOUS: u32 = 16 * 1024 * 1024;
/// The maximum size of a text in an audit or access event, in bytes. Longer texts are truncated when they are stored.
pub const EVENT_TEXT_BYTES: usize = 2048;
/// The time for which access events are retained.
pub const ACCESS_KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// The audit events to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Reads only events of this User.
    pub user: Option<Uid>,
    /// Reads only events about this resource.
    pub resource: Option<Uid>,
    /// Reads only events of this type.
    pub event_type: Option<String>,
    /// The start of the time range, inclusive.
    pub since: Option<UnixMillis>,
    /// The end of the time range, exclusive.
    pub until: Option<UnixMillis>,
    /// The number of events to skip.
    pub offset: u64,
    /// The maximum number of events to return.
    pub limit: u32,
}

/// The access events to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct AccessQuery {
    /// Reads only events of this User.
    pub user: Option<Uid>,
    /// Reads only requests to this Service.
    pub service: Option<Uid>,
    /// Reads only events with this decision.
    pub decision: Option<Decision>,
    /// The start of the time range, inclusive.
    pub since: Option<UnixMillis>,
    /// The end of the time range, exclusive.
    pub until: Option<UnixMillis>,
    /// The number of events to skip.
    pub offset: u64,
    /// The maximum number of events to return.
    pub limit: u32,
}

/// A list that [`Store::bounds`] measures. The `offset` and `limit` of its query are ignored.
#[derive(Debug, Clone)]
pub enum Listing {
    /// The result of [`Store::list`].
    Documents(Query),
    /// The result of [`Store::audit`].
    Audit(AuditQuery),
    /// The result of [`Store::access`].
    Access(AccessQuery),
}

/// The page sizes of a list, and the requested page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// The requested page, from 0.
    pub page: u32,
    /// The maximum number of items on a page; at least 1.
    pub items: u32,
    /// The maximum encoded size of the items on a page, in bytes. A larger item is a page by itself.
    pub bytes: u64,
}

/// The position of a page in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The number of items before the page.
    pub offset: u64,
    /// The number of items on the page; 0 past the end of the list.
    pub limit: u32,
}

/// The storage port.
///
/// A read sees every transaction that was acknowledged by any process before the read began. If a future is dropped,
/// its operation takes effect completely or not at all.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Returns the document with this uid.
    async fn get(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError>;

    /// Returns the document with this name.
    async fn get_by_name(
        &self,
        kind: Kind,
        name: &str,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError>;

    /// Returns a page of documents.
    async fn list(&self, query: Query) -> Result<Page, StoreError>;

    /// Finds a page of a list by the encoded sizes of its items, without reading the items.
    async fn bounds(&self, listing: Listing, pages: Pages) -> Result<Bounds, StoreError>;

    /// Returns up to `limit` documents of a kind in the order of their uids, those after `after`. Each call costs the
    /// same, regardless of how many documents precede. Fewer than `limit` documents mean that the scan is complete.
    async fn scan(
        &self,
        kind: Kind,
        after: Option<Uid>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Document>, StoreError>;

    /// Returns the opened secret of a document, or `None` if the document or its secret does not exist.
    async fn secret(&self, kind: Kind, uid: Uid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// Returns the document with this uid and its opened secret, both of the same revision.
    async fn get_with_secret(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<WithSecret>, StoreError>;

    /// Commits a transaction. It is durable when this returns.
    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError>;

    /// Consumes a single-use record. Of any number of concurrent calls in the whole Cluster, one gets the value.
    async fn take(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns whether a live single-use record exists, without consuming it.
    async fn has_record(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<bool, StoreError>;

    /// Counts a hit, durably and cluster-wide. A fixed window of `window` starts with its first hit.
    async fn count(
        &self,
        key: &str,
        window: Duration,
        now: UnixMillis,
    ) -> Result<Counter, StoreError>;

    /// Returns the counter without counting a hit, or `None` if its window has ended.
    async fn counter(&self, key: &str, now: UnixMillis) -> Result<Option<Counter>, StoreError>;

    /// Deletes a counter.
    async fn reset_counter(&self, key: &str) -> Result<(), StoreError>;

    /// Adds usage. This changes no revision and is not in the change log.
    async fn add_usage(&self, usage: BTreeMap<Uid, Usage>) -> Result<(), StoreError>;

    /// Returns the usage of each of `uids` that has any.
    async fn usage(&self, uids: &[Uid]) -> Result<BTreeMap<Uid, Usage>, StoreError>;

    /// Returns the changes after `after`, oldest first. The creation of a Session is not in the change log.
    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError>;

    /// Subscribes to the change feed, which wakes on each commit: at once for this process, within 500 ms for others.
    /// It also wakes for the heartbeat.
    fn feed(&self) -> watch::Receiver<FeedState>;

    /// Appends audit events outside a transaction.
    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), StoreError>;

    /// Returns audit events, newest first, and the total number of matching events.
    async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, u64), StoreError>;

    /// Deletes audit events before `before`, in batches. Returns the number of deleted events.
    async fn trim_audit(&self, before: UnixMillis) -> Result<u64, StoreError>;

    /// Appends access events. Retains the newest [`ACCESS_KEPT`] of Users and [`ACCESS_KEPT_ANONYMOUS`] others, of at
    /// most [`ACCESS_BYTES`] and [`ACCESS_BYTES_ANONYMOUS`] bytes, for [`ACCESS_KEPT_FOR`].
    async fn append_access(&self, events: Vec<AccessEvent>) -> Result<(), StoreError>;

    /// Returns access events, newest first, and the total number of matching events.
    async fn access(&self, query: AccessQuery) -> Result<(Vec<AccessEvent>, u64), StoreError>;

    /// Deletes expired rows and trims the change log. Returns the number of deleted rows. A store with its own clock
    /// deletes only rows that are also expired by that clock. A wrong clock of this process must not make a used record
    /// or a revoked token valid again.
    async fn collect(&self, now: UnixMillis) -> Result<u64, StoreError>;

    /// Returns the uid of the Cluster, created by the first migration.
    fn cluster_uid(&self) -> Uid;

    /// Checks at low cost that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
