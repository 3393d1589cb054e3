//! Single-use records, counters and usage. Each operation is one statement, and therefore atomic.

use std::{collections::BTreeMap, time::Duration};

use deadpool_postgres::Client;
use domain::{clock::UnixMillis, id::Uid};
use tokio_postgres::{Error, Row};

use super::{error::failed, query::rows};
use crate::{Counter, StoreError, Usage, row};

pub(super) async fn take(
    client: &Client,
    kind: &str,
    key: &[u8],
    now: UnixMillis,
) -> Result<Option<Vec<u8>>, StoreError> {
    let taken = rows(
        client,
        "DELETE FROM records WHERE kind = $1 AND key = $2 AND expires_at > $3 RETURNING value",
        &[&kind, &key, &now.0],
    )
    .await?;
    taken
        .first()
        .map(|row| row.try_get(0).map_err(|error| malformed(&error)))
        .transpose()
}

pub(super) async fn has_record(
    client: &Client,
    kind: &str,
    key: &[u8],
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let found = rows(
        client,
        "SELECT 1 FROM records WHERE kind = $1 AND key = $2 AND expires_at > $3",
        &[&kind, &key, &now.0],
    )
    .await?;
    Ok(!found.is_empty())
}

/// Counts a hit. A new window starts if the previous one has ended.
pub(super) async fn count(
    client: &Client,
    key: &str,
    window: Duration,
    now: UnixMillis,
) -> Result<Counter, StoreError> {
    let rows = rows(
        client,
        "INSERT INTO counters (key, count, resets_at) VALUES ($1, 1, $2)
         ON CONFLICT (key) DO UPDATE SET
           count = CASE WHEN counters.resets_at > $3 THEN counters.count + 1 ELSE 1 END,
           resets_at = CASE WHEN counters.resets_at > $3 THEN counters.resets_at ELSE excluded.resets_at END
         RETURNING count, resets_at",
        &[&key.as_bytes(), &now.saturating_add(window).0, &now.0],
    )
    .await?;
    rows.first()
        .ok_or_else(|| StoreError::new("PostgreSQL: counting returned nothing"))
        .and_then(counter_of)
}

/// Returns the counter if its window has not ended.
pub(super) async fn counter(
    client: &Client,
    key: &str,
    now: UnixMillis,
) -> Result<Option<Counter>, StoreError> {
    let rows = rows(
        client,
        "SELECT count, resets_at FROM counters WHERE key = $1 AND resets_at > $2",
        &[&key.as_bytes(), &now.0],
    )
    .await?;
    rows.first().map(counter_of).transpose()
}

pub(super) async fn reset_counter(client: &Client, key: &str) -> Result<(), StoreError> {
    rows(
        client,
        "DELETE FROM counters WHERE key = $1",
        &[&key.as_bytes()],
    )
    .await
    .map(|_| ())
}

/// Adds usage in the order of the uids, so that replicas that flush concurrently do not deadlock.
pub(super) async fn add_usage(
    client: &Client,
    usage: &BTreeMap<Uid, Usage>,
) -> Result<(), StoreError> {
    let uids: Vec<&[u8]> = usage.keys().map(|uid| uid.as_bytes().as_slice()).collect();
    let counts: Vec<i64> = usage
        .values()
        .map(|usage| row::to_column(usage.count))
        .collect();
    let last_at: Vec<i64> = usage.values().map(|usage| usage.last_at.0).collect();
    rows(
        client,
        "INSERT INTO usage (uid, count, last_at)
         SELECT u.uid, u.count, u.last_at
         FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS u (uid, count, last_at) ORDER BY u.uid
         ON CONFLICT (uid) DO UPDATE SET
           count = usage.count + excluded.count, last_at = greatest(usage.last_at, excluded.last_at)",
        &[&uids, &counts, &last_at],
    )
    .await
    .map(|_| ())
}

pub(super) async fn usage(
    client: &Client,
    uids: &[Uid],
) -> Result<BTreeMap<Uid, Usage>, StoreError> {
    let uids: Vec<&[u8]> = uids.iter().map(|uid| uid.as_bytes().as_slice()).collect();
    let rows = rows(
        client,
        "SELECT uid, count, last_at FROM usage WHERE uid = ANY($1::bytea[])",
        &[&uids],
    )
    .await?;
    let malformed = |error: Error| malformed(&error);
    rows.iter()
        .map(|row| {
            let usage = Usage {
                count: row::from_column(row.try_get(1).map_err(malformed)?),
                last_at: UnixMillis(row.try_get(2).map_err(malformed)?),
            };
            Ok((row::uid(row.try_get(0).map_err(malformed)?)?, usage))
        })
        .collect()
}

fn counter_of(row: &Row) -> Result<Counter, StoreError> {
    let malformed = |error: Error| malformed(&error);
    Ok(Counter {
        count: row::from_column(row.try_get(0).map_err(malformed)?),
        resets_at: UnixMillis(row.try_get(1).map_err(malformed)?),
    })
}

fn malformed(error: &Error) -> StoreError {
    failed("reading", error)
}
