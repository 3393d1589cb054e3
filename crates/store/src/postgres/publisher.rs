//! The known state of the change log in this process, and notification of subscribers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use domain::clock::Clock;
use tokio::sync::{Notify, watch};
use tokio_postgres::{Client, Error};

use super::{
    connection::Freshness,
    feed::HEARTBEAT,
    history::{self, HistoryPoll, KnownPosition},
};
use crate::{CLOCK_WARNING, Cursor, FeedState};

/// Notifies the subscribers and the other replicas.
pub(super) struct Publisher {
    state: watch::Sender<FeedState>,
    known: Mutex<KnownPosition>,
    clock: Arc<dyn Clock>,
    freshness: Arc<Freshness>,
    pub(super) to_notify: Notify,
}

impl Publisher {
    /// Starts with the state that `client` reads.
    pub(super) async fn start(
        client: &Client,
        clock: Arc<dyn Clock>,
        freshness: Arc<Freshness>,
    ) -> Result<Self, Error> {
        let poll = history::poll(client, &KnownPosition::default(), &*clock).await?;
        let (state, _) = watch::channel(FeedState {
            cursor: poll.head,
            confirmed: Instant::now(),
            history: 0,
            clock_ahead: poll.clock_ahead,
        });
        let publisher = Self {
            state,
            known: Mutex::new(KnownPosition {
                history: 0,
                cursor: poll.head,
                mark: poll.mark,
            }),
            clock,
            freshness,
            to_notify: Notify::new(),
        };
        publisher.report_clock(0, poll.clock_ahead);
        Ok(publisher)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<FeedState> {
        self.state.subscribe()
    }

    /// Returns the newest change that is known to be in the database.
    pub(super) fn known(&self) -> KnownPosition {
        self.lock().clone()
    }

    /// Returns the last change known to be committed.
    pub(super) fn cursor(&self) -> Cursor {
        self.state.borrow().cursor
    }

    /// Reads the log over `client` and checks that it continues the known one. Returns the history of `client`. Must be
    /// called for each new connection that reads the log or writes.
    pub(super) async fn poll(&self, client: &Client) -> Result<u64, Error> {
        loop {
            let known = self.known();
            let poll = history::poll(client, &known, &*self.clock).await?;
            if let Some(history) = self.take_over(&known, poll) {
                return Ok(history);
            }
        }
    }

    /// Records that this replica committed changes up to `head` over a connection in `history`. The mark is recorded
    /// before subscribers see the change, so that a later loss of the change is detected.
    pub(super) fn committed(&self, head: Cursor, mark: Vec<u8>, history: u64) {
        {
            let mut known = self.lock();
            if known.history == history {
                if head > known.cursor {
                    known.cursor = head;
                    known.mark = mark;
                }
                self.seen(head, Instant::now(), None);
            }
        }
        self.to_notify.notify_one();
    }

    /// Records that the log contains `cursor` with `mark`, if the history is still the one of `before`.
    pub(super) fn read(&self, before: &KnownPosition, cursor: Cursor, mark: Vec<u8>) {
        let mut known = self.lock();
        if known.history == before.history && cursor > known.cursor {
            known.cursor = cursor;
            known.mark = mark;
        }
    }

    /// Records that the log does not contain the change known `before`, and ends with `cursor`. Returns the number of
    /// the new history, or `None` if another task replaced the history first.
    pub(super) fn replaced(
        &self,
        before: &KnownPosition,
        cursor: Cursor,
        mark: Vec<u8>,
    ) -> Option<u64> {
        let mut known = self.lock();
        if known.history != before.history {
            return None;
        }
        *known = KnownPosition {
            history: known.history + 1,
            cursor,
            mark,
        };
        // Data read over earlier connections may belong to the other history.
        self.freshness.retire();
        metrics::counter!("octelium_store_history_replaced_total").increment(1);
        tracing::warn!(
            lost = before.cursor.0,
            head = cursor.0,
            "the database does not hold the last change that this replica has applied: after a failover with loss, \
             a restore, or a pause of an hour. Everything is read again. Check which changes were lost, revocations \
             included"
        );
        self.state.send_modify(|state| {
            state.cursor = cursor;
            state.history = known.history;
            state.confirmed = Instant::now();
        });
        Some(known.history)
    }

    /// Records the result of a poll. Returns the history, or `None` if it was replaced since `before`: the poll is then
    /// void.
    fn take_over(&self, before: &KnownPosition, poll: HistoryPoll) -> Option<u64> {
        if !poll.continues {
            return self.replaced(before, poll.head, poll.mark);
        }
        let mut known = self.lock();
        if known.history != before.history {
            return None;
        }
        if poll.head > known.cursor {
            known.cursor = poll.head;
            known.mark = poll.mark;
        }
        self.seen(poll.head, poll.asked, Some(poll.clock_ahead));
        Some(known.history)
    }

    /// Records that all changes up to `head` were visible at `at`. Wakes subscribers if there are new changes or the
    /// heartbeat is due.
    fn seen(&self, head: Cursor, at: Instant, clock_ahead: Option<i64>) {
        let mut ahead_before = None;
        self.state.send_if_modified(|state| {
            let mut wakes =
                head > state.cursor || at.saturating_duration_since(state.confirmed) >= HEARTBEAT;
            if let Some(clock_ahead) = clock_ahead {
                let trusted = state.has_trusted_clock();
                ahead_before = Some(state.clock_ahead);
                state.clock_ahead = clock_ahead;
                wakes |= trusted != state.has_trusted_clock();
            }
            if wakes {
                state.cursor = state.cursor.max(head);
                state.confirmed = state.confirmed.max(at);
            }
            wakes
        });
        if let (Some(before), Some(now)) = (ahead_before, clock_ahead) {
            self.report_clock(before, now);
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds of a difference between clocks"
    )]
    fn report_clock(&self, before: i64, now: i64) {
        metrics::gauge!("octelium_store_clock_ahead_seconds").set(now as f64 / 1000.0);
        let is_off = |ahead: i64| u128::from(ahead.unsigned_abs()) > CLOCK_WARNING.as_millis();
        let is_trusted = self.state.borrow().has_trusted_clock();
        match (is_off(before), is_off(now)) {
            (false, true) => tracing::warn!(
                ahead_seconds = now / 1000,
                serves = is_trusted,
                "the clock of this machine differs from the one of the database: set both by NTP"
            ),
            (true, false) => {
                tracing::info!("the clock of this machine agrees with the one of the database");
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, KnownPosition> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
