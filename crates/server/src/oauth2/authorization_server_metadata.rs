//! Authorization server metadata (RFC 8414). It lists only what is served.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{DEVICE, INTROSPECT, REVOKE, TOKEN, device};
use crate::Context;

const METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];
/// Methods of the token endpoint, which also accepts assertions: tokens of identity providers.
const TOKEN_METHODS: [&str; 4] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    // Only for our command-line client, with a device code.
    "none",
];
const SIGNING_ALGORITHMS: [&str; 10] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

#[derive(Serialize)]
pub(super) struct Metadata {
    issuer: String,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: [&'static str; 4],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 10],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    device_authorization_endpoint: String,
    grant_types_supported: [&'static str; 2],
    /// Required by RFC 8414. Empty, because there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    /// Scopes without parameters. Other scopes name a Service or a method.
    scopes_supported: [&'static str; 2],
}

pub(super) async fn serve(State(ctx): State<Context>) -> Json<Metadata> {
    let issuer = ctx.domain.url();
    Json(Metadata {
        token_endpoint: format!("{issuer}{TOKEN}"),
        token_endpoint_auth_methods_supported: TOKEN_METHODS,
        token_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
        introspection_endpoint: format!("{issuer}{INTROSPECT}"),
        introspection_endpoint_auth_methods_supported: METHODS,
        revocation_endpoint: format!("{issuer}{REVOKE}"),
        revocation_endpoint_auth_methods_supported: METHODS,
        device_authorization_endpoint: format!("{issuer}{DEVICE}"),
        grant_types_supported: ["client_credentials", device::GRANT],
        response_types_supported: [],
        scopes_supported: ["api:*", "service:*"],
        issuer,
    })
}
