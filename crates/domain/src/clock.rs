//! Time as a parameter.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, UNIX_EPOCH},
};

/// Milliseconds since 1970-01-01T00:00:00Z. Every stored and compared time has this unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Adds `duration`. Saturates at the largest value.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// Subtracts `duration`. Saturates at the smallest value.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// Returns the time passed since `earlier`, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Converts whole seconds since the epoch.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Converts to the protobuf timestamp.
    pub fn to_proto(self) -> prost_types::Timestamp {
        let millis = i32::try_from(self.0.rem_euclid(1000)).unwrap_or(0);
        prost_types::Timestamp {
            seconds: self.seconds(),
            nanos: millis * 1_000_000,
        }
    }

    /// Converts from the protobuf timestamp, rounded down to milliseconds.
    pub fn from_proto(timestamp: &prost_types::Timestamp) -> Self {
        Self(
            timestamp
                .seconds
                .saturating_mul(1000)
                .saturating_add(i64::from(timestamp.nanos / 1_000_000)),
        )
    }
}

impl fmt::Display for UnixMillis {
    /// Writes RFC 3339 in UTC, or the number of milliseconds if the calendar does not reach that far.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => timestamp.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// The port that provides the time.
pub trait Clock: Send + Sync + 'static {
    /// Returns the current time.
    fn now(&self) -> UnixMillis;
}

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> UnixMillis {
        let elapsed = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock for tests that changes only when it is set or advanced.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Creates a clock that shows `now`.
    pub fn at(now: UnixMillis) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(
            i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
            Ordering::SeqCst,
        );
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, now: UnixMillis) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn e06_instants_stay_in_range_at_both_ends_of_time() {
        let end = UnixMillis(i64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(
            UnixMillis(i64::MIN).saturating_sub(Duration::MAX),
            UnixMillis(i64::MIN)
        );
        assert_eq!(UnixMillis(i64::MIN).since(end), Duration::ZERO);
        assert_eq!(UnixMillis::from_seconds(i64::MAX), end);
        let beyond = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: i32::MAX,
        };
        assert_eq!(UnixMillis::from_proto(&beyond), end);
    }

    #[test]
    fn e06_the_years_2038_and_9999_are_written_as_they_are() {
        assert_eq!(
            UnixMillis(2_147_483_648_000).to_string(),
            "2038-01-19T03:14:08Z"
        );
        assert_eq!(
            UnixMillis(253_370_764_800_000).to_string(),
            "9999-01-01T00:00:00Z"
        );
        assert_eq!(UnixMillis(-1).to_string(), "1969-12-31T23:59:59.999Z");
        assert_eq!(UnixMillis(i64::MAX).to_string(), format!("{} ms", i64::MAX));
    }

    #[test]
    fn e06_a_clock_can_jump_a_day_either_way() {
        let day = Duration::from_hours(24);
        let clock = ManualClock::at(UnixMillis(1_000));
        clock.advance(day);
        assert_eq!(clock.now(), UnixMillis(86_401_000));
        clock.set(clock.now().saturating_sub(day * 2));
        assert_eq!(clock.now(), UnixMillis(1_000 - 86_400_000));
        assert_eq!(clock.now().since(UnixMillis(1_000)), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn protobuf_timestamps_round_trip(millis in -62_135_596_800_000_i64..253_402_300_800_000) {
            let instant = UnixMillis(millis);
            prop_assert_eq!(UnixMillis::from_proto(&instant.to_proto()), instant);
            prop_assert!((0..1_000_000_000).contains(&instant.to_proto().nanos));
        }
    }
}
