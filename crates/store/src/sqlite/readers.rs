//! A pool of connections that read, on blocking threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::connection::open_reader;
use crate::StoreError;

/// The maximum number of concurrent reads.
const READERS: usize = 4;

/// The connections, which are opened on demand and kept until the store is dropped.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// Runs `read` on a blocking thread, in one transaction, so that it sees a consistent state of the store.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::transient("the readers have stopped"))?;
        let idle = Arc::clone(&self.idle);
        let taken = lock(&idle).pop();
        let path = taken.is_none().then(|| self.path.clone());
        spawn_blocking(move || {
            let connection = match (taken, path) {
                (Some(connection), _) => connection,
                (None, Some(path)) => open_reader(&path)?,
                (None, None) => return Err(StoreError::transient("no reader")),
            };
            let result = in_transaction(&connection, read);
            if connection.is_autocommit() {
                lock(&idle).push(connection);
            }
            drop(permit);
            result
        })
        .await
        .map_err(|error| StoreError::transient("a read was interrupted").caused_by(error))?
    }
}

fn in_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let result = read(connection);
    connection.prepare_cached("COMMIT")?.execute([])?;
    result
}

fn lock(idle: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
