//! Audit events.

use api::platform_v1::AuditEvent;
use domain::id::Uid;
use prost::Message as _;
use rusqlite::{Connection, params};

use crate::{StoreError, row};

/// Appends events.
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
            event.encode_to_vec()
        ])?;
    }
    Ok(())
}
