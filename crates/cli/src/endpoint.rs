//! Posts forms to the HTTP endpoints at the Cluster's own host.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde_json::Value;

use crate::{cluster::Cluster, connection, failure::Failure};

const TIMEOUT: Duration = Duration::from_secs(30);
const LARGEST: usize = 64 * 1024;

/// Sends a form and returns the status and the JSON of the response.
///
/// # Errors
/// Returns a failure if the Cluster cannot be reached or the response is not JSON.
pub(crate) async fn post(
    cluster: &Cluster,
    tls: Arc<ClientConfig>,
    path: &str,
    form: &[(&str, &str)],
) -> Result<(StatusCode, Value), Failure> {
    let failed = |what: &str| Failure::unavailable(format!("{}: {what}", cluster.domain));
    match tokio::time::timeout(TIMEOUT, send(cluster, tls, path, form)).await {
        Ok(Ok((status, body))) => serde_json::from_slice(&body)
            .map(|body| (status, body))
            .map_err(|_| {
                failed("the response is not JSON: does this Cluster support device logins?")
            }),
        Ok(Err(what)) => Err(failed(&what)),
        Err(_) => Err(failed("no response in time")),
    }
}

async fn send(
    cluster: &Cluster,
    tls: Arc<ClientConfig>,
    path: &str,
    form: &[(&str, &str)],
) -> Result<(StatusCode, Bytes), String> {
    let stream = connection::to_pages(cluster, tls).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path)
        .header(header::HOST, &cluster.domain)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(
            header::USER_AGENT,
            concat!("octelium-cli/", env!("CARGO_PKG_VERSION")),
        )
        .body(Full::new(Bytes::from(encode(form))))
        .map_err(|error| error.to_string())?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST).collect().await;
    let body = body.map_err(|_| "the response is incomplete".to_owned())?;
    connection.abort();
    Ok((status, body.to_bytes()))
}

fn encode(form: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in form {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}
