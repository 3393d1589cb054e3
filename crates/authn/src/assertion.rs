//! Assertions: tokens by which a third party says who somebody is (RFC 7523 §3, `OpenID` Connect Core 1.0 §2).

use std::time::Duration;

use domain::clock::UnixMillis;
use serde_json::{Map, Value};

use crate::{
    jwk::{KeySet, SignatureError},
    jws::{Malformed, Unverified},
};

/// How far clocks may be apart.
pub const SKEW: Duration = Duration::from_mins(1);

/// 9999-12-31T23:59:59Z: what is later is no time.
const LATEST: i64 = 253_402_300_799;
pub(crate) const LONGEST_SUBJECT: usize = 256;
pub(crate) const LONGEST_ID: usize = 512;

/// What an assertion must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whose it is, exactly as its issuer writes itself.
    pub issuer: &'a str,
    /// For whom; never empty.
    pub audience: &'a str,
    /// The present instant.
    pub now: UnixMillis,
}

/// What a good assertion says.
#[derive(Debug, Clone)]
pub struct Verified {
    /// `sub`: who, at the issuer.
    pub subject: String,
    /// `jti`, where it has one.
    pub id: Option<String>,
    /// From here on it is refused in any case, the skew of clocks included.
    pub ends_at: UnixMillis,
    /// Everything that it says.
    pub claims: Map<String, Value>,
}

/// Why an assertion is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// See [`Malformed`].
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Its issuer publishes no such key.
    #[error("signed by a key that its issuer does not publish")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// `iss` is another.
    #[error("from another issuer")]
    Issuer,
    /// `aud` does not have us.
    #[error("for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("not valid yet")]
    NotYet,
    /// A claim that must be there is missing, or one is no such thing.
    #[error("claim {0} is missing or malformed")]
    Claim(&'static str),
}

impl Refusal {
    /// A stable word for logs and audit.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(Malformed::Form) => "assertion_malformed",
            Self::Malformed(Malformed::Algorithm) => "assertion_algorithm",
            Self::Malformed(Malformed::Critical) => "assertion_critical",
            Self::Malformed(Malformed::Type) => "assertion_type",
            Self::UnknownKey => "assertion_key_unknown",
            Self::Signature => "assertion_signature",
            Self::Issuer => "assertion_issuer",
            Self::Audience => "assertion_audience",
            Self::Expired => "assertion_expired",
            Self::NotYet => "assertion_not_yet_valid",
            Self::Claim(_) => "assertion_claims",
        }
    }
}

/// The issuer that an unverified assertion names: good for finding the provider, and for nothing else.
pub fn issuer<'a>(unverified: &'a Unverified<'_>) -> Option<&'a str> {
    unverified.claims.get("iss")?.as_str()
}

/// Verifies an assertion by the keys of its issuer.
///
/// # Errors
/// The first reason against it.
pub fn verify(
    unverified: Unverified<'_>,
    keys: &KeySet,
    expected: Expected<'_>,
) -> Result<Verified, Refusal> {
    keys.verify(&unverified).map_err(|error| match error {
        SignatureError::UnknownKey => Refusal::UnknownKey,
        SignatureError::Wrong => Refusal::Signature,
    })?;
    check(unverified.claims, expected)
}

/// Checks the claims of an assertion whose signature is good.
///
/// # Errors
/// The first reason against it.
pub fn check(claims: Map<String, Value>, expected: Expected<'_>) -> Result<Verified, Refusal> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Refusal::Issuer);
    }
    if expected.audience.is_empty() || !is_for(claims.get("aud"), expected.audience) {
        return Err(Refusal::Audience);
    }
    // One that ends a session says nothing of who sends it (OpenID Connect Back-Channel Logout 1.0 §2.4).
    if claims.contains_key("events") {
        return Err(Refusal::Claim("events"));
    }
    let now = expected.now;
    let ends_at = time(&claims, "exp")?.ok_or(Refusal::Claim("exp"))?;
    let ends_at = ends_at.saturating_add(SKEW);
    let latest = now.saturating_add(SKEW);
    if time(&claims, "iat")?.ok_or(Refusal::Claim("iat"))? > latest {
        return Err(Refusal::NotYet);
    }
    if time(&claims, "nbf")?.is_some_and(|begin| begin > latest) {
        return Err(Refusal::NotYet);
    }
    if now >= ends_at {
        return Err(Refusal::Expired);
    }
    let subject = text(&claims, "sub", LONGEST_SUBJECT)?.ok_or(Refusal::Claim("sub"))?;
    let id = text(&claims, "jti", LONGEST_ID)?;
    Ok(Verified {
        subject,
        id,
        ends_at,
        claims,
    })
}

/// One text, or a list of texts that has it (RFC 7519 §4.1.3).
pub(crate) fn is_for(audience: Option<&Value>, expected: &str) -> bool {
    match audience {
        Some(Value::String(audience)) => audience == expected,
        Some(Value::Array(audiences)) => {
            audiences.iter().all(Value::is_string)
                && audiences.iter().any(|audience| audience == expected)
        }
        _ => false,
    }
}

/// Whole seconds that are a time: neither a fraction nor a text, which others may read as something else.
pub(crate) fn time(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<UnixMillis>, Refusal> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let seconds = value
        .as_i64()
        .filter(|seconds| (0..=LATEST).contains(seconds));
    let seconds = seconds.ok_or(Refusal::Claim(name))?;
    Ok(Some(UnixMillis::from_seconds(seconds)))
}

pub(crate) fn text(
    claims: &Map<String, Value>,
    name: &'static str,
    longest: usize,
) -> Result<Option<String>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text))
            if (1..=longest).contains(&text.len()) && !text.contains(char::is_control) =>
        {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(Refusal::Claim(name)),
    }
}

#[cfg(test)]
mod tests;
