//! The grammar of `--expire-in`.

use std::time::Duration;

use jiff::{Timestamp, civil, tz::TimeZone};

use crate::clock::UnixMillis;

const EXAMPLES: &str =
    "valid examples: 600seconds, 45minutes, 7hour, 3days, 2weeks, 6months, 1yr, 1d12h";
const LONGEST_TEXT: usize = 256;
const LONGEST_NUMBER: usize = 12;
const NANOS: i128 = 1_000_000_000;

/// The reason why a text is not a valid time in the future.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is empty.
    #[error("the duration is empty; {EXAMPLES}")]
    Empty,
    /// The text is longer than 256 characters.
    #[error("the duration is longer than {LONGEST_TEXT} characters; {EXAMPLES}")]
    TooLong,
    /// A number without a unit, such as `30`.
    #[error("the number `{number}` has no unit; {EXAMPLES}")]
    MissingUnit {
        /// The number.
        number: String,
    },
    /// A unit without a number, such as `days`.
    #[error("`{text}` does not begin with a number; {EXAMPLES}")]
    MissingNumber {
        /// The text from the position at which a number was expected.
        text: String,
    },
    /// Not a number, or one with too many digits.
    #[error("`{number}` is not a number of up to {LONGEST_NUMBER} digits; {EXAMPLES}")]
    InvalidNumber {
        /// The invalid number.
        number: String,
    },
    /// An unknown unit, such as in `2 hours` or `3fortnights`.
    #[error(
        "unknown unit `{unit}`: write the number and one of ns, us, ms, s, m, h, d, w, mo, y (or sec, min, hr, day, wk, mon, yr, seconds, minutes, …) without spaces; {EXAMPLES}"
    )]
    UnknownUnit {
        /// The unknown unit.
        unit: String,
    },
    /// The result is not later than now.
    #[error("`{text}` is not in the future; {EXAMPLES}")]
    NotInFuture {
        /// The whole text.
        text: String,
    },
    /// The result is after the year 9999.
    #[error("`{text}` is after the year 9999; {EXAMPLES}")]
    TooFar {
        /// The whole text.
        text: String,
    },
}

/// Parses `text` as a time span and returns the time that is this span after `now`.
///
/// The grammar is one or more terms `[+|-]NUMBER UNIT` without spaces. A number can have a decimal point. A sign
/// applies until the next one. Months and years follow the UTC calendar; surplus days run over into the next month. A
/// week has 7 days and a day has 24 hours. A fraction of a year counts in months, and a fraction of a month counts in
/// days of which a month has 30.
///
/// # Errors
/// Returns a [`DurationError`] that names the invalid part and gives valid examples.
pub fn parse_expire_in(text: &str, now: UnixMillis) -> Result<UnixMillis, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text.len() > LONGEST_TEXT {
        return Err(DurationError::TooLong);
    }
    let mut offset = Offset::default();
    let mut sign = 1;
    let mut rest = text;
    while !rest.is_empty() {
        (sign, rest) = take_sign(rest, sign);
        let (term, after) = Term::take(rest)?;
        offset.add(sign, &term);
        rest = after;
    }
    let at = offset.after(now).ok_or_else(|| DurationError::TooFar {
        text: text.to_owned(),
    })?;
    if at <= now {
        return Err(DurationError::NotInFuture {
            text: text.to_owned(),
        });
    }
    Ok(at)
}

fn take_sign(text: &str, current: i128) -> (i128, &str) {
    if let Some(rest) = text.strip_prefix('+') {
        (1, rest)
    } else if let Some(rest) = text.strip_prefix('-') {
        (-1, rest)
    } else {
        (current, text)
    }
}

struct Term {
    /// The number in billionths.
    amount: i128,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    Nanoseconds(i128),
    Months(i128),
}

impl Term {
    fn take(text: &str) -> Result<(Self, &str), DurationError> {
        let is_numeric = |c: char| c.is_ascii_digit() || c == '.';
        let (number, rest) = split_where(text, |c| !is_numeric(c));
        if number.is_empty() {
            return Err(DurationError::MissingNumber {
                text: text.to_owned(),
            });
        }
        let amount = billionths(number).ok_or_else(|| DurationError::InvalidNumber {
            number: number.to_owned(),
        })?;
        let (unit, rest) = split_where(rest, |c| is_numeric(c) || c == '+' || c == '-');
        if unit.is_empty() {
            return Err(DurationError::MissingUnit {
                number: number.to_owned(),
            });
        }
        let unit = Unit::named(unit).ok_or_else(|| DurationError::UnknownUnit {
            unit: unit.to_owned(),
        })?;
        Ok((Self { amount, unit }, rest))
    }
}

impl Unit {
    fn named(name: &str) -> Option<Self> {
        const SECOND: i128 = NANOS;
        Some(match name {
            "ns" => Self::Nanoseconds(1),
            "us" | "µs" | "μs" => Self::Nanoseconds(1_000),
            "ms" => Self::Nanoseconds(1_000_000),
            "s" | "sec" | "second" | "seconds" => Self::Nanoseconds(SECOND),
            "m" | "min" | "minute" | "minutes" => Self::Nanoseconds(60 * SECOND),
            "h" | "hr" | "hour" | "hours" => Self::Nanoseconds(3_600 * SECOND),
            "d" | "day" | "days" => Self::Nanoseconds(86_400 * SECOND),
            "w" | "wk" | "week" | "weeks" => Self::Nanoseconds(7 * 86_400 * SECOND),
            "mo" | "mon" | "month" | "months" => Self::Months(1),
            "y" | "yr" | "year" | "years" => Self::Months(12),
            _ => return None,
        })
    }
}

/// The sum of the terms. The limits on length above prevent an overflow.
#[derive(Default)]
struct Offset {
    months: i128,
    nanoseconds: i128,
}

impl Offset {
    fn add(&mut self, sign: i128, term: &Term) {
        match term.unit {
            Unit::Nanoseconds(unit) => self.nanoseconds += sign * (term.amount * unit / NANOS),
            Unit::Months(unit) => {
                let months = term.amount * unit;
                let fraction_of_month = months % NANOS;
                self.months += sign * (months / NANOS);
                // Billionths of a month times the seconds of 30 days are nanoseconds.
                self.nanoseconds += sign * fraction_of_month * 30 * 86_400;
            }
        }
    }

    /// Returns `None` if the result is outside the range of the calendar.
    fn after(&self, now: UnixMillis) -> Option<UnixMillis> {
        let start = Timestamp::from_millisecond(now.0).ok()?;
        let shifted = add_months(start, i64::try_from(self.months).ok()?)?;
        let millis = i64::try_from(self.nanoseconds.div_euclid(1_000_000)).ok()?;
        let at = shifted.as_millisecond().checked_add(millis)?;
        Timestamp::from_millisecond(at).ok()?;
        Some(UnixMillis(at))
    }
}

fn add_months(start: Timestamp, months: i64) -> Option<Timestamp> {
    let from = start.to_zoned(TimeZone::UTC).datetime();
    let counted =
        (i64::from(from.year()) * 12 + i64::from(from.month()) - 1).checked_add(months)?;
    let year = i16::try_from(counted.div_euclid(12)).ok()?;
    let month = i8::try_from(counted.rem_euclid(12) + 1).ok()?;
    let first = civil::Date::new(year, month, 1).ok()?;
    let midnight = first
        .to_datetime(civil::Time::midnight())
        .to_zoned(TimeZone::UTC)
        .ok()?;
    let day = u64::from(from.day().unsigned_abs()).saturating_sub(1);
    let since_midnight = from
        .time()
        .duration_since(civil::Time::midnight())
        .unsigned_abs();
    midnight
        .timestamp()
        .checked_add(Duration::from_secs(day * 86_400) + since_midnight)
        .ok()
}

/// Parses digits with at most one decimal point into billionths. Drops further decimal places.
fn billionths(number: &str) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() > LONGEST_NUMBER || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: i128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: i128 = format!("{fraction:0<9.9}").parse().ok()?;
    Some(whole * NANOS + fraction)
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
