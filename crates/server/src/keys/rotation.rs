//! When keys come and go.

use std::time::Duration;

use domain::rng::Rng;
use store::StoreError;

use super::Keyring;

/// When keys come and go.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// How long a key signs before the next one does.
    pub signs_for: Duration,
    /// How long before it signs a key is published.
    pub published_before: Duration,
}

impl Default for Schedule {
    /// 30 days, published a day before.
    fn default() -> Self {
        Self {
            signs_for: Duration::from_hours(30 * 24),
            published_before: Duration::from_hours(24),
        }
    }
}

impl Keyring {
    /// Publishes the next key where it is time, and removes those of which no token can live. To be called now and
    /// then, by any number of replicas.
    ///
    /// # Errors
    /// Where the store fails.
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
