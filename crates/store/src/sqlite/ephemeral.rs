//! Single-use records, counters and usage.

use std::{collections::BTreeMap, time::Duration};

use domain::{clock::UnixMillis, id::Uid};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{CommitError, Counter, StoreError, Usage, row};

/// Stores a single-use record, unless a live one has the same key.
pub(super) fn record(
    connection: &Connection,
    kind: &str,
    key: &[u8],
    value: &[u8],
    expires_at: UnixMillis,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let stored = connection
        .prepare_cached(
            "INSERT INTO records (kind, key, value, expires_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
             WHERE records.expires_at <= ?5",
        )
        .and_then(|mut statement| {
            statement.execute(params![kind, key, value, expires_at.0, now.0])
        })
        .map_err(StoreError::from)?;
    (stored == 1).then_some(()).ok_or(CommitError::RecordTaken)
}

pub(super) fn take(
    connection: &Connection,
    kind: &str,
    key: &[u8],
    now: UnixMillis,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection
        .prepare_cached(
            "DELETE FROM records WHERE kind = ?1 AND key = ?2 AND expires_at > ?3 RETURNING value",
        )?
        .query_row(params![kind, key, now.0], |row| row.get(0))
        .optional()?)
}

pub(super) fn has_record(
    connection: &Connection,
    kind: &str,
    key: &[u8],
    now: UnixMillis,
) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM records WHERE kind = ?1 AND key = ?2 AND expires_at > ?3")?
        .exists(params![kind, key, now.0])?)
}

/// Counts a hit. A new window starts if the previous one has ended.
pub(super) fn count(
    connection: &Connection,
    key: &str,
    window: Duration,
    now: UnixMillis,
) -> Result<Counter, StoreError> {
    Ok(connection
        .prepare_cached(
            "INSERT INTO counters (key, count, resets_at) VALUES (?1, 1, ?2)
             ON CONFLICT (key) DO UPDATE SET
               count = CASE WHEN counters.resets_at > ?3 THEN counters.count + 1 ELSE 1 END,
               resets_at = CASE WHEN counters.resets_at > ?3 THEN counters.resets_at ELSE excluded.resets_at END
             RETURNING count, resets_at",
        )?
        .query_row(params![key, now.saturating_add(window).0, now.0], counter_of)?)
}

/// Returns the counter if its window has not ended.
pub(super) fn counter(
    connection: &Connection,
    key: &str,
    now: UnixMillis,
) -> Result<Option<Counter>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT count, resets_at FROM counters WHERE key = ?1 AND resets_at > ?2")?
        .query_row(params![key, now.0], counter_of)
        .optional()?)
}

pub(super) fn reset_counter(connection: &Connection, key: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM counters WHERE key = ?1")?
        .execute([key])?;
    Ok(())
}

pub(super) fn add_usage(
    connection: &Connection,
    usage: &BTreeMap<Uid, Usage>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO usage (uid, count, last_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (uid) DO UPDATE SET
           count = usage.count + excluded.count, last_at = max(usage.last_at, excluded.last_at)",
    )?;
    for (uid, usage) in usage {
        statement.execute(params![
            uid.as_bytes(),
            row::to_column(usage.count),
            usage.last_at.0
        ])?;
    }
    Ok(())
}

pub(super) fn usage(
    connection: &Connection,
    uids: &[Uid],
) -> Result<BTreeMap<Uid, Usage>, StoreError> {
    let mut statement =
        connection.prepare_cached("SELECT count, last_at FROM usage WHERE uid = ?1")?;
    let mut found = BTreeMap::new();
    for uid in uids {
        let usage = statement
            .query_row([uid.as_bytes()], |row| {
                Ok(Usage {
                    count: row::from_column(row.get(0)?),
                    last_at: UnixMillis(row.get(1)?),
                })
            })
            .optional()?;
        if let Some(usage) = usage {
            found.insert(*uid, usage);
        }
    }
    Ok(found)
}

fn counter_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Counter> {
    Ok(Counter {
        count: row::from_column(row.get(0)?),
        resets_at: UnixMillis(row.get(1)?),
    })
}
