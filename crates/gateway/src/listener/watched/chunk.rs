//! A strict parser for the chunk size line (RFC 9112 §7.1).
//!
//! Parsers disagree about text after the size: some skip it, others end the line there. So everything that a sender
//! must not produce is rejected: white space outside of quotes, an extension without a name, control characters, a bare
//! line feed. Extensions do not reach upstreams.

/// Returns the size of a line without its line feed, or `None` if the line is malformed or too long.
pub(super) fn size(line: &[u8], longest: usize) -> Option<u64> {
    if line.len() > longest {
        return None;
    }
    let line = line.strip_suffix(b"\r")?;
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (size, extensions) = line.split_at_checked(digits)?;
    if !are_extensions(extensions) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

/// Returns true for `*( ";" name [ "=" value ] )`.
fn are_extensions(mut rest: &[u8]) -> bool {
    while let Some(extension) = rest.strip_prefix(b";") {
        let Some(after) = skip_token(extension) else {
            return false;
        };
        rest = match after.strip_prefix(b"=") {
            None => after,
            Some(value) => match skip_value(value) {
                Some(after) => after,
                None => return false,
            },
        };
    }
    rest.is_empty()
}

/// Skips a token or a quoted string.
fn skip_value(value: &[u8]) -> Option<&[u8]> {
    let Some(mut quoted) = value.strip_prefix(b"\"") else {
        return skip_token(value);
    };
    loop {
        let (&byte, after) = quoted.split_first()?;
        quoted = match byte {
            b'"' => return Some(after),
            b'\\' => {
                let (&escaped, after) = after.split_first()?;
                if escaped.is_ascii_control() {
                    return None;
                }
                after
            }
            byte if byte.is_ascii_control() => return None,
            _ => after,
        };
    }
}

/// Skips a token (RFC 9110 §5.6.2).
fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = text.iter().take_while(|byte| is_token(byte)).count();
    if length == 0 {
        return None;
    }
    text.get(length..)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const LONGEST: usize = 256;

    #[rstest]
    #[case("5", 5)]
    #[case("000A", 10)]
    #[case("0", 0)]
    #[case("ffffffffffffffff", u64::MAX)]
    #[case("5;a", 5)]
    #[case("5;a=b;c=\"d e;\\\"f\"", 5)]
    fn strict_lines_have_a_size_g16(#[case] line: &str, #[case] expected: u64) {
        assert_eq!(
            size(format!("{line}\r").as_bytes(), LONGEST),
            Some(expected)
        );
    }

    #[rstest]
    #[case("5;\r")]
    #[case("5 \r")]
    #[case("5\t\r")]
    #[case("5 ;a\r")]
    #[case("5; a\r")]
    #[case("5;a \r")]
    #[case("5;a=\r")]
    #[case("5;a=b c\r")]
    #[case("5;a\u{1}\r")]
    #[case("5;a=\"\u{7f}\"\r")]
    #[case("5;a=\"\\\u{0}\"\r")]
    #[case("5;a=\"b\r")]
    #[case("5;a\rb\r")]
    #[case("5;=b\r")]
    #[case("5;;\r")]
    #[case("5a=b;\r")]
    #[case(" 5\r")]
    #[case("+5\r")]
    #[case("0x5\r")]
    #[case("-1\r")]
    #[case("x\r")]
    #[case("\r")]
    #[case("")]
    #[case("5")]
    #[case("10000000000000000\r")]
    fn other_lines_are_malformed_g16(#[case] line: &str) {
        assert_eq!(size(line.as_bytes(), LONGEST), None);
    }

    #[test]
    fn a_long_line_is_malformed_g16() {
        let line = format!("5;{}\r", "a".repeat(LONGEST - 3));
        assert_eq!(size(line.as_bytes(), LONGEST), Some(5));
        let line = format!("5;{}\r", "a".repeat(LONGEST - 2));
        assert_eq!(size(line.as_bytes(), LONGEST), None);
    }
}
