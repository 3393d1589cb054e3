//! The change feed: `LISTEN` and `NOTIFY`, polling where a notification is lost, and a heartbeat.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_postgres::AsyncMessage;

use super::{
    connection::{Connector, Driver, Driving},
    deadline::{ANSWER, within},
    error::failed,
    publisher::Publisher,
};
use crate::{FeedState, StoreError};

const CHANNEL: &str = "octelium_changes";
/// How often the log is looked at without a notification. Bounds the delay where one is lost.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often a feed in which nothing happens says so.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// Runs until it is dropped.
pub(super) struct Feed {
    publisher: Arc<Publisher>,
    tasks: [JoinHandle<()>; 2],
}

impl Feed {
    pub(super) fn start(connector: &Connector, publisher: Arc<Publisher>) -> Self {
        Self {
            tasks: [
                tokio::spawn(listen(connector.clone(), Arc::clone(&publisher))),
                tokio::spawn(notify(connector.clone(), Arc::clone(&publisher))),
            ],
            publisher,
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<FeedState> {
        self.publisher.subscribe()
    }

    pub(super) fn publisher(&self) -> &Arc<Publisher> {
        &self.publisher
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Tells other replicas, over a connection of its own: notifying takes a lock that would make commits wait for
/// one another. What is committed while one notification is under way shares the next.
async fn notify(connector: Connector, publisher: Arc<Publisher>) {
    loop {
        let error = match connector.connect().await {
            Ok(client) => loop {
                publisher.to_notify.notified().await;
                let notification = format!("NOTIFY {CHANNEL}");
                let notification = async {
                    let sent = client.batch_execute(&notification).await;
                    sent.map_err(|error| failed("notifying other replicas", &error))
                };
                if let Err(error) = within(ANSWER, "notifying other replicas", notification).await {
                    break error;
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
    let (client, driver) = connector.connect_undriven().await?;
    let notified = Arc::new(Notify::new());
    let _driver = Driving::spawn(drive(driver, Arc::clone(&notified)));
    let listen = format!("LISTEN {CHANNEL}");
    let listening = async {
        let sent = client.batch_execute(&listen).await;
        sent.map_err(|error| failed("listening", &error))
    };
    within(ANSWER, "listening", listening).await?;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once: what was committed before `LISTEN` is seen.
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = notified.notified() => {}
        }
        let look = async {
            let look = publisher.look(&client).await;
            look.map_err(|error| failed("reading the change log", &error))
        };
        within(ANSWER, "reading the change log", look).await?;
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
