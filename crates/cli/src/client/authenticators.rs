//! Answers the challenges of the Cluster with the TPM of this machine.

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

pub(crate) fn reference(authenticator: &Authenticator) -> ObjectReference {
    let metadata = authenticator.metadata.clone().unwrap_or_default();
    ObjectReference {
        uid: metadata.uid,
        name: metadata.name,
        ..ObjectReference::default()
    }
}

/// Returns the type of an Authenticator, or `Unknown` if the Cluster does not return it.
pub(crate) fn type_of(authenticator: &Authenticator) -> AuthenticatorType {
    authenticator
        .status
        .as_ref()
        .map_or(AuthenticatorType::Unknown, Status::r#type)
}

/// Opens the TPM of this machine.
///
/// # Errors
/// Returns a failure if this machine has no TPM or this user lacks the permission to use it.
pub(crate) fn open_tpm(environment: &Environment) -> Result<Tpm, Failure> {
    Tpm::open(environment.get(tpm::VARIABLE)).map_err(|error| failure(&error))
}

/// Converts a TPM error to a failure with a hint.
pub(crate) fn failure(error: &tpm::Error) -> Failure {
    let failure = Failure::new(Reason::Failed, "TPM", error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Answers the challenge of a step-up.
///
/// # Errors
/// Returns a failure if the TPM refuses or is not the one that was registered.
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

/// Performs the step-up with the Session's main Authenticator if that is a TPM, and returns the new tokens.
///
/// Returns `None` if the main Authenticator is not a TPM or if the Cluster does not name it.
///
/// # Errors
/// Returns a failure if the TPM refuses or the Cluster rejects its answer.
pub(super) async fn authenticate_with_main(
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
