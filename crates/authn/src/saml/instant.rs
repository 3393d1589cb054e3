//! Times and durations in SAML format (Core §1.3.3).

use std::time::Duration;

use domain::clock::UnixMillis;
use jiff::{Span, SpanRelativeTo, Timestamp};

use super::error::{Error, quoted};

/// Accepted clock difference between the identity provider and the Cluster.
pub const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Accepted clock difference for `AuthnInstant` if the person had to authenticate again. An authentication can be older
/// than it seems by this much, so the value is smaller than [`CLOCK_SKEW`].
pub(super) const AUTHENTICATION_SKEW: Duration = Duration::from_secs(5);

/// Parses an `xs:dateTime` with a time zone.
pub(super) fn parse(what: &str, text: &str) -> Result<UnixMillis, Error> {
    let text = text.trim_matches(super::xml::is_white_space);
    let plain = text.contains('T')
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"-:T.Z+".contains(&b));
    match text.parse::<Timestamp>() {
        Ok(timestamp) if plain => Ok(UnixMillis(timestamp.as_millisecond())),
        _ => Err(Error::malformed(format!(
            "{what} {} is not a time such as 2026-01-31T09:30:00Z",
            quoted(text)
        ))),
    }
}

/// Parses an `xs:duration`. Months and years have the length of those from 2026-01-01.
pub(super) fn parse_duration(what: &str, text: &str) -> Result<Duration, Error> {
    let text = text.trim_matches(super::xml::is_white_space);
    let from = SpanRelativeTo::from(jiff::civil::date(2026, 1, 1));
    text.starts_with('P')
        .then(|| text.parse::<Span>().ok()?.to_duration(from).ok())
        .flatten()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| {
            Error::malformed(format!(
                "{what} {} is not a duration such as PT6H",
                quoted(text)
            ))
        })
}

/// Formats a time in whole seconds, which all implementations accept.
pub(super) fn write(instant: UnixMillis) -> String {
    UnixMillis::from_seconds(instant.seconds()).to_string()
}

/// Returns true if `limit` (`NotBefore`) is reached, within [`CLOCK_SKEW`].
pub(super) fn has_begun(limit: UnixMillis, now: UnixMillis) -> bool {
    limit <= now.saturating_add(CLOCK_SKEW)
}

/// Returns true if `limit` (`NotOnOrAfter`) is reached, within [`CLOCK_SKEW`].
pub(super) fn has_ended(limit: UnixMillis, now: UnixMillis) -> bool {
    now >= limit.saturating_add(CLOCK_SKEW)
}
