//! An `OpenID` Connect provider that authenticates everyone.

use std::{path::Path, sync::Arc};

use ::aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use axum::{Json, Router, body::Bytes, extract::State, routing};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::clock::{Clock as _, SystemClock};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The `client_id` for all logins.
pub(crate) const CLIENT: &str = "bench";

/// A provider at `https://localhost:<port>`.
pub(crate) struct Provider {
    /// `iss`
    pub(crate) issuer: String,
}

struct Issuer {
    url: String,
    key: EcdsaKeyPair,
}

impl Provider {
    /// Starts the provider and writes its certificate to `ca`.
    pub(crate) async fn start(ca: &Path) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(ca, certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", socket.local_addr().unwrap().port());
        let issuer = Arc::new(Issuer {
            url: url.clone(),
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", routing::get(metadata))
            .route("/keys", routing::get(keys))
            .route("/token", routing::post(token))
            .with_state(issuer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
                        .await;
                });
            }
        });
        Self { issuer: url }
    }
}

async fn metadata(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", issuer.url);
    Json(json!({
        "issuer": issuer.url,
        "authorization_endpoint": at("authorize"),
        "token_endpoint": at("token"),
        "jwks_uri": at("keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn keys(State(issuer): State<Arc<Issuer>>) -> Json<Value> {
    let point = issuer.key.public_key().as_ref();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Json(json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "key",
        "x": encode(&point[1..33]), "y": encode(&point[33..]),
    }]}))
}

/// The code contains the User's name and the nonce of the login: `<name>.<nonce>`.
async fn token(State(issuer): State<Arc<Issuer>>, body: Bytes) -> Json<Value> {
    let form = String::from_utf8(body.to_vec()).unwrap();
    let code = form.split('&').find_map(|pair| pair.strip_prefix("code="));
    let (name, nonce) = code.unwrap().split_once('.').unwrap();
    let now = SystemClock.now().seconds();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!(
        "{}.{}",
        encode(json!({"alg": "ES256", "typ": "JWT", "kid": "key"})),
        encode(json!({
            "iss": issuer.url, "aud": CLIENT, "sub": name, "nonce": nonce, "iat": now, "exp": now + 300,
        }))
    );
    let signature = issuer.key.sign(&SystemRandom::new(), signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature.unwrap());
    Json(json!({
        "access_token": "of no use", "token_type": "Bearer", "expires_in": 300,
        "id_token": format!("{signed}.{signature}"),
    }))
}
