//! Validity checks of Sessions and their access tokens.

use std::time::Duration;

use api::{
    core_v1::{
        Credential, Device, Session, User, device,
        session::{
            spec::State,
            status::{Authentication, AuthenticatorAction},
        },
    },
    meta_v1::{Metadata, ObjectReference},
};

use super::{current, is_browser, is_shared, lifetimes, refresh};
use crate::{
    clock::UnixMillis,
    credential::{self, Refusal},
    duration,
    token::{Claims, TokenType},
};

/// The time for which the previous access token stays valid after a refresh, for requests in flight.
const PREVIOUS_TOKEN_WINDOW: Duration = Duration::from_mins(1);

/// Checks that requests of `session` can be authorized. The Session must be ACTIVE and not expired, its User,
/// Credential and Device must be active, and no Authenticator may be required.
///
/// The caller passes the current User, Credential and Device that the Session refers to.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
pub fn check(
    session: &Session,
    user: &User,
    credential: Option<&Credential>,
    device: Option<&Device>,
    now: UnixMillis,
) -> Result<(), Refusal> {
    check_ignoring_approval_and_authenticator(session, user, credential, device, now)?;
    let spec = session.spec.as_ref().ok_or(Refusal::Incomplete)?;
    let status = session.status.as_ref().ok_or(Refusal::Incomplete)?;
    match spec.state() {
        State::Active => {}
        State::Pending => return Err(Refusal::SessionPending),
        State::Rejected | State::Unknown => return Err(Refusal::SessionRejected),
    }
    if device_state(device).is_some_and(|state| state != device::spec::State::Active) {
        return Err(Refusal::DeviceInactive);
    }
    match status.authenticator_action() {
        AuthenticatorAction::AuthenticationRequired | AuthenticatorAction::RegistrationRequired => {
            Err(Refusal::AuthenticatorRequired)
        }
        AuthenticatorAction::Unset
        | AuthenticatorAction::AuthenticationRecommended
        | AuthenticatorAction::RegistrationRecommended => Ok(()),
    }
}

/// Checks like [`check`], but accepts a Session that is PENDING, whose Device is PENDING, or that requires an
/// Authenticator. This is enough to refresh its tokens, to see what it waits for and to sign out. It is never enough to
/// use a right of the Session.
///
/// # Errors
/// Returns the first [`Refusal`] that applies.
pub fn check_ignoring_approval_and_authenticator(
    session: &Session,
    user: &User,
    credential: Option<&Credential>,
    device: Option<&Device>,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let spec = session.spec.as_ref().ok_or(Refusal::Incomplete)?;
    let status = session.status.as_ref().ok_or(Refusal::Incomplete)?;
    if spec.state() == State::Rejected {
        return Err(Refusal::SessionRejected);
    }
    if status.is_locked {
        return Err(Refusal::SessionLocked);
    }
    let expires_at = spec.expires_at.as_ref().ok_or(Refusal::Incomplete)?;
    if now >= UnixMillis::from_proto(expires_at) {
        return Err(Refusal::SessionExpired);
    }
    check_user(status.user_ref.as_ref(), user)?;
    check_credential(session, credential, now)?;
    check_device(status.device_ref.as_ref(), device)
}

/// Checks that a verified access token is still valid for `session`. The valid tokens are the current one, and the
/// previous one for a minute after a refresh. A [shared](super::is_shared) or [browser](super::is_browser) Session
/// accepts any token issued for it. Does not check whether a single token was revoked.
///
/// # Errors
/// Returns [`Refusal::WrongToken`], [`Refusal::TokenExpired`], [`Refusal::TokenSuperseded`] or [`Refusal::Incomplete`].
pub fn accepts_access_token(
    session: &Session,
    claims: &Claims,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let status = session.status.as_ref().ok_or(Refusal::Incomplete)?;
    let is_own = refers_to(session.metadata.as_ref(), &claims.subject.to_string());
    if claims.token_type != TokenType::Access || !is_own {
        return Err(Refusal::WrongToken);
    }
    claims
        .check_expiry(now)
        .map_err(|_| Refusal::TokenExpired)?;
    if claims.credential_version != status.credential_version {
        return Err(Refusal::TokenSuperseded);
    }
    if is_shared(session) || is_browser(session) {
        // Only its own expiry ends such a token. A browser token is sealed for one host, which was checked before.
        return if claims.expires_at.is_some() {
            Ok(())
        } else {
            Err(Refusal::WrongToken)
        };
    }
    let present = current(session).ok_or(Refusal::Incomplete)?;
    let token_id = claims.token_id.to_string();
    if present.token_id == token_id {
        return check_window(lifetimes::access_token_duration(session), present, now);
    }
    match status.last_authentications.first() {
        Some(previous)
            if previous.token_id == token_id
                && refresh::within(present, PREVIOUS_TOKEN_WINDOW, now) =>
        {
            let lifetime = previous.access_token_duration.as_ref();
            check_window(lifetime.and_then(duration::from_proto), previous, now)
        }
        _ => Err(Refusal::TokenSuperseded),
    }
}

/// Returns the time until which the Session lets [`accepts_access_token`] accept a token that it accepts now. The
/// expiry of the token, the Session and the Credential apply in addition. `None` means that the Session sets no limit.
pub fn access_token_ends_at(session: &Session, claims: &Claims) -> Option<UnixMillis> {
    if is_shared(session) || is_browser(session) {
        return None;
    }
    let present = current(session)?;
    let set_at = refresh::set_at(present)?;
    if present.token_id == claims.token_id.to_string() {
        Some(set_at.saturating_add(lifetimes::access_token_duration(session)?))
    } else {
        Some(set_at.saturating_add(PREVIOUS_TOKEN_WINDOW))
    }
}

/// Checks the lifetime to the millisecond. Access tokens contain whole seconds only.
fn check_window(
    lifetime: Option<Duration>,
    authentication: &Authentication,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let lifetime = lifetime.ok_or(Refusal::Incomplete)?;
    let set_at = refresh::set_at(authentication).ok_or(Refusal::Incomplete)?;
    if now < set_at.saturating_add(lifetime) {
        Ok(())
    } else {
        Err(Refusal::TokenExpired)
    }
}

fn check_user(reference: Option<&ObjectReference>, user: &User) -> Result<(), Refusal> {
    let reference = reference.ok_or(Refusal::Incomplete)?;
    if !refers_to(user.metadata.as_ref(), &reference.uid) {
        return Err(Refusal::WrongUser);
    }
    let spec = user.spec.as_ref().ok_or(Refusal::Incomplete)?;
    if spec.is_disabled {
        return Err(Refusal::UserDisabled);
    }
    if user.status.as_ref().is_some_and(|status| status.is_locked) {
        return Err(Refusal::UserLocked);
    }
    Ok(())
}

fn check_credential(
    session: &Session,
    credential: Option<&Credential>,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let status = session.status.as_ref().ok_or(Refusal::Incomplete)?;
    let Some(reference) = &status.credential_ref else {
        return Ok(());
    };
    let credential = credential.ok_or(Refusal::Gone)?;
    // A Credential that was deleted and created again under the same name has another uid.
    if !refers_to(credential.metadata.as_ref(), &reference.uid) {
        return Err(Refusal::Gone);
    }
    credential::accepts_version(credential, status.credential_version, now)
}

fn check_device(
    reference: Option<&ObjectReference>,
    device: Option<&Device>,
) -> Result<(), Refusal> {
    let Some(reference) = reference else {
        return Ok(());
    };
    let device = device.ok_or(Refusal::DeviceGone)?;
    if !refers_to(device.metadata.as_ref(), &reference.uid) {
        return Err(Refusal::DeviceGone);
    }
    match device_state(Some(device)).ok_or(Refusal::Incomplete)? {
        // A Session on a Device that is PENDING can still be refreshed, like a Session that is PENDING.
        device::spec::State::Active | device::spec::State::Pending => {}
        device::spec::State::Rejected | device::spec::State::Unknown => {
            return Err(Refusal::DeviceInactive);
        }
    }
    if device
        .status
        .as_ref()
        .is_some_and(|status| status.is_locked)
    {
        return Err(Refusal::DeviceLocked);
    }
    Ok(())
}

fn device_state(device: Option<&Device>) -> Option<device::spec::State> {
    device?.spec.as_ref().map(device::Spec::state)
}

fn refers_to(metadata: Option<&Metadata>, uid: &str) -> bool {
    metadata.is_some_and(|metadata| !uid.is_empty() && metadata.uid == uid)
}
