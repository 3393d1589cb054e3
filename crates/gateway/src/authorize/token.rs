//! Which of the things a request carries is our token.

use http::HeaderValue;

use crate::canonical::Credentials;

/// What a request proves itself with, sorted out.
pub(crate) struct Presented {
    proof: Option<Proof>,
    foreign: Option<HeaderValue>,
    state: Option<HeaderValue>,
}

/// What is ours of it, good or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// An access token, sent on purpose.
    Token(HeaderValue),
    /// What a browser sends along with every request to this host, whoever made it send one.
    Cookie(HeaderValue),
}

impl Presented {
    /// `X-Octelium-Auth` counts before a Bearer of our form, and that before the cookie. What is not ours is the
    /// upstream's business.
    pub(crate) fn read(credentials: Credentials) -> Self {
        let bearer = credentials.authorization.as_ref().and_then(own_bearer);
        let foreign = match bearer {
            Some(_) => None,
            None => credentials.authorization,
        };
        let token = credentials.explicit.or(bearer).map(Proof::Token);
        Self {
            proof: token.or(credentials.access_cookie.map(Proof::Cookie)),
            foreign,
            state: credentials.state_cookie,
        }
    }

    /// Ours, good or not.
    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// By which a browser is known again that was sent to the login before.
    pub(crate) fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
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
            access_cookie: Some(HeaderValue::from_static("cookie")),
            state_cookie: None,
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
    fn w48_a_token_is_found_in_any_case_and_counts_before_the_cookie(
        #[case] explicit: Option<&'static str>,
        #[case] authorization: Option<&'static str>,
        #[case] token: Option<&str>,
        #[case] foreign: Option<&str>,
    ) {
        let presented = read(explicit, authorization);
        let expected = match token {
            Some(token) => Proof::Token(HeaderValue::from_str(token).unwrap()),
            None => Proof::Cookie(HeaderValue::from_static("cookie")),
        };
        assert_eq!(presented.proof(), Some(&expected));
        let passed = presented.foreign();
        assert_eq!(
            passed.as_ref().map(|value| value.to_str().unwrap()),
            foreign
        );
    }
}
