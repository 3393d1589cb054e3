//! Timestamps and durations: parsing, formatting and calendar.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::{
    error::Error,
    state::Outcome,
    value::{Instant, Value},
};

/// 0001-01-01T00:00:00Z
const EARLIEST: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z
const LATEST: i64 = 253_402_300_799;
const SECOND: i64 = 1_000_000_000;
/// 400 years in seconds. The calendar repeats after this time.
const CYCLE: i64 = 146_097 * 86_400;

/// Creates a timestamp. Fails outside of the years 1 to 9999.
pub(crate) fn instant<'a>(seconds: i64, nanos: u32) -> Outcome<'a> {
    if (EARLIEST..=LATEST).contains(&seconds) {
        Ok(Value::Timestamp(Instant { seconds, nanos }))
    } else {
        Err(Error::OutOfRange("timestamp"))
    }
}

/// Adds nanoseconds to a timestamp.
pub(crate) fn shift<'a>(start: Instant, nanos: i64) -> Outcome<'a> {
    let total = i64::from(start.nanos) + nanos.rem_euclid(SECOND);
    let seconds = start
        .seconds
        .checked_add(nanos.div_euclid(SECOND) + total.div_euclid(SECOND))
        .ok_or(Error::OutOfRange("timestamp"))?;
    instant(
        seconds,
        u32::try_from(total.rem_euclid(SECOND)).unwrap_or(0),
    )
}

/// Evaluates `left - right`.
pub(crate) fn between<'a>(left: Instant, right: Instant) -> Outcome<'a> {
    (left.seconds - right.seconds)
        .checked_mul(SECOND)
        .and_then(|nanos| nanos.checked_add(i64::from(left.nanos) - i64::from(right.nanos)))
        .map(Value::Duration)
        .ok_or(Error::OutOfRange("duration"))
}

/// Parses an RFC 3339 timestamp strictly.
pub(crate) fn parse_timestamp<'a>(text: &str) -> Outcome<'a> {
    let invalid = Error::InvalidArgument("the text is not an RFC 3339 timestamp");
    let mut reader = Reader { rest: text };
    let parsed = (|| {
        let year = reader.digits(4)?;
        reader.expect("-")?;
        let month = reader.digits(2)?;
        reader.expect("-")?;
        let day = reader.digits(2)?;
        reader.expect("T").or_else(|| reader.expect("t"))?;
        let hour = reader.digits(2)?;
        reader.expect(":")?;
        let minute = reader.digits(2)?;
        reader.expect(":")?;
        let second = reader.digits(2)?;
        let nanos = reader.fraction()?;
        let offset = reader.offset()?;
        if hour > 23 || minute > 59 || second > 59 || !reader.rest.is_empty() {
            return None;
        }
        let date = jiff::civil::Date::new(
            i16::try_from(year).ok()?,
            i8::try_from(month).ok()?,
            i8::try_from(day).ok()?,
        )
        .ok()?;
        let epoch = jiff::civil::Date::constant(1970, 1, 1);
        let days = i64::from(date.since(epoch).ok()?.get_days());
        Some((
            days * 86_400 + hour * 3_600 + minute * 60 + second - offset,
            nanos,
        ))
    })();
    let (seconds, nanos) = parsed.ok_or(invalid)?;
    instant(seconds, nanos)
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.rest.get(..count)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        self.rest = self.rest.get(count..)?;
        digits.parse().ok()
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    fn fraction(&mut self) -> Option<u32> {
        if self.expect(".").is_none() {
            return Some(0);
        }
        let end = self.rest.find(|c: char| !c.is_ascii_digit())?;
        let digits = self.rest.get(..end)?;
        if digits.is_empty() || digits.len() > 9 {
            return None;
        }
        self.rest = self.rest.get(end..)?;
        format!("{digits:0<9}").parse().ok()
    }

    fn offset(&mut self) -> Option<i64> {
        if self.expect("Z").or_else(|| self.expect("z")).is_some() {
            return Some(0);
        }
        let sign = if self.expect("+").is_some() {
            1
        } else {
            self.expect("-")?;
            -1
        };
        let hours = self.digits(2)?;
        self.expect(":")?;
        let minutes = self.digits(2)?;
        (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

/// Formats an RFC 3339 timestamp in UTC.
pub(crate) fn format_timestamp(instant: Instant) -> String {
    let Some((time, _)) = civil(instant, &TimeZone::UTC) else {
        return String::new();
    };
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    );
    push_fraction(&mut text, u64::from(instant.nanos));
    text.push('Z');
    text
}

/// Parses a duration, such as `1h30m` or `-1.5s`.
pub(crate) fn parse_duration<'a>(text: &str) -> Outcome<'a> {
    const UNITS: [(&str, i128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let invalid = || Error::InvalidArgument("the text is not a duration such as 1h30m");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Value::Duration(0));
    }
    if rest.is_empty() || rest.len() > 100 {
        return Err(invalid());
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c != '.' && !c.is_ascii_digit())
            .ok_or_else(invalid)?;
        let (number, after) = rest.split_at(end);
        // `ms` precedes `m`, which is a prefix of it.
        let (unit, nanos) = UNITS
            .iter()
            .find(|(unit, _)| after.starts_with(unit))
            .ok_or_else(invalid)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let parse = |digits: &str| match digits {
            "" => Ok(0),
            digits => digits
                .parse::<i128>()
                .map_err(|_| Error::OutOfRange("duration")),
        };
        let fraction = fraction.get(..18).unwrap_or(fraction);
        let scale = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        total = parse(whole)?
            .checked_mul(*nanos)
            .and_then(|value| value.checked_add(parse(fraction).ok()? * nanos / scale))
            .and_then(|value| total.checked_add(value))
            .ok_or(Error::OutOfRange("duration"))?;
        rest = after.strip_prefix(unit).unwrap_or_default();
    }
    i64::try_from(sign * total)
        .map(Value::Duration)
        .map_err(|_| Error::OutOfRange("duration"))
}

/// Formats a duration in seconds, such as `1.5s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let mut text = String::new();
    if nanos < 0 {
        text.push('-');
    }
    let _ = write!(text, "{}", magnitude / 1_000_000_000);
    push_fraction(&mut text, magnitude % 1_000_000_000);
    text.push('s');
    text
}

fn push_fraction(text: &mut String, nanos: u64) {
    if nanos > 0 {
        let _ = write!(text, ".{}", format!("{nanos:09}").trim_end_matches('0'));
    }
}

/// Returns a time zone by IANA name or by offset, such as `+02:00`. An empty name is UTC.
pub(crate) fn zone(name: &str) -> Result<TimeZone, Error> {
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    if name.ends_with(|c: char| c.is_ascii_digit())
        && let Some(offset) = offset(name)
    {
        return Ok(offset.to_time_zone());
    }
    TimeZone::get(name).map_err(|_| Error::InvalidArgument("unknown time zone"))
}

fn offset(text: &str) -> Option<jiff::tz::Offset> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let hours: i32 = hours.parse().ok()?;
    let minutes: i32 = minutes.parse().ok()?;
    if hours > 23 || !(0..60).contains(&minutes) {
        return None;
    }
    jiff::tz::Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()
}

/// Returns date and time of day in a zone, and a number of years to add.
///
/// A zone can move a timestamp into the year 10000, which no calendar library supports. Such a time is returned 400
/// years earlier, where everything but the year is the same, and the second value is 400.
pub(crate) fn civil(instant: Instant, zone: &TimeZone) -> Option<(jiff::civil::DateTime, i64)> {
    let nanos = i32::try_from(instant.nanos).ok()?;
    if let Ok(timestamp) = jiff::Timestamp::new(instant.seconds, nanos) {
        return Some((zone.to_datetime(timestamp), 0));
    }
    // `jiff::Timestamp` excludes the last hours of the year 9999, because a zone could move them out of range.
    let offset = i64::from(zone.to_offset(jiff::Timestamp::MAX).seconds());
    let epoch = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, nanos);
    let local = |seconds| epoch.checked_add(jiff::SignedDuration::from_secs(seconds));
    match local(instant.seconds + offset) {
        Ok(time) => Some((time, 0)),
        Err(_) => Some((local(instant.seconds + offset - CYCLE).ok()?, 400)),
    }
}
