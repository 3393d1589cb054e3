//! The storage port. A new resource kind changes no backend.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use api::platform_v1::{AccessEvent, AuditEvent, access_event::Decision};
use async_trait::async_trait;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Counts the writes of one document, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A position in the change log. Greater is later; there are no gaps that a reader could skip over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cursor(pub u64);

/// A declared key by which documents of a kind are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// What is indexed, as `user`, `email`, `credential`.
    pub index: &'static str,
    /// The value, compared byte for byte.
    pub value: String,
    /// Whether no other document of the kind may have the same value in this index.
    pub unique: bool,
}

/// A stored document.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Its kind.
    pub kind: Kind,
    /// Its immutable id.
    pub uid: Uid,
    /// Unique within the kind.
    pub name: String,
    /// The revision that was read.
    pub revision: Revision,
    /// When it was created. Documents are listed in this order unless asked otherwise.
    pub created_at: UnixMillis,
    /// The document drops out of reads from here on, and is collected later.
    pub expires_at: Option<UnixMillis>,
    /// The encoded message. Holds no secret.
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

/// A document to be written. The backend assigns the revision.
#[derive(Clone)]
pub struct NewDocument {
    /// Its kind.
    pub kind: Kind,
    /// Its immutable id.
    pub uid: Uid,
    /// Unique within the kind.
    pub name: String,
    /// When it was created; ignored for a document that is there.
    pub created_at: UnixMillis,
    /// See [`Document::expires_at`].
    pub expires_at: Option<UnixMillis>,
    /// The encoded message.
    pub body: Vec<u8>,
    /// All index entries; those of the revision before are replaced.
    pub indexes: Vec<IndexEntry>,
    /// What becomes of the sealed part.
    pub secret: SecretWrite,
}

impl fmt::Debug for NewDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.name, self.uid)
    }
}

/// What becomes of the sealed part of a document.
#[derive(Clone)]
pub enum SecretWrite {
    /// Stays as it is; a new document gets none.
    Keep,
    /// Is replaced. Sealed before it leaves the process.
    Set(Zeroizing<Vec<u8>>),
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Nothing: neither the uid, nor the name, nor a unique index value.
    Absent,
    /// This revision.
    Revision(Revision),
}

/// One step of a [`Transaction`].
#[allow(
    clippy::large_enum_variant,
    reason = "lives shortly; a box would cost an allocation each"
)]
#[derive(Debug, Clone)]
pub enum Operation {
    /// Writes a document where `expected` holds.
    Put(NewDocument, Expected),
    /// Deletes a document where it is at `expected` (at any revision for `None`); conflict where it is gone.
    Delete(Kind, Uid, Option<Revision>),
    /// Fails the transaction unless the document is there at this revision, and keeps it so until commit.
    Unchanged(Kind, Uid, Revision),
    /// Fails the transaction unless fewer than `below` live documents of `kind` have this index entry. Counted
    /// where it stands in the transaction; concurrent transactions with the same limit wait for one another.
    Limit {
        /// Which documents.
        kind: Kind,
        /// By which index.
        index: &'static str,
        /// With which value.
        value: String,
        /// How many are too many.
        below: u32,
    },
    /// Stores a single-use record; conflict where the key is live already.
    Record {
        /// What it is, as `login-state`.
        kind: &'static str,
        /// Its key.
        key: Vec<u8>,
        /// What `take` returns.
        value: Vec<u8>,
        /// From here on it is as if it were not there.
        expires_at: UnixMillis,
    },
    /// Appends an audit event.
    Audit(AuditEvent),
}

/// Steps that happen all or not at all.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// In order.
    pub operations: Vec<Operation>,
    /// The present instant, for what expires.
    pub now: UnixMillis,
}

impl Transaction {
    /// An empty one.
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

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The new revision of each `Put`, in order.
    pub revisions: Vec<Revision>,
    /// Changes up to here include those of the transaction.
    pub cursor: Cursor,
}

/// Why a transaction left nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The document is not at the expected revision (also: gone).
    #[error("{kind} {uid} has changed")]
    Conflict {
        /// Of the document.
        kind: Kind,
        /// Of the document.
        uid: Uid,
    },
    /// The name is taken.
    #[error("{kind} {name} exists")]
    NameTaken {
        /// Of the document.
        kind: Kind,
        /// The name.
        name: String,
    },
    /// A unique index value is taken.
    #[error("{kind} with the same {index} exists")]
    IndexTaken {
        /// Of the document.
        kind: Kind,
        /// The index.
        index: &'static str,
    },
    /// A [`Operation::Limit`] did not hold.
    #[error("limit of {kind} by {index} reached")]
    LimitReached {
        /// Of the documents.
        kind: Kind,
        /// The index.
        index: &'static str,
    },
    /// The record is live already.
    #[error("record exists")]
    RecordTaken,
    /// The store failed; whether the transaction happened may be unknown.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store failed. Shown to operators, never to callers.
#[derive(Debug, Clone, thiserror::Error)]
#[error("store: {context}")]
pub struct StoreError {
    /// What was being done.
    pub context: String,
    /// Worth trying again: a lost connection, a full queue.
    pub transient: bool,
    /// The cause.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Which documents to list.
#[derive(Debug, Clone)]
pub struct Query {
    /// Their kind.
    pub kind: Kind,
    /// Only those with this index entry.
    pub index: Option<(&'static str, String)>,
    /// In which order.
    pub order: Order,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return at the most.
    pub limit: u32,
    /// The present instant, for what expires.
    pub now: UnixMillis,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Oldest first; ties by uid.
    #[default]
    Created,
    /// Newest first.
    CreatedDescending,
    /// By name.
    Name,
    /// By name, backwards.
    NameDescending,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The documents.
    pub documents: Vec<Document>,
    /// How many there are in all.
    pub total: u64,
}

/// One entry of the change log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its position.
    pub cursor: Cursor,
    /// Of the document.
    pub kind: Kind,
    /// Of the document.
    pub uid: Uid,
    /// Of the document.
    pub name: String,
    /// What it is at now; `None` where it was deleted.
    pub revision: Option<Revision>,
}

/// What the change log says.
#[derive(Debug, Clone)]
pub enum Changes {
    /// Everything after the cursor, oldest first, up to the limit.
    Next(Vec<Change>),
    /// The log no longer reaches back that far: read everything anew, then go on from here.
    Trimmed(Cursor),
    /// The store's history is not the one that this process followed: see [`FeedState::history`], which counts it
    /// already.
    Replaced,
}

/// How far the change feed has come, as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedState {
    /// The last change known to be committed.
    pub cursor: Cursor,
    /// When the store last confirmed that, by this process's monotonic clock.
    pub confirmed: std::time::Instant,
    /// How often the store's history was replaced while this process followed it: after a failover that lost the end
    /// of the change log, the same cursors stand for other changes. A subscriber that sees another number here than
    /// before must drop everything it read and read it again. `cursor` belongs to this history.
    pub history: u64,
    /// How far this process's clock is ahead of the store's, in milliseconds; negative if it is behind. Always 0 for
    /// an embedded store.
    pub clock_ahead: i64,
}

/// From this difference between the clocks of this process and of the store on, there are warnings.
pub const CLOCK_WARNING: Duration = Duration::from_secs(5);
/// Above this difference, this process must not decide anything by its clock.
pub const CLOCK_BOUND: Duration = Duration::from_mins(1);

impl FeedState {
    /// The difference between the clocks of this process and of the store.
    pub fn clock_difference(&self) -> Duration {
        Duration::from_millis(self.clock_ahead.unsigned_abs())
    }

    /// Whether the clock of this process is close enough to the store's.
    pub fn has_trusted_clock(&self) -> bool {
        self.clock_difference() <= CLOCK_BOUND
    }
}

/// A cluster-wide counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// Hits in the present window, this one included.
    pub count: u64,
    /// When the window ends.
    pub resets_at: UnixMillis,
}

/// Usage of a document that is counted in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// How often.
    pub count: u64,
    /// When last.
    pub last_at: UnixMillis,
}

/// How many access events of Users are kept.
pub const ACCESS_KEPT: u32 = 100_000;
/// How many access events without a User are kept. They never take the place of those of Users.
pub const ACCESS_KEPT_ANONYMOUS: u32 = 25_000;
/// How many bytes access events of Users may have in all.
pub const ACCESS_BYTES: u32 = 64 * 1024 * 1024;
/// How many bytes access events without a User may have in all.
pub const ACCESS_BYTES_ANONYMOUS: u32 = 16 * 1024 * 1024;
/// How many bytes a text in an audit or access event may have. Longer ones are cut when they are stored.
pub const EVENT_TEXT_BYTES: usize = 2048;
/// For how long they are.
pub const ACCESS_KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// Which audit events to read. Newest first.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Only of this User.
    pub user: Option<Uid>,
    /// Only about this resource.
    pub resource: Option<Uid>,
    /// Only of this type.
    pub event_type: Option<String>,
    /// Not before.
    pub since: Option<UnixMillis>,
    /// Before.
    pub until: Option<UnixMillis>,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return at the most.
    pub limit: u32,
}

/// Which access events to read. Newest first.
#[derive(Debug, Clone, Default)]
pub struct AccessQuery {
    /// Only of this User.
    pub user: Option<Uid>,
    /// Only of requests to this Service.
    pub service: Option<Uid>,
    /// Only those decided so.
    pub decision: Option<Decision>,
    /// Not before.
    pub since: Option<UnixMillis>,
    /// Before.
    pub until: Option<UnixMillis>,
    /// How many to pass over.
    pub offset: u64,
    /// How many to return at the most.
    pub limit: u32,
}

/// A list that [`Store::bounds`] measures. The `offset` and `limit` of its query are not considered.
#[derive(Debug, Clone)]
pub enum Listing {
    /// What [`Store::list`] returns.
    Documents(Query),
    /// What [`Store::audit`] returns.
    Audit(AuditQuery),
    /// What [`Store::access`] returns.
    Access(AccessQuery),
}

/// How a list is split into pages, and which of them is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// The wanted page, from 0.
    pub page: u32,
    /// The most items of a page; at least 1.
    pub items: u32,
    /// The most encoded bytes of the items of a page. A larger item is a page of its own.
    pub bytes: u64,
}

/// The place of a page in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many items precede it.
    pub offset: u64,
    /// How many items it has; 0 past the end of the list.
    pub limit: u32,
}

/// The storage port.
///
/// A read sees every transaction that had been acknowledged, by whichever process, when it began.
/// Dropping a future neither loses nor half-does what it had begun.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The document with this uid.
    async fn get(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError>;

    /// The document with this name.
    async fn get_by_name(
        &self,
        kind: Kind,
        name: &str,
        now: UnixMillis,
    ) -> Result<Option<Document>, StoreError>;

    /// A page of documents.
    async fn list(&self, query: Query) -> Result<Page, StoreError>;

    /// Finds a page of a list by the encoded sizes of its items, without reading the items.
    async fn bounds(&self, listing: Listing, pages: Pages) -> Result<Bounds, StoreError>;

    /// Documents of a kind ordered by uid, those after `after` only, up to `limit`: reads all of them at a cost
    /// that does not grow with how many were read before. Fewer than `limit` means that there are no more.
    async fn scan(
        &self,
        kind: Kind,
        after: Option<Uid>,
        limit: u32,
        now: UnixMillis,
    ) -> Result<Vec<Document>, StoreError>;

    /// The opened secret of a document; `None` where the document or its secret is not there.
    async fn secret(&self, kind: Kind, uid: Uid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;

    /// The document with this uid and its opened secret, both of one revision.
    async fn get_with_secret(
        &self,
        kind: Kind,
        uid: Uid,
        now: UnixMillis,
    ) -> Result<Option<WithSecret>, StoreError>;

    /// Carries out a transaction. Durable when it returns.
    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError>;

    /// Consumes a single-use record: of any number of racing calls in the whole Cluster one gets the value.
    async fn take(
        &self,
        kind: &'static str,
        key: &[u8],
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Counts a hit, durable and cluster-wide, in fixed windows of `window` that begin with their first hit.
    async fn count(
        &self,
        key: &str,
        window: Duration,
        now: UnixMillis,
    ) -> Result<Counter, StoreError>;

    /// The counter without a hit; `None` where its window has ended.
    async fn counter(&self, key: &str, now: UnixMillis) -> Result<Option<Counter>, StoreError>;

    /// Forgets a counter.
    async fn reset_counter(&self, key: &str) -> Result<(), StoreError>;

    /// Adds usage. Not in the change log, no revision.
    async fn add_usage(&self, usage: BTreeMap<Uid, Usage>) -> Result<(), StoreError>;

    /// Usage of each of `uids` that has any.
    async fn usage(&self, uids: &[Uid]) -> Result<BTreeMap<Uid, Usage>, StoreError>;

    /// Changes after `after`, oldest first. Creations of Sessions are not among them.
    async fn changes(&self, after: Cursor, limit: u32) -> Result<Changes, StoreError>;

    /// Wakes on each commit of this process and, within 500 ms, of any other. Also carries the heartbeat.
    fn feed(&self) -> watch::Receiver<FeedState>;

    /// Appends audit events outside any transaction.
    async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), StoreError>;

    /// Reads audit events, newest first, and how many there are in all.
    async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, u64), StoreError>;

    /// Removes audit events from before `before`, a slice at a time. Returns how many.
    async fn trim_audit(&self, before: UnixMillis) -> Result<u64, StoreError>;

    /// Appends access events. The newest are kept: [`ACCESS_KEPT`] of Users and [`ACCESS_KEPT_ANONYMOUS`] others, at
    /// most [`ACCESS_BYTES`] and [`ACCESS_BYTES_ANONYMOUS`], for [`ACCESS_KEPT_FOR`].
    async fn append_access(&self, events: Vec<AccessEvent>) -> Result<(), StoreError>;

    /// Reads access events, newest first, and how many there are in all.
    async fn access(&self, query: AccessQuery) -> Result<(Vec<AccessEvent>, u64), StoreError>;

    /// Removes what has expired and trims the change log. Returns how many rows went. A store with a clock of its own
    /// removes nothing that has not expired by that clock, too: a wrong clock here must not bring back what was used
    /// or revoked.
    async fn collect(&self, now: UnixMillis) -> Result<u64, StoreError>;

    /// The Cluster's uid, made at the first migration.
    fn cluster_uid(&self) -> Uid;

    /// Cheap proof that the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}
