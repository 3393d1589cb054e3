//! Access events.

use api::platform_v1::AccessEvent;
use domain::{clock::UnixMillis, id::Uid};
use prost::Message as _;
use rusqlite::{Connection, params};

use crate::{ACCESS_KEPT, ACCESS_KEPT_FOR, StoreError, row};

/// Appends events.
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
            event.encode_to_vec()
        ])?;
    }
    Ok(())
}

/// Forgets a part of those that are too old, or too many. Returns how many went.
pub(super) fn trim(
    connection: &Connection,
    now: UnixMillis,
    slice: u32,
) -> Result<u64, StoreError> {
    let mut removed = 0;
    for (sql, bound) in [
        (
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE id <= (SELECT max(id) FROM access) - ?1 ORDER BY id LIMIT ?2)",
            i64::from(ACCESS_KEPT),
        ),
        (
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE at < ?1 ORDER BY at LIMIT ?2)",
            now.saturating_sub(ACCESS_KEPT_FOR).0,
        ),
    ] {
        removed += connection
            .prepare_cached(sql)?
            .execute(params![bound, slice])?;
    }
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}
