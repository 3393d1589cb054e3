//! Executes the steps of one transaction and reads their results.

use deadpool_postgres::ClientWrapper;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use tokio_postgres::{Error, types::ToSql};

use super::{change::PendingChange, statement::Statements};
use crate::{CommitError, Expected, NewDocument, Operation, Revision, prepared::Step, row};

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The result of a step.
pub(super) enum StepResult {
    /// Success of a `Put`, with the change to log, if any.
    Put(Revision, Option<PendingChange>),
    /// Success of another step, with the change to log, if any.
    Other(Option<PendingChange>),
    /// Another document, which may have expired, has the uid, the name or a unique index value.
    Held {
        /// True if the document was written, but not all of its index entries.
        is_stored: bool,
    },
    /// The expectation did not match.
    Refused(CommitError),
}

/// Executes `step`. Its statement is sent when the future is first polled.
pub(super) async fn run(
    client: &ClientWrapper,
    statements: &Statements,
    step: &Step,
    now: UnixMillis,
) -> Result<StepResult, Error> {
    match step {
        Step::Put {
            document,
            sealed,
            expected,
        } => {
            put(
                client,
                statements,
                document,
                sealed.as_deref(),
                *expected,
                now,
            )
            .await
        }
        Step::Other(operation) => other(client, statements, operation, now).await,
    }
}

async fn put(
    client: &ClientWrapper,
    statements: &Statements,
    document: &NewDocument,
    sealed: Option<&[u8]>,
    expected: Expected,
    now: UnixMillis,
) -> Result<StepResult, Error> {
    let entries = row::entries(&document.indexes);
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    let values: Vec<&[u8]> = entries.iter().map(|entry| entry.value.as_slice()).collect();
    let unique: Vec<bool> = entries.iter().map(|entry| entry.unique).collect();
    let kind = document.kind.as_str();
    let uid = document.uid.as_bytes().as_slice();
    let expires_at = row::expiry_to_column(document.expires_at);
    let row = match expected {
        Expected::Absent => {
            client
                .query_one(
                    &statements.insert,
                    &[
                        &kind,
                        &uid,
                        &document.name,
                        &document.created_at.0,
                        &expires_at,
                        &document.body,
                        &sealed,
                        &names,
                        &values,
                        &unique,
                    ],
                )
                .await?
        }
        Expected::Revision(revision) => {
            client
                .query_one(
                    &statements.update,
                    &[
                        &kind,
                        &uid,
                        &document.name,
                        &expires_at,
                        &document.body,
                        &sealed,
                        &row::to_column(revision.0),
                        &now.0,
                        &names,
                        &values,
                        &unique,
                    ],
                )
                .await?
        }
    };
    let revision: Option<i64> = row.try_get(0)?;
    let has_all_entries: bool = row.try_get(1)?;
    let is_new = expected == Expected::Absent;
    Ok(match revision {
        None if is_new => StepResult::Held { is_stored: false },
        None => StepResult::Refused(CommitError::Conflict {
            kind: document.kind,
            uid: document.uid,
        }),
        Some(_) if !has_all_entries => StepResult::Held { is_stored: true },
        Some(revision) => {
            let revision = Revision(row::from_column(revision));
            // The creation of a Session is not logged, so that logins do not wait for the log. Replicas fetch a Session
            // at its first use.
            let is_logged = !(is_new && document.kind == Kind::Session);
            let change = is_logged.then(|| PendingChange {
                at: now,
                kind: document.kind,
                uid: document.uid,
                name: document.name.clone(),
                revision: Some(revision),
            });
            StepResult::Put(revision, change)
        }
    })
}

async fn other(
    client: &ClientWrapper,
    statements: &Statements,
    operation: &Operation,
    now: UnixMillis,
) -> Result<StepResult, Error> {
    match operation {
        Operation::Delete(kind, uid, revision) => {
            delete(client, statements, (*kind, *uid), *revision, now).await
        }
        Operation::Unchanged(kind, uid, revision) => {
            let revision = row::to_column(revision.0);
            let (kind_column, uid_column) = (kind.as_str(), uid.as_bytes().as_slice());
            let parameters: Parameters<'_> = &[&kind_column, &uid_column, &revision, &now.0];
            let found = client.query_opt(&statements.unchanged, parameters).await?;
            let refusal = CommitError::Conflict {
                kind: *kind,
                uid: *uid,
            };
            Ok(done_if(found.is_some(), refusal))
        }
        Operation::Limit {
            kind,
            index,
            value,
            below,
        } => {
            let below = i64::from(*below);
            let value = row::index_value(value);
            let parameters: Parameters<'_> = &[&kind.as_str(), index, &value, &now.0, &below];
            let row = client.query_one(&statements.limit, parameters).await?;
            let refusal = CommitError::LimitReached { kind: *kind, index };
            Ok(done_if(row.try_get::<_, i64>(0)? < below, refusal))
        }
        Operation::Record {
            kind,
            key,
            value,
            expires_at,
        } => {
            let parameters: Parameters<'_> = &[kind, key, value, &expires_at.0, &now.0];
            let stored = client.query_opt(&statements.record, parameters).await?;
            Ok(done_if(stored.is_some(), CommitError::RecordTaken))
        }
        Operation::Audit(event) => {
            let columns = row::EventColumns::of_audit(event);
            let parameters: Parameters<'_> = &[
                &columns.at.0,
                &event.r#type,
                &columns.user.as_ref().map(|uid| uid.as_bytes().as_slice()),
                &columns.object.as_ref().map(|uid| uid.as_bytes().as_slice()),
                &row::audit_body(event),
            ];
            client.execute(&statements.audit, parameters).await?;
            Ok(StepResult::Other(None))
        }
        // `prepare` converts each `Put` to its own step. Failing is the safe response if one was missed.
        Operation::Put(document, _) => Ok(StepResult::Refused(CommitError::Conflict {
            kind: document.kind,
            uid: document.uid,
        })),
    }
}

async fn delete(
    client: &ClientWrapper,
    statements: &Statements,
    (kind, uid): (Kind, Uid),
    revision: Option<Revision>,
    now: UnixMillis,
) -> Result<StepResult, Error> {
    let revision = revision.map(|revision| row::to_column(revision.0));
    let (kind_column, uid_column) = (kind.as_str(), uid.as_bytes().as_slice());
    let parameters: Parameters<'_> = &[&kind_column, &uid_column, &now.0, &revision];
    let deleted = client.query_opt(&statements.delete, parameters).await?;
    let Some(row) = deleted else {
        return Ok(StepResult::Refused(CommitError::Conflict { kind, uid }));
    };
    Ok(StepResult::Other(Some(PendingChange {
        at: now,
        kind,
        uid,
        name: row.try_get(0)?,
        revision: None,
    })))
}

fn done_if(holds: bool, refusal: CommitError) -> StepResult {
    if holds {
        StepResult::Other(None)
    } else {
        StepResult::Refused(refusal)
    }
}
