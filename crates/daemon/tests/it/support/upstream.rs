//! An upstream that responds with the request that it received.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Json, Router, extract::State};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// The client secret with which the gateway gets tokens of this upstream.
pub(crate) const CLIENT_SECRET: &str = "upstream-client-secret-4711";

/// A server on a loopback port that runs until the test ends.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    served: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts the server. `/slow` takes a second.
    pub(crate) async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let router = Router::new()
            .route("/slow", axum::routing::get(slow))
            .route("/token", axum::routing::post(token))
            .fallback(echo)
            .with_state(Arc::clone(&served));
        tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
        Self { address, served }
    }

    /// Returns the number of requests received.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// A token endpoint for the client `gateway` (RFC 6749 §4.4), which issues numbered tokens.
async fn token(headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    static ISSUED: AtomicU64 = AtomicU64::new(0);
    let client = STANDARD.encode(format!("gateway:{CLIENT_SECRET}"));
    let given = headers.get("authorization");
    if given.is_none_or(|given| *given != format!("Basic {client}")) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let number = ISSUED.fetch_add(1, Ordering::SeqCst) + 1;
    let token = format!("upstream-token-{number}");
    Ok(Json(
        json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}),
    ))
}

async fn slow(State(served): State<Arc<AtomicU64>>) -> &'static str {
    served.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    "slow"
}

async fn echo(
    State(served): State<Arc<AtomicU64>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Json<Value> {
    served.fetch_add(1, Ordering::SeqCst);
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), Value::String(value))
        })
        .collect();
    Json(json!({"method": method.as_str(), "path": uri.path(), "headers": headers}))
}
