//! Deletion of expired rows.

use deadpool_postgres::Client;
use domain::{clock::UnixMillis, kind::Kind};
use tokio_postgres::Error;

use super::{
    access,
    change::{self, Durability, PendingChange, TRIMMED},
    error::failed,
    schema::set_meta,
};
use crate::{
    Cursor, StoreError,
    row::{self, AccessEnds},
};

/// The number of rows deleted at once.
const SLICE: i64 = 500;

/// Deletes a batch of the rows that are expired by `now` and by the clock of the database. A replica with a wrong clock
/// must not delete records that still prevent a second use. Returns the number of deleted rows, which is zero if
/// nothing is left, and the last change that this made.
///
/// After a failure, the caller must discard the connection: a transaction may be open.
pub(super) async fn slice(
    client: &Client,
    now: UnixMillis,
    ends: AccessEnds,
    durability: Durability,
) -> Result<(u64, Option<(Cursor, Vec<u8>)>), StoreError> {
    let collecting = |error: Error| failed("collecting", &error);
    client.batch_execute("BEGIN").await.map_err(collecting)?;
    let database: i64 = client
        .query_one(
            "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
            &[],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(collecting)?;
    let now = now.min(UnixMillis(database));
    let changes = remove_documents(client, now).await?;
    let mut removed = changes.removed;
    for sql in [
        "DELETE FROM records WHERE (kind, key) IN (
           SELECT kind, key FROM records WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
        "DELETE FROM counters WHERE key IN (
           SELECT key FROM counters WHERE resets_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    ] {
        removed += client
            .execute(sql, &[&now.0, &SLICE])
            .await
            .map_err(collecting)?;
    }
    removed += access::trim(client, now, ends, SLICE).await?;
    removed += trim(client, now.saturating_sub(row::CHANGES_KEPT)).await?;
    let last = change::commit(client, &changes.changes, durability)
        .await
        .map_err(collecting)?;
    Ok((removed, last))
}

struct Removed {
    removed: u64,
    changes: Vec<PendingChange>,
}

/// Deletes expired documents. Skips rows that another transaction has locked. Separate statements delete the index
/// entries: they see what was committed before the lock was acquired.
async fn remove_documents(client: &Client, now: UnixMillis) -> Result<Removed, StoreError> {
    let collecting = |error: Error| failed("collecting", &error);
    let rows = client
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
        // Deletions of expired Sessions are not logged: replicas that cache a Session also know its expiry.
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
        client
            .execute(&sql, &[&kinds, &uids])
            .await
            .map_err(collecting)?;
    }
    client
        .execute("DELETE FROM usage WHERE uid = ANY($1::bytea[])", &[&uids])
        .await
        .map_err(collecting)?;
    Ok(Removed {
        removed: u64::try_from(rows.len()).unwrap_or(u64::MAX),
        changes,
    })
}

/// Deletes a batch of the changes before `before`, except the last change, which marks the head of the log. Reads only
/// the oldest part of the log, because the log can be long.
async fn trim(client: &Client, before: UnixMillis) -> Result<u64, StoreError> {
    let collecting = |error: Error| failed("collecting", &error);
    let last: Option<i64> = client
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
    let removed = client
        .execute("DELETE FROM changes WHERE cursor <= $1", &[&last])
        .await
        .map_err(collecting)?;
    set_meta(&***client, TRIMMED, &last.to_be_bytes()).await?;
    Ok(removed)
}
