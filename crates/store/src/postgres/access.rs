//! Access events.

use api::platform_v1::AccessEvent;
use deadpool_postgres::Client;
use domain::clock::UnixMillis;

use super::{error::failed, query::rows};
use crate::{
    ACCESS_KEPT_FOR, StoreError,
    row::{self, ACCESS_CLASSES, AccessEnds},
};

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
    let bodies: Vec<Vec<u8>> = events.iter().map(row::access_body).collect();
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

/// Finds the events beyond the limits. Reads the whole table, so do not call it in a transaction that holds locks.
pub(super) async fn ends(client: &Client) -> Result<AccessEnds, StoreError> {
    let mut ends = AccessEnds::default();
    for (end, class) in ends.iter_mut().zip(ACCESS_CLASSES) {
        // The stored size of a row, which avoids reading values outside the table (TOAST).
        let sql = format!(
            "SELECT max(id) FROM (
               SELECT id, row_number() OVER newest AS rows,
                 sum(pg_column_size(body)) OVER newest AS bytes
               FROM access WHERE {} WINDOW newest AS (ORDER BY id DESC)) sized
             WHERE rows > $1 OR bytes > $2",
            class.condition
        );
        let limits = (i64::from(class.rows), i64::from(class.bytes));
        let found = rows(client, &sql, &[&limits.0, &limits.1]).await?;
        if let Some(row) = found.first() {
            *end = row
                .try_get(0)
                .map_err(|error| failed("reading access events", &error))?;
        }
    }
    Ok(ends)
}

/// Deletes a batch of the events that are too old or beyond the limits. Returns the number of deleted events.
pub(super) async fn trim(
    client: &Client,
    now: UnixMillis,
    ends: AccessEnds,
    slice: i64,
) -> Result<u64, StoreError> {
    let collecting = |error| failed("collecting", &error);
    let old = now.saturating_sub(ACCESS_KEPT_FOR).0;
    let mut removed = client
        .execute(
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            &[&old, &slice],
        )
        .await
        .map_err(collecting)?;
    for (end, class) in ends.into_iter().zip(ACCESS_CLASSES) {
        let Some(end) = end else {
            continue;
        };
        let sql = format!(
            "DELETE FROM access WHERE id IN (
               SELECT id FROM access WHERE {} AND id <= $1
               ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)",
            class.condition
        );
        removed += client
            .execute(&sql, &[&end, &slice])
            .await
            .map_err(collecting)?;
    }
    Ok(removed)
}
