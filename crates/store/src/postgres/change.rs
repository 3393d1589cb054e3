//! The change log.

use std::fmt::Write as _;

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use tokio_postgres::{Error, Row, SimpleQueryMessage};

use super::{error::failed, history::KnownPosition, lock};
use crate::{Change, Changes, Cursor, Revision, StoreError, row};

pub(super) const TRIMMED: &str = "changes-trimmed";

/// A change to which no number is assigned yet.
#[derive(Debug, Clone)]
pub(super) struct PendingChange {
    pub(super) at: UnixMillis,
    pub(super) kind: Kind,
    pub(super) uid: Uid,
    pub(super) name: String,
    pub(super) revision: Option<Revision>,
}

/// Appends `changes` and commits. Returns the number and the mark of the last change.
///
/// The lock is held from before the first number is assigned until commit, so that numbers become visible in order: a
/// reader that has seen one never sees a smaller one appear later. The alternative, waiting for the oldest snapshot,
/// would let a long foreign transaction delay revocations.
///
/// All statements are one message. The server takes the lock after it has received the commit, so a client that stops
/// at this point blocks no other.
pub(super) async fn commit(
    client: &tokio_postgres::Client,
    changes: &[PendingChange],
    durability: Durability,
) -> Result<Option<(Cursor, Vec<u8>)>, Error> {
    if changes.is_empty() {
        client.batch_execute("COMMIT").await?;
        return Ok(None);
    }
    let messages = client
        .simple_query(&append_and_commit(changes, durability))
        .await?;
    // The last row is that of the INSERT: a COMMIT returns no rows.
    let last = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let cursor = row.get(0)?.parse().ok()?;
            Some((Cursor(cursor), from_hex(row.get(1)?)?))
        }
        _ => None,
    });
    Ok(last)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = |place: usize| text.get(place..place + 2);
    (0..text.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(digits(place)?, 16).ok())
        .collect()
}

/// The durability of a change when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The configured durability of the server.
    OfServer,
    /// The synchronous standbys have the change.
    OnStandby,
}

/// Text is passed in hexadecimal, so nothing needs quoting.
fn append_and_commit(changes: &[PendingChange], durability: Durability) -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    };
    let mut sql = String::new();
    if durability == Durability::OnStandby {
        sql.push_str("SET LOCAL synchronous_commit = 'on';\n");
    }
    let _ = write!(
        sql,
        "SELECT pg_advisory_xact_lock({});
         WITH appended AS (
           INSERT INTO changes (at, kind, uid, name, revision)
           SELECT c.at, c.kind, c.uid, convert_from(c.name, 'UTF8'), c.revision FROM (VALUES ",
        lock::CHANGE_LOG
    );
    for (place, change) in changes.iter().enumerate() {
        let revision = change.revision.map_or_else(
            || "NULL".to_owned(),
            |revision| row::to_column(revision.0).to_string(),
        );
        let _ = write!(
            sql,
            "{}({place}, {}::bigint, '{}', decode('{}', 'hex'), decode('{}', 'hex'), {revision}::bigint)",
            if place == 0 { "" } else { ", " },
            change.at.0,
            change.kind.as_str(),
            hex(change.uid.as_bytes()),
            hex(change.name.as_bytes()),
        );
    }
    sql.push_str(
        ") AS c (place, at, kind, uid, name, revision) ORDER BY c.place RETURNING cursor, mark
         )
         SELECT cursor, encode(mark, 'hex') FROM appended ORDER BY cursor DESC LIMIT 1;
         COMMIT",
    );
    sql
}

/// Converts the columns `cursor` and `mark` of the newest change. Both are null in an empty log.
pub(super) fn mark_of(cursor: Option<i64>, mark: Option<Vec<u8>>) -> (Cursor, Vec<u8>) {
    (
        Cursor(cursor.map_or(0, row::from_column)),
        mark.unwrap_or_default(),
    )
}

/// The result of reading the change log.
pub(super) enum ChangeLogRead {
    /// The changes, and the mark of the last one if there is any.
    Changes(Changes, Option<(Cursor, Vec<u8>)>),
    /// The known change is not in the log. `head` is the newest change now.
    NotContinued { head: Cursor, mark: Vec<u8> },
}

/// Returns the changes after `after`, if the log still contains the change that is `known`.
pub(super) async fn after(
    client: &deadpool_postgres::Client,
    after: Cursor,
    limit: u32,
    known: &KnownPosition,
) -> Result<ChangeLogRead, StoreError> {
    let reading = |error: Error| failed("reading the change log", &error);
    // One statement has one snapshot: the log is not trimmed or replaced between the two parts of the result.
    let statement = client
        .prepare_cached(
            "SELECT NULL::bigint, NULL, NULL::bytea, NULL, NULL::bigint, head.mark, head.cursor,
               (SELECT value FROM meta WHERE name = $3),
               $4::bigint = 0 OR EXISTS (SELECT FROM changes WHERE cursor = $4 AND mark = $5::bytea)
             FROM (SELECT) AS one
             LEFT JOIN LATERAL (SELECT cursor, mark FROM changes ORDER BY cursor DESC LIMIT 1) AS head ON true
             UNION ALL
             (SELECT cursor, kind, uid, name, revision, mark, NULL, NULL, NULL FROM changes
              WHERE cursor > $1 ORDER BY cursor LIMIT $2)",
        )
        .await
        .map_err(reading)?;
    let known_cursor = row::to_column(known.cursor.0);
    let rows = client
        .query(
            &statement,
            &[
                &row::to_column(after.0),
                &i64::from(limit),
                &TRIMMED,
                &known_cursor,
                &known.mark,
            ],
        )
        .await
        .map_err(reading)?;
    let mut changes = Vec::with_capacity(rows.len());
    let mut last: Option<(Cursor, Vec<u8>)> = None;
    for row in rows {
        let mark: Option<Vec<u8>> = row.try_get(5).map_err(reading)?;
        if let Some(cursor) = row.try_get::<_, Option<i64>>(0).map_err(reading)? {
            let change = read(cursor, &row)?;
            if last
                .as_ref()
                .is_none_or(|(cursor, _)| *cursor < change.cursor)
            {
                last = Some((change.cursor, mark.unwrap_or_default()));
            }
            changes.push(change);
            continue;
        }
        let (head, mark) = mark_of(row.try_get(6).map_err(reading)?, mark);
        let trimmed: Option<&[u8]> = row.try_get(7).map_err(reading)?;
        if !row.try_get::<_, bool>(8).map_err(reading)? {
            return Ok(ChangeLogRead::NotContinued { head, mark });
        }
        // A cursor beyond the head belongs to another history, which a restored backup does not contain.
        if after < trimmed_of(trimmed) || after > head {
            return Ok(ChangeLogRead::Changes(
                Changes::Trimmed(head),
                Some((head, mark)),
            ));
        }
    }
    changes.sort_by_key(|change| change.cursor);
    Ok(ChangeLogRead::Changes(Changes::Next(changes), last))
}

fn trimmed_of(value: Option<&[u8]>) -> Cursor {
    let bytes = value.and_then(|value| value.try_into().ok());
    Cursor(bytes.map_or(0, |bytes| row::from_column(i64::from_be_bytes(bytes))))
}

fn read(cursor: i64, row: &Row) -> Result<Change, StoreError> {
    let reading = |error: Error| failed("reading the change log", &error);
    Ok(Change {
        cursor: Cursor(row::from_column(cursor)),
        kind: row::kind(row.try_get(1).map_err(reading)?)?,
        uid: row::uid(row.try_get(2).map_err(reading)?)?,
        name: row.try_get(3).map_err(reading)?,
        revision: row
            .try_get::<_, Option<i64>>(4)
            .map_err(reading)?
            .map(|revision| Revision(row::from_column(revision))),
    })
}
