//! OAuth 2.0 for generic clients: the client credentials grant (RFC 6749 §4.4), the device grant (RFC 8628),
//! introspection (RFC 7662), revocation (RFC 7009) and metadata (RFC 8414). A client is an OAUTH2 Credential, or a
//! workload with an assertion of its platform.

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get, post},
};
use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::{
    Caller, Context, access,
    budget::{self, Payer, Shape},
};

mod authorization_server_metadata;
mod client;
mod client_assertion;
mod device;
mod form;
mod grant;
mod introspection;
mod response;
mod revocation;
mod token;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use client::read_basic;
use form::Form;
use response::{Failure, FailureCode, Reply};

const DEVICE: &str = "/oauth2/device_authorization";
const TOKEN: &str = "/oauth2/token";
const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";
const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Maximum size of a request body in bytes. A secret has at most 220 characters, an assertion 8192, scopes 2048.
const LARGEST_BODY: usize = 16 * 1024;

/// Returns the OAuth 2.0 endpoints for the host `<domain>`.
pub fn oauth2_router(ctx: Context) -> Router {
    Router::new()
        .route(TOKEN, endpoint(Endpoint::Token))
        .route(INTROSPECT, endpoint(Endpoint::Introspection))
        .route(REVOKE, endpoint(Endpoint::Revocation))
        .route(DEVICE, endpoint(Endpoint::Device))
        .route(METADATA, get(authorization_server_metadata::serve))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(ctx.clone(), limit))
        .with_state(ctx)
}

/// Limits request bodies. The body authenticates the client, so every request counts as anonymous here.
async fn limit(State(ctx): State<Context>, request: Request, next: Next) -> Response {
    let caller = access::caller(&ctx, request.headers(), request.extensions());
    let payer = Payer::anonymous(caller.ip);
    let form = (LARGEST_BODY, Shape::Whole);
    let handle = |request| next.run(request);
    match budget::limited(&ctx.bodies, payer, form, request, handle).await {
        Ok(response) => response,
        Err(error) => response::finish(&ctx, &caller, Err(error.into())),
    }
}

type Body = Result<Bytes, axum::extract::rejection::BytesRejection>;

/// An endpoint that reads a form.
#[derive(Clone, Copy)]
enum Endpoint {
    Token,
    Introspection,
    Revocation,
    Device,
}

/// Returns the handler of an endpoint. All endpoints read a form and authenticate its client.
fn endpoint(endpoint: Endpoint) -> MethodRouter<Context> {
    let handler = async move |State(ctx): State<Context>,
                              uri: Uri,
                              headers: HeaderMap,
                              extensions: http::Extensions,
                              body: Body| {
        let caller = access::caller(&ctx, &headers, &extensions);
        let outcome = match form(&uri, &headers, body) {
            Ok(form) => endpoint.answer(&ctx, &headers, &form, &caller).await,
            Err(failure) => Err(failure),
        };
        response::finish(&ctx, &caller, outcome)
    };
    post(handler)
}

impl Endpoint {
    async fn answer(
        self,
        ctx: &Context,
        headers: &HeaderMap,
        form: &Form,
        caller: &Caller,
    ) -> Result<Reply, Failure> {
        match self {
            Self::Token => token::grant(ctx, headers, form, caller).await,
            Self::Introspection => introspection::introspect(ctx, headers, form, caller).await,
            Self::Revocation => revocation::revoke(ctx, headers, form, caller).await,
            Self::Device => device::authorize(ctx, form, caller).await,
        }
    }
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

/// Parses the form of a request. Returns its parameters, or the description of the failure.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_form(
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<(String, String)>, String> {
    match Form::parse(uri, headers, body) {
        Ok(form) => Ok(form.parameters().to_vec()),
        Err(failure) => Err(failure.description().to_owned()),
    }
}
