//! The length of a body (RFC 9112 §6).

use http::{HeaderMap, HeaderValue, header};

use crate::canonical::Ambiguity;

/// The length of a request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// In bytes.
    Exact(u64),
    /// Unknown until the body ends.
    Unknown,
}

impl Length {
    /// Returns the `size` that Policies see. An unknown length counts as the maximum.
    pub(crate) fn as_policy_size(self) -> i64 {
        match self {
            Self::Exact(length) => i64::try_from(length).unwrap_or(i64::MAX),
            Self::Unknown => i64::MAX,
        }
    }
}

/// Checks that the framing fields agree with each other and with the parsed length.
pub(super) fn check(headers: &HeaderMap, parsed: Length) -> Result<Length, Ambiguity> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(Ambiguity::Framing);
    }
    match (coding, length) {
        (Some(_), Some(_)) => Err(Ambiguity::Framing),
        // The upstream would get the coded body without the field that names the coding.
        (Some(coding), None) if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Err(Ambiguity::Framing)
        }
        (None, Some(length)) => {
            let declared = decimal(length).ok_or(Ambiguity::Framing)?;
            match parsed {
                Length::Exact(exact) if exact != declared => Err(Ambiguity::Framing),
                _ => Ok(Length::Exact(declared)),
            }
        }
        (_, None) => Ok(parsed),
    }
}

fn decimal(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    // `u64::from_str` would accept a sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[rstest]
    #[case(&[("content-length", "5"), ("transfer-encoding", "chunked")])]
    #[case(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")])]
    #[case(&[("transfer-encoding", "gzip, chunked")])]
    #[case(&[("transfer-encoding", "xchunked")])]
    #[case(&[("content-length", "5"), ("content-length", "5")])]
    #[case(&[("content-length", "+5")])]
    #[case(&[("content-length", "0x5")])]
    #[case(&[("content-length", "5, 5")])]
    #[case(&[("content-length", "")])]
    #[case(&[("content-length", "18446744073709551616")])]
    fn c17_double_or_malformed_framing_is_refused(#[case] fields: &[(&str, &str)]) {
        assert_eq!(
            check(&headers(fields), Length::Unknown),
            Err(Ambiguity::Framing)
        );
    }

    #[test]
    fn c17_a_declared_length_must_be_the_parsed_one() {
        let five = headers(&[("content-length", "5")]);
        assert_eq!(check(&five, Length::Exact(5)), Ok(Length::Exact(5)));
        assert_eq!(check(&five, Length::Unknown), Ok(Length::Exact(5)));
        assert_eq!(check(&five, Length::Exact(0)), Err(Ambiguity::Framing));
    }
}
