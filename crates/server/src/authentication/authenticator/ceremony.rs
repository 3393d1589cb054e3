//! Registration and use of Authenticators as the API has them: a challenge, and the answer to it.

use api::{
    auth_v1::{
        AuthenticateAuthenticatorBeginRequest, AuthenticateAuthenticatorBeginResponse,
        AuthenticateWithAuthenticatorRequest, ChallengeResponse, RegisterAuthenticatorBeginRequest,
        RegisterAuthenticatorBeginResponse, RegisterAuthenticatorFinishRequest, SessionToken,
        authenticate_authenticator_begin_response as begun, challenge_response::Type as Answer,
        register_authenticator_begin_response as registration,
    },
    core_v1::{Authenticator, authenticator::status::Type},
    meta_v1::ObjectReference,
};
use domain::authenticator;

use super::{Holder, Which, manage, raise, totp};
use crate::{Caller, Context, Error};

/// Begins a registration.
///
/// # Errors
/// As [`super::registering`]; `PermissionDenied` for what only a browser can do.
pub(crate) async fn begin_registration(
    ctx: &Context,
    holder: &Holder,
    request: &RegisterAuthenticatorBeginRequest,
) -> Result<RegisterAuthenticatorBeginResponse, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = Which::of(reference);
    let found = manage::find(ctx, holder, &which).await?;
    let challenge = match authenticator::type_of(&found.message) {
        Type::Totp => {
            let url = totp::begin_registration(ctx, holder, &which).await?;
            registration::challenge_request::Type::Totp(registration::challenge_request::Totp {
                url: url.to_string(),
            })
        }
        Type::Fido => return Err(in_the_browser(ctx)),
        Type::Tpm | Type::Unknown => return Err(unserved(&found.message)),
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
/// As [`begin_registration`]; `PermissionDenied` where the answer is wrong.
pub(crate) async fn finish_registration(
    ctx: &Context,
    holder: &Holder,
    request: &RegisterAuthenticatorFinishRequest,
    caller: &Caller,
) -> Result<Authenticator, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = Which::of(reference);
    match answer(request.challenge_response.as_ref())? {
        Answer::Totp(answer) => {
            totp::finish_registration(ctx, holder, &which, &answer.response, caller).await
        }
        Answer::Fido(_) => Err(in_the_browser(ctx)),
        Answer::Tpm(_) => {
            let found = manage::find(ctx, holder, &which).await?;
            Err(unserved(&found.message))
        }
    }
}

/// Asks for a proof of an Authenticator.
///
/// # Errors
/// `NotFound`; `PermissionDenied` where it cannot be used here; `RateLimited` where too many codes were wrong.
pub(crate) async fn begin(
    ctx: &Context,
    holder: &Holder,
    request: &AuthenticateAuthenticatorBeginRequest,
    caller: &Caller,
) -> Result<AuthenticateAuthenticatorBeginResponse, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = Which::of(reference);
    let found = manage::find(ctx, holder, &which).await?;
    let challenge = match authenticator::type_of(&found.message) {
        Type::Totp => {
            let checked = totp::check(ctx, holder, &which, ctx.now()).await;
            checked.inspect_err(|error| totp::held_up(ctx, holder, caller, error))?;
            begun::challenge_request::Type::Totp(begun::challenge_request::Totp {})
        }
        Type::Fido => return Err(in_the_browser(ctx)),
        Type::Tpm | Type::Unknown => return Err(unserved(&found.message)),
    };
    Ok(AuthenticateAuthenticatorBeginResponse {
        challenge_request: Some(begun::ChallengeRequest {
            r#type: Some(challenge),
        }),
    })
}

/// Raises the Session by a proof. Its tokens from before are worth nothing any more.
///
/// # Errors
/// As [`begin`]; `PermissionDenied` where the answer is wrong, or the rules of the Cluster deny it.
pub(crate) async fn finish(
    ctx: &Context,
    holder: &Holder,
    request: &AuthenticateWithAuthenticatorRequest,
    caller: &Caller,
) -> Result<SessionToken, Error> {
    let reference = named(request.authenticator_ref.as_ref())?;
    let which = Which::of(reference);
    let session = match answer(request.challenge_response.as_ref())? {
        Answer::Totp(answer) => totp::authenticate(ctx, holder, &which, &answer.response, caller)
            .await
            .inspect_err(|error| totp::held_up(ctx, holder, caller, error))?,
        Answer::Fido(_) => return Err(in_the_browser(ctx)),
        Answer::Tpm(_) => {
            let found = manage::find(ctx, holder, &which).await?;
            return Err(unserved(&found.message));
        }
    };
    raise::tokens(ctx, holder, &session)
}

/// What only a browser can do: its Sessions have cookies, and their tokens never leave the Cluster.
pub(crate) fn in_the_browser(ctx: &Context) -> Error {
    Error::denied(format!(
        "Passkeys and security keys are used in the browser: open {}/authenticators",
        ctx.domain.url()
    ))
    .because("authenticator_in_browser")
}

fn unserved(authenticator: &Authenticator) -> Error {
    Error::new(
        crate::ErrorKind::Unimplemented,
        format!(
            "This Cluster does not serve Authenticators of type {} yet",
            authenticator::type_of(authenticator).as_str_name()
        ),
    )
}

fn named(reference: Option<&ObjectReference>) -> Result<&ObjectReference, Error> {
    reference.ok_or_else(|| Error::invalid("authenticatorRef must be set"))
}

fn answer(response: Option<&ChallengeResponse>) -> Result<&Answer, Error> {
    let answer = response.and_then(|response| response.r#type.as_ref());
    answer.ok_or_else(|| Error::invalid("challengeResponse must have an answer of one type"))
}
