//! Login with an authentication token.

use api::{
    auth_v1::SessionToken,
    core_v1::{Scope, credential::spec::Type},
};
use domain::{credential, kind::Kind, scope, session};
use store::CommitError;

use super::{
    reap,
    secret::{self, Failed, Proof, Purpose},
    session_creation::{LoginMethod, SessionRequest, create_session, failure},
    sign::SessionTokens,
};
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    transaction::{Attempts, is_conflict},
};

/// A request to log in with an authentication token.
pub struct Login<'a> {
    /// The authentication token.
    pub token: &'a str,
    /// Scopes that restrict the Session; see [`domain::scope`].
    pub scopes: &'a [String],
    /// Verifier for a Credential that is bound to a code challenge; otherwise empty.
    pub code_verifier: &'a [u8],
}

/// Creates a Session with the authentication token of a Credential.
///
/// # Errors
/// Returns `InvalidArgument` if a scope is invalid, `Unauthenticated` if the token is not valid, or `PermissionDenied`
/// if the User cannot log in or has too many Sessions.
pub async fn with_authentication_token(
    ctx: &Context,
    login: Login<'_>,
    caller: &Caller,
) -> Result<SessionToken, Error> {
    let scopes = scope::parse(login.scopes).map_err(|error| Error::invalid(error.to_string()))?;
    match attempt(ctx, &login, &scopes, caller).await {
        Ok(tokens) => Ok(tokens),
        Err(failed) => {
            refused(ctx, caller, "session.created", &failed);
            Err(failed.error)
        }
    }
}

/// Audits a refusal.
pub(crate) fn refused(ctx: &Context, caller: &Caller, event_type: &'static str, failed: &Failed) {
    let Some(reason) = failed.error.reason() else {
        return;
    };
    let credential = failed
        .credential
        .as_ref()
        .and_then(|known| known.message.metadata.as_ref());
    let entry = Entry {
        event_type,
        resource: credential.map(|metadata| (Kind::Credential, metadata)),
        user: None,
        session: None,
    };
    ctx.audit.add(audit::refused(ctx, caller, entry, reason));
}

async fn attempt(
    ctx: &Context,
    login: &Login<'_>,
    scopes: &[Scope],
    caller: &Caller,
) -> Result<SessionToken, Failed> {
    let claims = secret::verify(ctx, login.token).await?;
    let known = ctx
        .directory
        .credential(claims.subject)
        .await
        .map_err(Error::from)?;
    let _lock = match &known {
        Some(known) if credential::counted(&known.message) => {
            Some(ctx.authentication.lock(claims.subject).await)
        }
        _ => None,
    };
    let mut attempts = Attempts::default();
    let mut was_reaped = false;
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let proof = secret::prove(
            ctx,
            claims.clone(),
            Type::AuthToken,
            Purpose::Authenticate,
            now,
        )
        .await?;
        let failed = |error: Error| Failed {
            error,
            credential: Some(proof.credential.clone()),
        };
        credential::check_verifier(&proof.credential.message, login.code_verifier)
            .map_err(|refusal| failed(secret::unauthenticated(refusal.reason())))?;
        let user = secret::user(ctx, &proof.credential.message)
            .await
            .map_err(failed)?;
        let session_request = SessionRequest {
            method: LoginMethod::Credential(&proof),
            user: &user,
            scopes: scopes.to_vec(),
            session_type: session::session_type(&proof.credential.message, &caller.user_agent),
            is_browser: false,
            caller,
            replaces: None,
        };
        let stale = [proof.credential.uid, user.uid];
        match create_session(ctx, session_request, now).await {
            Ok((session, _)) => {
                let by = session_credential(&proof, &session);
                let tokens = SessionTokens::sign(ctx, &session, by, now).map_err(failed)?;
                if by.is_none() || credential::counted(&proof.credential.message) {
                    // The Credential was written. The next login reads it again instead of losing the race against
                    // this one.
                    ctx.directory.forget(&stale);
                }
                return Ok(tokens.to_proto(now));
            }
            Err(error) if is_conflict(&error) => ctx.directory.forget(&stale),
            Err(CommitError::LimitReached { .. }) if !was_reaped => {
                was_reaped = true;
                reap::of_user(ctx, user.uid)
                    .await
                    .map_err(|error| failed(error.into()))?;
            }
            Err(error) => return Err(failed(failure(error))),
        }
    }
}

/// Returns the Credential if the Session depends on it.
fn session_credential<'a>(
    proof: &'a Proof,
    session: &api::core_v1::Session,
) -> Option<&'a api::core_v1::Credential> {
    let reference = session
        .status
        .as_ref()
        .and_then(|status| status.credential_ref.as_ref());
    reference.map(|_| &*proof.credential.message)
}
