//! Times on pages.

use domain::clock::UnixMillis;
use maud::{Markup, html};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Renders a time relative to `now`. The element also contains the exact time.
pub(crate) fn time_text(at: UnixMillis, now: UnixMillis) -> Markup {
    let text = if at > now {
        format!("in {}", span(at.since(now).as_secs()))
    } else {
        match now.since(at).as_secs() {
            0..MINUTE => "just now".to_owned(),
            seconds => format!("{} ago", span(seconds)),
        }
    };
    let exact = utc(at);
    html! { time datetime=(exact) title=(exact) { (text) } }
}

fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..MINUTE => return "less than a minute".to_owned(),
        MINUTE..HOUR => (seconds / MINUTE, "minute"),
        HOUR..DAY => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// Formats a time as RFC 3339 in whole seconds.
pub(crate) fn utc(at: UnixMillis) -> String {
    prost_types::Timestamp {
        seconds: at.seconds(),
        nanos: 0,
    }
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_305_600_000);

    #[test]
    fn instants_are_shown_in_relative_form() {
        let rendered =
            |seconds: i64| time_text(UnixMillis(NOW.0 + seconds * 1000), NOW).into_string();
        let cases = [
            (-3, "just now"),
            (-60, "1 minute ago"),
            (-7200, "2 hours ago"),
            (-86400, "1 day ago"),
            (30, "in less than a minute"),
            (7200, "in 2 hours"),
        ];
        for (seconds, text) in cases {
            assert!(rendered(seconds).contains(text), "{}", rendered(seconds));
        }
        assert!(
            rendered(0).contains("2026-11-22T00:00:00Z"),
            "{}",
            rendered(0)
        );
    }
}
