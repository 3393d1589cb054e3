//! Audit events.

use api::platform_v1::AuditEvent;
use deadpool_postgres::Client;
use domain::clock::UnixMillis;

use super::{error::failed, query::rows};
use crate::{StoreError, row};

pub(super) async fn append(client: &Client, events: &[AuditEvent]) -> Result<(), StoreError> {
    let columns: Vec<row::EventColumns> = events.iter().map(row::EventColumns::of_audit).collect();
    let at: Vec<i64> = columns.iter().map(|columns| columns.at.0).collect();
    let types: Vec<&str> = events.iter().map(|event| event.r#type.as_str()).collect();
    let users: Vec<Option<&[u8]>> = columns
        .iter()
        .map(|columns| columns.user.as_ref().map(|uid| uid.as_bytes().as_slice()))
        .collect();
    let resources: Vec<Option<&[u8]>> = columns
        .iter()
        .map(|columns| columns.object.as_ref().map(|uid| uid.as_bytes().as_slice()))
        .collect();
    let bodies: Vec<Vec<u8>> = events.iter().map(row::audit_body).collect();
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

/// Deletes a batch of the events before `before`. Returns the number of deleted events.
pub(super) async fn trim(client: &Client, before: UnixMillis) -> Result<u64, StoreError> {
    client
        .execute(
            "DELETE FROM audit WHERE id IN (
               SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            &[&before.0, &row::EVENTS_SLICE],
        )
        .await
        .map_err(|error| failed("removing audit events", &error))
}
