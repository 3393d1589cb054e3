//! Migrations, the uid of the Cluster, and the check of the master key.

use deadpool_postgres::ClientWrapper;
use domain::{clock::UnixMillis, id::Uid, rng::Rng};
use tokio_postgres::{Client, Error, GenericClient, Transaction};

use super::{error::failed, lock};
use crate::{
    StoreError,
    migration::pending,
    row,
    seal::{Sealer, SecretLocation},
};

const CLUSTER_UID: &str = "cluster-uid";
const KEY_CHECK: &str = "key-check";
/// The mark of an unfinished restore.
const RESTORING: &str = "restoring";

/// Migrates the schema and returns the uid of the Cluster, which is created at the first migration. Replicas that start
/// concurrently wait for each other.
pub(super) async fn prepare(
    client: &mut ClientWrapper,
    sealer: &Sealer,
    now: UnixMillis,
    rng: &dyn Rng,
) -> Result<Uid, StoreError> {
    let migrating = |error: Error| failed("migrating", &error);
    let client: &mut Client = client;
    let transaction = client.transaction().await.map_err(migrating)?;
    transaction
        .batch_execute(&format!(
            "SET LOCAL statement_timeout = 0;
             SELECT pg_advisory_xact_lock({});
             CREATE TABLE IF NOT EXISTS migrations (
               number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)",
            lock::MIGRATION
        ))
        .await
        .map_err(migrating)?;
    let applied: i32 = transaction
        .query_one("SELECT coalesce(max(number), 0) FROM migrations", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(migrating)?;
    let mut has_migrated = false;
    for migration in pending(u32::try_from(applied).unwrap_or(0))? {
        has_migrated = true;
        let context = format!("migration {}", migration.name);
        transaction
            .batch_execute(migration.postgres)
            .await
            .map_err(|error| failed(&context, &error))?;
        let number = i32::try_from(migration.number).unwrap_or(i32::MAX);
        transaction
            .execute(
                "INSERT INTO migrations (number, name, applied_at) VALUES ($1, $2, $3)",
                &[&number, &migration.name, &now.0],
            )
            .await
            .map_err(|error| failed(&context, &error))?;
    }
    if has_migrated {
        analyze(&transaction).await?;
    }
    let uid = cluster_uid(&transaction, rng).await?;
    check_key(&transaction, sealer, uid).await?;
    transaction.commit().await.map_err(migrating)?;
    Ok(uid)
}

/// Fails if the server has no synchronous standbys.
pub(super) async fn check_standbys(client: &ClientWrapper) -> Result<(), StoreError> {
    let names: String = client
        .query_one("SELECT current_setting('synchronous_standby_names')", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(|error| failed("reading the standbys", &error))?;
    if names.trim().is_empty() {
        return Err(StoreError::new(
            "changes must wait for a standby, but the database server has none: set synchronous_standby_names",
        ));
    }
    Ok(())
}

/// Updates the statistics, so that the planner knows the size of the tables at once.
pub(super) async fn analyze(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    transaction
        .batch_execute(
            "ANALYZE documents, entries, changes, records, counters, usage, audit, access",
        )
        .await
        .map_err(|error| failed("collecting statistics", &error))
}

async fn meta(client: &impl GenericClient, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    client
        .query_opt("SELECT value FROM meta WHERE name = $1", &[&name])
        .await
        .and_then(|row| row.map(|row| row.try_get(0)).transpose())
        .map_err(|error| failed("reading meta", &error))
}

pub(super) async fn set_meta(
    client: &impl GenericClient,
    name: &str,
    value: &[u8],
) -> Result<(), StoreError> {
    client
        .execute(
            "INSERT INTO meta (name, value) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[&name, &value],
        )
        .await
        .map(|_| ())
        .map_err(|error| failed("writing meta", &error))
}

async fn cluster_uid(transaction: &Transaction<'_>, rng: &dyn Rng) -> Result<Uid, StoreError> {
    if let Some(bytes) = meta(transaction, CLUSTER_UID).await? {
        return row::uid(&bytes);
    }
    let uid = Uid::random(rng);
    set_meta(transaction, CLUSTER_UID, uid.as_bytes()).await?;
    Ok(uid)
}

/// Sets the uid of the Cluster, for a restore, and marks the restore as unfinished.
pub(super) async fn adopt(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
    cluster: Uid,
) -> Result<(), StoreError> {
    set_meta(transaction, CLUSTER_UID, cluster.as_bytes()).await?;
    set_meta(transaction, RESTORING, &[]).await?;
    seal_key_check(transaction, sealer).await
}

/// Returns true if a restore has begun and has not finished.
pub(super) async fn is_restoring(client: &impl GenericClient) -> Result<bool, StoreError> {
    Ok(meta(client, RESTORING).await?.is_some())
}

/// Removes the mark of an unfinished restore.
pub(super) async fn finish_restore(client: &Client) -> Result<(), StoreError> {
    client
        .execute("DELETE FROM meta WHERE name = $1", &[&RESTORING])
        .await
        .map(|_| ())
        .map_err(|error| failed("writing meta", &error))
}

/// Seals the key check under the current master key.
pub(super) async fn seal_key_check(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let cluster = meta(transaction, CLUSTER_UID).await?.unwrap_or_default();
    let place = SecretLocation::of_cluster(row::uid(&cluster)?);
    set_meta(transaction, KEY_CHECK, &sealer.seal(place, &[])?).await
}

/// Checks the master key: the value sealed at the first start must open at every later one.
async fn check_key(
    transaction: &Transaction<'_>,
    sealer: &Sealer,
    cluster: Uid,
) -> Result<(), StoreError> {
    let place = SecretLocation::of_cluster(cluster);
    if let Some(sealed) = meta(transaction, KEY_CHECK).await? {
        return sealer.check(place, &sealed);
    }
    set_meta(transaction, KEY_CHECK, &sealer.seal(place, &[])?).await
}
