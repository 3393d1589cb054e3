//! Identity providers that people log in with by their browsers. A login goes out with a URL and what is to be
//! remembered meanwhile, and comes back with parameters; in the end it says who somebody is there.

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

/// A login that goes out.
#[derive(Debug)]
pub struct Departure {
    /// Where the browser is to go.
    pub url: String,
    /// What [`finish`](oidc::Relying::finish) needs of it. To be kept from others, and bound to the browser.
    pub memory: Vec<u8>,
}

/// What a provider has sent the browser back with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer<'a> {
    /// `code`
    pub code: Option<&'a str>,
    /// `iss` (RFC 9207)
    pub issuer: Option<&'a str>,
    /// `error`
    pub error: Option<&'a str>,
}

/// Who somebody is at a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalIdentity {
    /// What stays the same, whatever the person changes.
    pub identifier: String,
    /// The address in lower case, where the provider vouches for it.
    pub email: Option<String>,
    /// For people to read.
    pub name: Option<String>,
    /// An `https` URL.
    pub picture: Option<String>,
    /// Everything that the provider says.
    pub claims: Map<String, Value>,
    /// When the provider authenticated the person.
    pub authenticated: AuthenticationTime,
}

/// When a provider authenticated a person, by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuthenticationTime {
    /// Never later than the login here. `None` if the provider does not say: it may have been at any time before.
    pub at: Option<UnixMillis>,
    /// Whether the provider was asked to authenticate the person again.
    pub was_requested: bool,
}

/// Why a login comes to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The provider says so, with an error code of RFC 6749 §4.1.2.1.
    #[error("the provider answers {0}")]
    Refused(String),
    /// What came back does not hold.
    #[error("{0}")]
    Invalid(&'static str),
    /// The person has not proved anew who they are, which the provider was asked for.
    #[error(
        "the provider was asked to authenticate the person again, and its auth_time is older than the request, in the \
         future, or no time in seconds: compare the clocks"
    )]
    NotAnew,
    /// The provider cannot be reached, or answers what is of no use.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl LoginError {
    /// A stable word for logs and audit.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused(_) => "provider_refused",
            Self::Invalid(_) => "provider_answer",
            Self::NotAnew => "provider_login_old",
            Self::Unavailable(_) => "provider_unavailable",
        }
    }
}

impl Answer<'_> {
    /// The code, where there is one and no error.
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
            .ok_or(LoginError::Invalid("the provider sends no code"))
    }
}

/// 256 bits that nobody guesses, in characters that stand for themselves.
fn secret(rng: &dyn Rng) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An address that can identify somebody: one `@`, plain ASCII, in lower case.
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
    fn c12_what_is_no_address_identifies_nobody() {
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
    fn an_error_of_the_provider_is_a_code_and_nothing_else() {
        let answer = Answer {
            code: Some("x"),
            error: Some("access_denied<script>"),
            ..Answer::default()
        };
        let error = answer.code().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the provider answers access_deniedscript"
        );
    }
}
