//! Identity providers that people sign in with in a browser. A login starts with a redirect URL and state to keep, and
//! ends with the callback parameters, which yield an [`ExternalIdentity`].

use domain::{clock::UnixMillis, rng::Rng};
use serde_json::{Map, Value};

use crate::fetched::Unavailable;

pub mod github;
pub mod oidc;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

const LONGEST_IDENTIFIER: usize = 256;
const LONGEST_EMAIL: usize = 150;
const LONGEST_NAME: usize = 100;
const LONGEST_PICTURE: usize = 1024;
const LONGEST_CODE: usize = 4096;

/// A login that is about to redirect the browser to the provider.
#[derive(Debug)]
pub struct AuthorizationRequest {
    /// URL to redirect the browser to.
    pub url: String,
    /// Login state that [`finish`](oidc::RelyingParty::finish) needs. The caller must keep it secret and bind it to the
    /// browser.
    pub login_state: Vec<u8>,
}

/// Parameters of the provider's redirect back to the callback.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthorizationResponse<'a> {
    /// Authorization code (`code`).
    pub code: Option<&'a str>,
    /// Issuer identifier (`iss`, RFC 9207).
    pub issuer: Option<&'a str>,
    /// Error code (`error`).
    pub error: Option<&'a str>,
}

/// A person's identity at a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalIdentity {
    /// Stable identifier of the account, 1 to 256 bytes.
    pub identifier: String,
    /// Email address in lower case, if the provider vouches for it.
    pub email: Option<String>,
    /// Display name.
    pub name: Option<String>,
    /// Picture as an `https` URL.
    pub picture: Option<String>,
    /// All claims that the provider returned.
    pub claims: Map<String, Value>,
    /// Time of the authentication at the provider.
    pub authenticated: AuthenticationTime,
}

/// Time at which a provider authenticated a person, as the provider reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuthenticationTime {
    /// Time of the authentication, never later than the login here. `None` if the provider does not report it; the
    /// authentication can then be arbitrarily old.
    pub at: Option<UnixMillis>,
    /// True if the provider was asked to authenticate the person again.
    pub was_requested: bool,
}

/// Reasons why a login fails.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The provider returned an error code of RFC 6749 §4.1.2.1.
    #[error("the provider responded with {0}")]
    Refused(String),
    /// The provider's response failed validation.
    #[error("{0}")]
    Invalid(&'static str),
    /// The person did not authenticate again, although the provider was asked for it.
    #[error(
        "the provider was asked to authenticate the person again, but its auth_time is older than the request, in the \
         future, or not a time in seconds: compare the clocks"
    )]
    NotFresh,
    /// The provider is unreachable or returned an unusable response.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl LoginError {
    /// Returns a stable identifier for logs and audit events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "provider_refused",
            Self::Invalid(_) => "provider_answer",
            Self::NotFresh => "provider_login_old",
            Self::Unavailable(_) => "provider_unavailable",
        }
    }
}

impl AuthorizationResponse<'_> {
    /// Returns the code if it has a valid length and the provider reported no error.
    fn code(&self) -> Result<&str, LoginError> {
        if let Some(error) = self.error {
            let is_code = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let code: String = error
                .bytes()
                .take(64)
                .filter(|b| is_code(*b))
                .map(char::from)
                .collect();
            return Err(LoginError::Refused(code));
        }
        self.code
            .filter(|code| (1..=LONGEST_CODE).contains(&code.len()))
            .ok_or(LoginError::Invalid("the provider sent no code"))
    }
}

/// Returns 256 random bits, encoded as base64url.
fn secret(rng: &dyn Rng) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the address in lower case if it has exactly one `@` and only visible ASCII characters.
fn email(text: &str) -> Option<String> {
    let (local, domain) = text.split_once('@')?;
    let is_address = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_address && is_plain && text.len() <= LONGEST_EMAIL).then(|| text.to_ascii_lowercase())
}

fn identifier(text: &str) -> Option<String> {
    let is_sound =
        (1..=LONGEST_IDENTIFIER).contains(&text.len()) && !text.contains(char::is_control);
    is_sound.then(|| text.to_owned())
}

fn name(text: &str) -> Option<String> {
    let is_sound = (1..=LONGEST_NAME).contains(&text.len()) && !text.contains(char::is_control);
    is_sound.then(|| text.to_owned())
}

fn picture(text: &str) -> Option<String> {
    let is_sound = text.len() <= LONGEST_PICTURE && crate::issuer::HttpsUrl::parse(text).is_ok();
    is_sound.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn c12_invalid_addresses_identify_no_user() {
        assert_eq!(
            email("Alice@Example.com").as_deref(),
            Some("alice@example.com")
        );
        for text in [
            "",
            "alice",
            "@example.com",
            "alice@",
            "a@evil.example@example.com",
            "a b@example.com",
            "a@example.com\n",
            "alice@ex\u{e4}mple.com",
            "al\u{0131}ce@example.com",
            "a@example.com\u{0}",
        ] {
            assert_eq!(email(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_the_error_code_of_a_provider_is_kept() {
        let authorization_response = AuthorizationResponse {
            code: Some("x"),
            error: Some("access_denied<script>"),
            ..AuthorizationResponse::default()
        };
        let error = authorization_response.code().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the provider responded with access_deniedscript"
        );
    }
}
