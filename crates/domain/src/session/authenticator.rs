//! Changes to a Session after an authentication with an Authenticator.

use std::time::Duration;

use api::core_v1::{
    Authenticator, Session,
    authenticator::status::Type,
    session::status::{
        Authentication, AuthenticatorAction,
        authentication::{
            Info,
            info::{
                self, Details,
                authenticator::{Info as Facts, Mode, info::Fido, info::Type as FactsType},
            },
        },
    },
};

use super::{ClientOrigin, current, is_browser, proof, refresh};
use crate::{authenticator, clock::UnixMillis, id::Uid, kind::Kind, reference::reference};

/// Describes an authentication with an Authenticator. `fido` contains the information from a FIDO assertion.
pub fn authenticator_info(
    authenticator: &Authenticator,
    mode: Mode,
    fido: Option<Fido>,
    origin: impl Into<ClientOrigin>,
) -> Info {
    Info {
        r#type: info::Type::Authenticator.into(),
        details: Some(Details::Authenticator(info::Authenticator {
            authenticator_ref: reference(Kind::Authenticator, authenticator.metadata.as_ref()),
            r#type: authenticator::type_of(authenticator).into(),
            info: fido.map(|fido| Facts {
                r#type: Some(FactsType::Fido(fido)),
            }),
            mode: mode.into(),
        })),
        ..origin.into().info()
    }
}

/// Returns the Authenticator action that the Session requires or recommends.
pub fn action(session: &Session) -> AuthenticatorAction {
    session
        .status
        .as_ref()
        .map_or(AuthenticatorAction::Unset, |status| {
            status.authenticator_action()
        })
}

/// Returns the mode in which `session` would use an Authenticator now.
pub fn mode(session: &Session) -> Mode {
    match action(session) {
        AuthenticatorAction::AuthenticationRequired
        | AuthenticatorAction::AuthenticationRecommended => Mode::Mfa,
        _ => Mode::Default,
    }
}

/// Raises `session` after a successful authentication with `authenticator`. The Session gets tokens with the id
/// `new_token_id`, and its earlier tokens become invalid. FIDO and TPM [pin](pin) the Session, so nothing weaker can
/// raise it afterwards.
pub fn step_up(
    session: &mut Session,
    authenticator: &Authenticator,
    new_token_id: Uid,
    now: UnixMillis,
    info: Info,
) {
    settle(session, new_token_id, now, info);
    pin(session, authenticator);
}

/// Pins `session` to the FIDO or TPM Authenticator that created or raised it. A client Session is not pinned to FIDO:
/// each refresh of its tokens would have to open a browser.
pub fn pin(session: &mut Session, authenticator: &Authenticator) {
    let pins = match authenticator::type_of(authenticator) {
        Type::Tpm => true,
        Type::Fido => is_browser(session),
        Type::Totp | Type::Unknown => false,
    };
    if pins {
        let status = session.status.get_or_insert_default();
        status.required_authenticator_ref =
            reference(Kind::Authenticator, authenticator.metadata.as_ref());
    }
}

/// Raises the Session like [`step_up`], but without an Authenticator and without pinning.
pub fn settle(session: &mut Session, new_token_id: Uid, now: UnixMillis, info: Info) {
    refresh::rotate_tokens(session, new_token_id, now, info);
    let is_browser = is_browser(session);
    let status = session.status.get_or_insert_default();
    status.set_authenticator_action(AuthenticatorAction::Unset);
    if is_browser {
        // Invalidates earlier cookies of Services: they carry only the assurance of the Session before it was raised.
        status.credential_version = status.credential_version.saturating_add(1);
    }
}

/// Returns the latest authentication that proved the identity of the User. A refresh proves nothing.
pub fn last_proof(session: &Session) -> Option<&Authentication> {
    let earlier = session
        .status
        .iter()
        .flat_map(|status| &status.last_authentications);
    current(session)
        .into_iter()
        .chain(earlier)
        .find(|authentication| !refresh::is_a_refresh(authentication))
}

/// Returns whether the User proved their identity less than `window` ago, with an Authenticator if `by_authenticator`
/// is set. A login at an identity provider counts from the time at which the provider authenticated the person. If the
/// provider does not report it, the login here counts: otherwise no first Authenticator could be added.
pub fn is_fresh(
    session: &Session,
    by_authenticator: bool,
    window: Duration,
    now: UnixMillis,
) -> bool {
    let Some(proof) = last_proof(session) else {
        return false;
    };
    let r#type = proof.info.as_ref().map(Info::r#type);
    let is_wanted = match r#type {
        // Recovery codes and enrollments leave the type `Internal`.
        Some(info::Type::Authenticator | info::Type::Internal) => true,
        _ => !by_authenticator,
    };
    let at = proof::proved_at(proof).or_else(|| refresh::set_at(proof));
    let is_recent = at.is_some_and(|at| refresh::is_between(at, window, now));
    is_wanted && is_recent
}
