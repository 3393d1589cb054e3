//! How failures of PostgreSQL become a [`StoreError`].

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::StoreError;

/// What the server or the connection said, without `DETAIL`, which quotes what was to be stored.
pub(super) fn failed(context: &str, error: &Error) -> StoreError {
    let said = match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    StoreError {
        context: format!("PostgreSQL: {context}: {said}"),
        transient: is_transient(error),
        source: None,
    }
}

/// Whether the same may succeed when it is tried again.
pub(super) fn is_transient(error: &Error) -> bool {
    match error.code() {
        // 08 connection, 40 rolled back (deadlock, serialization), 53 resources, 57 operator intervention
        Some(code) => ["08", "40", "53", "57"]
            .iter()
            .any(|class| code.code().starts_with(class)),
        None => true,
    }
}

/// Whether the server answered and its connection goes on: only the statement failed.
pub(super) fn is_of_statement(error: &Error) -> bool {
    error.as_db_error().is_some() && !is_transient(error)
}

/// The server ended the connection. It may have committed before: a commit that waits for a standby is ended so.
pub(super) fn is_of_shutdown(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("57P"))
}

/// The statement came after one that had failed.
pub(super) fn is_consequence(error: &Error) -> bool {
    error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}
