//! Audit events.

use api::platform_v1::AuditEvent;
use domain::{clock::UnixMillis, id::Uid};
use rusqlite::{Connection, params};

use crate::{StoreError, row};

pub(super) fn append(connection: &Connection, events: &[AuditEvent]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (at, event_type, user_uid, resource_uid, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in events {
        let columns = row::EventColumns::of_audit(event);
        statement.execute(params![
            columns.at.0,
            event.r#type,
            columns.user.as_ref().map(Uid::as_bytes),
            columns.object.as_ref().map(Uid::as_bytes),
            row::audit_body(event)
        ])?;
    }
    Ok(())
}

/// Deletes a batch of the events before `before`. Returns the number of deleted events.
pub(super) fn trim(connection: &Connection, before: UnixMillis) -> Result<u64, StoreError> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM audit WHERE id IN (
               SELECT id FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute(params![before.0, row::EVENTS_SLICE])?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}
