//! Recognizes certificates in PEM (RFC 7468 §5).

use base64::{Engine as _, engine::general_purpose::STANDARD};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// DER tag of a SEQUENCE, the first byte of a certificate.
const SEQUENCE: u8 = 0x30;

/// Returns whether `text` contains only certificates, at least one, separated by at most blank lines.
pub(crate) fn are_all(text: &[u8]) -> bool {
    let Parsed { found, has_other } = parse(text);
    !found.is_empty() && !has_other
}

/// Returns the certificates in `text` without anything else.
pub(super) fn only(text: &[u8]) -> String {
    parse(text).found
}

struct Parsed {
    found: String,
    has_other: bool,
}

fn parse(text: &[u8]) -> Parsed {
    let mut parsed = Parsed {
        found: String::new(),
        has_other: false,
    };
    let Ok(text) = std::str::from_utf8(text) else {
        parsed.has_other = true;
        return parsed;
    };
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if line != BEGIN {
            parsed.has_other = true;
            continue;
        }
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
        let der = STANDARD.decode(body.concat()).unwrap_or_default();
        if der.first() != Some(&SEQUENCE) {
            parsed.has_other = true;
            continue;
        }
        for line in std::iter::once(BEGIN).chain(body).chain([END]) {
            parsed.found.push_str(line);
            parsed.found.push('\n');
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n";

    #[test]
    fn only_certificates_are_public() {
        assert!(are_all(ONE.as_bytes()));
        assert!(are_all(format!("\n{ONE}\r\n{ONE}").as_bytes()));
        assert!(are_all(ONE.replace('\n', "\r\n").as_bytes()));
        assert!(are_all(ONE.trim_end().as_bytes()));
    }

    #[rstest]
    #[case::nothing(b"", "")]
    #[case::a_password(b"hunter2", "")]
    #[case::no_text(&[0xff, 0xfe], "")]
    #[case::a_key(b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n", "")]
    #[case::no_der(
        b"-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n",
        ""
    )]
    #[case::no_base64(
        b"-----BEGIN CERTIFICATE-----\nhunter2!\n-----END CERTIFICATE-----\n",
        ""
    )]
    #[case::before(
        b"hunter2\n-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n",
        ONE
    )]
    #[case::behind(b"-----BEGIN CERTIFICATE-----\nMIIB\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----", ONE)]
    fn everything_else_is_not(#[case] text: &[u8], #[case] left: &str) {
        assert!(!are_all(text));
        assert_eq!(only(text), left);
    }
}
