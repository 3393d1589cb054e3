//! How failures of backends become a [`StoreError`].

use std::{error::Error, sync::Arc};

use crate::StoreError;

impl StoreError {
    /// A failure that trying again does not mend.
    pub fn new(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            transient: false,
            source: None,
        }
    }

    /// A failure that may pass: a lost connection, a full queue.
    pub fn transient(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            transient: true,
            source: None,
        }
    }

    /// With its cause. The cause must not hold what was stored.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        let transient = matches!(
            error.sqlite_error_code(),
            Some(DatabaseBusy | DatabaseLocked | DiskFull)
        );
        Self {
            context: format!("SQLite: {error}"),
            transient,
            source: None,
        }
    }
}
