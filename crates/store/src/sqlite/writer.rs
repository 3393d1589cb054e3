//! The single thread that writes: group commit with savepoints.
//!
//! The queued work becomes one SQLite transaction, in which each piece of work has its own savepoint. A piece that
//! fails leaves no changes behind and does not affect the others. Every response waits for the flush, even a refusal:
//! it may depend on work of the same group.

use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{change, feed::Publisher};
use crate::StoreError;

/// The capacity of the queue.
const QUEUE: usize = 4096;
/// The maximum number of pieces of work in a group.
const GROUP: usize = 256;

/// Work to run in a savepoint. It returns the function that sends the response after the outcome of the flush is known.
type Work = Box<dyn FnOnce(&Connection) -> Result<Answer, StoreError> + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Sends work to the writer thread.
pub(super) struct Writer {
    /// `None` only during `drop`.
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread. Dropping the `Writer` waits until the queue is processed and the database is closed.
    pub(super) fn start(connection: Connection, publisher: Publisher) -> Result<Self, StoreError> {
        let (queue, work) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_groups(&connection, work, &publisher))
            .map_err(|error| StoreError::new("starting the writer").caused_by(error))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Runs `work` in a savepoint and returns its result when it is durable.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let result = in_savepoint(connection, work)?;
            let answer: Answer = Box::new(move |flushed| {
                // The receiver may be gone; the work is done nevertheless.
                let _ = answer.send(flushed.map_err(E::from).and(result));
            });
            Ok(answer)
        });
        let stopped = || StoreError::transient("the writer has stopped");
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(work).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| {
            StoreError::transient("the write was interrupted; the outcome is unknown")
        })?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        finish(self.thread.take());
    }
}

/// Waits until a thread has ended, and so has closed its connection. Code that moves or deletes the files of a dropped
/// store must not race with the close.
pub(super) fn finish(thread: Option<JoinHandle<()>>) {
    let Some(thread) = thread else { return };
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the store has panicked");
    }
}

fn in_savepoint<T, E>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<Result<T, E>, StoreError> {
    connection.prepare_cached("SAVEPOINT work")?.execute([])?;
    let result = work(connection);
    if connection.is_autocommit() {
        return Err(StoreError::transient(
            "SQLite gave up the transaction: the disk may be full or failing",
        ));
    }
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO work")?.execute([])?;
    }
    connection.prepare_cached("RELEASE work")?.execute([])?;
    Ok(result)
}

fn write_groups(connection: &Connection, mut queue: mpsc::Receiver<Work>, publisher: &Publisher) {
    let mut group = Vec::with_capacity(GROUP);
    while queue.blocking_recv_many(&mut group, GROUP) > 0 {
        let mut answers = Vec::with_capacity(group.len());
        let flushed = write_group(connection, &mut group, &mut queue, &mut answers);
        group.clear();
        if let Err(error) = &flushed {
            tracing::error!(%error, works = answers.len(), "a group of writes failed");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        let head = flushed.as_ref().ok().copied();
        let flushed = flushed.map(|_| ());
        if let Some(head) = head {
            publisher.publish(head);
        }
        for answer in answers {
            answer(flushed.clone());
        }
    }
}

/// Runs the work of one group and flushes it. Returns the last change.
fn write_group(
    connection: &Connection,
    group: &mut Vec<Work>,
    queue: &mut mpsc::Receiver<Work>,
    answers: &mut Vec<Answer>,
) -> Result<crate::Cursor, StoreError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    for work in group.drain(..) {
        answers.push(work(connection)?);
    }
    // Work that arrived in the meantime shares the flush.
    while answers.len() < GROUP
        && let Ok(work) = queue.try_recv()
    {
        answers.push(work(connection)?);
    }
    let head = change::head(connection)?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(head)
}
