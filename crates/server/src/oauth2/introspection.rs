//! Token introspection (RFC 7662). A client can only inspect its own tokens.

use domain::scope;
use http::HeaderMap;
use serde::Serialize;

use super::{Failure, FailureCode, Form, client, response::Reply};
use crate::{Caller, Context, Error, Unauthenticated, authentication::secret::Purpose};

/// The response (RFC 7662 §2.2).
#[derive(Serialize, Default)]
struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<String>,
}

pub(super) async fn introspect(
    ctx: &Context,
    headers: &HeaderMap,
    form: &Form,
    caller: &Caller,
) -> Result<Reply, Failure> {
    let event = "token.introspected";
    let client = client::authenticate(ctx, headers, form, Purpose::Manage, caller, event).await?;
    let Some(token) = form.get("token") else {
        return Err(Failure::new(
            FailureCode::InvalidRequest,
            "token is missing",
        ));
    };
    let principal = match ctx.directory.authenticate(token).await {
        Ok(principal) => principal,
        Err(Unauthenticated::Refused { .. }) => return Reply::json(&Introspection::default()),
        Err(error @ Unauthenticated::Unavailable) => return Err(Error::unavailable(error).into()),
    };
    let status = principal.session().status;
    let by = status.and_then(|status| status.credential_ref);
    if by.is_none_or(|by| by.uid != client.credential.uid.to_string()) {
        return Reply::json(&Introspection::default());
    }
    let scopes: Vec<String> = principal.scopes().iter().flat_map(scope::format).collect();
    let user = principal.user().metadata.as_ref();
    let id = client
        .credential
        .message
        .status
        .as_ref()
        .map(|status| status.id.clone());
    Reply::json(&Introspection {
        active: true,
        scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
        client_id: id,
        username: user.map(|metadata| metadata.name.clone()),
        token_type: Some("Bearer"),
        exp: principal
            .claims
            .expires_at
            .map(|at| at.min(principal.valid_until).seconds()),
        sub: user.map(|metadata| metadata.uid.clone()),
        iss: Some(ctx.domain.url()),
        jti: Some(principal.claims.token_id.to_string()),
    })
}
