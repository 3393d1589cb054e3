//! Construction of a [`StoreError`], and conversion of SQLite errors.

use std::{error::Error, sync::Arc};

use crate::StoreError;

impl StoreError {
    /// Creates an error for which a retry does not help.
    pub fn new(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            transient: false,
            source: None,
        }
    }

    /// Creates an error that a retry may resolve, such as a lost connection or a full queue.
    pub fn transient(context: impl Into<String>) -> Self {
        Self {
            context: context.into(),
            transient: true,
            source: None,
        }
    }

    /// Adds the cause, which must not contain stored data.
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
