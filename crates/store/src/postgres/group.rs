//! Executes a group of transactions as one transaction of the database.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use deadpool_postgres::ClientWrapper;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Error, error::SqlState};

use super::{
    change::{self, Durability, PendingChange},
    deadline::{WORK, exceeded, with_steps},
    error::{failed, is_consequence, is_of_shutdown, is_of_statement},
    holder,
    lock::Locks,
    statement::Statements,
    step::{self, StepResult},
};
use crate::{
    CommitError, Cursor, NewDocument, Revision, StoreError,
    prepared::{Prepared, Step},
};

/// The number of retries of a transaction after expired documents that conflicted with it were removed.
const EVICTIONS: usize = 3;
/// The number of statements sent without waiting.
const PIPELINE: usize = 32;

/// The result of each transaction, in order, and the last change of the group with its mark.
pub(super) struct GroupOutcome {
    pub(super) results: Vec<Result<Vec<Revision>, CommitError>>,
    pub(super) last: Option<(Cursor, Vec<u8>)>,
}

/// A failure of the whole group.
pub(super) struct GroupFailure {
    pub(super) error: StoreError,
    /// True if it is certain that nothing was committed.
    pub(super) rolled_back: bool,
}

/// Executes `group` and commits, until `deadline`.
pub(super) async fn commit(
    client: &ClientWrapper,
    statements: &Statements,
    group: &[&Prepared],
    durability: Durability,
    deadline: Instant,
) -> Result<GroupOutcome, GroupFailure> {
    let before_commit = |error| GroupFailure {
        error,
        rolled_back: true,
    };
    let work = write(client, statements, group);
    let steps = group.iter().map(|prepared| prepared.steps.len()).sum();
    let work_until = deadline.min(Instant::now() + with_steps(WORK, steps));
    let (results, changes) = match timeout_at(work_until, work).await {
        Ok(written) => written.map_err(|error| before_commit(failed("writing", &error)))?,
        Err(_) => return Err(before_commit(exceeded("writing"))),
    };
    let commit = change::commit(client, &changes, durability);
    match timeout_at(deadline, commit).await {
        Ok(Ok(last)) => Ok(GroupOutcome { results, last }),
        Ok(Err(error)) => Err(GroupFailure {
            rolled_back: error.as_db_error().is_some() && !is_of_shutdown(&error),
            error: failed("committing", &error),
        }),
        Err(_) => Err(GroupFailure {
            error: exceeded("committing; the outcome is unknown"),
            rolled_back: false,
        }),
    }
}

type Written = (Vec<Result<Vec<Revision>, CommitError>>, Vec<PendingChange>);

async fn write(
    client: &ClientWrapper,
    statements: &Statements,
    group: &[&Prepared],
) -> Result<Written, Error> {
    let mut locks = Locks::default();
    for prepared in group {
        locks.add(prepared);
    }
    let (begun, locked) = tokio::join!(
        biased;
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"),
        locks.take(client, &statements.lock),
    );
    begun?;
    locked?;
    let mut results = Vec::with_capacity(group.len());
    let mut changes = Vec::new();
    for prepared in group {
        let mut own_changes = Vec::new();
        let result = transaction(client, statements, prepared, &mut own_changes).await?;
        if result.is_ok() {
            changes.append(&mut own_changes);
        }
        results.push(result);
    }
    Ok((results, changes))
}

/// Executes one transaction in a savepoint, which is rolled back unless the transaction succeeds.
async fn transaction(
    client: &ClientWrapper,
    statements: &Statements,
    prepared: &Prepared,
    changes: &mut Vec<PendingChange>,
) -> Result<Result<Vec<Revision>, CommitError>, Error> {
    let mut expired = Vec::new();
    client.batch_execute("SAVEPOINT work").await?;
    for _ in 0..=EVICTIONS {
        changes.clear();
        holder::remove_expired(client, statements, &expired, prepared.now, changes).await?;
        let refusal = match attempt(client, statements, prepared, changes).await? {
            Attempt::Done(revisions) => {
                client.batch_execute("RELEASE work").await?;
                return Ok(Ok(revisions));
            }
            Attempt::Refused(refusal) => Some(refusal),
            Attempt::Held {
                document,
                is_stored,
            } => {
                let holders = holder::find(client, statements, document, is_stored).await?;
                holder::collect_expired(document, holders, prepared.now, &mut expired)
            }
            Attempt::Violated(document) => {
                client.batch_execute("ROLLBACK TO work").await?;
                let holders = holder::find(client, statements, document, true).await?;
                let found = !holders.is_empty();
                let refusal =
                    holder::collect_expired(document, holders, prepared.now, &mut expired);
                // No other document has the name: an earlier step of the same transaction took it.
                refusal.or_else(|| (!found).then(|| holder::name_taken(document)))
            }
        };
        client.batch_execute("ROLLBACK TO work").await?;
        if let Some(refusal) = refusal {
            client.batch_execute("RELEASE work").await?;
            return Ok(Err(refusal));
        }
    }
    client.batch_execute("RELEASE work").await?;
    Ok(Err(StoreError::transient(
        "PostgreSQL: too many writers of one name",
    )
    .into()))
}

enum Attempt<'a> {
    Done(Vec<Revision>),
    Refused(CommitError),
    /// Another document has the uid, the name or a unique value. The savepoint still contains the work done before.
    Held {
        document: &'a NewDocument,
        /// True if the document itself was written, but not its index entries.
        is_stored: bool,
    },
    /// Another document has the name. The savepoint accepts only a rollback.
    Violated(&'a NewDocument),
}

async fn attempt<'a>(
    client: &ClientWrapper,
    statements: &Statements,
    prepared: &'a Prepared,
    changes: &mut Vec<PendingChange>,
) -> Result<Attempt<'a>, Error> {
    let mut revisions = Vec::new();
    for steps in prepared.steps.chunks(PIPELINE) {
        let sent = steps
            .iter()
            .map(|step| step::run(client, statements, step, prepared.now))
            .collect();
        for (step, done) in steps.iter().zip(in_order(sent).await) {
            match (done, step) {
                (Ok(StepResult::Put(revision, change)), _) => {
                    revisions.push(revision);
                    changes.extend(change);
                }
                (Ok(StepResult::Other(change)), _) => changes.extend(change),
                (Ok(StepResult::Refused(refusal)), _) => return Ok(Attempt::Refused(refusal)),
                (Ok(StepResult::Held { is_stored }), Step::Put { document, .. }) => {
                    return Ok(Attempt::Held {
                        document,
                        is_stored,
                    });
                }
                // An update has no `ON CONFLICT`. The only constraint that it can violate is that of the name.
                (Err(error), Step::Put { document, .. })
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION) =>
                {
                    return Ok(Attempt::Violated(document));
                }
                (Err(error), _) if is_of_statement(&error) && !is_consequence(&error) => {
                    return Ok(Attempt::Refused(failed("writing", &error).into()));
                }
                (Err(error), _) => return Err(error),
                (Ok(StepResult::Held { .. }), Step::Other(_)) => {
                    return Ok(Attempt::Refused(CommitError::RecordTaken));
                }
            }
        }
    }
    Ok(Attempt::Done(revisions))
}

/// Polls the futures in order, so that their messages are sent in that order, and waits for all of them.
async fn in_order<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_ready = true;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match Pin::as_mut(future).poll(context) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    results.into_iter().flatten().collect()
}
