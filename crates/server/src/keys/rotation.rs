//! The rotation of signing keys.

use std::time::Duration;

use domain::rng::Rng;
use store::StoreError;

use super::Keyring;

/// The schedule of key rotation.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The time for which a key signs before the next key replaces it.
    pub signs_for: Duration,
    /// The minimum time between the publication of a key and its first signature.
    pub published_before: Duration,
}

impl Default for Schedule {
    /// A key signs for 30 days and is published one day before.
    fn default() -> Self {
        Self {
            signs_for: Duration::from_hours(30 * 24),
            published_before: Duration::from_hours(24),
        }
    }
}

impl Keyring {
    /// Publishes the next key when it is due, and removes keys without live tokens. Call this periodically, on any
    /// number of replicas.
    ///
    /// # Errors
    /// Returns a [`StoreError`] if the store fails.
    pub async fn maintain(&self, schedule: Schedule, rng: &dyn Rng) -> Result<(), StoreError> {
        self.reload().await?;
        let now = self.clock.now();
        let newest = {
            let keys = self.keys.load();
            keys.0.last().map(|key| (key.generation, key.signs_from))
        };
        match newest {
            None => self.publish(rng, 1, now).await?,
            Some((generation, signs_from)) => {
                let next = signs_from.saturating_add(schedule.signs_for);
                if now >= next.saturating_sub(schedule.published_before) {
                    let earliest = now.saturating_add(schedule.published_before);
                    self.publish(rng, generation + 1, next.max(earliest))
                        .await?;
                }
            }
        }
        self.retire(schedule).await?;
        self.reload().await
    }
}
