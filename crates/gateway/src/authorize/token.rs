//! Which of the things a request carries is our token.

use http::HeaderValue;

use crate::canonical::Credentials;

/// What a request proves itself with, sorted out.
pub(crate) struct Presented {
    token: Option<HeaderValue>,
    foreign: Option<HeaderValue>,
}

impl Presented {
    /// `X-Octelium-Auth` counts before a Bearer of our form. What is not ours is the upstream's business.
    pub(crate) fn read(credentials: Credentials) -> Self {
        let bearer = credentials.authorization.as_ref().and_then(own_bearer);
        let foreign = match bearer {
            Some(_) => None,
            None => credentials.authorization,
        };
        Self {
            token: credentials.explicit.or(bearer),
            foreign,
        }
    }

    /// Ours, good or not.
    pub(crate) fn token(&self) -> Option<&HeaderValue> {
        self.token.as_ref()
    }

    /// `Authorization`, where it has none of our tokens.
    pub(crate) fn foreign(&self) -> Option<HeaderValue> {
        self.foreign.clone()
    }
}

/// The token of `Bearer <token>` if it begins as ours do: base64url of a byte 0x01. Also a damaged one counts, so that
/// no part of a token reaches an upstream.
fn own_bearer(authorization: &HeaderValue) -> Option<HeaderValue> {
    let (scheme, rest) = authorization.as_bytes().split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || !rest.first()?.is_ascii_whitespace() {
        return None;
    }
    let token = rest.trim_ascii();
    // Six bits of zeros, then `01` and four bits of the next byte.
    let &[b'A', b'Q'..=b'Z' | b'a'..=b'f', ..] = token else {
        return None;
    };
    HeaderValue::from_bytes(token).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(explicit: Option<&'static str>, authorization: Option<&'static str>) -> Presented {
        Presented::read(Credentials {
            explicit: explicit.map(HeaderValue::from_static),
            authorization: authorization.map(HeaderValue::from_static),
        })
    }

    #[rstest]
    #[case(Some("AQo1"), None, Some("AQo1"), None)]
    #[case(None, Some("Bearer AQo1"), Some("AQo1"), None)]
    #[case(None, Some("bearer AQo1"), Some("AQo1"), None)]
    #[case(None, Some("BEARER  AQo1 "), Some("AQo1"), None)]
    #[case(Some("AQo1"), Some("Bearer AQo2"), Some("AQo1"), None)]
    #[case(Some("AQo1"), Some("Basic eDp5"), Some("AQo1"), Some("Basic eDp5"))]
    #[case(Some("broken"), Some("Bearer AQo2"), Some("broken"), None)]
    #[case(None, Some("Bearer eyJhbGciOi"), None, Some("Bearer eyJhbGciOi"))]
    #[case(None, Some("Basic AQo1"), None, Some("Basic AQo1"))]
    #[case(None, Some("Bearer"), None, Some("Bearer"))]
    #[case(None, Some("BearerAQo1"), None, Some("BearerAQo1"))]
    #[case(None, None, None, None)]
    fn w48_a_token_is_found_in_any_case_and_the_explicit_one_counts_first(
        #[case] explicit: Option<&'static str>,
        #[case] authorization: Option<&'static str>,
        #[case] token: Option<&str>,
        #[case] foreign: Option<&str>,
    ) {
        let presented = read(explicit, authorization);
        assert_eq!(
            presented.token().map(|value| value.to_str().unwrap()),
            token
        );
        let passed = presented.foreign();
        assert_eq!(
            passed.as_ref().map(|value| value.to_str().unwrap()),
            foreign
        );
    }
}
