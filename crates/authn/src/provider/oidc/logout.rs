//! Logout at the provider. The provider notifies us (`OpenID` Connect Back-Channel Logout 1.0), or we redirect people
//! to the provider (RP-Initiated Logout 1.0).

use std::time::Duration;

use domain::clock::UnixMillis;
use serde_json::{Map, Value};

use super::{LoginError, RelyingParty, discovery::Found};
use crate::{
    assertion::{LONGEST_ID, LONGEST_SUBJECT, SKEW, is_for, text, time},
    issuer::HttpsUrl,
    jwk::SignatureError,
    jws::Unverified,
};

/// Member of `events` that identifies a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Time after `iat` during which a token is accepted. Used tokens are remembered for the same time.
const FRESH: Duration = Duration::from_mins(10);

/// A verified logout token. It has a subject, a session, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutToken {
    /// User whose session ended (`sub`).
    pub subject: Option<String>,
    /// Session that ended (`sid`). If `None`, all sessions of the subject ended.
    pub session: Option<String>,
    /// Token id (`jti`). The caller must accept each id only once.
    pub id: String,
    /// Time from which the token is rejected.
    pub ends_at: UnixMillis,
}

impl RelyingParty {
    /// Verifies a logout token that was sent to the client `client_id`.
    ///
    /// # Errors
    /// Returns [`LoginError::Invalid`] if it is not a valid logout token of this provider for this client, and
    /// [`LoginError::Unavailable`] if the provider's keys cannot be fetched.
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

    /// Validates the claims (Back-Channel Logout 1.0 §2.6, in its order).
    fn check_logout(
        &self,
        found: &Found,
        client_id: &str,
        claims: &Map<String, Value>,
    ) -> Result<LogoutToken, &'static str> {
        let issuer = found.metadata.issuer().as_str();
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err("it is from another issuer");
        }
        if client_id.is_empty() || !is_for(claims.get("aud"), client_id) {
            return Err("it is for another client");
        }
        let now = self.clock.now();
        let malformed = |_| "one of its claims is malformed";
        let issued_at = time(claims, "iat")
            .map_err(malformed)?
            .ok_or("it has no issue time")?;
        let expires_at = time(claims, "exp").map_err(malformed)?;
        let ends_at = issued_at.saturating_add(FRESH);
        let ends_at = expires_at.map_or(ends_at, |expires_at| ends_at.min(expires_at));
        let ends_at = ends_at.saturating_add(SKEW);
        if issued_at > now.saturating_add(SKEW) || now >= ends_at {
            return Err("it has expired, or its issue time is in the future");
        }
        let subject = text(claims, "sub", LONGEST_SUBJECT).map_err(malformed)?;
        let session = text(claims, "sid", LONGEST_SUBJECT).map_err(malformed)?;
        if subject.is_none() && session.is_none() {
            return Err("it names no session and no subject");
        }
        let is_logout = claims
            .get("events")
            .and_then(|events| events.get(EVENT))
            .is_some_and(Value::is_object);
        if !is_logout {
            return Err("it is not about a logout");
        }
        // ID tokens have a nonce and logout tokens must not, so that neither is accepted as the other.
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

    /// Returns the URL at which people end their session at the provider. Returns `None` if the provider has no such
    /// endpoint or is unreachable.
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
