//! Functions for timestamps and durations: their parts, the current time, days of the week.

use jiff::civil::{DateTime, Weekday};

use super::{Line, Outcome, Value};
use crate::{error::Error, time, value::Instant};

pub(super) const FUNCTIONS: &[Line] = &[
    (".getFullYear", DATE, |_, a| {
        let (time, later) = local(a, "getFullYear")?;
        Ok(Value::Int(i64::from(time.year()) + later))
    }),
    (".getMonth", DATE, |_, a| {
        date(a, "getMonth", |t| i64::from(t.month()) - 1)
    }),
    (".getDate", DATE, |_, a| {
        date(a, "getDate", |t| i64::from(t.day()))
    }),
    (".getDayOfMonth", DATE, |_, a| {
        date(a, "getDayOfMonth", |t| i64::from(t.day()) - 1)
    }),
    (".getDayOfWeek", DATE, |_, a| {
        date(a, "getDayOfWeek", |t| {
            i64::from(t.weekday().to_sunday_zero_offset())
        })
    }),
    (".getDayOfYear", DATE, |_, a| {
        date(a, "getDayOfYear", |t| i64::from(t.day_of_year()) - 1)
    }),
    (".getHours", CLOCK, |_, a| {
        clock(a, "getHours", 3_600_000_000_000, |t| i64::from(t.hour()))
    }),
    (".getMinutes", CLOCK, |_, a| {
        clock(a, "getMinutes", 60_000_000_000, |t| i64::from(t.minute()))
    }),
    (".getSeconds", CLOCK, |_, a| {
        clock(a, "getSeconds", 1_000_000_000, |t| i64::from(t.second()))
    }),
    (".getMilliseconds", CLOCK, |_, a| match a {
        // The milliseconds within the last second of the duration.
        [Value::Duration(nanos)] => Ok(Value::Int(nanos % 1_000_000_000 / 1_000_000)),
        _ => clock(a, "getMilliseconds", 1_000_000, |t| {
            i64::from(t.millisecond())
        }),
    }),
    ("now", &["-> timestamp"], |evaluation, _| {
        let millis = evaluation.inputs.now;
        let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        time::instant(millis.div_euclid(1000), nanos)
    }),
    ("time.isWeekday", DAY, |_, a| {
        weekend(a, "time.isWeekday").map(|value| Value::Bool(!value))
    }),
    ("time.isWeekend", DAY, |_, a| {
        weekend(a, "time.isWeekend").map(Value::Bool)
    }),
    ("time.isWeekdayInTZ", DAY_IN_ZONE, |_, a| {
        weekend(a, "time.isWeekdayInTZ").map(|value| Value::Bool(!value))
    }),
    ("time.isWeekendInTZ", DAY_IN_ZONE, |_, a| {
        weekend(a, "time.isWeekendInTZ").map(Value::Bool)
    }),
];

const DATE: &[&str] = &["timestamp -> int", "timestamp, string -> int"];
const CLOCK: &[&str] = &[
    "timestamp -> int",
    "timestamp, string -> int",
    "duration -> int",
];
const DAY: &[&str] = &["timestamp -> bool"];
const DAY_IN_ZONE: &[&str] = &["timestamp, string -> bool"];

fn date<'a>(arguments: &[Value<'a>], name: &str, read: fn(DateTime) -> i64) -> Outcome<'a> {
    local(arguments, name).map(|(time, _)| Value::Int(read(time)))
}

fn clock<'a>(
    arguments: &[Value<'a>],
    name: &str,
    unit: i64,
    read: fn(DateTime) -> i64,
) -> Outcome<'a> {
    match arguments {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => date(arguments, name, read),
    }
}

fn weekend(arguments: &[Value<'_>], name: &str) -> Result<bool, Error> {
    let day = local(arguments, name)?.0.weekday();
    Ok(matches!(day, Weekday::Saturday | Weekday::Sunday))
}

/// Converts the first argument like [`time::civil`], in the zone of the second argument or UTC.
fn local(arguments: &[Value<'_>], name: &str) -> Result<(DateTime, i64), Error> {
    let (instant, zone): (Instant, &str) = match arguments {
        [Value::Timestamp(instant)] => (*instant, ""),
        [Value::Timestamp(instant), zone] => (
            *instant,
            zone.as_str().ok_or_else(|| Error::overload(name))?,
        ),
        _ => return Err(Error::overload(name)),
    };
    time::civil(instant, &time::zone(zone)?).ok_or(Error::OutOfRange("timestamp"))
}
