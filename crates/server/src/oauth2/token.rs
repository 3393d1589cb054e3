//! The token endpoint (RFC 6749 §3.2).

use domain::scope;
use http::HeaderMap;
use serde::Serialize;

use super::{Failure, FailureCode, Form, client, client_assertion, device, grant, response::Reply};
use crate::{
    Caller, Context,
    authentication::{self, seconds_until, secret::Purpose},
};

const LONGEST_SCOPE: usize = 2048;
const EVENT: &str = "token.granted";

/// The successful response (RFC 6749 §5.1). It has no refresh token, because the client has its secret (§4.4.3).
#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

pub(super) async fn grant(
    ctx: &Context,
    headers: &HeaderMap,
    form: &Form,
    caller: &Caller,
) -> Result<Reply, Failure> {
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(device::GRANT) => return device::grant(ctx, form, caller).await,
        Some(_) => {
            return Err(Failure::new(
                FailureCode::UnsupportedGrantType,
                "the supported grant types are client_credentials and device_code",
            ));
        }
        None => {
            return Err(Failure::new(
                FailureCode::InvalidRequest,
                "grant_type is missing",
            ));
        }
    }
    check_fresh(ctx)?;
    let requested = form.get("scope");
    let granted = if let Some(client_assertion) = client_assertion::presented(headers, form)? {
        let scopes = scopes(requested)?;
        let client_id = form.get("client_id");
        client_assertion::grant(ctx, client_assertion, client_id, &scopes, caller, EVENT).await?
    } else {
        let proof =
            client::authenticate(ctx, headers, form, Purpose::Authenticate, caller, EVENT).await?;
        let scopes = scopes(requested)?;
        grant::grant(ctx, proof, scopes, caller)
            .await
            .map_err(|failed| {
                authentication::refused(ctx, caller, EVENT, &failed);
                Failure::from(failed)
            })?
    };
    Reply::json(&Granted {
        access_token: granted.token.expose(),
        token_type: "Bearer",
        expires_in: seconds_until(granted.expires_at, granted.now),
        scope: requested,
    })
}

/// Checks that the view of the Cluster is recent enough to grant tokens.
pub(super) fn check_fresh(ctx: &Context) -> Result<(), Failure> {
    if ctx.directory.is_fresh() {
        return Ok(());
    }
    Err(Failure::new(
        FailureCode::TemporarilyUnavailable,
        "the Cluster cannot answer at the moment; try again",
    ))
}

fn scopes(requested: Option<&str>) -> Result<Vec<api::core_v1::Scope>, Failure> {
    scope::parse(&texts(requested)?)
        .map_err(|error| Failure::new(FailureCode::InvalidScope, printable(&error.to_string())))
}

/// Replaces characters that `error_description` does not allow (RFC 6749 §5.2).
pub(super) fn printable(text: &str) -> String {
    text.replace(['"', '\\', '`'], "'")
}

/// Splits the `scope` parameter.
pub(super) fn texts(requested: Option<&str>) -> Result<Vec<String>, Failure> {
    let invalid = |text: &str| Failure::new(FailureCode::InvalidScope, text);
    let Some(requested) = requested else {
        return Ok(Vec::new());
    };
    if requested.len() > LONGEST_SCOPE {
        return Err(invalid("scope is longer than 2048 characters"));
    }
    // RFC 6749 §3.3
    let is_scope = |byte: u8| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !requested.bytes().all(is_scope) {
        return Err(invalid("scope holds characters that no scope has"));
    }
    let parts: Vec<String> = requested.split(' ').map(str::to_owned).collect();
    if parts.iter().any(String::is_empty) {
        return Err(invalid("scopes are separated by exactly one space"));
    }
    Ok(parts)
}
