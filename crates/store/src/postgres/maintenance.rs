//! Consistency checks and key rotation.

use deadpool_postgres::ClientWrapper;
use domain::{id::Uid, kind::Kind};
use tokio_postgres::{Error, GenericClient};

use super::{error::failed, lock, schema};
use crate::{
    Finding, StoreError, row,
    seal::{Sealer, SecretLocation},
};

/// Checks the database for problems.
pub(super) async fn check(
    client: &ClientWrapper,
    sealer: &Sealer,
) -> Result<Vec<Finding>, StoreError> {
    let checking = |error: Error| failed("checking", &error);
    client
        .batch_execute("SET statement_timeout = 0")
        .await
        .map_err(checking)?;
    let mut findings = Vec::new();
    let orphans: i64 = client
        .query_one(
            "SELECT count(*) FROM entries e
             WHERE NOT EXISTS (SELECT FROM documents d WHERE d.kind = e.kind AND d.uid = e.uid)",
            &[],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(checking)?;
    if orphans > 0 {
        findings.push(Finding(format!(
            "{orphans} index entries belong to no document"
        )));
    }
    let kinds = client
        .query("SELECT DISTINCT kind FROM documents", &[])
        .await
        .map_err(checking)?;
    for row in kinds {
        let kind: String = row.try_get(0).map_err(checking)?;
        if kind.parse::<Kind>().is_err() {
            findings.push(Finding(format!("documents of the unknown kind {kind:?}")));
        }
    }
    for (kind, uid, sealed) in all_sealed(&**client).await? {
        if let Err(error) = sealer.open(SecretLocation::of_document(kind, uid), &sealed) {
            findings.push(Finding(error.context));
        }
    }
    Ok(findings)
}

/// Seals again every secret that is not sealed under the current key. Returns the number of resealed secrets.
pub(super) async fn reseal(client: &mut ClientWrapper, sealer: &Sealer) -> Result<u64, StoreError> {
    let resealing = |error: Error| failed("resealing", &error);
    let client: &mut tokio_postgres::Client = client;
    let transaction = client.transaction().await.map_err(resealing)?;
    // Locked, so that this does not overwrite a secret that is written concurrently with its previous value.
    transaction
        .batch_execute(&format!(
            "SET LOCAL statement_timeout = 0;
             SELECT pg_advisory_xact_lock({});
             LOCK TABLE documents IN SHARE ROW EXCLUSIVE MODE",
            lock::MIGRATION
        ))
        .await
        .map_err(resealing)?;
    let update = transaction
        .prepare("UPDATE documents SET sealed = $3 WHERE kind = $1 AND uid = $2")
        .await
        .map_err(resealing)?;
    let mut count = 0;
    for (kind, uid, sealed) in all_sealed(&transaction).await? {
        if sealer.is_present(&sealed) {
            continue;
        }
        let place = SecretLocation::of_document(kind, uid);
        let sealed = sealer.seal(place, &sealer.open(place, &sealed)?)?;
        transaction
            .execute(
                &update,
                &[&kind.as_str(), &uid.as_bytes().as_slice(), &sealed],
            )
            .await
            .map_err(resealing)?;
        count += 1;
    }
    schema::seal_key_check(&transaction, sealer).await?;
    transaction.commit().await.map_err(resealing)?;
    Ok(count)
}

async fn all_sealed(client: &impl GenericClient) -> Result<Vec<(Kind, Uid, Vec<u8>)>, StoreError> {
    let reading = |error: Error| failed("reading", &error);
    let rows = client
        .query(
            "SELECT kind, uid, sealed FROM documents WHERE sealed IS NOT NULL",
            &[],
        )
        .await
        .map_err(reading)?;
    let mut sealed = Vec::with_capacity(rows.len());
    for row in rows {
        let kind: String = row.try_get(0).map_err(reading)?;
        // The check of kinds reports unknown kinds.
        let Ok(kind) = kind.parse() else { continue };
        let uid = row::uid(row.try_get(1).map_err(reading)?)?;
        sealed.push((kind, uid, row.try_get(2).map_err(reading)?));
    }
    Ok(sealed)
}
