//! Endpoint for back-channel logout of `OpenID` Connect providers (`OpenID` Connect Back-Channel Logout 1.0 §2.5). The
//! provider calls it directly, without a browser, and authenticates with the logout token.

use axum::{
    Extension, Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::form::Fields;
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    federation::oidc,
};

pub(super) fn routes() -> Router<Context> {
    Router::new().route(oidc::LOGOUT, post(logout))
}

async fn logout(
    State(ctx): State<Context>,
    Extension(caller): Extension<Caller>,
    body: Bytes,
) -> Response {
    let fields = Fields::parse(&body).unwrap_or_default();
    let token = fields.get("logout_token").unwrap_or_default();
    match oidc::end_by_token(&ctx, token, &caller).await {
        Ok(()) => answer(StatusCode::OK, ""),
        Err(error) => {
            refused(&ctx, &caller, &error);
            let status = match error.kind() {
                ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::BAD_REQUEST,
            };
            let body = json!({
                "error": "invalid_request",
                "error_description": error.public(),
            });
            answer(status, &body.to_string())
        }
    }
}

fn refused(ctx: &Context, caller: &Caller, error: &Error) {
    let Some(reason) = error.reason() else {
        return;
    };
    let entry = Entry {
        event_type: "session.ended",
        resource: None,
        user: None,
        session: None,
    };
    ctx.audit.add(audit::refused(ctx, caller, entry, reason));
}

fn answer(status: StatusCode, body: &str) -> Response {
    let mut response = (status, body.to_owned()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
