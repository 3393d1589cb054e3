//! How values of the port are laid out in rows, the same in every backend.

use std::{collections::BTreeSet, time::Duration};

use api::{meta_v1::ObjectReference, platform_v1::AuditEvent};
use aws_lc_rs::digest::{SHA256, digest};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use prost::Message as _;

use crate::{IndexEntry, StoreError};

/// The instant that never comes.
const NEVER: i64 = i64::MAX;

/// Longer index values are replaced by their digest: a B-tree page of PostgreSQL takes 2,700 bytes at most.
const LONGEST_INDEX_VALUE: usize = 512;

/// Of a document that does not expire, [`NEVER`].
pub(crate) fn expiry_to_column(expires_at: Option<UnixMillis>) -> i64 {
    expires_at.map_or(NEVER, |at| at.0)
}

/// The inverse of [`expiry_to_column`].
pub(crate) fn expiry_from_column(expires_at: i64) -> Option<UnixMillis> {
    (expires_at != NEVER).then_some(UnixMillis(expires_at))
}

/// Bytes that are equal exactly where the values are.
pub(crate) fn index_value(value: &str) -> Vec<u8> {
    if value.len() <= LONGEST_INDEX_VALUE {
        return value.as_bytes().to_vec();
    }
    // No valid UTF-8 starts with 0xff: a digest never equals a value.
    let mut bytes = vec![0xff];
    bytes.extend_from_slice(digest(&SHA256, value.as_bytes()).as_ref());
    bytes
}

/// An index entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryRow {
    pub(crate) name: &'static str,
    pub(crate) value: Vec<u8>,
    pub(crate) unique: bool,
}

/// The rows of a document's index entries, without duplicates.
pub(crate) fn entries(indexes: &[IndexEntry]) -> Vec<EntryRow> {
    let rows: BTreeSet<EntryRow> = indexes
        .iter()
        .map(|entry| EntryRow {
            name: entry.index,
            value: index_value(&entry.value),
            unique: entry.unique,
        })
        .collect();
    rows.into_iter().collect()
}

/// A count as a column holds it.
pub(crate) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The inverse of [`to_column`]; negative numbers, which are never written, count as none.
pub(crate) fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Reads a kind.
pub(crate) fn kind(text: &str) -> Result<Kind, StoreError> {
    text.parse().map_err(|_| {
        StoreError::new(format!(
            "the database holds documents of the kind {text:?}, which this version does not know"
        ))
    })
}

/// Reads a uid.
pub(crate) fn uid(bytes: &[u8]) -> Result<Uid, StoreError> {
    Uid::from_bytes(bytes).map_err(|_| StoreError::new("the database holds a malformed uid"))
}

/// How long changes stay in the log: a reader that was away for longer reads everything anew.
pub(crate) const CHANGES_KEPT: Duration = Duration::from_hours(1);
/// How many changes are forgotten at once.
pub(crate) const CHANGES_SLICE: i64 = 4000;

/// What of an audit event is looked for.
pub(crate) struct AuditColumns {
    pub(crate) at: UnixMillis,
    pub(crate) user: Option<Uid>,
    pub(crate) resource: Option<Uid>,
}

impl AuditColumns {
    pub(crate) fn of(event: &AuditEvent) -> Self {
        let uid = |reference: &Option<ObjectReference>| {
            reference
                .as_ref()
                .and_then(|reference| reference.uid.parse().ok())
        };
        Self {
            at: event
                .at
                .as_ref()
                .map(UnixMillis::from_proto)
                .unwrap_or_default(),
            user: uid(&event.user_ref),
            resource: uid(&event.resource_ref),
        }
    }
}

/// Reads an audit event.
pub(crate) fn audit_event(body: &[u8]) -> Result<AuditEvent, StoreError> {
    AuditEvent::decode(body).map_err(|error| {
        StoreError::new("the database holds a malformed audit event").caused_by(error)
    })
}
