//! Assertions: signed tokens in which a third party identifies a subject (RFC 7523 §3, `OpenID` Connect Core 1.0 §2).

use std::time::Duration;

use domain::clock::UnixMillis;
use serde_json::{Map, Value};

use crate::{
    jwk::{KeySet, SignatureError},
    jws::{Malformed, Unverified},
};

/// Accepted clock difference between the issuer and this host.
pub const SKEW: Duration = Duration::from_mins(1);

/// 9999-12-31T23:59:59Z in seconds. Later times are malformed.
const LATEST: i64 = 253_402_300_799;
pub(crate) const LONGEST_SUBJECT: usize = 256;
pub(crate) const LONGEST_ID: usize = 512;

/// Expected properties of an assertion.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Expected `iss`, compared byte for byte.
    pub issuer: &'a str,
    /// Expected audience, never empty.
    pub audience: &'a str,
    /// Current time.
    pub now: UnixMillis,
}

/// A valid assertion.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Subject at the issuer (`sub`).
    pub subject: String,
    /// Token id (`jti`), if present.
    pub id: Option<String>,
    /// Time from which the assertion is rejected: `exp` plus [`SKEW`].
    pub ends_at: UnixMillis,
    /// All claims.
    pub claims: Map<String, Value>,
}

/// Reasons why an assertion is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The issuer does not publish the key.
    #[error("signed by a key that its issuer does not publish")]
    UnknownKey,
    /// The signature does not verify.
    #[error("its signature is wrong")]
    Signature,
    /// `iss` does not match.
    #[error("issued by another issuer")]
    Issuer,
    /// `aud` does not contain the expected audience.
    #[error("for another audience")]
    Audience,
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` or `iat` is in the future.
    #[error("not valid yet")]
    NotYet,
    /// A claim is missing, malformed or forbidden.
    #[error("claim {0} is missing or malformed")]
    Claim(&'static str),
}

impl Refusal {
    /// Returns a stable identifier for logs and audit events.
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

/// Returns the issuer of an unverified assertion. Use it only to select the provider.
pub fn issuer<'a>(unverified: &'a Unverified<'_>) -> Option<&'a str> {
    unverified.claims.get("iss")?.as_str()
}

/// Verifies an assertion with the keys of its issuer.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
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

/// Validates the claims of an assertion whose signature was verified.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
pub fn check(claims: Map<String, Value>, expected: Expected<'_>) -> Result<Verified, Refusal> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Refusal::Issuer);
    }
    if expected.audience.is_empty() || !is_for(claims.get("aud"), expected.audience) {
        return Err(Refusal::Audience);
    }
    // A logout token does not authenticate its subject (OpenID Connect Back-Channel Logout 1.0 §2.4).
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

/// Returns true if `aud` is the expected string or an array of strings that contains it (RFC 7519 §4.1.3).
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

/// Reads a time in whole seconds. Rejects fractions and strings, which other implementations could read differently.
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
