//! Audit events.

use api::platform_v1::AuditEvent;
use domain::id::Uid;
use prost::Message as _;
use rusqlite::{Connection, params, params_from_iter, types::Value};

use crate::{AuditQuery, StoreError, row};

/// Appends events.
pub(super) fn append(connection: &Connection, events: &[AuditEvent]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (at, event_type, user_uid, resource_uid, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for event in events {
        let columns = row::AuditColumns::of(event);
        statement.execute(params![
            columns.at.0,
            event.r#type,
            columns.user.as_ref().map(Uid::as_bytes),
            columns.resource.as_ref().map(Uid::as_bytes),
            event.encode_to_vec()
        ])?;
    }
    Ok(())
}

/// Reads events, newest first, and how many there are.
pub(super) fn list(
    connection: &Connection,
    query: &AuditQuery,
) -> Result<(Vec<AuditEvent>, u64), StoreError> {
    let (conditions, mut parameters) = filter(query);
    let total: i64 = connection
        .prepare_cached(&format!("SELECT count(*) FROM audit WHERE {conditions}"))?
        .query_row(params_from_iter(&parameters), |row| row.get(0))?;
    parameters.push(Value::Integer(query.limit.into()));
    parameters.push(Value::Integer(row::to_column(query.offset)));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT body FROM audit WHERE {conditions} ORDER BY at DESC, id DESC LIMIT ? OFFSET ?"
    ))?;
    let mut rows = statement.query(params_from_iter(&parameters))?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let body = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
        events.push(row::audit_event(body)?);
    }
    Ok((events, row::from_column(total)))
}

/// Only the conditions that are asked for, so that each combination finds its index.
fn filter(query: &AuditQuery) -> (String, Vec<Value>) {
    let uid = |uid: Uid| Value::Blob(uid.as_bytes().to_vec());
    let conditions = [
        ("at >= ?", query.since.map(|at| Value::Integer(at.0))),
        ("at < ?", query.until.map(|at| Value::Integer(at.0))),
        ("user_uid = ?", query.user.map(uid)),
        ("resource_uid = ?", query.resource.map(uid)),
        ("event_type = ?", query.event_type.clone().map(Value::Text)),
    ];
    let mut sql = String::from("1");
    let mut parameters = Vec::new();
    for (condition, parameter) in conditions {
        if let Some(parameter) = parameter {
            sql.push_str(" AND ");
            sql.push_str(condition);
            parameters.push(parameter);
        }
    }
    (sql, parameters)
}
