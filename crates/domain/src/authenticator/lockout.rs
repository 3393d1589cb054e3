//! How often a second factor that can be guessed may be tried. Counted for the User: across Authenticators, Sessions,
//! addresses and restarts.

use std::time::Duration;

use crate::clock::UnixMillis;

/// As many may fail in a row before anything is slowed down.
const FREE: u32 = 4;
/// From here on something is wrong that time alone does not mend.
const MANY: u32 = 20;
const FIRST_DELAY: Duration = Duration::from_mins(1);
const LONGEST_DELAY: Duration = Duration::from_hours(1);
const LONGEST_DELAY_OF_MANY: Duration = Duration::from_hours(6);

/// What failed since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempts {
    /// How often in a row.
    pub failures: u32,
    /// When last.
    pub last_failed_at: Option<UnixMillis>,
}

/// Too often. Nothing is looked at before then, right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Until when.
    pub until: UnixMillis,
}

impl Attempts {
    /// Whether another may be made now.
    ///
    /// # Errors
    /// Where not, with the end of that.
    pub fn check(self, now: UnixMillis) -> Result<(), Blocked> {
        match self.blocked_until() {
            Some(until) if now < until => Err(Blocked { until }),
            _ => Ok(()),
        }
    }

    /// One more has failed.
    #[must_use]
    pub fn failed(self, now: UnixMillis) -> Self {
        Self {
            failures: self.failures.saturating_add(1),
            last_failed_at: Some(now),
        }
    }

    /// Until when nothing is looked at; `None` where that never was so.
    pub fn blocked_until(self) -> Option<UnixMillis> {
        let delay = delay(self.failures)?;
        Some(self.last_failed_at?.saturating_add(delay))
    }
}

/// A minute after the fifth failure in a row, and twice as long after each further one.
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
    fn b02_what_is_blocked_is_free_again_in_time() {
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
