//! Group commit: what waits in the queue becomes one transaction of the database.
//!
//! Nobody gets an answer, not even a refusal, before the commit: a refusal may rest on work of the same group.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::ClientWrapper;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};

use super::{
    connection::Connector,
    error::failed,
    feed::Publisher,
    group::{self, GroupFailure, GroupOutcome},
    statement::Statements,
};
use crate::{CommitError, Committed, StoreError, prepared::Prepared};

/// How much may wait.
const QUEUE: usize = 4096;
/// How many transactions share a commit. Each holds some advisory locks, of which a server has a few thousand.
const GROUP: usize = 64;
/// How often a group that was surely rolled back is tried again: a lost connection, a deadlock.
const ATTEMPTS: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Hands transactions to the writing task.
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    task: JoinHandle<()>,
}

struct Job {
    prepared: Prepared,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

impl Writer {
    pub(super) fn start(connector: Connector, publisher: Arc<Publisher>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let lane = Lane {
            connector,
            publisher,
            connection: None,
        };
        Self {
            queue,
            task: tokio::spawn(lane.run(jobs)),
        }
    }

    /// Carries out `prepared` and returns once that is durable.
    pub(super) async fn commit(&self, prepared: Prepared) -> Result<Committed, CommitError> {
        let (answer, answered) = oneshot::channel();
        let stopped = || StoreError::transient("the writer has stopped");
        self.queue
            .send(Job { prepared, answer })
            .await
            .map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connection that writes, and what it needs to get another one.
struct Lane {
    connector: Connector,
    publisher: Arc<Publisher>,
    connection: Option<(ClientWrapper, Statements)>,
}

impl Lane {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut group = Vec::with_capacity(GROUP);
        while jobs.recv_many(&mut group, GROUP).await > 0 {
            let prepared: Vec<&Prepared> = group.iter().map(|job| &job.prepared).collect();
            match self.commit(&prepared).await {
                Ok(outcome) => self.answer(outcome, group.drain(..)),
                Err(error) => {
                    tracing::error!(%error, transactions = group.len(), "a group of writes failed");
                    for job in group.drain(..) {
                        let _ = job.answer.send(Err(error.clone().into()));
                    }
                }
            }
        }
    }

    fn answer(&self, outcome: GroupOutcome, jobs: impl Iterator<Item = Job>) {
        if let Some(cursor) = outcome.cursor {
            self.publisher.committed(cursor);
        }
        let cursor = outcome.cursor.unwrap_or_else(|| self.publisher.cursor());
        for (job, result) in jobs.zip(outcome.results) {
            let committed = result.map(|revisions| Committed { revisions, cursor });
            let _ = job.answer.send(committed);
        }
    }

    async fn commit(&mut self, prepared: &[&Prepared]) -> Result<GroupOutcome, StoreError> {
        let mut attempt = 1;
        loop {
            match self.try_commit(prepared).await {
                Ok(outcome) => return Ok(outcome),
                Err(failure) => {
                    let again = failure.rolled_back && failure.error.transient;
                    if !again || attempt == ATTEMPTS {
                        return Err(failure.error);
                    }
                    tracing::warn!(error = %failure.error, attempt, "a group of writes is tried again");
                    attempt += 1;
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    async fn try_commit(&mut self, prepared: &[&Prepared]) -> Result<GroupOutcome, GroupFailure> {
        let not_begun = |error| GroupFailure {
            error,
            rolled_back: true,
        };
        let (client, statements) = match self.connection.take() {
            Some((client, statements)) if !client.is_closed() => (client, statements),
            _ => self.connect().await.map_err(not_begun)?,
        };
        let outcome = group::commit(&client, &statements, prepared).await;
        // After a failure the connection is not used again: dropping it rolls back and frees the locks.
        if outcome.is_ok() {
            self.connection = Some((client, statements));
        }
        outcome
    }

    async fn connect(&self) -> Result<(ClientWrapper, Statements), StoreError> {
        let client = self.connector.connect().await?;
        let statements = Statements::prepare(&client)
            .await
            .map_err(|error| failed("preparing statements", &error))?;
        Ok((client, statements))
    }
}
