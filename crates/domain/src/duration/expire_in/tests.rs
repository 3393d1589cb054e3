use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn at(text: &str) -> UnixMillis {
    UnixMillis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn after(start: &str, text: &str) -> String {
    parse_expire_in(text, at(start)).unwrap().to_string()
}

#[rstest]
#[case("600seconds", "2026-11-22T00:10:00Z")]
#[case("45minutes", "2026-11-22T00:45:00Z")]
#[case("7hour", "2026-11-22T07:00:00Z")]
#[case("3days", "2026-11-25T00:00:00Z")]
#[case("2weeks", "2026-12-06T00:00:00Z")]
#[case("6months", "2027-05-22T00:00:00Z")]
#[case("1s", "2026-11-22T00:00:01Z")]
#[case("5m", "2026-11-22T00:05:00Z")]
#[case("5mo", "2027-04-22T00:00:00Z")]
#[case("1yr", "2027-11-22T00:00:00Z")]
#[case("1500ms", "2026-11-22T00:00:01.5Z")]
#[case("2000000us", "2026-11-22T00:00:02Z")]
#[case("2000000µs", "2026-11-22T00:00:02Z")]
#[case("2000000μs", "2026-11-22T00:00:02Z")]
#[case("1000000ns", "2026-11-22T00:00:00.001Z")]
#[case("+1d", "2026-11-23T00:00:00Z")]
#[case("1d12h", "2026-11-23T12:00:00Z")]
#[case("1d-12h", "2026-11-22T12:00:00Z")]
#[case("1d-6h6h", "2026-11-22T12:00:00Z")]
#[case("1d-6h+6h", "2026-11-23T00:00:00Z")]
#[case("-1d+2d", "2026-11-23T00:00:00Z")]
#[case("0.5h", "2026-11-22T00:30:00Z")]
#[case(".5h", "2026-11-22T00:30:00Z")]
#[case("2.h", "2026-11-22T02:00:00Z")]
#[case("1.5d3h", "2026-11-23T15:00:00Z")]
#[case("1.5y", "2028-05-22T00:00:00Z")]
#[case("1.5mo", "2027-01-06T00:00:00Z")]
#[case("0.05y", "2026-12-10T00:00:00Z")]
fn each_term_of_a_duration_is_added(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(after("2026-11-22T00:00:00Z", text), expected);
}

#[rstest]
#[case("2027-01-31T10:20:30.4Z", "1mo", "2027-03-03T10:20:30.4Z")]
#[case("2028-01-31T00:00:00Z", "1mo", "2028-03-02T00:00:00Z")]
#[case("2028-02-29T00:00:00Z", "1y", "2029-03-01T00:00:00Z")]
#[case("2026-12-15T00:00:00Z", "1mo", "2027-01-15T00:00:00Z")]
#[case("2026-10-15T00:00:00Z", "26mo", "2028-12-15T00:00:00Z")]
#[case("1969-12-31T23:59:59Z", "1mo", "1970-01-31T23:59:59Z")]
fn months_are_those_of_the_calendar(
    #[case] start: &str,
    #[case] text: &str,
    #[case] expected: &str,
) {
    assert_eq!(after(start, text), expected);
}

#[rstest]
#[case("2038-01-19T03:14:07Z", "1s", "2038-01-19T03:14:08Z")]
#[case("2037-01-19T00:00:00Z", "2y", "2039-01-19T00:00:00Z")]
#[case("9999-12-28T00:00:00Z", "1d", "9999-12-29T00:00:00Z")]
fn e06_the_years_2038_and_9999_are_years(
    #[case] start: &str,
    #[case] text: &str,
    #[case] expected: &str,
) {
    assert_eq!(after(start, text), expected);
}

#[rstest]
#[case("", DurationError::Empty)]
#[case("30", DurationError::MissingUnit { number: "30".into() })]
#[case("1h30", DurationError::MissingUnit { number: "30".into() })]
#[case("1h-", DurationError::MissingNumber { text: String::new() })]
#[case("days", DurationError::MissingNumber { text: "days".into() })]
#[case(" 1h", DurationError::MissingNumber { text: " 1h".into() })]
#[case("2 hours", DurationError::UnknownUnit { unit: " hours".into() })]
#[case("3fortnights", DurationError::UnknownUnit { unit: "fortnights".into() })]
#[case("1H", DurationError::UnknownUnit { unit: "H".into() })]
#[case("1.2.3h", DurationError::InvalidNumber { number: "1.2.3".into() })]
#[case(".h", DurationError::InvalidNumber { number: ".".into() })]
#[case("9999999999999h", DurationError::InvalidNumber { number: "9999999999999".into() })]
#[case("1e9h", DurationError::UnknownUnit { unit: "e".into() })]
#[case("٣h", DurationError::MissingNumber { text: "٣h".into() })]
#[case("0s", DurationError::NotInFuture { text: "0s".into() })]
#[case("-1h", DurationError::NotInFuture { text: "-1h".into() })]
#[case("1h-1h", DurationError::NotInFuture { text: "1h-1h".into() })]
#[case("999999999999y", DurationError::TooFar { text: "999999999999y".into() })]
#[case("8000y", DurationError::TooFar { text: "8000y".into() })]
fn a_bad_duration_is_a_clear_error(#[case] text: &str, #[case] expected: DurationError) {
    let error = parse_expire_in(text, at("2026-11-22T00:00:00Z")).unwrap_err();
    assert_eq!(error, expected);
    assert!(error.to_string().contains("600seconds"), "{error}");
}

#[test]
fn an_overlong_text_is_refused() {
    let text = "1h".repeat(129);
    assert_eq!(
        parse_expire_in(&text, UnixMillis(0)),
        Err(DurationError::TooLong)
    );
    let greatest = "999999999999.999999999y".repeat(11);
    assert!(matches!(
        parse_expire_in(&greatest, UnixMillis(0)),
        Err(DurationError::TooFar { .. })
    ));
}

#[test]
fn e06_a_clock_beyond_the_calendar_is_an_error() {
    for now in [i64::MIN, i64::MAX] {
        assert!(parse_expire_in("1h", UnixMillis(now)).is_err());
    }
}

proptest! {
    #[test]
    fn any_text_reads_without_a_panic(text in ".{0,300}", now: i64) {
        let _ = parse_expire_in(&text, UnixMillis(now));
    }

    #[test]
    fn texts_like_durations_are_parsed_without_a_panic(
        text in "([+-]?[0-9]{0,13}(\\.[0-9]{0,12})?(ns|us|ms|s|m|h|d|w|mo|y)){1,9}",
        now in -62_135_596_800_000_i64..253_402_300_799_999,
    ) {
        if let Ok(at) = parse_expire_in(&text, UnixMillis(now)) {
            prop_assert!(at > UnixMillis(now));
        }
    }

    #[test]
    fn whole_seconds_are_exact(seconds in 1_u32..2_000_000_000, now in 0_i64..4_000_000_000_000) {
        let at = parse_expire_in(&format!("{seconds}s"), UnixMillis(now)).unwrap();
        prop_assert_eq!(at.0 - now, i64::from(seconds) * 1000);
    }
}
