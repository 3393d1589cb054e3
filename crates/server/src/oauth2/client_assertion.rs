//! Client authentication with an assertion of a workload's platform (RFC 7521 §4.2, RFC 7523 §2.2). The platform is an
//! `IdentityProvider` of identity tokens.

use api::core_v1::{Scope, session::status::Type};
use http::{HeaderMap, header};

use super::{Failure, FailureCode, Form, grant::Granted};
use crate::{
    Caller, Context, ErrorKind,
    authentication::{
        self, AssertionRequest, IdentityFailed, Lifetime, SessionTokens,
        create_session_by_assertion, refused_identity,
    },
};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Returns the assertion of a request, if it has one.
pub(super) fn presented<'a>(
    headers: &HeaderMap,
    form: &'a Form,
) -> Result<Option<&'a str>, Failure> {
    let invalid = |text: &str| Failure::new(FailureCode::InvalidRequest, text);
    let (assertion, r#type) = (
        form.get("client_assertion"),
        form.get("client_assertion_type"),
    );
    match (assertion, r#type) {
        (None, None) => Ok(None),
        (Some(assertion), Some(TYPE)) => {
            if headers.contains_key(header::AUTHORIZATION) || form.get("client_secret").is_some() {
                return Err(invalid(
                    "the client authenticates with both an assertion and a secret; use one of them",
                ));
            }
            Ok(Some(assertion))
        }
        (_, Some(TYPE)) => Err(invalid("client_assertion is missing")),
        _ => Err(invalid(
            "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        )),
    }
}

/// Issues an access token whose Session ends with it. The assertion is redeemed and cannot be used again.
pub(super) async fn grant(
    ctx: &Context,
    assertion: &str,
    client_id: Option<&str>,
    scopes: &[Scope],
    caller: &Caller,
    event_type: &'static str,
) -> Result<Granted, Failure> {
    let request = AssertionRequest {
        assertion,
        provider: None,
        client_id,
        scopes,
        session_type: Type::Clientless,
        lifetime: Lifetime::AccessToken,
    };
    let outcome = match create_session_by_assertion(ctx, &request, caller).await {
        Ok((session, now)) => SessionTokens::sign(ctx, &session, None, now)
            .map(|tokens| Granted {
                expires_at: tokens.access_expires_at(),
                token: tokens.into_access(),
                now,
            })
            .map_err(IdentityFailed::from),
        Err(failed) => Err(failed),
    };
    outcome.map_err(|failed| {
        refused_identity(ctx, caller, event_type, &failed);
        let error = failed.error;
        if error.kind() == ErrorKind::Unauthenticated
            && error.public() == authentication::UNAUTHENTICATED
        {
            let mut failure = Failure::unknown_client();
            failure.error = Some(error);
            return failure;
        }
        error.into()
    })
}
