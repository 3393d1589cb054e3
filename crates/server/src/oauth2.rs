//! OAuth 2.0 for applications that know nothing of this platform: the client credentials grant (RFC 6749 §4.4),
//! introspection (RFC 7662), revocation (RFC 7009) and metadata (RFC 8414). A client is an OAUTH2 Credential.

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::Response,
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::{Context, access};

mod client;
mod form;
mod grant;
mod introspection;
mod metadata;
mod response;
mod revocation;
mod token;

use form::Form;
use response::{Failure, FailureCode};

const TOKEN: &str = "/oauth2/token";
const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
const METADATA: &str = "/.well-known/oauth-authorization-server";
/// A secret is 220 characters at the most, scopes 2048.
const LARGEST_BODY: usize = 16 * 1024;

/// The OAuth 2.0 endpoints, for the host `<domain>`.
pub fn oauth2_router(ctx: Context) -> Router {
    Router::new()
        .route(TOKEN, post(token))
        .route(INTROSPECT, post(introspect))
        .route(REVOKE, post(revoke))
        .route(METADATA, get(metadata::serve))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(ctx)
}

type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;

async fn token(
    State(ctx): State<Context>,
    uri: Uri,
    headers: HeaderMap,
    extensions: http::Extensions,
    body: Body,
) -> Response {
    let caller = access::caller(&ctx, &headers, &extensions);
    let outcome = match form(&uri, &headers, body) {
        Ok(form) => token::grant(&ctx, &headers, &form, &caller).await,
        Err(failure) => Err(failure),
    };
    response::finish(&ctx, &caller, outcome)
}

async fn introspect(
    State(ctx): State<Context>,
    uri: Uri,
    headers: HeaderMap,
    extensions: http::Extensions,
    body: Body,
) -> Response {
    let caller = access::caller(&ctx, &headers, &extensions);
    let outcome = match form(&uri, &headers, body) {
        Ok(form) => introspection::introspect(&ctx, &headers, &form, &caller).await,
        Err(failure) => Err(failure),
    };
    response::finish(&ctx, &caller, outcome)
}

async fn revoke(
    State(ctx): State<Context>,
    uri: Uri,
    headers: HeaderMap,
    extensions: http::Extensions,
    body: Body,
) -> Response {
    let caller = access::caller(&ctx, &headers, &extensions);
    let outcome = match form(&uri, &headers, body) {
        Ok(form) => revocation::revoke(&ctx, &headers, &form, &caller).await,
        Err(failure) => Err(failure),
    };
    response::finish(&ctx, &caller, outcome)
}

fn form(uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Form, Failure> {
    let body = body.map_err(|_| {
        Failure::new(
            FailureCode::InvalidRequest,
            "the request body could not be read or is larger than 16 KiB",
        )
    })?;
    Form::parse(uri, headers, &body)
}
