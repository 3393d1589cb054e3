//! Migrations, the uid of the Cluster, and the check of the master key.

use domain::{clock::UnixMillis, id::Uid, rng::Rng};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

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

/// Migrates the schema and returns the uid of the Cluster, which is created at the first migration.
pub(super) fn prepare(
    connection: &mut Connection,
    sealer: &Sealer,
    now: UnixMillis,
    rng: &dyn Rng,
) -> Result<Uid, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
           number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    )?;
    let applied: u32 = transaction.query_row(
        "SELECT coalesce(max(number), 0) FROM migrations",
        [],
        |row| row.get(0),
    )?;
    for migration in pending(applied)? {
        transaction
            .execute_batch(migration.sqlite)
            .map_err(|error| StoreError::new(format!("migration {}: {error}", migration.name)))?;
        transaction.execute(
            "INSERT INTO migrations (number, name, applied_at) VALUES (?1, ?2, ?3)",
            params![migration.number, migration.name, now.0],
        )?;
    }
    let uid = cluster_uid(&transaction, rng)?;
    check_key(&transaction, sealer, uid)?;
    transaction.commit()?;
    Ok(uid)
}

pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?)
}

pub(super) fn set_meta(
    connection: &Connection,
    name: &str,
    value: &[u8],
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO meta (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![name, value])?;
    Ok(())
}

fn cluster_uid(connection: &Connection, rng: &dyn Rng) -> Result<Uid, StoreError> {
    if let Some(bytes) = meta(connection, CLUSTER_UID)? {
        return row::uid(&bytes);
    }
    let uid = Uid::random(rng);
    set_meta(connection, CLUSTER_UID, uid.as_bytes())?;
    Ok(uid)
}

/// Sets the uid of the Cluster, for a restore, and marks the restore as unfinished.
pub(super) fn adopt(
    connection: &Connection,
    sealer: &Sealer,
    cluster: Uid,
) -> Result<(), StoreError> {
    set_meta(connection, CLUSTER_UID, cluster.as_bytes())?;
    set_meta(connection, RESTORING, &[])?;
    seal_key_check(connection, sealer)
}

/// Returns true if a restore has begun and has not finished.
pub(super) fn is_restoring(connection: &Connection) -> Result<bool, StoreError> {
    Ok(meta(connection, RESTORING)?.is_some())
}

/// Removes the mark of an unfinished restore.
pub(super) fn finish_restore(connection: &Connection) -> Result<(), StoreError> {
    connection.execute("DELETE FROM meta WHERE name = ?1", [RESTORING])?;
    Ok(())
}

/// Seals the key check under the current master key.
pub(super) fn seal_key_check(connection: &Connection, sealer: &Sealer) -> Result<(), StoreError> {
    let cluster = meta(connection, CLUSTER_UID)?.unwrap_or_default();
    let place = SecretLocation::of_cluster(row::uid(&cluster)?);
    set_meta(connection, KEY_CHECK, &sealer.seal(place, &[])?)
}

/// Checks the master key: the value sealed at the first start must open at every later one.
fn check_key(connection: &Connection, sealer: &Sealer, cluster: Uid) -> Result<(), StoreError> {
    let place = SecretLocation::of_cluster(cluster);
    if let Some(sealed) = meta(connection, KEY_CHECK)? {
        return sealer.check(place, &sealed);
    }
    set_meta(connection, KEY_CHECK, &sealer.seal(place, &[])?)
}
