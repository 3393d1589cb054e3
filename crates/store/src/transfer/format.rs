//! The layout of a backup.
//!
//! `octelium-backup\n`, then records, each a length (4 bytes, big-endian) and that many bytes of protobuf: first a
//! [`Header`], then any number of [`Item`]s. A length of zero ends them; the number of items (8 bytes,
//! big-endian) and an HMAC-SHA-256 of everything before it follow.

use prost::{Message, Oneof};

/// The first bytes.
pub(super) const MAGIC: &[u8] = b"octelium-backup\n";
/// The layout that this writes and the only one that it reads.
pub(super) const VERSION: u32 = 1;
/// A longer record is refused before anything is allocated for it.
pub(super) const LONGEST_RECORD: u32 = 64 << 20;
/// Of the HMAC.
pub(super) const MAC_LEN: usize = 32;

/// What the backup is of.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) cluster_uid: Vec<u8>,
    /// When it was made, milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub(crate) created_at: i64,
    /// Of the master key that seals its secrets and authenticates it.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) key_id: Vec<u8>,
}

/// One thing that is stored.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(oneof = "Item", tags = "1, 2, 3, 4")]
    pub(crate) item: Option<Item>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Item {
    #[prost(message, tag = "1")]
    Document(DumpedDocument),
    /// An encoded `AuditEvent`.
    #[prost(bytes, tag = "2")]
    Audit(Vec<u8>),
    #[prost(message, tag = "3")]
    Usage(DumpedUsage),
    #[prost(message, tag = "4")]
    Counter(DumpedCounter),
}

/// A document with its index entries and its sealed secret.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedDocument {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) uid: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
    #[prost(int64, tag = "4")]
    pub(crate) revision: i64,
    #[prost(int64, tag = "5")]
    pub(crate) created_at: i64,
    /// The greatest integer where it does not expire.
    #[prost(int64, tag = "6")]
    pub(crate) expires_at: i64,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) body: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(crate) sealed: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) entries: Vec<DumpedEntry>,
}

/// An index entry.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedEntry {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
    #[prost(bool, tag = "3")]
    pub(crate) unique: bool,
}

/// Usage of a document.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedUsage {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) uid: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub(crate) count: i64,
    #[prost(int64, tag = "3")]
    pub(crate) last_at: i64,
}

/// A counter, as of failed attempts: a restore lifts no lock-out.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedCounter {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(int64, tag = "2")]
    pub(crate) count: i64,
    #[prost(int64, tag = "3")]
    pub(crate) resets_at: i64,
}
