//! Enforcement of Authenticators at login, by the rules of the `ClusterConfig`.

use api::{
    core_v1::{
        Authenticator, IdentityProvider, Session, User,
        cluster_config::spec::authenticator::enforcement_rule::Effect,
        session::status::{
            AuthenticatorAction,
            authentication::info::{Details, authenticator::Mode},
        },
    },
    resource::Object as _,
};
use domain::{
    authenticator::{self, MAX_PER_USER},
    clock::UnixMillis,
};
use store::StoreError;

use crate::{
    Context,
    directory::{EnforcementList, Login},
    document::{index, load},
};

/// Returns the action that a new browser Session has to wait for.
///
/// # Errors
/// Returns the error of the store.
pub(crate) async fn of_login(
    ctx: &Context,
    user: &User,
    session: &Session,
    identity_provider: Option<&IdentityProvider>,
    now: UnixMillis,
) -> Result<AuthenticatorAction, StoreError> {
    if !ctx.directory.authenticator_rules().has_enforcement() {
        return Ok(AuthenticatorAction::Unset);
    }
    let (all, _) =
        load::by_index::<Authenticator>(&*ctx.store, index::USER, user.uid(), MAX_PER_USER, now)
            .await?;
    let authenticators: Vec<Authenticator> = all.into_iter().map(|one| one.message).collect();
    let login = Login {
        user,
        session,
        identity_provider,
        authenticators: &authenticators,
    };
    Ok(action(ctx, &login, now))
}

/// Returns the action that the login has to wait for: use of an eligible Authenticator, or registration if the User
/// has none.
pub(crate) fn action(ctx: &Context, login: &Login<'_>, now: UnixMillis) -> AuthenticatorAction {
    let mut all = login.authenticators.iter();
    let has_any = all.any(|one| authenticator::counts(login.session, one));
    if has_any && is_passkey_login(login.session) {
        // The login passkey already proved more than a second factor would.
        return AuthenticatorAction::Unset;
    }
    let list = if has_any {
        EnforcementList::Authentication
    } else {
        EnforcementList::Registration
    };
    match (evaluate_list(ctx, list, login, now), list) {
        (Some(Effect::Enforce | Effect::Unknown), EnforcementList::Authentication) => {
            AuthenticatorAction::AuthenticationRequired
        }
        (Some(Effect::Enforce | Effect::Unknown), EnforcementList::Registration) => {
            AuthenticatorAction::RegistrationRequired
        }
        (Some(Effect::Recommend), EnforcementList::Authentication) => {
            AuthenticatorAction::AuthenticationRecommended
        }
        (Some(Effect::Recommend), EnforcementList::Registration) => {
            AuthenticatorAction::RegistrationRecommended
        }
        (Some(Effect::Ignore) | None, _) => AuthenticatorAction::Unset,
    }
}

/// Returns whether a User with only these Authenticators would have to register or use one at a login like the one
/// that created the Session.
pub(crate) fn is_enforced(ctx: &Context, login: &Login<'_>, now: UnixMillis) -> bool {
    let lists = [
        EnforcementList::Registration,
        EnforcementList::Authentication,
    ];
    lists.into_iter().any(|list| {
        matches!(
            evaluate_list(ctx, list, login, now),
            Some(Effect::Enforce | Effect::Unknown)
        )
    })
}

fn evaluate_list(
    ctx: &Context,
    list: EnforcementList,
    login: &Login<'_>,
    now: UnixMillis,
) -> Option<Effect> {
    let rules = ctx.directory.authenticator_rules();
    let (effect, error) = rules.enforcement(list, login, now)?;
    if let Some(error) = error {
        tracing::warn!(
            user = login.user.name(),
            ?list,
            error,
            "a rule cannot be evaluated; it is enforced"
        );
    }
    Some(effect)
}

fn is_passkey_login(session: &Session) -> bool {
    let status = session.status.as_ref();
    let info = status
        .and_then(|status| status.authentication.as_ref())
        .and_then(|authentication| authentication.info.as_ref());
    matches!(
        info.and_then(|info| info.details.as_ref()),
        Some(Details::Authenticator(by)) if by.mode() == Mode::Passkey
    )
}
