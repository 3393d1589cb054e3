//! Lockout after failed attempts at a second factor that can be guessed. Failures are counted for the User, across
//! Authenticators, Sessions, addresses and restarts.

use std::time::Duration;

use crate::clock::UnixMillis;

/// Failures in a row before the first delay.
const FREE: u32 = 4;
/// Failures in a row from which the longest delay applies: this many are not typing errors.
const MANY: u32 = 20;
const FIRST_DELAY: Duration = Duration::from_mins(1);
const LONGEST_DELAY: Duration = Duration::from_hours(1);
const LONGEST_DELAY_OF_MANY: Duration = Duration::from_hours(6);

/// The failed attempts since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// Number of failures in a row.
    pub failures: u32,
    /// Time of the latest failure.
    pub last_failed_at: Option<UnixMillis>,
}

/// The error for an attempt during a lockout. No attempt is evaluated before `until`, not even a correct one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// The end of the lockout.
    pub until: UnixMillis,
}

impl Attempts {
    /// Checks that an attempt is allowed at `now`.
    ///
    /// # Errors
    /// Returns [`Blocked`] with the end of the lockout if the User is locked out.
    pub fn check(self, now: UnixMillis) -> Result<(), Blocked> {
        match self.blocked_until() {
            Some(until) if now < until => Err(Blocked { until }),
            _ => Ok(()),
        }
    }

    /// Returns the state after one more failure at `now`.
    #[must_use]
    pub fn failed(self, now: UnixMillis) -> Self {
        Self {
            failures: self.failures.saturating_add(1),
            last_failed_at: Some(now),
        }
    }

    /// Returns the end of the current or latest lockout, or `None` if no failure caused one.
    pub fn blocked_until(self) -> Option<UnixMillis> {
        let delay = delay(self.failures)?;
        Some(self.last_failed_at?.saturating_add(delay))
    }
}

/// Returns the delay after this many failures: 1 minute after the fifth, doubled by each further one up to 1 hour, and
/// 6 hours from the twentieth on.
fn delay(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(FREE.saturating_add(1))?;
    let longest = if failures >= MANY {
        LONGEST_DELAY_OF_MANY
    } else {
        LONGEST_DELAY
    };
    if failures >= MANY {
        return Some(longest);
    }
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    Some(FIRST_DELAY.saturating_mul(factor).min(longest))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(4, None)]
    #[case(5, Some(1))]
    #[case(6, Some(2))]
    #[case(10, Some(32))]
    #[case(11, Some(60))]
    #[case(19, Some(60))]
    #[case(20, Some(360))]
    #[case(u32::MAX, Some(360))]
    fn b02_delays_grow_with_each_failure(#[case] failures: u32, #[case] minutes: Option<u64>) {
        assert_eq!(delay(failures), minutes.map(Duration::from_mins));
    }

    #[test]
    fn b02_a_lockout_ends() {
        let start = UnixMillis(1_795_305_600_000);
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            attempts = attempts.failed(start);
            assert_eq!(attempts.check(start), Ok(()));
        }
        attempts = attempts.failed(start);
        let until = start.saturating_add(Duration::from_mins(1));
        assert_eq!(attempts.check(start), Err(Blocked { until }));
        assert_eq!(
            attempts.check(UnixMillis(until.0 - 1)),
            Err(Blocked { until })
        );
        assert_eq!(attempts.check(until), Ok(()));
    }
}
