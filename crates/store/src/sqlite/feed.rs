//! The change feed. It wakes after each commit of this process, and polls for those of other processes.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::watch;

use super::{change, writer::finish};
use crate::{Cursor, FeedState, StoreError};

/// The interval at which the database is polled for changes of other processes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The interval at which an idle feed confirms its state.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The thread of the feed. It runs until this is dropped.
pub(super) struct Feed {
    state: watch::Sender<FeedState>,
    /// Dropping the sender stops the thread. `None` only during `drop`.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Starts the feed at `head`.
    pub(super) fn start(connection: Connection, head: Cursor) -> Result<Self, StoreError> {
        let (state, _) = watch::channel(FeedState {
            cursor: head,
            confirmed: Instant::now(),
            history: 0,
            clock_ahead: 0,
        });
        let (stop, stopped) = mpsc::channel();
        let publisher = Publisher(state.clone());
        let thread = thread::Builder::new()
            .name("store-feed".to_owned())
            .spawn(move || poll_changes(&connection, &stopped, &publisher))
            .map_err(|error| StoreError::new("starting the change feed").caused_by(error))?;
        Ok(Self {
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<FeedState> {
        self.state.subscribe()
    }

    pub(super) fn publisher(&self) -> Publisher {
        Publisher(self.state.clone())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop = None;
        finish(self.thread.take());
    }
}

/// Notifies the subscribers.
pub(super) struct Publisher(watch::Sender<FeedState>);

impl Publisher {
    /// Records that all changes up to `head` are committed. Wakes subscribers if there are new ones or the heartbeat is
    /// due.
    pub(super) fn publish(&self, head: Cursor) {
        self.0.send_if_modified(|state| {
            let now = Instant::now();
            let wake = head > state.cursor || now.duration_since(state.confirmed) >= HEARTBEAT;
            if wake {
                state.cursor = state.cursor.max(head);
                state.confirmed = now;
            }
            wake
        });
    }
}

fn poll_changes(connection: &Connection, stopped: &mpsc::Receiver<()>, publisher: &Publisher) {
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        match change::head(connection) {
            Ok(head) => publisher.publish(head),
            // Without a heartbeat the feed becomes stale, and its users refuse requests.
            Err(error) => tracing::warn!(%error, "the change feed could not be read"),
        }
    }
}
