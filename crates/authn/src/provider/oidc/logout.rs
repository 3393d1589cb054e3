//! The end of a session at the provider: it tells us (`OpenID` Connect Back-Channel Logout 1.0), or we lead people there
//! (RP-Initiated Logout 1.0).

use std::time::Duration;

use domain::clock::UnixMillis;
use serde_json::{Map, Value};

use super::{LoginError, Relying, metadata::Found};
use crate::{
    assertion::{LONGEST_ID, LONGEST_SUBJECT, SKEW, is_for, text, time},
    issuer::HttpsUrl,
    jwk::SignatureError,
    jws::Unverified,
};

/// What a token is about that ends a session.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// For how long after it was made one is taken: it is used at once, and is remembered for as long.
const FRESH: Duration = Duration::from_mins(10);

/// What a provider says has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// `sub`: whose. There is at least one of both.
    pub subject: Option<String>,
    /// `sid`: which one; all of the subject where there is none.
    pub session: Option<String>,
    /// `jti`: it is to be taken once.
    pub id: String,
    /// From here on it is refused in any case.
    pub ends_at: UnixMillis,
}

impl Relying {
    /// Reads a logout token that was sent to the client of this id.
    ///
    /// # Errors
    /// Where it is no such token of this provider, or the provider's keys cannot be had.
    pub async fn read_logout(
        &self,
        client_id: &str,
        token: &str,
    ) -> Result<LogoutToken, LoginError> {
        let is_accepted = |typ: &str| matches!(typ, "logout+jwt" | "jwt");
        let token = Unverified::parse_as(token, is_accepted)
            .map_err(|_| LoginError::Invalid("it is not a signed token of this type"))?;
        let found = self.found().await?;
        let is_known = match found.strict_keys.verify(&token) {
            Err(SignatureError::UnknownKey) => {
                let newer = self
                    .found
                    .newer(&found, async || self.fetch().await)
                    .await?;
                newer.strict_keys.verify(&token)
            }
            outcome => outcome,
        };
        is_known.map_err(|_| LoginError::Invalid("it is not signed by a key of the provider"))?;
        self.check_logout(&found, client_id, &token.claims)
            .map_err(LoginError::Invalid)
    }

    /// §2.6, in its order.
    fn check_logout(
        &self,
        found: &Found,
        client_id: &str,
        claims: &Map<String, Value>,
    ) -> Result<LogoutToken, &'static str> {
        let issuer = found.metadata.issuer().as_str();
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err("it is of another issuer");
        }
        if client_id.is_empty() || !is_for(claims.get("aud"), client_id) {
            return Err("it is for another client");
        }
        let now = self.clock.now();
        let malformed = |_| "a claim of it is malformed";
        let issued_at = time(claims, "iat")
            .map_err(malformed)?
            .ok_or("it does not say when it was made")?;
        let expires_at = time(claims, "exp").map_err(malformed)?;
        let ends_at = issued_at.saturating_add(FRESH);
        let ends_at = expires_at.map_or(ends_at, |expires_at| ends_at.min(expires_at));
        let ends_at = ends_at.saturating_add(SKEW);
        if issued_at > now.saturating_add(SKEW) || now >= ends_at {
            return Err("it is of another time");
        }
        let subject = text(claims, "sub", LONGEST_SUBJECT).map_err(malformed)?;
        let session = text(claims, "sid", LONGEST_SUBJECT).map_err(malformed)?;
        if subject.is_none() && session.is_none() {
            return Err("it does not say whose session has ended");
        }
        let is_logout = claims
            .get("events")
            .and_then(|events| events.get(EVENT))
            .is_some_and(Value::is_object);
        if !is_logout {
            return Err("it is about something else");
        }
        // An ID token has one: neither can pose as the other.
        if claims.contains_key("nonce") {
            return Err("it has a nonce");
        }
        let id = text(claims, "jti", LONGEST_ID).map_err(malformed)?;
        Ok(LogoutToken {
            subject,
            session,
            id: id.ok_or("it has no id")?,
            ends_at,
        })
    }

    /// Where people end their session at the provider; `None` where it has no such place, or cannot be reached.
    pub async fn end_session_url(&self, client_id: &str) -> Option<String> {
        let found = self.found().await.ok()?;
        let more = found.metadata.additional_metadata();
        let endpoint = more.end_session_endpoint.as_str()?;
        HttpsUrl::parse(endpoint).ok()?;
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        let client_id: String = form_urlencoded::byte_serialize(client_id.as_bytes()).collect();
        Some(format!("{endpoint}{mark}client_id={client_id}"))
    }
}
