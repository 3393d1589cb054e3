//! A test provider on loopback. Its behavior is configurable and can violate the standards.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use domain::clock::{Clock, UnixMillis};
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::github::Endpoints;
use crate::outbound::{Config, Outbound};

/// Client id that the provider accepts.
pub const CLIENT_ID: &str = "octelium";
/// Client secret that the provider accepts.
pub const CLIENT_SECRET: &str = "a secret: with % and +";

/// A running test provider. It serves `OpenID` Connect and GitHub endpoints.
pub struct Stub {
    address: SocketAddr,
    authority: CertificateDer<'static>,
    state: Arc<Mutex<State>>,
}

/// Behavior and recorded requests of the provider.
pub struct State {
    /// Claims that override those of the ID token. `null` removes a claim.
    pub claims: Value,
    /// Response of the user info endpoint.
    pub user_info: Value,
    /// GitHub account and its email addresses.
    pub account: (Value, Value),
    /// Delays each response until the flag is false.
    pub is_slow: bool,
    /// Answers every request with status 503.
    pub is_down: bool,
    /// Announces `iss` in callbacks in the metadata.
    pub promises_issuer: bool,
    /// Issuer in the metadata. By default the real one.
    pub issuer: Option<String>,
    /// `end_session_endpoint` in the metadata. By default `/end` of this provider.
    pub end: Option<Value>,
    /// Header of signed tokens, replacing the default one.
    pub header: Option<Value>,
    /// Number of requests by path.
    pub asked: HashMap<String, usize>,
    keys: Vec<EcdsaKeyPair>,
    codes: HashMap<String, Code>,
    /// Number of codes issued.
    issued: usize,
    own: String,
    clock: Arc<dyn Clock>,
}

struct Code {
    challenge: String,
    nonce: Option<String>,
    redirect: String,
}

/// Parameters of the redirect to the client.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Authorization code.
    pub code: String,
    /// State that the client sent.
    pub state: String,
    /// Issuer.
    pub iss: String,
}

impl Stub {
    /// Starts a provider that uses the time of `clock`.
    pub async fn start(clock: Arc<dyn Clock>) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let authority = certified.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![authority.clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            claims: json!({}),
            user_info: json!({}),
            account: (json!({}), json!([])),
            is_slow: false,
            is_down: false,
            promises_issuer: false,
            issuer: None,
            end: None,
            header: None,
            asked: HashMap::new(),
            keys: vec![new_key()],
            codes: HashMap::new(),
            issued: 0,
            own: format!("https://localhost:{}", address.port()),
            clock,
        }));
        let serving = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(|request| respond(state.clone(), request));
                    let io = TokioIo::new(stream);
                    let _ = http1::Builder::new().serve_connection(io, service).await;
                });
            }
        });
        Self {
            address,
            authority,
            state,
        }
    }

    /// Returns the issuer URL.
    pub fn issuer(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Returns the endpoints that imitate GitHub.
    pub fn github(&self) -> Endpoints {
        Endpoints {
            web: self.issuer(),
            api: self.issuer(),
        }
    }

    /// Returns an [`Outbound`] that reaches and trusts this provider.
    pub fn outbound(&self) -> Outbound {
        Outbound::new(Config {
            allowed: vec!["127.0.0.0/8".parse().unwrap()],
            authorities: vec![self.authority.clone()],
        })
    }

    /// Locks the state, for reading or changing it.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Replaces the signing key and publishes only the new one.
    pub fn roll_key(&self) {
        self.state().keys = vec![new_key()];
    }

    /// Signs a person in who was redirected to `url`.
    pub fn authorize(&self, url: &str) -> Callback {
        let uri: Uri = url.parse().unwrap();
        let query = uri.query().unwrap();
        let fields: HashMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        assert_eq!(fields["client_id"], CLIENT_ID);
        assert_eq!(fields["code_challenge_method"], "S256");
        let mut state = self.state();
        state.issued += 1;
        let code = format!("code-{}", state.issued);
        state.codes.insert(
            code.clone(),
            Code {
                challenge: fields["code_challenge"].clone(),
                nonce: fields.get("nonce").cloned(),
                redirect: fields["redirect_uri"].clone(),
            },
        );
        Callback {
            code,
            state: fields["state"].clone(),
            iss: self.issuer(),
        }
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Derives a key id from the public key.
fn key_id(key: &EcdsaKeyPair) -> String {
    encode(&key.public_key().as_ref()[1..9])
}

async fn respond(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    while state.lock().unwrap().is_slow {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut state = state.lock().unwrap();
    *state.asked.entry(head.uri.path().to_owned()).or_default() += 1;
    let (status, body) = if state.is_down {
        (StatusCode::SERVICE_UNAVAILABLE, json!("down"))
    } else {
        state.respond(&head, &body)
    };
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

impl State {
    fn respond(&mut self, head: &http::request::Parts, body: &[u8]) -> (StatusCode, Value) {
        let ok = |value: Value| (StatusCode::OK, value);
        let bearer = head.headers.get(header::AUTHORIZATION);
        let is_bearer = bearer.is_some_and(|value| value == "Bearer the access token");
        let path = head.uri.path();
        match path.strip_prefix("/api/v3").unwrap_or(path) {
            "/.well-known/openid-configuration" => ok(self.metadata()),
            "/jwks" => ok(json!({"keys": self.keys.iter().map(jwk).collect::<Vec<_>>()})),
            "/token" => self.exchange(head, body),
            "/login/oauth/access_token" => self.exchange_at_github(body),
            "/me" if is_bearer => ok(self.user_info.clone()),
            "/user" if is_bearer => ok(self.account.0.clone()),
            "/user/emails" if is_bearer => ok(self.account.1.clone()),
            _ => (StatusCode::NOT_FOUND, json!({})),
        }
    }

    fn metadata(&self) -> Value {
        let own = &self.own;
        json!({
            "issuer": self.issuer.as_ref().unwrap_or(own),
            "authorization_endpoint": format!("{own}/auth"),
            "token_endpoint": format!("{own}/token"),
            "userinfo_endpoint": format!("{own}/me"),
            "jwks_uri": format!("{own}/jwks"),
            "end_session_endpoint": self.end.clone().unwrap_or_else(|| json!(format!("{own}/end"))),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": self.promises_issuer,
        })
    }

    fn exchange(&mut self, head: &http::request::Parts, body: &[u8]) -> (StatusCode, Value) {
        let refuse = |error: &str| (StatusCode::BAD_REQUEST, json!({"error": error}));
        let form =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let expected = format!("{}:{}", form(CLIENT_ID), form(CLIENT_SECRET));
        let authorization = head.headers.get(header::AUTHORIZATION).unwrap();
        if authorization.to_str().unwrap() != format!("Basic {}", STANDARD.encode(expected)) {
            return refuse("invalid_client");
        }
        let Some(code) = self.redeem(body) else {
            return refuse("invalid_grant");
        };
        let id_token = self.id_token(code.nonce.as_deref());
        let tokens = json!({
            "access_token": "the access token", "token_type": "Bearer", "expires_in": 300,
            "id_token": id_token,
        });
        (StatusCode::OK, tokens)
    }

    fn exchange_at_github(&mut self, body: &[u8]) -> (StatusCode, Value) {
        let fields: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        assert_eq!(fields["client_secret"], CLIENT_SECRET);
        let response = match self.redeem(body) {
            Some(_) => json!({"access_token": "the access token", "token_type": "bearer"}),
            None => json!({"error": "bad_verification_code"}),
        };
        (StatusCode::OK, response)
    }

    /// Redeems a code once, if the PKCE verifier and redirect URI match.
    fn redeem(&mut self, body: &[u8]) -> Option<Code> {
        let fields: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        let code = self.codes.remove(&fields["code"])?;
        let verifier = digest::digest(&digest::SHA256, fields["code_verifier"].as_bytes());
        let is_own = encode(verifier) == code.challenge && fields["redirect_uri"] == code.redirect;
        is_own.then_some(code)
    }

    fn id_token(&self, nonce: Option<&str>) -> String {
        let claims = json!({"sub": "1234", "nonce": nonce});
        self.token("JWT", &claims, &self.claims)
    }

    /// Returns a signed logout token. `claims` overrides the defaults, and `null` removes a claim.
    pub fn logout_token(&self, claims: &Value) -> String {
        let due = json!({
            "jti": encode(claims.to_string()), "sub": "1234",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        self.token("logout+jwt", &due, claims)
    }

    fn token(&self, typ: &str, due: &Value, more: &Value) -> String {
        let key = self.keys.last().unwrap();
        let now: UnixMillis = self.clock.now();
        let mut claims = json!({
            "iss": self.own, "aud": CLIENT_ID, "iat": now.seconds(), "exp": now.seconds() + 300,
        });
        for (name, value) in [due, more]
            .into_iter()
            .filter_map(Value::as_object)
            .flatten()
        {
            claims[name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        let due = json!({"alg": "ES256", "kid": key_id(key), "typ": typ});
        let header = self.header.as_ref().unwrap_or(&due);
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature))
    }
}

fn jwk(key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key_id(key),
        "x": encode(&point[1..33]), "y": encode(&point[33..]),
    })
}
