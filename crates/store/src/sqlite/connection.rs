//! Connections and their settings.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use rusqlite::Connection;

use crate::StoreError;

/// The time that a writer waits for a writer of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Creates the directory with mode 0700.
pub(super) fn prepare_directory(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| {
            StoreError::new(format!("data directory {}", directory.display())).caused_by(error)
        })
}

/// Creates the database file with mode 0600, regardless of the umask. SQLite gives the same mode to the write-ahead log
/// and its index. Existing files with a wider mode are restricted, with a warning.
pub(super) fn prepare_files(path: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path, error| {
        StoreError::new(format!(
            "cannot restrict database {} to its owner",
            path.display()
        ))
        .caused_by(error)
    };
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path, error)),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        let file = Path::new(&file);
        let mode = match fs::metadata(file) {
            Ok(metadata) => metadata.permissions().mode(),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(file, error)),
        };
        if mode & 0o077 != 0 {
            tracing::warn!(
                path = %file.display(),
                mode = format!("{:o}", mode & 0o777),
                "this file was accessible to users other than its owner; its permissions are now restricted"
            );
            fs::set_permissions(file, Permissions::from_mode(0o600))
                .map_err(|error| failed(file, error))?;
        }
    }
    Ok(())
}

/// Opens the connection that writes.
///
/// Most pages that a login writes contain random keys. They stay in the cache until commit instead of being spilled and
/// read again, and large checkpoints write each page to the database file only once. Temporary storage is not in
/// memory: SQLite truncates a statement journal in memory by walking through all of it, which makes large transactions
/// quadratic. It is in the directory of the database, which is writable and private. The system may have no other such
/// directory.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path)?;
    put_temporary_files_beside(path, &connection)?;
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

/// Puts the temporary files of SQLite into the directory of the database. The setting applies to the whole process, and
/// SQLite guards it with a lock. It is harmless that the last opened store sets it: SQLite skips a directory that does
/// not exist.
fn put_temporary_files_beside(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    let directory = path.parent().and_then(Path::to_str).ok_or_else(|| {
        StoreError::new(format!(
            "{}: the data directory must have a name in UTF-8",
            path.display()
        ))
    })?;
    let directory = if directory.is_empty() { "." } else { directory };
    connection.pragma_update(None, "temp_store_directory", directory)?;
    Ok(())
}

/// Opens a connection that cannot write.
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

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    fn modes(directory: &Path) -> Vec<(String, u32)> {
        let mut modes: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), mode)
            })
            .collect();
        modes.sort();
        modes
    }

    fn write_and_list(path: &Path) -> Vec<(String, u32)> {
        prepare_files(path).unwrap();
        let connection = open_writer(path).unwrap();
        connection
            .execute_batch("CREATE TABLE IF NOT EXISTS t (id INTEGER)")
            .unwrap();
        modes(path.parent().unwrap())
    }

    fn owner_alone() -> Vec<(String, u32)> {
        ["test.db", "test.db-shm", "test.db-wal"]
            .map(|name| (name.to_owned(), 0o600))
            .to_vec()
    }

    /// Held while a test opens a writer: the directory for temporary files is a setting of the process.
    static WRITER: Mutex<()> = Mutex::new(());

    fn exclusively() -> MutexGuard<'static, ()> {
        WRITER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn a_database_and_its_log_are_for_their_owner_alone_s11() {
        let _writer = exclusively();
        let directory = tempfile::tempdir().unwrap();
        // The mode must not depend on the umask of the test process: the usual one lets others read.
        let plain = directory.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let path = plain.join("test.db");
        assert_eq!(write_and_list(&path), owner_alone());
    }

    #[test]
    fn a_database_that_others_could_read_is_closed_to_them_s11() {
        let _writer = exclusively();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        prepare_files(&path).unwrap();
        let before = open_writer(&path).unwrap();
        before.execute_batch("CREATE TABLE t (id INTEGER)").unwrap();
        for (name, _) in modes(directory.path()) {
            let file = directory.path().join(name);
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        assert_eq!(write_and_list(&path), owner_alone());
    }

    #[test]
    fn temporary_files_are_beside_the_database() {
        let _writer = exclusively();
        let directory = tempfile::tempdir().unwrap();
        let connection = open_writer(&directory.path().join("test.db")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
                 INSERT INTO t SELECT i, zeroblob(3000) FROM n;
                 BEGIN; SAVEPOINT work; UPDATE t SET body = randomblob(3000);",
            )
            .unwrap();
        let open: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            // The temporary file is unlinked and has no name.
            .filter(|file| file.to_string_lossy().contains("/#"))
            .collect();
        assert!(!open.is_empty(), "nothing was spilled");
        for file in open {
            assert_eq!(file.parent(), Some(directory.path()), "{file:?}");
        }
    }
}
