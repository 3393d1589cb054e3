//! Audit events.

use api::platform_v1::AuditEvent;
use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{error::failed, query::rows};
use crate::{AuditQuery, StoreError, row};

/// Appends events.
pub(super) async fn append(client: &Client, events: &[AuditEvent]) -> Result<(), StoreError> {
    let columns: Vec<row::AuditColumns> = events.iter().map(row::AuditColumns::of).collect();
    let at: Vec<i64> = columns.iter().map(|columns| columns.at.0).collect();
    let types: Vec<&str> = events.iter().map(|event| event.r#type.as_str()).collect();
    let users: Vec<Option<&[u8]>> = columns
        .iter()
        .map(|columns| columns.user.as_ref().map(|uid| uid.as_bytes().as_slice()))
        .collect();
    let resources: Vec<Option<&[u8]>> = columns
        .iter()
        .map(|columns| {
            columns
                .resource
                .as_ref()
                .map(|uid| uid.as_bytes().as_slice())
        })
        .collect();
    let bodies: Vec<Vec<u8>> = events.iter().map(prost::Message::encode_to_vec).collect();
    rows(
        client,
        "INSERT INTO audit (at, event_type, user_uid, resource_uid, body)
         SELECT e.at, e.event_type, e.user_uid, e.resource_uid, e.body
         FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::bytea[])
           WITH ORDINALITY AS e (at, event_type, user_uid, resource_uid, body, place)
         ORDER BY e.place",
        &[&at, &types, &users, &resources, &bodies],
    )
    .await
    .map(|_| ())
}

/// Reads events, newest first, and how many there are.
pub(super) async fn list(
    client: &Client,
    query: &AuditQuery,
) -> Result<(Vec<AuditEvent>, u64), StoreError> {
    let since = query.since.map(|at| at.0);
    let until = query.until.map(|at| at.0);
    let user = query.user.map(|uid| uid.as_bytes().to_vec());
    let resource = query.resource.map(|uid| uid.as_bytes().to_vec());
    let (limit, offset) = (i64::from(query.limit), row::to_column(query.offset));
    // Only the conditions that are asked for, so that each combination finds its index.
    let mut conditions = String::from("true");
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let mut require = |condition: &str, parameter| {
        parameters.push(parameter);
        conditions = format!("{conditions} AND {condition} ${}", parameters.len());
    };
    if let Some(since) = &since {
        require("at >=", since);
    }
    if let Some(until) = &until {
        require("at <", until);
    }
    if let Some(user) = &user {
        require("user_uid =", user);
    }
    if let Some(resource) = &resource {
        require("resource_uid =", resource);
    }
    if let Some(event_type) = &query.event_type {
        require("event_type =", event_type);
    }
    let malformed = |error| failed("reading audit events", &error);
    let count = format!("SELECT count(*) FROM audit WHERE {conditions}");
    let total: i64 = rows(client, &count, &parameters)
        .await?
        .first()
        .map_or(Ok(0), |row| row.try_get(0))
        .map_err(malformed)?;
    let page = format!(
        "SELECT body FROM audit WHERE {conditions} ORDER BY at DESC, id DESC LIMIT ${} OFFSET ${}",
        parameters.len() + 1,
        parameters.len() + 2
    );
    parameters.extend([&limit as &(dyn ToSql + Sync), &offset]);
    let events = rows(client, &page, &parameters)
        .await?
        .iter()
        .map(|row| row::audit_event(row.try_get(0).map_err(malformed)?))
        .collect::<Result<_, _>>()?;
    Ok((events, row::from_column(total)))
}
