//! Deadlines of operations.
//!
//! A server that hangs, or a network that drops packets, neither answers nor closes connections. Therefore each
//! operation has a deadline on the client side. A connection whose deadline has passed is discarded, because its state
//! is unknown.

use std::time::Duration;

use tokio::time::timeout;

use crate::StoreError;

/// Connecting to one address: TCP, TLS, authentication and session settings.
pub(super) const CONNECT: Duration = Duration::from_secs(2);
/// A statement that reads one row, `LISTEN`, `NOTIFY`.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// A read or a single statement, including the wait for a pooled connection.
pub(super) const OPERATION: Duration = Duration::from_secs(5);
/// The part of a write before its commit is sent. It is then retried on another connection.
pub(super) const WORK: Duration = Duration::from_secs(3);
/// A write from the queue to its response, including all attempts.
pub(super) const WRITE: Duration = Duration::from_secs(7);
/// Additional time for each step of a transaction.
const STEP: Duration = Duration::from_millis(5);
/// Migrations, checks, and each step of a backup or restore.
pub(super) const MAINTENANCE: Duration = Duration::from_mins(10);

/// Extends `limit` for a transaction of `steps` steps.
pub(super) fn with_steps(limit: Duration, steps: usize) -> Duration {
    limit.saturating_add(STEP.saturating_mul(u32::try_from(steps).unwrap_or(u32::MAX)))
}

/// Waits for `operation` until `limit` has passed. The caller must discard the connection if this fails.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, operation)
        .await
        .unwrap_or_else(|_| Err(exceeded(what)))
}

/// Returns the error of an operation whose deadline has passed, and counts it.
pub(super) fn exceeded(what: &str) -> StoreError {
    metrics::counter!("octelium_store_deadlines_exceeded_total").increment(1);
    StoreError::transient(format!("PostgreSQL: {what}: no answer in time"))
}
