//! Registration and use of Authenticators through the API, as challenge and response.

use api::{
    auth_v1::{
        AuthenticateAuthenticatorBeginRequest, AuthenticateAuthenticatorBeginResponse,
        AuthenticateWithAuthenticatorRequest, ChallengeResponse, RegisterAuthenticatorBeginRequest,
        RegisterAuthenticatorBeginResponse, RegisterAuthenticatorFinishRequest, SessionToken,
        authenticate_authenticator_begin_response as begin_response,
        challenge_response::Type as Answer, register_authenticator_begin_response as registration,
    },
    core_v1::{Authenticator, authenticator::status::Type},
    meta_v1::ObjectReference,
};
use domain::authenticator;

use super::{AuthenticatorSelector, Holder, fido, manage, step_up, totp, tpm};
use crate::{Caller, Context, Error};

/// Begins a registration.
///
/// # Errors
/// Returns the errors of [`super::registering`], or `PermissionDenied` if the type can be registered only in a
/// browser.
pub(crate) async fn begin_registration(
    ctx: &Context,
    holder: &Holder,
    request: &RegisterAuthenticatorBeginRequest,
) -> Result<RegisterAuthenticatorBeginResponse, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = AuthenticatorSelector::of(reference);
    let found = manage::find(ctx, holder, &which).await?;
    let challenge = match authenticator::type_of(&found.message) {
        Type::Totp => {
            let url = totp::begin_registration(ctx, holder, &which).await?;
            registration::challenge_request::Type::Totp(registration::challenge_request::Totp {
                url: url.to_string(),
            })
        }
        Type::Tpm => {
            let sent = request.pre_challenge.as_ref();
            let challenge = tpm::begin_registration(ctx, holder, &which, sent).await?;
            registration::challenge_request::Type::Tpm(challenge.into())
        }
        Type::Fido => return Err(in_the_browser(ctx)),
        Type::Unknown => return Err(damaged()),
    };
    Ok(RegisterAuthenticatorBeginResponse {
        challenge_request: Some(registration::ChallengeRequest {
            r#type: Some(challenge),
        }),
    })
}

/// Finishes a registration.
///
/// # Errors
/// Returns the errors of [`begin_registration`], or `PermissionDenied` if the response is wrong.
pub(crate) async fn finish_registration(
    ctx: &Context,
    holder: &Holder,
    request: &RegisterAuthenticatorFinishRequest,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = AuthenticatorSelector::of(reference);
    match answer(request.challenge_response.as_ref())? {
        Answer::Totp(answer) => {
            let code = &answer.response;
            Box::pin(totp::finish_registration(ctx, holder, &which, code, caller)).await
        }
        Answer::Fido(_) => Err(in_the_browser(ctx)),
        Answer::Tpm(answer) => {
            Box::pin(tpm::finish_registration(
                ctx, holder, &which, answer, caller,
            ))
            .await
        }
    }
}

/// Begins an authentication with an Authenticator.
///
/// # Errors
/// Returns `NotFound` if the Authenticator does not exist, `PermissionDenied` if it cannot be used here, or
/// `RateLimited` after too many wrong codes.
pub(crate) async fn begin(
    ctx: &Context,
    holder: &Holder,
    request: &AuthenticateAuthenticatorBeginRequest,
    caller: &Caller,
) -> Result<AuthenticateAuthenticatorBeginResponse, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = AuthenticatorSelector::of(reference);
    let found = manage::find(ctx, holder, &which).await?;
    let challenge = match authenticator::type_of(&found.message) {
        Type::Totp => {
            let checked = totp::check(ctx, holder, &which, ctx.now()).await;
            checked.inspect_err(|error| totp::audit_blocked_attempt(ctx, holder, caller, error))?;
            begin_response::challenge_request::Type::Totp(
                begin_response::challenge_request::Totp {},
            )
        }
        Type::Tpm => {
            let challenge = tpm::begin(ctx, holder, &which).await?;
            begin_response::challenge_request::Type::Tpm(challenge.into())
        }
        Type::Fido => {
            let challenge = fido::begin_authentication(ctx, holder, Some(&[found.uid])).await?;
            begin_response::challenge_request::Type::Fido(begin_response::challenge_request::Fido {
                request: challenge.options,
                state: challenge.state,
            })
        }
        Type::Unknown => return Err(damaged()),
    };
    Ok(AuthenticateAuthenticatorBeginResponse {
        challenge_request: Some(begin_response::ChallengeRequest {
            r#type: Some(challenge),
        }),
    })
}

/// Raises the Session if the response is correct, and returns new tokens. Earlier tokens of the Session become
/// invalid.
///
/// # Errors
/// Returns the errors of [`begin`], or `PermissionDenied` if the response is wrong or the rules of the Cluster deny
/// it.
pub(crate) async fn finish(
    ctx: &Context,
    holder: &Holder,
    request: &AuthenticateWithAuthenticatorRequest,
    caller: &Caller,
) -> Result<SessionToken, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = AuthenticatorSelector::of(reference);
    let session = match answer(request.challenge_response.as_ref())? {
        Answer::Totp(answer) => {
            let code = &answer.response;
            Box::pin(totp::authenticate(ctx, holder, &which, code, caller))
                .await
                .inspect_err(|error| totp::audit_blocked_attempt(ctx, holder, caller, error))?
        }
        Answer::Fido(answer) => {
            let (state, response) = (&answer.state, &answer.response);
            Box::pin(fido::authenticate(ctx, holder, state, response, caller)).await?
        }
        Answer::Tpm(answer) => {
            Box::pin(tpm::authenticate(ctx, holder, &which, answer, caller)).await?
        }
    };
    step_up::tokens(ctx, holder, &session)
}

/// The error for a registration that only a browser can perform.
pub(crate) fn in_the_browser(ctx: &Context) -> Error {
    Error::denied(format!(
        "Passkeys and security keys are added in the browser: open {}/authenticators",
        ctx.domain.url()
    ))
    .because("authenticator_in_browser")
}

fn damaged() -> Error {
    Error::internal("an Authenticator without a type")
}

fn named(reference: Option<&ObjectReference>) -> Result<&ObjectReference, Error> {
    reference.ok_or_else(|| Error::invalid("authenticatorRef must be set"))
}

fn answer(response: Option<&ChallengeResponse>) -> Result<&Answer, Error> {
    let answer = response.and_then(|response| response.r#type.as_ref());
    answer.ok_or_else(|| Error::invalid("challengeResponse must have a response of one type"))
}
