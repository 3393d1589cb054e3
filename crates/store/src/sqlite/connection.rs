//! Connections and how they are set.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt as _, path::Path, time::Duration};

use rusqlite::Connection;

use crate::StoreError;

/// How long a writer waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes the directory, for its owner alone.
pub(super) fn prepare_directory(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| {
            StoreError::new(format!("data directory {}", directory.display())).caused_by(error)
        })
}

/// The connection that writes.
///
/// Pages of random keys make up most of what a login writes. They are kept until commit rather than spilled and
/// read again, and reach the database file in large checkpoints, which write each page once. Temporary storage is
/// not kept in memory: SQLite shortens a statement journal that is there by walking through all of it, which makes
/// large transactions quadratic.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA cache_size = -16384;
         PRAGMA cache_spill = OFF;
         PRAGMA wal_autocheckpoint = 16384;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::new(format!(
            "{}: the file system does not allow a write-ahead log (journal mode is {mode}); use a local disk",
            path.display()
        )));
    }
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path)?;
    connection.execute_batch(
        "PRAGMA query_only = ON;
         PRAGMA cache_size = -2048;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)
        .map_err(|error| StoreError::new(format!("database {}: {error}", path.display())))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
