//! Access events.

use api::platform_v1::AccessEvent;
use deadpool_postgres::Client;
use domain::clock::UnixMillis;

use super::{error::failed, query::rows};
use crate::{ACCESS_KEPT, ACCESS_KEPT_FOR, StoreError, row};

/// Appends events.
pub(super) async fn append(client: &Client, events: &[AccessEvent]) -> Result<(), StoreError> {
    let columns: Vec<row::EventColumns> = events.iter().map(row::EventColumns::of_access).collect();
    let at: Vec<i64> = columns.iter().map(|columns| columns.at.0).collect();
    let decisions: Vec<i64> = events
        .iter()
        .map(|event| i64::from(event.decision))
        .collect();
    let users: Vec<Option<Vec<u8>>> = columns
        .iter()
        .map(|columns| columns.user.map(|uid| uid.as_bytes().to_vec()))
        .collect();
    let services: Vec<Option<Vec<u8>>> = columns
        .iter()
        .map(|columns| columns.object.map(|uid| uid.as_bytes().to_vec()))
        .collect();
    let bodies: Vec<Vec<u8>> = events.iter().map(prost::Message::encode_to_vec).collect();
    rows(
        client,
        "INSERT INTO access (at, decision, user_uid, service_uid, body)
         SELECT e.at, e.decision, e.user_uid, e.service_uid, e.body
         FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])
           WITH ORDINALITY AS e (at, decision, user_uid, service_uid, body, place)
         ORDER BY e.place",
        &[&at, &decisions, &users, &services, &bodies],
    )
    .await
    .map(|_| ())
}

/// Forgets a part of those that are too old, or too many. Returns how many went.
pub(super) async fn trim(client: &Client, now: UnixMillis, slice: i64) -> Result<u64, StoreError> {
    let mut removed = 0;
    for (sql, bound) in [
        (
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE id <= (SELECT max(id) FROM access) - $1::bigint
               ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
            i64::from(ACCESS_KEPT),
        ),
        (
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now.saturating_sub(ACCESS_KEPT_FOR).0,
        ),
    ] {
        removed += client
            .execute(sql, &[&bound, &slice])
            .await
            .map_err(|error| failed("collecting", &error))?;
    }
    Ok(removed)
}
