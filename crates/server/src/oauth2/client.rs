//! Client authentication (RFC 6749 §2.3.1): `client_secret_basic` or `client_secret_post`.

use api::core_v1::credential::spec::Type;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

use super::{Failure, FailureCode, Form, form};
use crate::{
    Caller, Context, Error,
    authentication::{
        self,
        secret::{self, Failed, Proof, Purpose},
    },
};

/// The presented client credentials.
struct Presented {
    client_id: String,
    client_secret: String,
}

/// Authenticates the client of a request. A refusal is audited under `event_type`.
pub(super) async fn authenticate(
    ctx: &Context,
    headers: &HeaderMap,
    form: &Form,
    purpose: Purpose,
    caller: &Caller,
    event_type: &'static str,
) -> Result<Proof, Failure> {
    if form.get("client_assertion").is_some() || form.get("client_assertion_type").is_some() {
        return Err(Failure::new(
            FailureCode::InvalidClient,
            "an assertion is accepted only at the token endpoint; here use client_secret_basic or client_secret_post",
        ));
    }
    let presented = presented(headers, form)?;
    prove(ctx, &presented, purpose).await.map_err(|failed| {
        authentication::refused(ctx, caller, event_type, &failed);
        let error = failed.error;
        let is_known = error.public() != authentication::UNAUTHENTICATED;
        if error.kind() == crate::ErrorKind::Unauthenticated && !is_known {
            let mut failure = Failure::unknown_client();
            failure.error = Some(error);
            return failure;
        }
        error.into()
    })
}

/// Verifies the secret before the id. Strangers can therefore not observe whether a client exists.
async fn prove(ctx: &Context, presented: &Presented, purpose: Purpose) -> Result<Proof, Failed> {
    let claims = secret::verify(ctx, &presented.client_secret).await?;
    let now = ctx.now();
    let mismatch = || Failed::from(secret::unauthenticated("client_id"));
    match secret::prove(ctx, claims, Type::Oauth2, purpose, now).await {
        Ok(proof) if is_client(&proof.credential.message, &presented.client_id) => Ok(proof),
        Ok(_) => Err(mismatch()),
        Err(failed) => match &failed.credential {
            // Only a client that knows its id learns the reason.
            Some(known) if !is_client(&known.message, &presented.client_id) => Err(mismatch()),
            _ => Err(failed),
        },
    }
}

fn is_client(credential: &api::core_v1::Credential, client_id: &str) -> bool {
    let id = credential
        .status
        .as_ref()
        .map_or("", |status| status.id.as_str());
    !id.is_empty() && bool::from(id.as_bytes().ct_eq(client_id.as_bytes()))
}

fn presented(headers: &HeaderMap, form: &Form) -> Result<Presented, Failure> {
    let invalid = |text: &str| Failure::new(FailureCode::InvalidRequest, text);
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    let authorization = authorizations.next();
    if authorizations.next().is_some() {
        return Err(invalid("there are two Authorization headers"));
    }
    let (id, secret) = (form.get("client_id"), form.get("client_secret"));
    match (authorization, id, secret) {
        (Some(_), _, Some(_)) => Err(invalid(
            "the client authenticates both with the Authorization header and in the body; use one of them",
        )),
        (Some(authorization), id, None) => {
            let presented = authorization.to_str().ok().and_then(basic);
            let presented = presented.ok_or_else(Failure::unknown_client)?;
            if id.is_some_and(|id| id != presented.client_id) {
                return Err(invalid(
                    "client_id differs from the one in the Authorization header",
                ));
            }
            Ok(presented)
        }
        (None, Some(id), Some(secret)) => Ok(Presented {
            client_id: id.to_owned(),
            client_secret: secret.to_owned(),
        }),
        (None, _, _) => Err(Failure::unknown_client()),
    }
}

/// Decodes HTTP Basic credentials. Both parts are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(value: &str) -> Option<Presented> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_start_matches(' ')).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some(Presented {
        client_id: form::decode(id)?,
        client_secret: form::decode(secret)?,
    })
}

/// Decodes HTTP Basic credentials to an id and a secret.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_basic(value: &str) -> Option<(String, String)> {
    basic(value).map(|presented| (presented.client_id, presented.client_secret))
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        Error::into(failed.error)
    }
}
