//! Extracts the token of a request.

use domain::token;
use http::{HeaderMap, header};

/// Returns the token from `x-octelium-auth`, or else a Bearer token of our form. Cookies are never used at this host.
/// The first header with a value decides: an invalid token does not fall back to the next header.
///
/// # Errors
/// Returns a reason as a stable word if a header is ambiguous.
pub(super) fn of(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let explicit = single(headers, "x-octelium-auth")?;
    // Clients behind a local proxy send an empty header.
    if let Some(token) = explicit.filter(|token| !token.is_empty()) {
        return Ok(Some(token));
    }
    let Some(value) = single(headers, header::AUTHORIZATION.as_str())? else {
        return Ok(None);
    };
    // RFC 9110 §11.1: the scheme is case-insensitive.
    let bearer = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(bearer
        .map(|(_, token)| token.trim_start_matches(' '))
        .filter(|token| token::decode(token).is_ok()))
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("token_ambiguous");
    }
    value.to_str().map(Some).map_err(|_| "token_malformed")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_explicit_token_counts_and_two_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers), Ok(None));
        headers.insert("x-octelium-auth", HeaderValue::from_static("explicit"));
        headers.insert("authorization", HeaderValue::from_static("Bearer other"));
        assert_eq!(of(&headers), Ok(Some("explicit")));
        headers.append("x-octelium-auth", HeaderValue::from_static("second"));
        assert_eq!(of(&headers), Err("token_ambiguous"));
    }

    #[test]
    fn a_foreign_bearer_token_is_ignored() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "authorization",
            HeaderValue::from_static("Bearer eyJhbGciOiJub25lIn0.e30."),
        );
        assert_eq!(of(&headers), Ok(None));
        headers.insert("authorization", HeaderValue::from_static("Basic dTpw"));
        assert_eq!(of(&headers), Ok(None));
    }
}
