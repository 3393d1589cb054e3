//! Backup of all data, and restore into an empty database.

use std::pin::pin;

use deadpool_postgres::ClientWrapper;
use domain::id::Uid;
use futures_util::TryStreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::{Error, Row, Transaction, types::ToSql};

use super::{
    deadline::{MAINTENANCE, within},
    error::failed,
    lock, schema,
};
use crate::{
    StoreError,
    backup_format::{DumpedCounter, DumpedDocument, DumpedEntry, DumpedUsage, Item, Load},
    row,
    seal::Sealer,
};

/// The number of documents inserted at once.
const BATCH: usize = 500;

type Items = mpsc::Sender<Result<Item, StoreError>>;

/// Sends all data, from one snapshot.
pub(super) async fn dump(client: &ClientWrapper, items: &Items) {
    if let Err(error) = try_dump(client, items).await {
        let _ = items.send(Err(error)).await;
    }
}

async fn try_dump(client: &ClientWrapper, items: &Items) -> Result<(), StoreError> {
    let begin = client.batch_execute(
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
         BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    );
    step("dumping", begin).await?;
    let documents = "
        SELECT kind, uid, name, revision, created_at, expires_at, body, sealed,
          ARRAY(SELECT e.name FROM entries e WHERE e.kind = d.kind AND e.uid = d.uid
                ORDER BY e.name, e.value, e.is_unique),
          ARRAY(SELECT e.value FROM entries e WHERE e.kind = d.kind AND e.uid = d.uid
                ORDER BY e.name, e.value, e.is_unique),
          ARRAY(SELECT e.is_unique FROM entries e WHERE e.kind = d.kind AND e.uid = d.uid
                ORDER BY e.name, e.value, e.is_unique)
        FROM documents d ORDER BY created_at, uid";
    send_all(client, items, documents, document).await?;
    let audit = "SELECT body FROM audit ORDER BY id";
    send_all(client, items, audit, |row| Ok(Item::Audit(row.try_get(0)?))).await?;
    let usage = "SELECT uid, count, last_at FROM usage";
    send_all(client, items, usage, |row| {
        Ok(Item::Usage(DumpedUsage {
            uid: row.try_get(0)?,
            count: row.try_get(1)?,
            last_at: row.try_get(2)?,
        }))
    })
    .await?;
    let counters = "SELECT convert_from(key, 'UTF8'), count, resets_at FROM counters";
    send_all(client, items, counters, |row| {
        Ok(Item::Counter(DumpedCounter {
            key: row.try_get(0)?,
            count: row.try_get(1)?,
            resets_at: row.try_get(2)?,
        }))
    })
    .await?;
    step("dumping", client.batch_execute("COMMIT")).await
}

/// Runs one step with a deadline.
async fn step<T>(
    what: &str,
    operation: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    let operation = async { operation.await.map_err(|error| failed(what, &error)) };
    within(MAINTENANCE, what, operation).await
}

async fn send_all(
    client: &ClientWrapper,
    items: &Items,
    sql: &str,
    item: impl Fn(&Row) -> Result<Item, Error>,
) -> Result<(), StoreError> {
    let none: [&(dyn ToSql + Sync); 0] = [];
    let mut rows = pin!(step("dumping", client.query_raw(sql, none)).await?);
    while let Some(row) = step("dumping", rows.try_next()).await? {
        let item = item(&row).map_err(|error| failed("dumping", &error))?;
        if items.send(Ok(item)).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn document(row: &Row) -> Result<Item, Error> {
    let names: Vec<String> = row.try_get(8)?;
    let values: Vec<Vec<u8>> = row.try_get(9)?;
    let unique: Vec<bool> = row.try_get(10)?;
    let entries = names.into_iter().zip(values).zip(unique);
    Ok(Item::Document(DumpedDocument {
        kind: row.try_get(0)?,
        uid: row.try_get(1)?,
        name: row.try_get(2)?,
        revision: row.try_get(3)?,
        created_at: row.try_get(4)?,
        expires_at: row.try_get(5)?,
        body: row.try_get(6)?,
        sealed: row.try_get(7)?,
        entries: entries
            .map(|((name, value), unique)| DumpedEntry {
                name,
                value,
                unique,
            })
            .collect(),
    }))
}

/// Fills the database with the received items and commits after the last one. Returns false if the sender stopped
/// early.
pub(super) async fn load(
    client: &mut ClientWrapper,
    sealer: &Sealer,
    cluster_uid: Uid,
    items: &mut mpsc::Receiver<Load>,
) -> Result<bool, StoreError> {
    let loading = |error: Error| failed("restoring", &error);
    let client: &mut tokio_postgres::Client = client;
    let settings = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    step("restoring", client.batch_execute(settings)).await?;
    let transaction = step("restoring", client.transaction()).await?;
    let take_lock = format!("SELECT pg_advisory_xact_lock({})", lock::MIGRATION);
    step("restoring", transaction.batch_execute(&take_lock)).await?;
    let is_used = "SELECT EXISTS (SELECT FROM documents) OR EXISTS (SELECT FROM audit)";
    let is_used: bool = step("restoring", transaction.query_one(is_used, &[]))
        .await?
        .try_get(0)
        .map_err(loading)?;
    let is_restoring = schema::is_restoring(&transaction);
    if within(MAINTENANCE, "restoring", is_restoring).await? {
        // Deletes the content of the unfinished restore.
        let clear = "TRUNCATE entries, documents, records, counters, usage, audit";
        step("restoring", transaction.batch_execute(clear)).await?;
    } else if is_used {
        return Err(StoreError::new(
            "the store is not empty: restore into a new data directory or a new database",
        ));
    }
    let adopt = schema::adopt(&transaction, sealer, cluster_uid);
    within(MAINTENANCE, "restoring", adopt).await?;
    let mut documents = Vec::with_capacity(BATCH);
    while let Some(message) = items.recv().await {
        match message {
            Load::Item(Item::Document(document)) => {
                documents.push(document);
                if documents.len() == BATCH {
                    step("restoring", load_documents(&transaction, &documents)).await?;
                    documents.clear();
                }
            }
            Load::Item(item) => {
                within(MAINTENANCE, "restoring", load_item(&transaction, item)).await?;
            }
            Load::Finish => {
                step("restoring", load_documents(&transaction, &documents)).await?;
                let analyze = schema::analyze(&transaction);
                within(MAINTENANCE, "restoring", analyze).await?;
                step("restoring", transaction.commit()).await?;
                return Ok(true);
            }
        }
    }
    // The sender has given up. Dropping the transaction rolls it back.
    Ok(false)
}

async fn load_documents(
    transaction: &Transaction<'_>,
    documents: &[DumpedDocument],
) -> Result<(), Error> {
    let document = transaction
        .prepare(
            "INSERT INTO documents (kind, uid, name, revision, created_at, expires_at, body, sealed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .await?;
    let entry = transaction
        .prepare(
            "INSERT INTO entries (kind, name, value, uid, expires_at, is_unique)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .await?;
    let inserts = documents.iter().map(async |dumped| {
        let parameters: &[&(dyn ToSql + Sync)] = &[
            &dumped.kind,
            &dumped.uid,
            &dumped.name,
            &dumped.revision,
            &dumped.created_at,
            &dumped.expires_at,
            &dumped.body,
            &dumped.sealed,
        ];
        transaction.execute(&document, parameters).await?;
        for dumped_entry in &dumped.entries {
            let parameters: &[&(dyn ToSql + Sync)] = &[
                &dumped.kind,
                &dumped_entry.name,
                &dumped_entry.value,
                &dumped.uid,
                &dumped.expires_at,
                &dumped_entry.unique,
            ];
            transaction.execute(&entry, parameters).await?;
        }
        Ok::<_, Error>(())
    });
    futures_util::future::try_join_all(inserts)
        .await
        .map(|_| ())
}

async fn load_item(transaction: &Transaction<'_>, item: Item) -> Result<(), StoreError> {
    let loading = |error: Error| failed("restoring", &error);
    match item {
        // Not used: the caller batches documents.
        Item::Document(document) => load_documents(transaction, &[document]).await,
        Item::Audit(body) => {
            let columns = row::EventColumns::of_audit(&row::audit_event(&body)?);
            let event_type = row::audit_event(&body)?.r#type;
            let parameters: &[&(dyn ToSql + Sync)] = &[
                &columns.at.0,
                &event_type,
                &columns.user.as_ref().map(|uid| uid.as_bytes().as_slice()),
                &columns.object.as_ref().map(|uid| uid.as_bytes().as_slice()),
                &body,
            ];
            let sql = "INSERT INTO audit (at, event_type, user_uid, resource_uid, body)
                       VALUES ($1, $2, $3, $4, $5)";
            transaction.execute(sql, parameters).await.map(|_| ())
        }
        Item::Usage(usage) => {
            let sql = "INSERT INTO usage (uid, count, last_at) VALUES ($1, $2, $3)";
            let parameters: &[&(dyn ToSql + Sync)] = &[&usage.uid, &usage.count, &usage.last_at];
            transaction.execute(sql, parameters).await.map(|_| ())
        }
        Item::Counter(counter) => {
            let sql = "INSERT INTO counters (key, count, resets_at) VALUES ($1, $2, $3)";
            let key = counter.key.as_bytes();
            let parameters: &[&(dyn ToSql + Sync)] = &[&key, &counter.count, &counter.resets_at];
            transaction.execute(sql, parameters).await.map(|_| ())
        }
    }
    .map_err(loading)
}
