//! The format of a backup.
//!
//! `octelium-backup\n`, then records, each a length (4 bytes, big-endian) and that many bytes of protobuf: first a
//! [`Header`], then any number of [`Item`]s. A length of zero ends the records. The number of items (8 bytes,
//! big-endian) and an HMAC-SHA-256 of all preceding bytes follow.

use prost::{Message, Oneof};

/// The first bytes of a backup.
pub(crate) const MAGIC: &[u8] = b"octelium-backup\n";
/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;
/// The longest record in bytes. A longer one is rejected before memory is allocated for it.
pub(crate) const LONGEST_RECORD: u32 = 64 << 20;
/// The length of the HMAC in bytes.
pub(crate) const MAC_LEN: usize = 32;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) cluster_uid: Vec<u8>,
    /// The time of the backup, in milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub(crate) created_at: i64,
    /// The id of the master key that seals the secrets and authenticates the backup.
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) key_id: Vec<u8>,
}

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
    /// The largest integer if the document does not expire.
    #[prost(int64, tag = "6")]
    pub(crate) expires_at: i64,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) body: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub(crate) sealed: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) entries: Vec<DumpedEntry>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedEntry {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
    #[prost(bool, tag = "3")]
    pub(crate) unique: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedUsage {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) uid: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub(crate) count: i64,
    #[prost(int64, tag = "3")]
    pub(crate) last_at: i64,
}

/// A counter, such as of failed attempts. A restore must not lift a lockout.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DumpedCounter {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(int64, tag = "2")]
    pub(crate) count: i64,
    #[prost(int64, tag = "3")]
    pub(crate) resets_at: i64,
}

/// A message to a store that is being restored.
pub(crate) enum Load {
    Item(Item),
    /// The backup is complete and authentic: commit. Without this message, the store rolls back.
    Finish,
}
