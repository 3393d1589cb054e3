//! Access events.

use api::platform_v1::AccessEvent;
use domain::{clock::UnixMillis, id::Uid};
use rusqlite::{Connection, params};

use crate::{
    ACCESS_KEPT_FOR, StoreError,
    row::{self, ACCESS_CLASSES, AccessEnds},
};

pub(super) fn append(connection: &Connection, events: &[AccessEvent]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO access (at, decision, user_uid, service_uid, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in events {
        let columns = row::EventColumns::of_access(event);
        statement.execute(params![
            columns.at.0,
            event.decision,
            columns.user.as_ref().map(Uid::as_bytes),
            columns.object.as_ref().map(Uid::as_bytes),
            row::access_body(event)
        ])?;
    }
    Ok(())
}

/// Finds the events beyond the limits. Reads the whole table, so call it on a reader connection.
pub(super) fn ends(connection: &Connection) -> Result<AccessEnds, StoreError> {
    let mut ends = AccessEnds::default();
    for (end, class) in ends.iter_mut().zip(ACCESS_CLASSES) {
        let sql = format!(
            "SELECT max(id) FROM (
               SELECT id, row_number() OVER newest AS rows, sum(length(body)) OVER newest AS bytes
               FROM access WHERE {} WINDOW newest AS (ORDER BY id DESC))
             WHERE rows > ?1 OR bytes > ?2",
            class.condition
        );
        *end = connection
            .prepare_cached(&sql)?
            .query_row([class.rows, class.bytes], |row| row.get(0))?;
    }
    Ok(ends)
}

/// Deletes a batch of the events that are too old or beyond the limits. Returns the number of deleted events.
pub(super) fn trim(
    connection: &Connection,
    now: UnixMillis,
    ends: AccessEnds,
    slice: u32,
) -> Result<u64, StoreError> {
    let mut removed = connection
        .prepare_cached(
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![now.saturating_sub(ACCESS_KEPT_FOR).0, slice])?;
    for (end, class) in ends.into_iter().zip(ACCESS_CLASSES) {
        let Some(end) = end else {
            continue;
        };
        let sql = format!(
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE {} AND id <= ?1 ORDER BY id LIMIT ?2)",
            class.condition
        );
        removed += connection
            .prepare_cached(&sql)?
            .execute(params![end, slice])?;
    }
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}
