//! Limits that protect a replica from its callers. Each has a metric and a log message.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use domain::address_prefix::AddressPrefix;

/// Minimum interval between two log messages about one limit.
const QUIET: Duration = Duration::from_mins(1);
/// Initial value of [`Limit::last_logged`].
const NEVER: u64 = u64::MAX;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A limit that a caller can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Maximum bytes of one request body.
    BodyBytes,
    /// Maximum time of one request body.
    BodyTime,
    /// Bytes of unfinished bodies of one unauthenticated address prefix.
    AnonymousShare,
    /// Bytes of unfinished bodies of all unauthenticated callers.
    AnonymousTotal,
    /// The eviction of an unfinished body for other callers.
    BodyEvicted,
    /// Bytes of unauthenticated streams of one address prefix.
    StreamShare,
    /// Bytes of unauthenticated streams of all callers.
    StreamTotal,
    /// Bytes of unfinished bodies of one User.
    UserShare,
    /// Bytes of unfinished bodies of all Users.
    UserTotal,
    /// Audit rows about refusals.
    RefusalRows,
    /// Access events of unauthenticated callers.
    AnonymousAccessRows,
    /// Device logins that wait for a User, of one address prefix and of all clients.
    AnonymousRows,
    /// The eviction of a device login for another client.
    DeviceLoginEvicted,
    /// Failed logins at identity providers of one address prefix.
    FailedLogins,
}

impl Limit {
    /// Returns the name in metrics and logs.
    fn as_str(self) -> &'static str {
        match self {
            Self::BodyBytes => "body_bytes",
            Self::BodyTime => "body_time",
            Self::AnonymousShare => "anonymous_body_share",
            Self::AnonymousTotal => "anonymous_body_total",
            Self::BodyEvicted => "body_evicted",
            Self::StreamShare => "anonymous_stream_share",
            Self::StreamTotal => "anonymous_stream_total",
            Self::UserShare => "user_body_share",
            Self::UserTotal => "user_body_total",
            Self::RefusalRows => "refusal_rows",
            Self::AnonymousAccessRows => "anonymous_access_rows",
            Self::AnonymousRows => "anonymous_rows",
            Self::DeviceLoginEvicted => "device_login_evicted",
            Self::FailedLogins => "failed_logins",
        }
    }

    /// Returns the time of the last log message, in milliseconds since [`STARTED`].
    #[allow(clippy::match_same_arms, reason = "each arm has a static of its own")]
    fn last_logged(self) -> &'static AtomicU64 {
        macro_rules! one {
            () => {{
                static LAST: AtomicU64 = AtomicU64::new(NEVER);
                &LAST
            }};
        }
        match self {
            Self::BodyBytes => one!(),
            Self::BodyTime => one!(),
            Self::AnonymousShare => one!(),
            Self::AnonymousTotal => one!(),
            Self::BodyEvicted => one!(),
            Self::StreamShare => one!(),
            Self::StreamTotal => one!(),
            Self::UserShare => one!(),
            Self::UserTotal => one!(),
            Self::RefusalRows => one!(),
            Self::AnonymousAccessRows => one!(),
            Self::AnonymousRows => one!(),
            Self::DeviceLoginEvicted => one!(),
            Self::FailedLogins => one!(),
        }
    }

    /// Counts one refusal. Logs the first one, and then at most one per minute. The log names `caller` as the cause.
    pub(crate) fn reached(self, caller: &dyn std::fmt::Display) {
        let limit = self.as_str();
        metrics::counter!("octelium_limit_reached_total", "limit" => limit).increment(1);
        if self.takes_the_line(STARTED.elapsed()) {
            tracing::warn!(limit, caller = %caller, "a limit was reached; items beyond it are refused or omitted");
        }
    }

    /// Like [`Self::reached`], for an unauthenticated client.
    pub(crate) fn reached_by(self, prefix: Option<AddressPrefix>) {
        match prefix {
            Some(prefix) => self.reached(&prefix),
            None => self.reached(&"unknown address"),
        }
    }

    /// Returns whether a log message is due. If calls are concurrent, exactly one gets `true`.
    fn takes_the_line(self, uptime: Duration) -> bool {
        let now = u64::try_from(uptime.as_millis()).unwrap_or(NEVER - 1);
        let quiet = u64::try_from(QUIET.as_millis()).unwrap_or(NEVER);
        let is_due = |last| last == NEVER || now.saturating_sub(last) >= quiet;
        self.last_logged()
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                is_due(last).then_some(now)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_logged_at_first_and_then_once_a_minute_s02() {
        let at = |seconds| Limit::AnonymousRows.takes_the_line(Duration::from_secs(seconds));
        let logged: Vec<bool> = [0, 0, 59, 60, 61, 200].map(at).to_vec();
        assert_eq!(logged, [true, false, false, true, false, true]);
    }
}
