//! How values of the port are laid out in rows, the same in every backend.

use std::{collections::BTreeSet, time::Duration};

use api::{
    meta_v1::ObjectReference,
    platform_v1::{AccessEvent, AuditEvent},
};
use aws_lc_rs::digest::{SHA256, digest};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use prost::Message as _;

use crate::{
    ACCESS_BYTES, ACCESS_BYTES_ANONYMOUS, ACCESS_KEPT, ACCESS_KEPT_ANONYMOUS, AccessQuery,
    AuditQuery, EVENT_TEXT_BYTES, IndexEntry, StoreError,
};

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

/// How many audit events are removed at once.
pub(crate) const EVENTS_SLICE: i64 = 500;

/// What of an event is looked for.
pub(crate) struct EventColumns {
    pub(crate) at: UnixMillis,
    pub(crate) user: Option<Uid>,
    /// What it was about.
    pub(crate) object: Option<Uid>,
}

impl EventColumns {
    pub(crate) fn of_audit(event: &AuditEvent) -> Self {
        Self::new(
            event.at,
            event.user_ref.as_ref(),
            event.resource_ref.as_ref(),
        )
    }

    pub(crate) fn of_access(event: &AccessEvent) -> Self {
        Self::new(
            event.at,
            event.user_ref.as_ref(),
            event.service_ref.as_ref(),
        )
    }

    fn new(
        at: Option<prost_types::Timestamp>,
        user: Option<&ObjectReference>,
        object: Option<&ObjectReference>,
    ) -> Self {
        let uid = |reference: Option<&ObjectReference>| {
            reference.and_then(|reference| reference.uid.parse().ok())
        };
        Self {
            at: at.as_ref().map(UnixMillis::from_proto).unwrap_or_default(),
            user: uid(user),
            object: uid(object),
        }
    }
}

/// The body of an audit event.
pub(crate) fn audit_body(event: &AuditEvent) -> Vec<u8> {
    let mut event = event.clone();
    let texts = [
        &mut event.reason,
        &mut event.request_id,
        &mut event.ip_address,
        &mut event.user_agent,
    ];
    texts
        .into_iter()
        .chain(event.attrs.values_mut())
        .for_each(cut);
    event.encode_to_vec()
}

/// The body of an access event.
pub(crate) fn access_body(event: &AccessEvent) -> Vec<u8> {
    let mut event = event.clone();
    for text in [
        &mut event.request_id,
        &mut event.reason,
        &mut event.credential,
        &mut event.ip_address,
        &mut event.method,
        &mut event.host,
        &mut event.path,
        &mut event.error,
        &mut event.step_up,
        &mut event.upstream,
    ] {
        cut(text);
    }
    event.encode_to_vec()
}

/// Cuts a text that is longer than [`EVENT_TEXT_BYTES`] between two characters.
fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(EVENT_TEXT_BYTES));
}

/// Access events that share a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessClass {
    /// The condition that selects them.
    pub(crate) condition: &'static str,
    /// How many are kept.
    pub(crate) rows: u32,
    /// How many bytes are kept.
    pub(crate) bytes: u32,
}

/// Callers without authentication cannot evict what Users did.
pub(crate) const ACCESS_CLASSES: [AccessClass; 2] = [
    AccessClass {
        condition: "user_uid IS NOT NULL",
        rows: ACCESS_KEPT,
        bytes: ACCESS_BYTES,
    },
    AccessClass {
        condition: "user_uid IS NULL",
        rows: ACCESS_KEPT_ANONYMOUS,
        bytes: ACCESS_BYTES_ANONYMOUS,
    },
];

/// For each of [`ACCESS_CLASSES`], the newest event that is no longer kept.
pub(crate) type AccessEnds = [Option<i64>; 2];

/// What a column of an event is compared with.
pub(crate) enum Operand {
    Integer(i64),
    Bytes(Vec<u8>),
    Text(String),
}

/// A part of a log of events, newest first. Has only the conditions that are asked for, so that each combination finds
/// its index.
pub(crate) struct LogQuery {
    pub(crate) table: &'static str,
    /// The column with the operator, and the operand.
    pub(crate) conditions: Vec<(&'static str, Operand)>,
    pub(crate) offset: u64,
    pub(crate) limit: u32,
}

impl From<&AuditQuery> for LogQuery {
    fn from(query: &AuditQuery) -> Self {
        let conditions = [
            ("at >=", query.since.map(|at| Operand::Integer(at.0))),
            ("at <", query.until.map(|at| Operand::Integer(at.0))),
            ("user_uid =", query.user.map(operand)),
            ("resource_uid =", query.resource.map(operand)),
            ("event_type =", query.event_type.clone().map(Operand::Text)),
        ];
        Self {
            table: "audit",
            conditions: given(conditions),
            offset: query.offset,
            limit: query.limit,
        }
    }
}

impl From<&AccessQuery> for LogQuery {
    fn from(query: &AccessQuery) -> Self {
        let decision = query.decision.map(|decision| i64::from(decision as i32));
        let conditions = [
            ("at >=", query.since.map(|at| Operand::Integer(at.0))),
            ("at <", query.until.map(|at| Operand::Integer(at.0))),
            ("user_uid =", query.user.map(operand)),
            ("service_uid =", query.service.map(operand)),
            ("decision =", decision.map(Operand::Integer)),
        ];
        Self {
            table: "access",
            conditions: given(conditions),
            offset: query.offset,
            limit: query.limit,
        }
    }
}

fn operand(uid: Uid) -> Operand {
    Operand::Bytes(uid.as_bytes().to_vec())
}

fn given(conditions: [(&'static str, Option<Operand>); 5]) -> Vec<(&'static str, Operand)> {
    conditions
        .into_iter()
        .filter_map(|(column, operand)| Some((column, operand?)))
        .collect()
}

/// Reads an access event.
pub(crate) fn access_event(body: &[u8]) -> Result<AccessEvent, StoreError> {
    AccessEvent::decode(body).map_err(|error| {
        StoreError::new("the database holds a malformed access event").caused_by(error)
    })
}

/// Reads an audit event.
pub(crate) fn audit_event(body: &[u8]) -> Result<AuditEvent, StoreError> {
    AuditEvent::decode(body).map_err(|error| {
        StoreError::new("the database holds a malformed audit event").caused_by(error)
    })
}
