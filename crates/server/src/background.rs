//! Background work of a replica.

use std::time::Duration;

use store::StoreError;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::{Context, authentication, keys::Schedule};

/// Interval between writes of batches. A crash loses at most this much.
const FLUSH: Duration = Duration::from_millis(500);
/// Interval between removals of expired rows from the store.
const COLLECT: Duration = Duration::from_mins(1);
/// Interval between checks of the signing keys.
const KEYS: Duration = Duration::from_mins(10);
/// Interval between removals of Sessions that can never be used again.
const REAP: Duration = Duration::from_hours(1);

impl Context {
    /// Follows the change feed, writes batches and removes expired data until `stop`. Then writes the remaining
    /// batches.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::join!(
            self.directory.clone().run(stop.clone()),
            every(FLUSH, &stop, || self.write_batches()),
            every(COLLECT, &stop, || self.collect()),
            every(KEYS, &stop, || self.maintain_keys()),
            every(REAP, &stop, || self.reap()),
            self.metadata.run(self.metadata_ports(), &stop),
        );
        self.flush().await;
    }

    /// Writes all batches, before the process ends.
    pub async fn flush(&self) {
        for result in [
            self.usage.flush(&*self.store).await,
            self.audit.finish(&*self.store).await,
            self.access.finish(&*self.store, &*self.clock).await,
        ] {
            if let Err(error) = result {
                tracing::error!(%error, "a batch could not be written");
            }
        }
    }

    async fn write_batches(&self) -> Result<(), StoreError> {
        self.usage.flush(&*self.store).await?;
        self.audit.flush(&*self.store, self.now()).await?;
        self.access.flush(&*self.store, &*self.clock).await
    }

    async fn collect(&self) -> Result<(), StoreError> {
        if self.has_wrong_clock() {
            return Ok(());
        }
        let now = self.now();
        self.store.collect(now).await?;
        let Some(retention) = self.audit_retention else {
            return Ok(());
        };
        let removed = self.store.trim_audit(now.saturating_sub(retention)).await?;
        if removed > 0 {
            tracing::info!(removed, "old audit events removed");
        }
        Ok(())
    }

    async fn maintain_keys(&self) -> Result<(), StoreError> {
        if self.has_wrong_clock() {
            return Ok(());
        }
        self.keys.maintain(Schedule::default(), &*self.rng).await
    }

    async fn reap(&self) -> Result<(), StoreError> {
        if self.has_wrong_clock() {
            return Ok(());
        }
        authentication::reap::all(self).await
    }

    /// Returns whether this replica's clock is wrong, as the store reports. Such a replica must not expire or renew
    /// objects of the whole Cluster.
    fn has_wrong_clock(&self) -> bool {
        !self.store.feed().borrow().has_trusted_clock()
    }
}

async fn every<F>(period: Duration, stop: &CancellationToken, work: impl Fn() -> F)
where
    F: Future<Output = Result<(), StoreError>>,
{
    // The first run is delayed, so that it does not compete with the first requests.
    let mut tick = interval_at(Instant::now() + period, period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = work().await {
            tracing::error!(%error, "a background task failed; it is retried");
        }
    }
}
