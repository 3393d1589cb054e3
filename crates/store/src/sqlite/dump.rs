//! Backup of all data, and restore into an empty database.

use domain::id::Uid;
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::mpsc;

use super::{audit, schema};
use crate::{
    StoreError,
    backup_format::{DumpedCounter, DumpedDocument, DumpedEntry, DumpedUsage, Item, Load},
    row,
    seal::Sealer,
};

type Items = mpsc::Sender<Result<Item, StoreError>>;

/// The receiver has stopped reading.
struct ReceiverClosed;

/// Sends all data, from one read transaction. Runs on a blocking thread.
pub(super) fn dump(connection: &mut Connection, items: &Items) {
    if let Err(error) = try_dump(connection, items) {
        let _ = items.blocking_send(Err(error));
    }
}

fn try_dump(connection: &mut Connection, items: &Items) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    match dump_documents(&transaction, items)? {
        Ok(()) => dump_rest(&transaction, items),
        Err(ReceiverClosed) => Ok(()),
    }
}

fn dump_documents(
    connection: &Connection,
    items: &Items,
) -> Result<Result<(), ReceiverClosed>, StoreError> {
    let mut documents = connection.prepare(
        "SELECT id, kind, uid, name, revision, created_at, expires_at, body, sealed FROM documents ORDER BY id",
    )?;
    let mut entries = connection.prepare(
        "SELECT name, value, is_unique FROM entries WHERE document = ?1 ORDER BY name, value",
    )?;
    let mut rows = documents.query([])?;
    while let Some(row) = rows.next()? {
        let entries = entries
            .query_map([row.get::<_, i64>(0)?], |row| {
                Ok(DumpedEntry {
                    name: row.get(0)?,
                    value: row.get(1)?,
                    unique: row.get(2)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let document = DumpedDocument {
            kind: row.get(1)?,
            uid: row.get(2)?,
            name: row.get(3)?,
            revision: row.get(4)?,
            created_at: row.get(5)?,
            expires_at: row.get(6)?,
            body: row.get(7)?,
            sealed: row.get(8)?,
            entries,
        };
        if items.blocking_send(Ok(Item::Document(document))).is_err() {
            return Ok(Err(ReceiverClosed));
        }
    }
    Ok(Ok(()))
}

fn dump_rest(connection: &Connection, items: &Items) -> Result<(), StoreError> {
    let mut statement = connection.prepare("SELECT body FROM audit ORDER BY id")?;
    let events = statement.query_map([], |row| Ok(Item::Audit(row.get(0)?)))?;
    send_all(events, items)?;
    let mut statement = connection.prepare("SELECT uid, count, last_at FROM usage")?;
    let usage = statement.query_map([], |row| {
        Ok(Item::Usage(DumpedUsage {
            uid: row.get(0)?,
            count: row.get(1)?,
            last_at: row.get(2)?,
        }))
    })?;
    send_all(usage, items)?;
    let mut statement = connection.prepare("SELECT key, count, resets_at FROM counters")?;
    let counters = statement.query_map([], |row| {
        Ok(Item::Counter(DumpedCounter {
            key: row.get(0)?,
            count: row.get(1)?,
            resets_at: row.get(2)?,
        }))
    })?;
    send_all(counters, items)
}

fn send_all(
    found: impl Iterator<Item = rusqlite::Result<Item>>,
    items: &Items,
) -> Result<(), StoreError> {
    for item in found {
        if items.blocking_send(Ok(item?)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Fills the database with the received items and commits after the last one. Returns false if the sender stopped
/// early. Runs on a blocking thread.
pub(super) fn load(
    connection: &mut Connection,
    sealer: &Sealer,
    cluster_uid: Uid,
    items: &mut mpsc::Receiver<Load>,
) -> Result<bool, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let is_used: bool = transaction.query_row(
        "SELECT EXISTS (SELECT 1 FROM documents) OR EXISTS (SELECT 1 FROM audit)",
        [],
        |row| row.get(0),
    )?;
    if schema::is_restoring(&transaction)? {
        clear(&transaction)?;
    } else if is_used {
        return Err(StoreError::new(
            "the store is not empty: restore into a new data directory or a new database",
        ));
    }
    schema::adopt(&transaction, sealer, cluster_uid)?;
    while let Some(message) = items.blocking_recv() {
        match message {
            Load::Item(item) => load_item(&transaction, item)?,
            Load::Finish => {
                transaction.commit()?;
                return Ok(true);
            }
        }
    }
    // The sender has given up. Dropping the transaction rolls it back.
    Ok(false)
}

/// Deletes the content of an unfinished restore.
fn clear(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(
        "DELETE FROM entries; DELETE FROM documents; DELETE FROM records; DELETE FROM counters;
         DELETE FROM usage; DELETE FROM audit",
    )?;
    Ok(())
}

fn load_item(connection: &Connection, item: Item) -> Result<(), StoreError> {
    match item {
        Item::Document(document) => load_document(connection, &document),
        Item::Audit(body) => audit::append(connection, &[row::audit_event(&body)?]),
        Item::Usage(usage) => {
            connection
                .prepare_cached("INSERT INTO usage (uid, count, last_at) VALUES (?1, ?2, ?3)")?
                .execute(params![usage.uid, usage.count, usage.last_at])?;
            Ok(())
        }
        Item::Counter(counter) => {
            connection
                .prepare_cached("INSERT INTO counters (key, count, resets_at) VALUES (?1, ?2, ?3)")?
                .execute(params![counter.key, counter.count, counter.resets_at])?;
            Ok(())
        }
    }
}

fn load_document(connection: &Connection, document: &DumpedDocument) -> Result<(), StoreError> {
    let id: i64 = connection
        .prepare_cached(
            "INSERT INTO documents (kind, uid, name, revision, created_at, expires_at, body, sealed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING id",
        )?
        .query_row(
            params![
                document.kind,
                document.uid,
                document.name,
                document.revision,
                document.created_at,
                document.expires_at,
                document.body,
                document.sealed
            ],
            |row| row.get(0),
        )?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO entries (kind, name, value, document, expires_at, is_unique)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for entry in &document.entries {
        statement.execute(params![
            document.kind,
            entry.name,
            entry.value,
            id,
            document.expires_at,
            entry.unique
        ])?;
    }
    Ok(())
}
