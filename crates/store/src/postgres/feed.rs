//! The change feed: `LISTEN` and `NOTIFY`, polling where a notification is lost, and a heartbeat.

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_postgres::AsyncMessage;

use super::{
    change,
    connection::{Connector, Driver},
    error::failed,
};
use crate::{Cursor, FeedState, StoreError};

const CHANNEL: &str = "octelium_changes";
/// How often the log is looked at without a notification. Bounds the delay where one is lost.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often a feed in which nothing happens says so.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A server that takes longer to answer is taken for gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// Runs until it is dropped.
pub(super) struct Feed {
    publisher: Arc<Publisher>,
    tasks: [JoinHandle<()>; 2],
}

impl Feed {
    /// Starts at `head`.
    pub(super) fn start(connector: &Connector, head: Cursor) -> Self {
        let (state, _) = watch::channel(FeedState {
            cursor: head,
            confirmed: Instant::now(),
        });
        let publisher = Arc::new(Publisher {
            state,
            to_notify: Notify::new(),
        });
        Self {
            tasks: [
                tokio::spawn(listen(connector.clone(), Arc::clone(&publisher))),
                tokio::spawn(notify(connector.clone(), Arc::clone(&publisher))),
            ],
            publisher,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<FeedState> {
        self.publisher.state.subscribe()
    }

    pub(super) fn publisher(&self) -> Arc<Publisher> {
        Arc::clone(&self.publisher)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Tells the subscribers and the other replicas.
pub(super) struct Publisher {
    state: watch::Sender<FeedState>,
    to_notify: Notify,
}

impl Publisher {
    /// This replica committed changes up to `head`.
    pub(super) fn committed(&self, head: Cursor) {
        self.seen(head);
        self.to_notify.notify_one();
    }

    /// The last change that is known.
    pub(super) fn cursor(&self) -> Cursor {
        self.state.borrow().cursor
    }

    /// All changes up to `head` are visible. Wakes where there are new ones or the heartbeat is due.
    fn seen(&self, head: Cursor) {
        self.state.send_if_modified(|state| {
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

/// Tells other replicas, over a connection of its own: notifying takes a lock that would make commits wait for
/// one another. What is committed while one notification is under way shares the next.
async fn notify(connector: Connector, publisher: Arc<Publisher>) {
    loop {
        let error = match connector.connect().await {
            Ok(client) => loop {
                publisher.to_notify.notified().await;
                if let Err(error) = client.batch_execute(&format!("NOTIFY {CHANNEL}")).await {
                    break failed("notifying other replicas", &error);
                }
            },
            Err(error) => error,
        };
        // Other replicas find what was not told them by looking.
        tracing::warn!(%error, "other replicas are not notified of changes");
        sleep(RECONNECT_AFTER).await;
    }
}

async fn listen(connector: Connector, publisher: Arc<Publisher>) {
    loop {
        if let Err(error) = listen_once(&connector, &publisher).await {
            // Without a heartbeat the feed grows stale, and those who rely on it refuse.
            tracing::warn!(%error, "the change feed is interrupted");
        }
        sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_once(connector: &Connector, publisher: &Publisher) -> Result<(), StoreError> {
    let (client, driver) = timeout(ANSWER_WITHIN, connector.connect_undriven())
        .await
        .map_err(|_| StoreError::transient("PostgreSQL: connecting takes too long"))??;
    let notified = Arc::new(Notify::new());
    let _driver = AbortOnDrop(tokio::spawn(drive(driver, Arc::clone(&notified))));
    client
        .batch_execute(&format!("LISTEN {CHANNEL}"))
        .await
        .map_err(|error| failed("listening", &error))?;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once: what was committed before `LISTEN` is seen.
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = notified.notified() => {}
        }
        let head = timeout(ANSWER_WITHIN, change::head(&client))
            .await
            .map_err(|_| StoreError::transient("PostgreSQL: the server takes too long"))?
            .map_err(|error| failed("reading the change log", &error))?;
        publisher.seen(head);
    }
}

/// Drives the connection and passes notifications on, until it ends.
async fn drive(mut driver: Driver, notified: Arc<Notify>) {
    while let Some(Ok(message)) = poll_fn(|context| driver.poll_message(context)).await {
        if matches!(message, AsyncMessage::Notification(_)) {
            notified.notify_one();
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
