//! Rate limits per key and time window, shared by all replicas.

use std::time::Duration;

use domain::clock::UnixMillis;

use crate::{Context, Error};

/// The keys over their limit, so that their next refusals do not write to the store.
pub(crate) struct OverLimit(moka::sync::Cache<String, UnixMillis>);

impl Default for OverLimit {
    fn default() -> Self {
        Self(moka::sync::Cache::new(10_000))
    }
}

/// The reason why a hit is not allowed.
#[derive(Debug)]
pub(crate) enum TooMany {
    /// The key has too many hits. The window ends at this time.
    Until(UnixMillis),
    Failed(Error),
}

/// Counts a hit of `key`, which is allowed `most` hits per `window`.
///
/// # Errors
/// Returns [`TooMany::Until`] if there are more hits, and [`TooMany::Failed`] if the store fails.
pub(crate) async fn count(
    ctx: &Context,
    key: String,
    window: Duration,
    most: u64,
) -> Result<(), TooMany> {
    let now = ctx.now();
    let over = &ctx.over_limit.0;
    if let Some(until) = over.get(&key) {
        // A clock that was set back must not extend the refusal beyond one window.
        if now < until && until.since(now) <= window {
            return Err(TooMany::Until(until));
        }
        over.invalidate(&key);
    }
    let counter = ctx.store.count(&key, window, now).await;
    let counter = counter.map_err(|error| TooMany::Failed(error.into()))?;
    if counter.count <= most {
        return Ok(());
    }
    over.insert(key, counter.resets_at);
    Err(TooMany::Until(counter.resets_at))
}
