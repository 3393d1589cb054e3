//! The change feed: `LISTEN` and `NOTIFY`, polling in case a notification is lost, and a heartbeat.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_postgres::AsyncMessage;

use super::{
    connection::{ConnectionTask, Connector, Driver},
    deadline::{ANSWER, within},
    error::failed,
    publisher::Publisher,
};
use crate::{FeedState, StoreError};

const CHANNEL: &str = "octelium_changes";
/// The polling interval without a notification. Limits the delay after a lost notification.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The interval at which an idle feed confirms its state.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// The tasks of the feed. They run until this is dropped.
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

/// Notifies other replicas over a dedicated connection: NOTIFY takes a lock that would serialize commits. Changes
/// committed during one notification share the next one.
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
        // Other replicas find the missed changes by polling.
        tracing::warn!(%error, "other replicas are not notified of changes");
        sleep(RECONNECT_AFTER).await;
    }
}

async fn listen(connector: Connector, publisher: Arc<Publisher>) {
    loop {
        if let Err(error) = listen_once(&connector, &publisher).await {
            // Without a heartbeat the feed becomes stale, and its users refuse requests.
            tracing::warn!(%error, "the change feed is interrupted");
        }
        sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_once(connector: &Connector, publisher: &Publisher) -> Result<(), StoreError> {
    let (client, driver) = connector.connect_undriven().await?;
    let notified = Arc::new(Notify::new());
    let _driver = ConnectionTask::spawn(drive(driver, Arc::clone(&notified)));
    let listen = format!("LISTEN {CHANNEL}");
    let listening = async {
        let sent = client.batch_execute(&listen).await;
        sent.map_err(|error| failed("listening", &error))
    };
    within(ANSWER, "listening", listening).await?;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick fires at once, so that changes committed before `LISTEN` are seen.
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = notified.notified() => {}
        }
        let poll = async {
            let poll = publisher.poll(&client).await;
            poll.map_err(|error| failed("reading the change log", &error))
        };
        within(ANSWER, "reading the change log", poll).await?;
    }
}

/// Drives the connection and forwards notifications, until the connection ends.
async fn drive(mut driver: Driver, notified: Arc<Notify>) {
    while let Some(Ok(message)) = poll_fn(|context| driver.poll_message(context)).await {
        if matches!(message, AsyncMessage::Notification(_)) {
            notified.notify_one();
        }
    }
}
