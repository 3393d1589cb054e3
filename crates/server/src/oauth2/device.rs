//! Device authorization endpoint and device grant (RFC 8628).

use serde::Serialize;

use super::{Failure, FailureCode, Form, response::Reply, token};
use crate::{
    Caller, Context,
    authentication::device_login::{self, DevicePollError, INTERVAL, LIFETIME},
};

/// Grant type (RFC 8628 §3.4).
pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Client id of our command-line client, which has no secret.
const CLIENT_ID: &str = "octelium-cli";
const EVENT: &str = "token.granted";

#[derive(Serialize)]
struct Authorization<'a> {
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: &'a str,
    verification_uri_complete: &'a str,
    expires_in: u64,
    interval: u64,
}

#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    refresh_token_expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
}

/// Issues a device code and a user code (RFC 8628 §3.1).
pub(super) async fn authorize(
    ctx: &Context,
    form: &Form,
    caller: &Caller,
) -> Result<Reply, Failure> {
    check_client(form)?;
    token::check_fresh(ctx)?;
    let scopes = token::texts(form.get("scope"))?;
    device_login::check_scopes(&scopes).map_err(|error| {
        Failure::new(FailureCode::InvalidScope, token::printable(error.public()))
    })?;
    let asked = device_login::begin(ctx, &scopes, caller).await?;
    let uri = format!("{}/device", ctx.domain.url());
    Reply::json(&Authorization {
        device_code: &asked.device_code,
        user_code: &asked.user_code,
        verification_uri: &uri,
        verification_uri_complete: &format!("{uri}?user_code={}", asked.user_code),
        expires_in: LIFETIME.as_secs(),
        interval: INTERVAL.as_secs(),
    })
}

/// Issues the tokens of an approved device code (RFC 8628 §3.4).
pub(super) async fn grant(ctx: &Context, form: &Form, caller: &Caller) -> Result<Reply, Failure> {
    check_client(form)?;
    token::check_fresh(ctx)?;
    let code = form
        .get("device_code")
        .ok_or_else(|| Failure::new(FailureCode::InvalidRequest, "device_code is missing"))?;
    let failed = |code, text: &str| Failure::new(code, text);
    let (tokens, scopes) = Box::pin(device_login::collect(ctx, code, caller))
        .await
        .map_err(|not_yet| match not_yet {
            DevicePollError::Pending => failed(
                FailureCode::AuthorizationPending,
                "the request is not approved yet",
            ),
            DevicePollError::TooFast => failed(
                FailureCode::SlowDown,
                "wait 5 more seconds between requests",
            ),
            DevicePollError::Denied => failed(FailureCode::AccessDenied, "the request was denied"),
            DevicePollError::Expired => failed(
                FailureCode::ExpiredToken,
                "the code has expired; start again",
            ),
            DevicePollError::Invalid => failed(
                FailureCode::InvalidGrant,
                "this is not a device code of this Cluster, or it was already used",
            ),
            DevicePollError::Failed(error) => {
                tracing::debug!(event = EVENT, %error, "a device received no tokens");
                error.into()
            }
        })?;
    Reply::json(&Granted {
        access_token: &tokens.access_token,
        refresh_token: &tokens.refresh_token,
        token_type: "Bearer",
        expires_in: tokens.expires_in,
        refresh_token_expires_in: tokens.refresh_token_expires_in,
        scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
    })
}

/// Checks the client id. A public client identifies itself but cannot authenticate (RFC 6749 §2.1).
fn check_client(form: &Form) -> Result<(), Failure> {
    if form.get("client_id") == Some(CLIENT_ID) {
        Ok(())
    } else {
        Err(Failure::new(
            FailureCode::InvalidClient,
            "client_id must be octelium-cli: other clients have a secret and use client_credentials",
        ))
    }
}
