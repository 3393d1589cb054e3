//! The representation of values of the port in rows, common to all backends.

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

/// The expiry of a document that does not expire.
const NEVER: i64 = i64::MAX;

/// The longest index value that is stored as it is; longer ones are replaced by their digest. An index entry of
/// PostgreSQL is limited to about 2,700 bytes.
const LONGEST_INDEX_VALUE: usize = 512;

/// Converts an expiry to its column: [`NEVER`] if the document does not expire.
pub(crate) fn expiry_to_column(expires_at: Option<UnixMillis>) -> i64 {
    expires_at.map_or(NEVER, |at| at.0)
}

/// Reverses [`expiry_to_column`].
pub(crate) fn expiry_from_column(expires_at: i64) -> Option<UnixMillis> {
    (expires_at != NEVER).then_some(UnixMillis(expires_at))
}

/// Returns the stored form of an index value. It is equal exactly if the values are equal.
pub(crate) fn index_value(value: &str) -> Vec<u8> {
    if value.len() <= LONGEST_INDEX_VALUE {
        return value.as_bytes().to_vec();
    }
    // Valid UTF-8 never starts with 0xff, so a digest never equals a value.
    let mut bytes = vec![0xff];
    bytes.extend_from_slice(digest(&SHA256, value.as_bytes()).as_ref());
    bytes
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryRow {
    pub(crate) name: &'static str,
    pub(crate) value: Vec<u8>,
    pub(crate) unique: bool,
}

/// Returns the rows of a document's index entries, without duplicates.
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

/// Converts a count to a column. Saturates at the largest value.
pub(crate) fn to_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reverses [`to_column`]. A negative number, which is never written, becomes zero.
pub(crate) fn from_column(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(crate) fn kind(text: &str) -> Result<Kind, StoreError> {
    text.parse().map_err(|_| {
        StoreError::new(format!(
            "the database holds documents of the kind {text:?}, which this version does not know"
        ))
    })
}

pub(crate) fn uid(bytes: &[u8]) -> Result<Uid, StoreError> {
    Uid::from_bytes(bytes).map_err(|_| StoreError::new("the database holds a malformed uid"))
}

/// The retention of changes in the log. A reader that was away for longer reads everything again.
pub(crate) const CHANGES_KEPT: Duration = Duration::from_hours(1);
/// The number of changes deleted at once.
pub(crate) const CHANGES_SLICE: i64 = 4000;

/// The number of audit events deleted at once.
pub(crate) const EVENTS_SLICE: i64 = 500;

/// The searchable columns of an event.
pub(crate) struct EventColumns {
    pub(crate) at: UnixMillis,
    pub(crate) user: Option<Uid>,
    /// The resource or Service of the event.
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

/// Encodes an audit event, with long texts truncated.
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

/// Encodes an access event, with long texts truncated.
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

/// Truncates a text to [`EVENT_TEXT_BYTES`] at a character boundary.
fn cut(text: &mut String) {
    text.truncate(text.floor_char_boundary(EVENT_TEXT_BYTES));
}

/// Access events that share a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessClass {
    /// The SQL condition that selects the events.
    pub(crate) condition: &'static str,
    /// The number of retained events.
    pub(crate) rows: u32,
    /// The total size of retained events, in bytes.
    pub(crate) bytes: u32,
}

/// Separate classes, so that unauthenticated callers cannot evict the events of Users.
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

/// For each of [`ACCESS_CLASSES`], the id of the newest event beyond its limit.
pub(crate) type AccessEnds = [Option<i64>; 2];

/// The right-hand side of a condition on a column.
pub(crate) enum Operand {
    Integer(i64),
    Bytes(Vec<u8>),
    Text(String),
}

/// A query of an event log, newest first. It contains only the conditions that are set, so that each combination can
/// use its index.
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

pub(crate) fn access_event(body: &[u8]) -> Result<AccessEvent, StoreError> {
    AccessEvent::decode(body).map_err(|error| {
        StoreError::new("the database holds a malformed access event").caused_by(error)
    })
}

pub(crate) fn audit_event(body: &[u8]) -> Result<AuditEvent, StoreError> {
    AuditEvent::decode(body).map_err(|error| {
        StoreError::new("the database holds a malformed audit event").caused_by(error)
    })
}
