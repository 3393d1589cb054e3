//! Conversion of PostgreSQL errors to [`StoreError`].

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::StoreError;

/// Converts an error of the server or the connection. Leaves out `DETAIL`, which quotes the data to be stored.
pub(super) fn failed(context: &str, error: &Error) -> StoreError {
    let message = match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    StoreError {
        context: format!("PostgreSQL: {context}: {message}"),
        transient: is_transient(error),
        source: None,
    }
}

/// Returns whether a retry may succeed.
pub(super) fn is_transient(error: &Error) -> bool {
    match error.code() {
        // 08 connection, 40 rolled back (deadlock, serialization), 53 resources, 57 operator intervention
        Some(code) => ["08", "40", "53", "57"]
            .iter()
            .any(|class| code.code().starts_with(class)),
        None => true,
    }
}

/// Returns whether only the statement failed and the connection is still usable.
pub(super) fn is_of_statement(error: &Error) -> bool {
    error.as_db_error().is_some() && !is_transient(error)
}

/// Returns whether the server ended the connection. A commit may have succeeded before: the server can end a commit
/// that waits for a standby in this way.
pub(super) fn is_of_shutdown(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|code| code.code().starts_with("57P"))
}

/// Returns whether the statement failed only because an earlier one in the transaction had failed.
pub(super) fn is_consequence(error: &Error) -> bool {
    error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}
