//! Signed JWTs (RFC 7519) that tell upstreams who the caller is. A key of the Cluster signs them (`EdDSA`, RFC 8037).
//!
//! The keys are served at [`JWKS`] and are published before they sign. The Cluster itself accepts no such JWT.

use std::time::Duration;

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::clock::UnixMillis;
use http::header;
use serde::Serialize;
use store::StoreError;

use crate::Context;

/// Path of the key set (RFC 7517) on the Cluster's domain.
pub const JWKS: &str = "/.well-known/octelium/jwks.json";
/// Maximum lifetime of an assertion.
pub const LIFETIME: Duration = Duration::from_mins(1);

/// The subject and the audience of an assertion.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// `aud`: the only upstream that can accept the assertion.
    pub audience: &'a str,
    /// `sub`: uid of the User.
    pub user_uid: &'a str,
    /// `name`: name of the User.
    pub user: &'a str,
    /// `email`
    pub email: Option<&'a str>,
    /// `groups`: names of the User's Groups.
    pub groups: &'a [String],
    /// `session`: name of the Session.
    pub session: &'a str,
    /// `sid`: uid of the Session.
    pub session_uid: &'a str,
    /// Upper limit of the assertion's expiry.
    pub valid_until: UnixMillis,
}

/// A signed assertion.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// In JWS compact serialization.
    pub jwt: String,
    /// `exp`
    pub expires_at: UnixMillis,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    groups: &'a [String],
    session: &'a str,
    sid: &'a str,
    iat: i64,
    exp: i64,
    jti: &'a str,
}

/// Signs an assertion that is valid for at most [`LIFETIME`].
///
/// # Errors
/// Returns an error if no signing key is available.
pub fn sign(ctx: &Context, statement: &Statement<'_>) -> Result<Assertion, StoreError> {
    let now = ctx.now();
    let end = now.saturating_add(LIFETIME).min(statement.valid_until);
    // `exp` is in whole seconds, rounded down so that the assertion never outlives `end`.
    let exp = end.0.div_euclid(1000);
    let signer = ctx.keys.signer(now)?;
    let header = encode(&Header {
        alg: "EdDSA",
        typ: "JWT",
        kid: &signer.id().to_string(),
    })?;
    let claims = encode(&Claims {
        iss: &ctx.domain.url(),
        aud: statement.audience,
        sub: statement.user_uid,
        name: statement.user,
        email: statement.email,
        groups: statement.groups,
        session: statement.session,
        sid: statement.session_uid,
        iat: now.0.div_euclid(1000),
        exp,
        jti: &ctx.new_uid().to_string(),
    })?;
    let input = format!("{header}.{claims}");
    let signature = signer.sign_text(&input).map_err(failed)?;
    Ok(Assertion {
        jwt: format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)),
        expires_at: UnixMillis(exp * 1000),
    })
}

fn encode(part: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_vec(part)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .map_err(failed)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError {
        context: "sign an assertion".to_owned(),
        transient: false,
        source: Some(std::sync::Arc::new(error)),
    }
}

/// Router that serves the key set on the host `<domain>`.
pub fn jwks_router(ctx: Context) -> Router {
    Router::new().route(JWKS, get(serve)).with_state(ctx)
}

#[derive(Serialize)]
struct KeySet {
    keys: Vec<Key>,
}

/// A JWK of an Ed25519 key (RFC 8037 §2).
#[derive(Serialize)]
struct Key {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: String,
    x: String,
}

async fn serve(State(ctx): State<Context>) -> impl IntoResponse {
    let published = ctx.keys.published();
    let keys = published
        .iter()
        .map(|key| Key {
            kty: "OKP",
            crv: "Ed25519",
            alg: "EdDSA",
            usage: "sig",
            kid: key.id().to_string(),
            x: URL_SAFE_NO_PAD.encode(key.as_bytes()),
        })
        .collect();
    // Much shorter than the time for which a key is published before it signs.
    let caching = [(header::CACHE_CONTROL, "public, max-age=300")];
    (caching, Json(KeySet { keys }))
}
