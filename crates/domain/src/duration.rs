//! Conversion and validation of durations in resources, and the grammar for durations on the command line.

use std::time::Duration;

use api::meta_v1;
use api::meta_v1::duration::Type;

mod expire_in;

pub use expire_in::{DurationError, parse_expire_in};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The shortest duration allowed in a resource.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The longest duration allowed in a resource: 100 years of 360 days.
pub const LONGEST: Duration = Duration::from_secs(100 * 360 * DAY);

/// The error for a duration that is not allowed in a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfRange {
    /// The message has no unit set.
    #[error(
        "the duration is empty: set one of milliseconds, seconds, minutes, hours, days, weeks or months"
    )]
    Unset,
    /// Shorter than [`SHORTEST`].
    #[error("the duration is shorter than 1 second")]
    TooShort,
    /// Longer than [`LONGEST`].
    #[error("the duration is longer than 100 years of 360 days")]
    TooLong,
}

/// Converts a protobuf duration, or returns `None` if its oneof is unset. A month has 30 days.
pub fn from_proto(duration: &meta_v1::Duration) -> Option<Duration> {
    let seconds = |count: u32, unit: u64| Duration::from_secs(u64::from(count) * unit);
    Some(match duration.r#type? {
        Type::Milliseconds(count) => Duration::from_millis(u64::from(count)),
        Type::Seconds(count) => seconds(count, 1),
        Type::Minutes(count) => seconds(count, MINUTE),
        Type::Hours(count) => seconds(count, HOUR),
        Type::Days(count) => seconds(count, DAY),
        Type::Weeks(count) => seconds(count, 7 * DAY),
        Type::Months(count) => seconds(count, 30 * DAY),
    })
}

/// Converts like [`from_proto`], and checks the range.
///
/// # Errors
/// Returns [`OutOfRange`] unless the duration is from [`SHORTEST`] to [`LONGEST`].
pub fn check(duration: &meta_v1::Duration) -> Result<Duration, OutOfRange> {
    match from_proto(duration) {
        None => Err(OutOfRange::Unset),
        Some(duration) if duration < SHORTEST => Err(OutOfRange::TooShort),
        Some(duration) if duration > LONGEST => Err(OutOfRange::TooLong),
        Some(duration) => Ok(duration),
    }
}

/// Converts to the protobuf duration: milliseconds if there is a fraction of a second, else whole seconds. A duration
/// too large for the message is rounded down (more than 49 days with a fraction of a second, more than 136 years).
pub fn to_proto(duration: Duration) -> meta_v1::Duration {
    let millis = u32::try_from(duration.as_millis());
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let r#type = match millis {
        Ok(millis) if duration.subsec_millis() != 0 => Type::Milliseconds(millis),
        _ => Type::Seconds(seconds),
    };
    meta_v1::Duration {
        r#type: Some(r#type),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of(r#type: Type) -> meta_v1::Duration {
        meta_v1::Duration {
            r#type: Some(r#type),
        }
    }

    #[rstest]
    #[case(Type::Milliseconds(1500), 1_500)]
    #[case(Type::Seconds(1), 1_000)]
    #[case(Type::Minutes(2), 120_000)]
    #[case(Type::Hours(4), 14_400_000)]
    #[case(Type::Days(1), 86_400_000)]
    #[case(Type::Weeks(2), 1_209_600_000)]
    #[case(Type::Months(1), 2_592_000_000)]
    fn each_unit_means_what_it_says(#[case] written: Type, #[case] millis: u64) {
        assert_eq!(
            from_proto(&of(written)),
            Some(Duration::from_millis(millis))
        );
    }

    #[test]
    fn e06_the_greatest_count_of_the_greatest_unit_does_not_overflow() {
        assert!(from_proto(&of(Type::Months(u32::MAX))) > Some(LONGEST));
        assert_eq!(check(&of(Type::Months(u32::MAX))), Err(OutOfRange::TooLong));
    }

    #[test]
    fn only_one_second_to_a_hundred_years_may_be_asked_for() {
        assert_eq!(check(&meta_v1::Duration::default()), Err(OutOfRange::Unset));
        assert_eq!(check(&of(Type::Seconds(0))), Err(OutOfRange::TooShort));
        assert_eq!(
            check(&of(Type::Milliseconds(999))),
            Err(OutOfRange::TooShort)
        );
        assert_eq!(check(&of(Type::Seconds(1))), Ok(SHORTEST));
        assert_eq!(check(&of(Type::Months(1_200))), Ok(LONGEST));
        assert_eq!(check(&of(Type::Days(36_001))), Err(OutOfRange::TooLong));
    }

    proptest! {
        #[test]
        fn protobuf_durations_round_trip(count: u32, unit in 0_u8..6) {
            let written = of(match unit {
                0 => Type::Milliseconds(count),
                1 => Type::Seconds(count),
                2 => Type::Minutes(count % 70_000_000),
                3 => Type::Hours(count % 1_000_000),
                4 => Type::Days(count % 40_000),
                _ => Type::Months(count % 1_600),
            });
            let duration = from_proto(&written).unwrap();
            prop_assert_eq!(from_proto(&to_proto(duration)), Some(duration));
        }
    }
}
