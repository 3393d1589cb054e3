//! Limits on the hits of a key in a window, for all replicas together.

use std::time::Duration;

use domain::clock::UnixMillis;

use crate::{Context, Error};

/// The keys that are over their limit, so that a refusal writes nothing to the store.
pub(crate) struct OverLimit(moka::sync::Cache<String, UnixMillis>);

impl Default for OverLimit {
    fn default() -> Self {
        Self(moka::sync::Cache::new(10_000))
    }
}

/// A key has more hits than it may have.
#[derive(Debug)]
pub(crate) enum TooMany {
    /// The window ends then.
    Until(UnixMillis),
    /// The store failed.
    Failed(Error),
}

/// Counts a hit of `key`, which may have `most` in `window`.
///
/// # Errors
/// Returns [`TooMany::Until`] if there are more, and [`TooMany::Failed`] if the store fails.
pub(crate) async fn count(
    ctx: &Context,
    key: String,
    window: Duration,
    most: u64,
) -> Result<(), TooMany> {
    let now = ctx.now();
    let over = &ctx.over_limit.0;
    if let Some(until) = over.get(&key) {
        // A window is never longer, whatever happened to the clock.
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
