//! The change log.

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use tokio_postgres::{Error, GenericClient, Row, Statement};

use super::{error::failed, lock};
use crate::{Change, Changes, Cursor, Revision, StoreError, row};

pub(super) const TRIMMED: &str = "changes-trimmed";

/// A change without its number.
#[derive(Debug, Clone)]
pub(super) struct PendingChange {
    pub(super) at: UnixMillis,
    pub(super) kind: Kind,
    pub(super) uid: Uid,
    pub(super) name: String,
    pub(super) revision: Option<Revision>,
}

/// Appends `changes`, as the last thing that a transaction does. Returns the number of the last one.
///
/// The lock is held from before the first number is assigned until commit, so that numbers become visible in
/// their order: a reader that has seen one will never see a smaller one appear. Waiting for the oldest snapshot
/// instead would let a foreign long transaction hold up revocation.
pub(super) async fn append(
    client: &impl GenericClient,
    statement: &Statement,
    changes: &[PendingChange],
) -> Result<Option<Cursor>, Error> {
    if changes.is_empty() {
        return Ok(None);
    }
    let at: Vec<i64> = changes.iter().map(|change| change.at.0).collect();
    let kinds: Vec<&str> = changes.iter().map(|change| change.kind.as_str()).collect();
    let uids: Vec<&[u8]> = changes
        .iter()
        .map(|change| change.uid.as_bytes().as_slice())
        .collect();
    let names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
    let revisions: Vec<Option<i64>> = changes
        .iter()
        .map(|change| change.revision.map(|revision| row::to_column(revision.0)))
        .collect();
    let take_lock = format!("SELECT pg_advisory_xact_lock({})", lock::CHANGE_LOG);
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&at, &kinds, &uids, &names, &revisions];
    let (locked, row) = tokio::join!(
        biased;
        client.batch_execute(&take_lock),
        client.query_one(statement, &parameters),
    );
    locked?;
    let last: i64 = row?.try_get(0)?;
    Ok(Some(Cursor(row::from_column(last))))
}

/// The last change that is visible.
pub(super) async fn head(client: &tokio_postgres::Client) -> Result<Cursor, Error> {
    let row = client
        .query_one("SELECT coalesce(max(cursor), 0) FROM changes", &[])
        .await?;
    Ok(Cursor(row::from_column(row.try_get(0)?)))
}

/// What came after `after`.
pub(super) async fn after(
    client: &deadpool_postgres::Client,
    after: Cursor,
    limit: u32,
) -> Result<Changes, StoreError> {
    let reading = |error: Error| failed("reading the change log", &error);
    // One statement, one snapshot: nothing is trimmed between the two halves of the answer.
    let statement = client
        .prepare_cached(
            "SELECT NULL::bigint, NULL, NULL::bytea, NULL, NULL::bigint,
               (SELECT coalesce(max(cursor), 0) FROM changes),
               (SELECT value FROM meta WHERE name = $3)
             UNION ALL
             (SELECT cursor, kind, uid, name, revision, NULL, NULL FROM changes
              WHERE cursor > $1 ORDER BY cursor LIMIT $2)",
        )
        .await
        .map_err(reading)?;
    let rows = client
        .query(
            &statement,
            &[&row::to_column(after.0), &i64::from(limit), &TRIMMED],
        )
        .await
        .map_err(reading)?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(cursor) = row.try_get::<_, Option<i64>>(0).map_err(reading)? {
            changes.push(read(cursor, &row)?);
            continue;
        }
        let head = Cursor(row::from_column(row.try_get(5).map_err(reading)?));
        let trimmed: Option<&[u8]> = row.try_get(6).map_err(reading)?;
        // Beyond the head: the reader knew another history, which a restored backup does not have.
        if after < trimmed_of(trimmed) || after > head {
            return Ok(Changes::Trimmed(head));
        }
    }
    changes.sort_by_key(|change| change.cursor);
    Ok(Changes::Next(changes))
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
