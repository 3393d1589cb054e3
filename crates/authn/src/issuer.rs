//! Issuers: `https` URLs that identify a provider (`OpenID` Connect Discovery 1.0 §2, RFC 8414 §2).

use http::Uri;

const WELL_KNOWN: &str = "/.well-known/openid-configuration";
const LONGEST: usize = 1024;

/// An `https` URL with a host, without fragment and user information, of at most 1024 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsUrl(Uri);

/// Reasons why a text is not an [`HttpsUrl`] or not an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// The text is not a URL with a host, or it is too long.
    #[error("must be a URL with a host, such as https://idp.example.com")]
    Form,
    /// The scheme is not `https`.
    #[error("must begin with https://")]
    Scheme,
    /// The URL has user information.
    #[error("must not contain a user or password")]
    User,
    /// The URL has a query or a fragment.
    #[error("must have neither a query nor a fragment")]
    Query,
    /// The URL is that of the metadata document, not the issuer.
    #[error("must be the issuer itself, without /.well-known/openid-configuration")]
    Discovery,
}

impl HttpsUrl {
    /// Parses a URL. All requests to providers use `https`.
    ///
    /// # Errors
    /// Returns [`InvalidUrl`] if the text is not such a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_plain || text.contains('\\') || text.len() > LONGEST {
            return Err(InvalidUrl::Form);
        }
        // The `http` crate drops fragments without an error.
        if text.contains('#') {
            return Err(InvalidUrl::Query);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidUrl::Form)?;
        match uri.scheme_str() {
            Some("https") => {}
            _ => return Err(InvalidUrl::Scheme),
        }
        let authority = uri.authority().ok_or(InvalidUrl::Form)?;
        if authority.as_str().contains('@') {
            return Err(InvalidUrl::User);
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(InvalidUrl::Form);
        }
        Ok(Self(uri))
    }

    /// Parses an issuer: an [`HttpsUrl`] without a query.
    ///
    /// # Errors
    /// Returns [`InvalidUrl`] if the text is not an issuer.
    pub fn parse_issuer(text: &str) -> Result<Self, InvalidUrl> {
        let url = Self::parse(text)?;
        // The URL of the metadata must not exceed the limit either.
        if text.len() > LONGEST - WELL_KNOWN.len() {
            return Err(InvalidUrl::Form);
        }
        if url.0.query().is_some() {
            return Err(InvalidUrl::Query);
        }
        if url.0.path().contains("/.well-known/") {
            return Err(InvalidUrl::Discovery);
        }
        Ok(url)
    }

    /// Returns the URL for a request.
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

/// Returns the URL of an issuer's metadata. Trailing slashes of the issuer are ignored (`OpenID` Connect Discovery 1.0
/// §4.1).
///
/// # Errors
/// Returns [`InvalidUrl`] if `issuer` is not an issuer.
pub fn discovery_url(issuer: &str) -> Result<HttpsUrl, InvalidUrl> {
    HttpsUrl::parse_issuer(issuer)?;
    HttpsUrl::parse(&format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')))
}

/// Returns the canonical form of an issuer, used to keep issuers unique among providers. Scheme and host are in lower
/// case, and the default port and trailing slashes are removed. The `iss` of a token is still compared exactly.
pub fn canonical(issuer: &str) -> String {
    let trimmed = issuer.trim_end_matches('/');
    let Some((scheme, rest)) = trimmed.split_once("://") else {
        return trimmed.to_owned();
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let scheme = scheme.to_ascii_lowercase();
    let authority = authority.to_ascii_lowercase();
    let authority = match scheme.as_str() {
        "https" => authority.strip_suffix(":443").unwrap_or(&authority),
        _ => &authority,
    };
    format!("{scheme}://{authority}{path}")
}

/// Returns true if both issuers are equal, ignoring trailing slashes.
pub fn is_same(named: &str, configured: &str) -> bool {
    named.trim_end_matches('/') == configured.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://idp.example", InvalidUrl::Scheme)]
    #[case("idp.example", InvalidUrl::Scheme)]
    #[case("https:///path", InvalidUrl::Form)]
    #[case("https://user@idp.example", InvalidUrl::User)]
    #[case("https://idp.example?x", InvalidUrl::Query)]
    #[case("https://idp.example#x", InvalidUrl::Query)]
    #[case("https://idp.example/a b", InvalidUrl::Form)]
    #[case("https://idp.example\\@evil.example", InvalidUrl::Form)]
    #[case(
        "https://idp.example/.well-known/openid-configuration",
        InvalidUrl::Discovery
    )]
    fn malformed_issuers_are_refused(#[case] text: &str, #[case] expected: InvalidUrl) {
        assert_eq!(HttpsUrl::parse_issuer(text), Err(expected));
    }

    #[test]
    fn an_issuer_must_leave_room_for_its_metadata_path() {
        let longest = LONGEST - WELL_KNOWN.len();
        let issuer = |length: usize| format!("https://idp.example/{}", "a".repeat(length - 20));
        assert!(discovery_url(&issuer(longest)).is_ok());
        assert_eq!(
            HttpsUrl::parse_issuer(&issuer(longest + 1)),
            Err(InvalidUrl::Form)
        );
    }

    #[rstest]
    #[case("https://Tenant.eu.auth0.com/", "https://tenant.eu.auth0.com")]
    #[case("https://tenant.eu.auth0.com:443", "https://tenant.eu.auth0.com")]
    #[case("HTTPS://a.example/Realm/One", "https://a.example/Realm/One")]
    #[case("kubernetes/serviceaccount", "kubernetes/serviceaccount")]
    fn issuers_have_one_canonical_text(#[case] issuer: &str, #[case] expected: &str) {
        assert_eq!(canonical(issuer), expected);
    }

    #[test]
    fn w53_metadata_of_an_issuer_with_a_slash_is_found() {
        for issuer in ["https://a.example/", "https://a.example"] {
            let url = discovery_url(issuer).unwrap();
            assert_eq!(
                url.uri().to_string(),
                "https://a.example/.well-known/openid-configuration"
            );
        }
    }
}
