//! Executes a transaction in a savepoint of the writer.

use domain::clock::UnixMillis;
use rusqlite::Connection;

use super::{audit, change, document, ephemeral};
use crate::{
    CommitError, Committed, Operation, StoreError,
    prepared::{Prepared, Step},
};

/// Executes all steps. If one fails, the caller must roll back.
pub(super) fn run(connection: &Connection, prepared: &Prepared) -> Result<Committed, CommitError> {
    let now = prepared.now;
    let mut revisions = Vec::new();
    for step in &prepared.steps {
        match step {
            Step::Put {
                document,
                sealed,
                expected,
            } => revisions.push(document::put(
                connection,
                document,
                sealed.as_deref(),
                *expected,
                now,
            )?),
            Step::Other(operation) => run_other(connection, operation, now)?,
        }
    }
    Ok(Committed {
        revisions,
        cursor: change::head(connection)?,
    })
}

fn run_other(
    connection: &Connection,
    operation: &Operation,
    now: UnixMillis,
) -> Result<(), CommitError> {
    match operation {
        Operation::Put(..) => Err(StoreError::new("a step was not prepared").into()),
        Operation::Delete(kind, uid, revision) => {
            document::delete(connection, *kind, *uid, *revision, now)
        }
        Operation::Unchanged(kind, uid, revision) => {
            document::unchanged(connection, *kind, *uid, *revision, now)
        }
        Operation::Limit {
            kind,
            index,
            value,
            below,
        } => document::limit(connection, *kind, index, value, *below, now),
        Operation::Record {
            kind,
            key,
            value,
            expires_at,
        } => ephemeral::record(connection, kind, key, value, *expires_at, now),
        Operation::Audit(event) => Ok(audit::append(connection, std::slice::from_ref(event))?),
    }
}
