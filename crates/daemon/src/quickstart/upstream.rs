//! The demo upstream, which responds with the request that it received.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use axum::{Json, Router};
use http::{HeaderMap, Method, Uri};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Binds the preferred port if it is free, so that the Service need not change after a restart.
///
/// # Errors
///
/// Returns an error if no port can be bound.
pub(crate) async fn bind(preferred: Option<u16>) -> anyhow::Result<(TcpListener, u16)> {
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = preferred
        && let Ok(socket) = TcpListener::bind(address(port)).await
    {
        return Ok((socket, port));
    }
    let socket = TcpListener::bind(address(0))
        .await
        .context("demo upstream")?;
    let port = socket.local_addr().context("demo upstream")?.port();
    Ok((socket, port))
}

/// Serves until `end` is cancelled.
pub(crate) async fn serve(socket: TcpListener, end: CancellationToken) {
    let router = Router::new().fallback(echo);
    let serving = axum::serve(socket, router).with_graceful_shutdown(end.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "demo upstream ended");
    }
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap) -> Json<Value> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::String(text(value))))
        .collect();
    Json(json!({
        "message": "hello from the demo upstream",
        "method": method.as_str(),
        "path": uri.path(),
        "headers": headers,
    }))
}
