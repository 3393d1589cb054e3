//! The change log.

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::schema::{meta, set_meta};
use crate::{Change, Changes, Cursor, Revision, StoreError, row};

const TRIMMED: &str = "changes-trimmed";

/// Appends a change. A single thread writes, so cursors are in the order of commits.
pub(super) fn append(
    connection: &Connection,
    at: UnixMillis,
    kind: Kind,
    uid: Uid,
    name: &str,
    revision: Option<Revision>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO changes (at, kind, uid, name, revision) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            at.0,
            kind.as_str(),
            uid.as_bytes(),
            name,
            revision.map(|revision| row::to_column(revision.0))
        ])?;
    Ok(())
}

/// Returns the last change, even if it has been trimmed.
pub(super) fn head(connection: &Connection) -> Result<Cursor, StoreError> {
    let head: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(Cursor(head.map_or(0, row::from_column)))
}

/// Returns the changes after `after`.
pub(super) fn after(
    connection: &Connection,
    after: Cursor,
    limit: u32,
) -> Result<Changes, StoreError> {
    let head = head(connection)?;
    // A cursor beyond the head belongs to another history, which a restored backup does not contain.
    if after < trimmed(connection)? || after > head {
        return Ok(Changes::Trimmed(head));
    }
    let mut statement = connection.prepare_cached(
        "SELECT cursor, kind, uid, name, revision FROM changes WHERE cursor > ?1 ORDER BY cursor LIMIT ?2",
    )?;
    let mut rows = statement.query(params![row::to_column(after.0), limit])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.push(read(row)?);
    }
    Ok(Changes::Next(changes))
}

/// Deletes a batch of the changes before `before`. Returns the number of deleted changes. Reads only the oldest part of
/// the log, because the log can be long.
pub(super) fn trim(connection: &Connection, before: UnixMillis) -> Result<u64, StoreError> {
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT max(cursor) FROM (SELECT cursor, at FROM changes ORDER BY cursor LIMIT ?2)
             WHERE at < ?1",
        )?
        .query_row(params![before.0, row::CHANGES_SLICE], |row| row.get(0))?;
    let Some(last) = last else {
        return Ok(0);
    };
    let removed = connection
        .prepare_cached("DELETE FROM changes WHERE cursor <= ?1")?
        .execute([last])?;
    set_meta(connection, TRIMMED, &last.to_be_bytes())?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}

fn trimmed(connection: &Connection) -> Result<Cursor, StoreError> {
    let bytes = meta(connection, TRIMMED)?.and_then(|bytes| bytes.try_into().ok());
    Ok(Cursor(bytes.map_or(0, |bytes| {
        row::from_column(i64::from_be_bytes(bytes))
    })))
}

fn read(row: &Row<'_>) -> Result<Change, StoreError> {
    Ok(Change {
        cursor: Cursor(row::from_column(row.get(0)?)),
        kind: row::kind(row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        uid: row::uid(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?,
        name: row.get(3)?,
        revision: row
            .get::<_, Option<i64>>(4)?
            .map(|revision| Revision(row::from_column(revision))),
    })
}
