//! Plain scalars of the core schema of YAML 1.2 (section 10.3).

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Returns whether the text is a boolean in YAML 1.1 but a string in YAML 1.2.
pub(super) fn is_ambiguous_boolean(text: &str) -> bool {
    matches!(
        text.to_ascii_lowercase().as_str(),
        "y" | "yes" | "n" | "no" | "on" | "off"
    )
}

/// Returns whether a plain scalar is a string, because no other type matches.
pub(super) fn is_string(text: &str) -> bool {
    !is_null(text) && boolean(text).is_none() && !is_number(text)
}

pub(super) fn describe(text: &str) -> &'static str {
    if is_null(text) {
        "nothing"
    } else if boolean(text).is_some() {
        "a boolean"
    } else if is_number(text) {
        "a number"
    } else {
        "a string"
    }
}

pub(super) fn is_number(text: &str) -> bool {
    integer(text).is_ok() || float(text).is_some() || text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The reason why a text is not an integer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotInteger {
    /// Some parsers read a leading zero as octal, others as decimal.
    LeadingZero,
    Other,
}

pub(super) fn integer(text: &str) -> Result<i128, NotInteger> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..)),
        Some(b'+') => (false, text.get(1..)),
        _ => (false, Some(text)),
    };
    let digits = digits.unwrap_or_default();
    let (radix, digits) = match (digits.get(..2), digits.get(2..)) {
        (Some("0x"), Some(rest)) => (16, rest),
        (Some("0o"), Some(rest)) => (8, rest),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(NotInteger::Other);
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(NotInteger::LeadingZero);
    }
    let value = i128::from_str_radix(digits, radix).map_err(|_| NotInteger::Other)?;
    Ok(if negative { -value } else { value })
}

/// Parses a finite number, with or without a fraction.
pub(super) fn float(text: &str) -> Option<f64> {
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !text.chars().all(numeric) || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Decodes base64 of either alphabet, with or without padding, without line breaks.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    let alphabet = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    // A folded or literal block of YAML ends with a line break.
    GeneralPurpose::new(alphabet, ANY_PADDING)
        .decode(text.trim_end())
        .ok()
}

/// Truncates the text to 40 characters on one line, for error messages.
pub(super) fn excerpt(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(40)
        .collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_have_the_types_of_yaml_1_2() {
        for (text, expected) in [
            ("", "nothing"),
            ("~", "nothing"),
            ("true", "a boolean"),
            ("no", "a string"),
            ("12", "a number"),
            ("-0x1F", "a number"),
            ("0755", "a number"),
            ("1.10", "a number"),
            ("1e3", "a number"),
            ("1.2.3", "a string"),
            ("2026-01-01", "a string"),
            ("12:30", "a string"),
            ("-", "a string"),
            ("e", "a string"),
        ] {
            assert_eq!(describe(text), expected, "{text:?}");
        }
    }

    #[test]
    fn leading_zeros_are_distinguished() {
        assert_eq!(integer("0755"), Err(NotInteger::LeadingZero));
        assert_eq!(integer("0o755"), Ok(493));
        assert_eq!(integer("0"), Ok(0));
        assert_eq!(integer("-7"), Ok(-7));
        assert_eq!(integer("1_000"), Err(NotInteger::Other));
    }

    #[test]
    fn base64_takes_both_alphabets_and_refuses_the_rest() {
        assert_eq!(base64("_-8="), Some(vec![0xff, 0xef]));
        assert_eq!(base64("/+8"), Some(vec![0xff, 0xef]));
        assert_eq!(base64("a b"), None);
        assert_eq!(base64("/-8="), None);
    }
}
