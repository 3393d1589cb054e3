//! Group commit: the queued transactions become one transaction of the database.
//!
//! Every response waits for the commit, even a refusal: it may depend on work of the same group.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::ClientWrapper;
use domain::clock::UnixMillis;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    change::Durability,
    connection::Connector,
    deadline::{ANSWER, WRITE, exceeded, with_steps, within},
    error::failed,
    group::{self, GroupFailure, GroupOutcome},
    publisher::Publisher,
    statement::Statements,
};
use crate::{CommitError, Committed, StoreError, prepared::Prepared};

/// The capacity of the queue.
const QUEUE: usize = 4096;
/// The maximum number of transactions in a commit. Each takes several advisory locks, and PostgreSQL can hold only a
/// few thousand.
const GROUP: usize = 64;
/// Attempts for a group. A retry requires that the group was certainly rolled back, for example after a deadlock.
const ATTEMPTS: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// The time after a failed write for which this replica counts as unable to write.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// Sends transactions to the writer task.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    /// The time of the last write that failed because of the database; `None` after a success.
    failed: watch::Receiver<Option<Instant>>,
    task: JoinHandle<()>,
}

struct Job {
    prepared: Prepared,
    /// The sender stops waiting for the response at this time.
    deadline: Instant,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

impl Writer {
    pub(super) fn start(
        connector: Connector,
        publisher: Arc<Publisher>,
        durability: Durability,
    ) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (failed, failures) = watch::channel(None);
        let lane = Lane {
            connector,
            publisher,
            durability,
            failed,
            connection: None,
        };
        Self {
            queue,
            failed: failures,
            task: tokio::spawn(lane.run(jobs)),
        }
    }

    /// Executes `prepared` and returns when it is durable.
    pub(super) async fn commit(&self, prepared: Prepared) -> Result<Committed, CommitError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || StoreError::transient("the writer has stopped");
        let deadline = Instant::now() + with_steps(WRITE, prepared.steps.len());
        let job = Job {
            prepared,
            deadline,
            answer,
        };
        let answer = async {
            self.queue.send(job).await.map_err(|_| stopped())?;
            answered.await.map_err(|_| stopped())?
        };
        timeout_at(deadline, answer)
            .await
            .unwrap_or_else(|_| Err(exceeded("writing; the outcome is unknown").into()))
    }

    /// Checks with an empty write that the database accepts writes.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let failed = *self.failed.borrow();
        if failed.is_some_and(|at| at.elapsed() < FAILED_FOR) {
            return Err(StoreError::transient("PostgreSQL: the last write failed"));
        }
        let empty = Prepared {
            steps: Vec::new(),
            now: UnixMillis(0),
        };
        match self.commit(empty).await {
            Ok(_) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::new(error.to_string())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connection that writes, and the means to replace it.
struct Lane {
    connector: Connector,
    publisher: Arc<Publisher>,
    durability: Durability,
    failed: watch::Sender<Option<Instant>>,
    connection: Option<Lease>,
}

/// A connection with its prepared statements.
struct Lease {
    client: ClientWrapper,
    statements: Statements,
    /// The history of the change log that the connection is in.
    history: u64,
}

impl Lane {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP);
        while jobs.recv_many(&mut group, GROUP).await > 0 {
            let now = Instant::now();
            group.retain(|job| job.deadline > now);
            let Some(deadline) = group.iter().map(|job| job.deadline).max() else {
                continue;
            };
            let prepared: Vec<&Prepared> = group.iter().map(|job| &job.prepared).collect();
            match self.commit(&prepared, deadline).await {
                Ok((outcome, history)) => {
                    self.failed.send_replace(None);
                    self.answer(outcome, history, group.drain(..));
                }
                Err(error) => {
                    self.failed.send_replace(Some(Instant::now()));
                    tracing::error!(%error, transactions = group.len(), "a group of writes failed");
                    for job in group.drain(..) {
                        let _ = job.answer.send(Err(error.clone().into()));
                    }
                }
            }
        }
    }

    fn answer(&self, outcome: GroupOutcome, history: u64, jobs: impl Iterator<Item = Job>) {
        let cursor = match outcome.last {
            Some((cursor, mark)) => {
                self.publisher.committed(cursor, mark, history);
                cursor
            }
            None => self.publisher.cursor(),
        };
        for (job, result) in jobs.zip(outcome.results) {
            let committed = result.map(|revisions| Committed { revisions, cursor });
            let _ = job.answer.send(committed);
        }
    }

    async fn commit(
        &mut self,
        prepared: &[&Prepared],
        deadline: Instant,
    ) -> Result<(GroupOutcome, u64), StoreError> {
        let mut attempt = 1;
        loop {
            match self.try_commit(prepared, deadline).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => {
                    let again = failure.rolled_back && failure.error.transient;
                    if !again || attempt == ATTEMPTS || Instant::now() >= deadline {
                        return Err(failure.error);
                    }
                    tracing::warn!(error = %failure.error, attempt, "retrying a group of writes");
                    attempt += 1;
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    async fn try_commit(
        &mut self,
        prepared: &[&Prepared],
        deadline: Instant,
    ) -> Result<(GroupOutcome, u64), GroupFailure> {
        let not_begun = |error| GroupFailure {
            error,
            rolled_back: true,
        };
        let connection = match self.connection.take() {
            Some(connection) if !connection.client.is_closed() => connection,
            _ => match timeout_at(deadline, self.connect()).await {
                Ok(connected) => connected.map_err(not_begun)?,
                Err(_) => return Err(not_begun(exceeded("connecting"))),
            },
        };
        let (client, statements) = (&connection.client, &connection.statements);
        let outcome =
            group::commit(client, statements, prepared, self.durability, deadline).await?;
        // After a failure the connection is not reused: dropping it rolls back and releases the locks.
        let history = connection.history;
        self.connection = Some(connection);
        Ok((outcome, history))
    }

    async fn connect(&self) -> Result<Lease, StoreError> {
        let client = self.connector.connect().await?;
        let prepare = async {
            let history = self.publisher.poll(&client).await?;
            Ok::<_, tokio_postgres::Error>((history, Statements::prepare(&client).await?))
        };
        let prepare = async {
            let prepared = prepare.await;
            prepared.map_err(|error| failed("preparing statements", &error))
        };
        let (history, statements) = within(ANSWER, "preparing statements", prepare).await?;
        Ok(Lease {
            client,
            statements,
            history,
        })
    }
}
