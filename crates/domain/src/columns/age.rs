//! Compact time spans for tables.

use prost_types::Timestamp;

use crate::clock::UnixMillis;

/// Formats the time since `time`. Returns an empty text for `None`.
pub fn since(time: Option<&Timestamp>, now: UnixMillis) -> String {
    time.map_or_else(String::new, |time| {
        short(now.since(UnixMillis::from_proto(time)).as_secs())
    })
}

/// Formats the time until `time`. Returns `expired` if it has passed, or `never` for `None`.
pub fn until(time: Option<&Timestamp>, now: UnixMillis) -> String {
    let Some(time) = time.map(UnixMillis::from_proto) else {
        return "never".to_owned();
    };
    if time <= now {
        "expired".to_owned()
    } else {
        short(time.since(now).as_secs())
    }
}

/// Formats a span with at most two units. The resolution decreases with the length.
fn short(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;
    let two = |big: u64, unit: char, small: u64, sub: char| {
        let rest = seconds % big / small;
        if rest == 0 {
            format!("{}{unit}", seconds / big)
        } else {
            format!("{}{unit}{rest}{sub}", seconds / big)
        }
    };
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 => two(MINUTE, 'm', 1, 's'),
        600..10_800 => format!("{}m", seconds / MINUTE),
        10_800..28_800 => two(HOUR, 'h', MINUTE, 'm'),
        28_800..172_800 => format!("{}h", seconds / HOUR),
        172_800..691_200 => two(DAY, 'd', HOUR, 'h'),
        691_200..63_072_000 => format!("{}d", seconds / DAY),
        _ => two(YEAR, 'y', DAY, 'd'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (seconds, expected) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (599, "9m59s"),
            (600, "10m"),
            (10_800, "3h"),
            (12_660, "3h31m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (64_000_000, "2y10d"),
        ] {
            assert_eq!(short(seconds), expected);
        }
    }

    #[test]
    fn the_past_is_expired_and_an_unset_time_never_expires() {
        let now = UnixMillis(5_000);
        assert_eq!(until(Some(&UnixMillis(5_000).to_proto()), now), "expired");
        assert_eq!(until(Some(&UnixMillis(9_000).to_proto()), now), "4s");
        assert_eq!(until(None, now), "never");
        assert_eq!(since(None, now), "");
    }
}
