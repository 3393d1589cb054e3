//! Removing what has expired.

use deadpool_postgres::Client;
use domain::{clock::UnixMillis, kind::Kind};
use tokio_postgres::{Error, Transaction};

use super::{
    access,
    change::{self, PendingChange, TRIMMED},
    error::failed,
    schema::set_meta,
    statement::APPEND_CHANGES,
};
use crate::{
    Cursor, StoreError,
    row::{self, AccessEnds},
};

/// How much is removed at once.
const SLICE: i64 = 500;

/// Removes a part of what has expired by `now`. Returns how many rows went, zero where nothing is left, and the
/// last change that this made.
pub(super) async fn slice(
    client: &mut Client,
    now: UnixMillis,
    ends: AccessEnds,
) -> Result<(u64, Option<Cursor>), StoreError> {
    let collecting = |error: Error| failed("collecting", &error);
    let client: &mut tokio_postgres::Client = client;
    let transaction = client.transaction().await.map_err(collecting)?;
    let changes = remove_documents(&transaction, now).await?;
    let mut removed = changes.removed;
    for sql in [
        "DELETE FROM records WHERE (kind, key) IN (
           SELECT kind, key FROM records WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM counters WHERE key IN (
           SELECT key FROM counters WHERE resets_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ] {
        removed += transaction
            .execute(sql, &[&now.0, &SLICE])
            .await
            .map_err(collecting)?;
    }
    removed += access::trim(&transaction, now, ends, SLICE).await?;
    removed += trim(&transaction, now.saturating_sub(row::CHANGES_KEPT)).await?;
    let append = transaction
        .prepare(APPEND_CHANGES)
        .await
        .map_err(collecting)?;
    let cursor = change::append(&transaction, &append, &changes.changes)
        .await
        .map_err(collecting)?;
    transaction.commit().await.map_err(collecting)?;
    Ok((removed, cursor))
}

struct Removed {
    removed: u64,
    changes: Vec<PendingChange>,
}

/// Whoever is at work on a document goes first: its row is passed over. The entries are removed by a statement
/// of its own, which sees what was committed before the lock was had.
async fn remove_documents(
    transaction: &Transaction<'_>,
    now: UnixMillis,
) -> Result<Removed, StoreError> {
    let collecting = |error: Error| failed("collecting", &error);
    let rows = transaction
        .query(
            "SELECT kind, uid, name FROM documents
             WHERE expires_at <= $1 AND expires_at < 9223372036854775807
             LIMIT $2 FOR UPDATE SKIP LOCKED",
            &[&now.0, &SLICE],
        )
        .await
        .map_err(collecting)?;
    let mut kinds = Vec::with_capacity(rows.len());
    let mut uids: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
    let mut changes = Vec::new();
    for row in &rows {
        let kind = row::kind(row.try_get(0).map_err(collecting)?)?;
        let uid = row::uid(row.try_get(1).map_err(collecting)?)?;
        kinds.push(kind.as_str());
        uids.push(uid.as_bytes().to_vec());
        // Whoever holds a Session holds when it expires, too.
        if kind != Kind::Session {
            changes.push(PendingChange {
                at: now,
                kind,
                uid,
                name: row.try_get(2).map_err(collecting)?,
                revision: None,
            });
        }
    }
    for table in ["documents", "entries"] {
        let sql = format!(
            "DELETE FROM {table} d USING unnest($1::text[], $2::bytea[]) AS e (kind, uid)
             WHERE d.kind = e.kind AND d.uid = e.uid"
        );
        transaction
            .execute(&sql, &[&kinds, &uids])
            .await
            .map_err(collecting)?;
    }
    transaction
        .execute("DELETE FROM usage WHERE uid = ANY($1::bytea[])", &[&uids])
        .await
        .map_err(collecting)?;
    Ok(Removed {
        removed: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        changes,
    })
}

/// Forgets changes made before `before`, a part of them at a time, except for the last one: it tells where the log
/// stands. Looks at that part alone: the log may be long.
async fn trim(transaction: &Transaction<'_>, before: UnixMillis) -> Result<u64, StoreError> {
    let collecting = |error: Error| failed("collecting", &error);
    let last: Option<i64> = transaction
        .query_one(
            "SELECT max(cursor) FROM (SELECT cursor, at FROM changes ORDER BY cursor LIMIT $2) oldest
             WHERE at < $1 AND cursor < (SELECT max(cursor) FROM changes)",
            &[&before.0, &row::CHANGES_SLICE],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(collecting)?;
    let Some(last) = last else {
        return Ok(0);
    };
    let removed = transaction
        .execute("DELETE FROM changes WHERE cursor <= $1", &[&last])
        .await
        .map_err(collecting)?;
    set_meta(transaction, TRIMMED, &last.to_be_bytes()).await?;
    Ok(removed)
}
