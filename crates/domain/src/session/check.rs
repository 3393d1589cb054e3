//! Whether a Session, and a token of it, still holds.

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

/// For how long the access token before a refresh lives on, for requests that are under way.
const PREVIOUS_TOKEN_WINDOW: Duration = Duration::from_mins(1);

/// Whether requests of `session` may be decided at all. It is ACTIVE and has not expired, its User, Credential and Device
/// are active, and no Authenticator is required of it.
///
/// The caller passes the User, Credential and Device that the Session refers to, each as it is now.
///
/// # Errors
/// The first reason against it.
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

/// As [`check`], but passes a Session that is PENDING, is on a Device that is PENDING, or of which an Authenticator is
/// required. Enough to refresh its tokens, to see what it waits for, and to log out; never to use a right of it.
///
/// # Errors
/// The first reason against it.
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

/// Whether an access token of `session` that was verified is still one of its own: the present one, the one before
/// for a minute after a refresh, or any that was issued for a [shared](super::is_shared) Session or for one of a
/// [browser](super::is_browser). Whether it was revoked alone is not known here.
///
/// # Errors
/// The first reason against it.
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
        // Only its own expiry ends such a token; those of a browser were sealed for one host, which was checked.
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

/// Until when [`accepts_access_token`] accepts a token that it accepts now, as far as the Session decides: the token's
/// own expiry, that of the Session and that of its Credential come on top. `None` where the Session sets no end.
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

/// Access tokens hold whole seconds; the Session knows their end to the millisecond.
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
    // One that was deleted and created again under its name has another uid.
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
        // As a Session that waits for approval, one on a Device that does goes on to be refreshed.
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
