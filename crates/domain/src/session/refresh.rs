//! Token refresh with reuse detection (RFC 9700 §4.14.2).

use std::time::Duration;

use api::core_v1::{
    Session, credential,
    session::status::{
        Authentication,
        authentication::{Info, info},
    },
};

use super::{current, lifetimes};
use crate::{
    clock::UnixMillis,
    credential::{CLOCK_TOLERANCE, Refusal},
    id::Uid,
};

/// The time for which a client that lost the response can repeat its refresh.
pub(super) const REPEAT_WINDOW: Duration = Duration::from_secs(30);
const RATE_WINDOW: Duration = Duration::from_hours(1);
const REFRESHES_IN_RATE_WINDOW: usize = 5;
const MOST_AUTHENTICATIONS_KEPT: usize = 100;

/// The action to take for a valid refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Issue new tokens: see [`rotate_tokens`].
    Rotate,
    /// Issue the current tokens again, with the same ids and expiry: the client probably lost the response to the same
    /// request. Nothing is written.
    Remint,
    /// Revoke the Session: a refresh token that was already replaced was used, so there is a copy of it.
    Reuse,
    /// Refuse with «already exists»: the client keeps its access token for now.
    TooSoon,
}

/// Decides on the refresh token `token_id` of `session`, after its signature, type and expiry were checked. The caller
/// must first check the Session with
/// [`check_ignoring_approval_and_authenticator`](super::check_ignoring_approval_and_authenticator).
///
/// # Errors
/// Returns [`Refusal::TokenExpired`] if the refresh token is too old, [`Refusal::NotRefreshable`] if Sessions of this
/// kind have no refresh, [`Refusal::AuthenticatorRequired`] if the Session is pinned to an Authenticator, and
/// [`Refusal::TokenSuperseded`] if the Session was just raised.
pub fn refresh(session: &Session, token_id: Uid, now: UnixMillis) -> Result<Refresh, Refusal> {
    let status = session.status.as_ref().ok_or(Refusal::Incomplete)?;
    let authentication = current(session).ok_or(Refusal::Incomplete)?;
    let set_at = set_at(authentication).ok_or(Refusal::Incomplete)?;
    let token_id = token_id.to_string();
    if authentication.token_id != token_id {
        // The token was signed for this Session, so it was valid once.
        let is_previous = status
            .last_authentications
            .first()
            .is_some_and(|previous| previous.token_id == token_id);
        let is_recent = is_recent(authentication, REPEAT_WINDOW, now);
        return match (is_previous && is_recent, is_a_refresh(authentication)) {
            (true, true) => Ok(Refresh::Remint),
            // An Authenticator just raised the Session. A token from before must not be exchanged for the new ones.
            (true, false) => Err(Refusal::TokenSuperseded),
            (false, _) => Ok(Refresh::Reuse),
        };
    }
    if !is_refreshable(session) {
        return Err(Refusal::NotRefreshable);
    }
    if status.required_authenticator_ref.is_some() {
        return Err(Refusal::AuthenticatorRequired);
    }
    let end = lifetimes::refresh_token_end(session).ok_or(Refusal::Incomplete)?;
    if now >= end {
        return Err(Refusal::TokenExpired);
    }
    let lifetime = lifetimes::access_token_duration(session).ok_or(Refusal::Incomplete)?;
    let is_past_half = now >= set_at.saturating_add(lifetime / 2);
    if !is_past_half && refreshes_within(session, RATE_WINDOW, now) >= REFRESHES_IN_RATE_WINDOW {
        return Ok(Refresh::TooSoon);
    }
    Ok(Refresh::Rotate)
}

/// Issues tokens with the id `new_token_id` for `session`; `info` gives the reason. The previous authentication is
/// recorded, and the lifetimes of the first authentication are kept.
pub fn rotate_tokens(session: &mut Session, new_token_id: Uid, now: UnixMillis, info: Info) {
    let status = session.status.get_or_insert_default();
    let previous = status.authentication.take();
    let durations = status.initial_authentication.as_ref().or(previous.as_ref());
    status.authentication = Some(Authentication {
        info: Some(info),
        set_at: Some(now.to_proto()),
        token_id: new_token_id.to_string(),
        access_token_duration: durations.and_then(|from| from.access_token_duration),
        refresh_token_duration: durations.and_then(|from| from.refresh_token_duration),
    });
    if let Some(previous) = previous {
        status.last_authentications.insert(0, previous);
        status
            .last_authentications
            .truncate(MOST_AUTHENTICATIONS_KEPT);
    }
    status.total_authentications = status.total_authentications.saturating_add(1);
}

/// Returns whether `authentication` is a refresh that happened less than `window` ago. A time ahead of the clock is
/// unreliable and counts as long ago.
pub(super) fn within(authentication: &Authentication, window: Duration, now: UnixMillis) -> bool {
    is_a_refresh(authentication) && is_recent(authentication, window, now)
}

/// Returns whether `authentication`, of any type, happened less than `window` ago.
pub(super) fn is_recent(
    authentication: &Authentication,
    window: Duration,
    now: UnixMillis,
) -> bool {
    let Some(set_at) = set_at(authentication) else {
        return false;
    };
    is_between(set_at, window, now)
}

/// Returns whether `at` is less than `window` ago. A time ahead of the clock is unreliable and counts as long ago.
pub(super) fn is_between(at: UnixMillis, window: Duration, now: UnixMillis) -> bool {
    now.saturating_add(CLOCK_TOLERANCE) >= at && now < at.saturating_add(window)
}

pub(super) fn set_at(authentication: &Authentication) -> Option<UnixMillis> {
    authentication.set_at.as_ref().map(UnixMillis::from_proto)
}

pub(super) fn is_a_refresh(authentication: &Authentication) -> bool {
    authentication
        .info
        .as_ref()
        .is_some_and(|info| info.r#type() == info::Type::RefreshToken)
}

fn is_refreshable(session: &Session) -> bool {
    let is_browser = super::is_browser(session);
    let has_refresh_tokens = match super::credential_type(session) {
        Some(credential::spec::Type::Oauth2 | credential::spec::Type::AccessToken) => false,
        Some(credential::spec::Type::AuthToken | credential::spec::Type::Unknown) | None => true,
    };
    has_refresh_tokens && !is_browser
}

fn refreshes_within(session: &Session, window: Duration, now: UnixMillis) -> usize {
    let earlier = session
        .status
        .iter()
        .flat_map(|status| &status.last_authentications);
    current(session)
        .into_iter()
        .chain(earlier)
        .filter(|authentication| is_a_refresh(authentication))
        .filter_map(set_at)
        .filter(|set_at| now.since(*set_at) < window)
        .count()
}
