//! Deletion of expired rows.

use domain::{clock::UnixMillis, kind::Kind};
use rusqlite::{Connection, params};

use super::{access, change, document::remove_attachments};
use crate::{
    StoreError,
    row::{self, AccessEnds},
};

/// The number of rows deleted at once.
const SLICE: u32 = 500;

/// Deletes a batch of the rows that are expired by `now`. Returns the number of deleted rows, which is zero if nothing
/// is left.
pub(super) fn slice(
    connection: &Connection,
    now: UnixMillis,
    ends: AccessEnds,
) -> Result<u64, StoreError> {
    let documents = expired_documents(connection, now)?;
    for document in &documents {
        remove(connection, document, now)?;
    }
    let mut removed = u64::try_from(documents.len()).unwrap_or(u64::MAX);
    for sql in [
        "DELETE FROM records WHERE (kind, key) IN
           (SELECT kind, key FROM records WHERE expires_at <= ?1 LIMIT ?2)",
        "DELETE FROM counters WHERE key IN (SELECT key FROM counters WHERE resets_at <= ?1 LIMIT ?2)",
    ] {
        let count = connection
            .prepare_cached(sql)?
            .execute(params![now.0, SLICE])?;
        removed += u64::try_from(count).unwrap_or(u64::MAX);
    }
    removed += access::trim(connection, now, ends, SLICE)?;
    Ok(removed + change::trim(connection, now.saturating_sub(row::CHANGES_KEPT))?)
}

struct Expired {
    id: i64,
    kind: String,
    uid: Vec<u8>,
    name: String,
}

fn expired_documents(connection: &Connection, now: UnixMillis) -> Result<Vec<Expired>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind, uid, name FROM documents
         WHERE expires_at <= ?1 AND expires_at < 9223372036854775807 LIMIT ?2",
    )?;
    let expired = statement.query_map(params![now.0, SLICE], |row| {
        Ok(Expired {
            id: row.get(0)?,
            kind: row.get(1)?,
            uid: row.get(2)?,
            name: row.get(3)?,
        })
    })?;
    Ok(expired.collect::<Result<_, _>>()?)
}

fn remove(connection: &Connection, expired: &Expired, now: UnixMillis) -> Result<(), StoreError> {
    let (kind, uid) = (row::kind(&expired.kind)?, row::uid(&expired.uid)?);
    connection
        .prepare_cached("DELETE FROM documents WHERE id = ?1")?
        .execute([expired.id])?;
    remove_attachments(connection, expired.id, uid)?;
    // Deletions of expired Sessions are not logged: replicas that cache a Session also know its expiry.
    if kind != Kind::Session {
        change::append(connection, now, kind, uid, &expired.name, None)?;
    }
    Ok(())
}
