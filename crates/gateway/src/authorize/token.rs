//! Selection of our token among the credentials of a request.

use http::HeaderValue;

use crate::canonical::Credentials;

/// The credentials of a request, sorted by owner.
pub(crate) struct PresentedCredentials {
    proof: Option<Proof>,
    foreign: Option<HeaderValue>,
    state: Option<HeaderValue>,
}

/// Our credential in the request, valid or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// An access token, sent explicitly.
    Token(HeaderValue),
    /// An access cookie. A browser sends it with every request to this host, including requests that other sites cause.
    Cookie(HeaderValue),
}

impl PresentedCredentials {
    /// Sorts the credentials. `X-Octelium-Auth` takes precedence over a Bearer of our form, and that over the cookie.
    /// Other credentials are left to the upstream.
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

    pub(crate) fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Returns the cookie that identifies a browser which was redirected to the login.
    pub(crate) fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    /// Returns `Authorization` if it does not contain one of our tokens.
    pub(crate) fn foreign(&self) -> Option<HeaderValue> {
        self.foreign.clone()
    }
}

/// Returns the token of `Bearer <token>` if it starts like ours: base64url of a byte 0x01. Damaged tokens match too, so
/// that no part of a token reaches an upstream.
fn own_bearer(authorization: &HeaderValue) -> Option<HeaderValue> {
    let (scheme, rest) = authorization.as_bytes().split_at_checked(b"bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"bearer") || !rest.first()?.is_ascii_whitespace() {
        return None;
    }
    let token = rest.trim_ascii();
    // `A` is six zero bits; the second character is the bits `01` and four bits of the next byte.
    let &[b'A', b'Q'..=b'Z' | b'a'..=b'f', ..] = token else {
        return None;
    };
    HeaderValue::from_bytes(token).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(
        explicit: Option<&'static str>,
        authorization: Option<&'static str>,
    ) -> PresentedCredentials {
        PresentedCredentials::read(Credentials {
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
