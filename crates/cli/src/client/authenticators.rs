//! What a TPM answers, wherever it is asked.

use api::{
    auth_v1::{
        AuthenticateAuthenticatorBeginRequest, AuthenticateWithAuthenticatorRequest, Authenticator,
        ChallengeResponse, GetAvailableAuthenticatorRequest, SessionToken,
        authenticate_authenticator_begin_response::challenge_request::{Tpm as Challenge, Type},
        authenticator::{Status, status::Type as AuthenticatorType},
        challenge_response,
    },
    meta_v1::ObjectReference,
};

use crate::{
    environment::Environment,
    failure::{Failure, Reason},
    rpc::Auth,
    tpm::{self, Tpm},
};

/// A reference to an Authenticator.
pub(crate) fn reference(authenticator: &Authenticator) -> ObjectReference {
    let metadata = authenticator.metadata.clone().unwrap_or_default();
    ObjectReference {
        uid: metadata.uid,
        name: metadata.name,
        ..ObjectReference::default()
    }
}

/// Its type; `Unknown` where the Cluster does not say.
pub(crate) fn type_of(authenticator: &Authenticator) -> AuthenticatorType {
    authenticator
        .status
        .as_ref()
        .map_or(AuthenticatorType::Unknown, Status::r#type)
}

/// The TPM of this machine.
///
/// # Errors
/// There is none, or this user may not use it.
pub(crate) fn open_tpm(environment: &Environment) -> Result<Tpm, Failure> {
    Tpm::open(environment.get(tpm::VARIABLE)).map_err(|error| failure(&error))
}

/// What went wrong with the TPM, and what to do.
pub(crate) fn failure(error: &tpm::Error) -> Failure {
    let failure = Failure::new(Reason::Failed, "TPM", error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Answers the challenge by which a Session is raised.
///
/// # Errors
/// The TPM refuses, or is another.
pub(crate) fn answer(
    challenge: &Challenge,
    environment: &Environment,
) -> Result<ChallengeResponse, Failure> {
    let encrypted = challenge.encrypted_credential.clone().unwrap_or_default();
    let answer = open_tpm(environment)?
        .answer(
            &challenge.ak_bytes,
            &encrypted.credential,
            &encrypted.secret,
            challenge.quote_request.as_ref(),
        )
        .map_err(|error| failure(&error))?;
    Ok(ChallengeResponse {
        r#type: Some(challenge_response::Type::Tpm(answer)),
    })
}

/// The tokens of the Session, raised by the TPM that it has to be raised by; `None` where it is no TPM, and where the
/// Cluster does not say which it is.
///
/// # Errors
/// The TPM refuses, or its answer is not accepted.
pub(super) async fn by_main(
    mut auth: Auth,
    environment: &Environment,
) -> Result<Option<SessionToken>, Failure> {
    let available = auth
        .get_available_authenticator(GetAvailableAuthenticatorRequest {})
        .await;
    let main = available
        .ok()
        .and_then(|available| available.into_inner().main_authenticator);
    let Some(main) = main.filter(|main| type_of(main) == AuthenticatorType::Tpm) else {
        return Ok(None);
    };
    let authenticator_ref = Some(reference(&main));
    let begun = auth
        .authenticate_authenticator_begin(AuthenticateAuthenticatorBeginRequest {
            authenticator_ref: authenticator_ref.clone(),
        })
        .await
        .map_err(|status| Failure::of_status(&status))?
        .into_inner();
    let Some(Type::Tpm(challenge)) = begun.challenge_request.and_then(|one| one.r#type) else {
        return Ok(None);
    };
    let token = auth
        .authenticate_with_authenticator(AuthenticateWithAuthenticatorRequest {
            authenticator_ref,
            challenge_response: Some(answer(&challenge, environment)?),
        })
        .await
        .map_err(|status| Failure::of_status(&status))?;
    Ok(Some(token.into_inner()))
}
