//! How long operations may take.
//!
//! A server that hangs, or a network that drops packets, answers nothing and closes nothing. So each operation has a
//! deadline on this side. A connection whose deadline has passed is discarded: its state is unknown.

use std::time::Duration;

use tokio::time::timeout;

use crate::StoreError;

/// Everything that connecting to one address takes: TCP, TLS, authentication, the settings of the session.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// A statement that reads one row, `LISTEN`, `NOTIFY`.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// A read or a single statement, with the wait for a pooled connection.
pub(super) const OPERATION: Duration = Duration::from_secs(5);
/// The part of a write before its commit is sent. Then it is tried again on another connection.
pub(super) const WORK: Duration = Duration::from_secs(3);
/// A write, from the queue to its answer, with all attempts.
pub(super) const WRITE: Duration = Duration::from_secs(7);
/// How much longer each step of a transaction may take.
const STEP: Duration = Duration::from_millis(5);
/// Migrations, checks, and each step of a backup or restore.
pub(super) const MAINTENANCE: Duration = Duration::from_mins(10);

/// `limit`, and more for a transaction of many `steps`.
pub(super) fn with_steps(limit: Duration, steps: usize) -> Duration {
    limit.saturating_add(STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX)))
}

/// Waits for `operation` no longer than `limit`. The caller must discard the connection if this fails.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, operation)
        .await
        .unwrap_or_else(|_| Err(exceeded(what)))
}

/// The error of an operation whose deadline has passed.
pub(super) fn exceeded(what: &str) -> StoreError {
    metrics::counter!("octelium_store_deadlines_exceeded_total").increment(1);
    StoreError::transient(format!("PostgreSQL: {what}: no answer in time"))
}
