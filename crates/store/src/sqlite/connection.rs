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
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA cache_size = -8192;
         PRAGMA wal_autocheckpoint = 4096;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY;",
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
