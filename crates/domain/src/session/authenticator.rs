//! What an Authenticator changes about a Session.

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

use super::{Seen, create::reference, current, is_browser, proof, refresh};
use crate::{authenticator, clock::UnixMillis, id::Uid, kind::Kind};

/// How a Session was authenticated that an Authenticator has begun or raised. `fido` is what its answer said.
pub fn authenticator_info(
    authenticator: &Authenticator,
    mode: Mode,
    fido: Option<Fido>,
    seen: impl Into<Seen>,
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
        ..seen.into().info()
    }
}

/// Whether the Session waits for an Authenticator, or would like one.
pub fn action(session: &Session) -> AuthenticatorAction {
    session
        .status
        .as_ref()
        .map_or(AuthenticatorAction::Unset, |status| {
            status.authenticator_action()
        })
}

/// In which mode an Authenticator is used by `session` now.
pub fn mode(session: &Session) -> Mode {
    match action(session) {
        AuthenticatorAction::AuthenticationRequired
        | AuthenticatorAction::AuthenticationRecommended => Mode::Mfa,
        _ => Mode::Default,
    }
}

/// Raises `session` by an Authenticator that has proved itself: it gets tokens with the id `new_token_id`, and those
/// from before are of no use any more. FIDO and TPM [pin](pin) it: nothing weaker raises it from then on.
pub fn raise(
    session: &mut Session,
    authenticator: &Authenticator,
    new_token_id: Uid,
    now: UnixMillis,
    info: Info,
) {
    settle(session, new_token_id, now, info);
    pin(session, authenticator);
}

/// Pins `session` to an Authenticator of FIDO or TPM, by which it began or was raised. A client is not pinned to FIDO:
/// a browser would have to be opened each time that its tokens are renewed.
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

/// As [`raise`], by something that is no Authenticator and pins nothing.
pub fn settle(session: &mut Session, new_token_id: Uid, now: UnixMillis, info: Info) {
    refresh::rotate_tokens(session, new_token_id, now, info);
    let is_browser = is_browser(session);
    let status = session.status.get_or_insert_default();
    status.set_authenticator_action(AuthenticatorAction::Unset);
    if is_browser {
        // Cookies of Services from before are worth what the Session was worth then.
        status.credential_version = status.credential_version.saturating_add(1);
    }
}

/// The last time that its User has proved anything: what a refresh did is no proof.
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

/// Whether its User has proved who they are less than `window` ago; with an Authenticator where
/// `by_authenticator`. A login at a provider counts from when the provider authenticated the person. If the provider
/// does not say when, it counts from the login here: the first Authenticator could not be added otherwise.
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
        // The latter is what a recovery code and an enrollment leave.
        Some(info::Type::Authenticator | info::Type::Internal) => true,
        _ => !by_authenticator,
    };
    let at = proof::proved_at(proof).or_else(|| refresh::set_at(proof));
    let is_recent = at.is_some_and(|at| refresh::is_between(at, window, now));
    is_wanted && is_recent
}
