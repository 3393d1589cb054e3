//! Requests a token from the platform that a workload runs on.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{failure::Failure, tls};

const TIMEOUT: Duration = Duration::from_secs(10);
const LARGEST: usize = 64 * 1024;

/// Appends query parameters to a URL.
pub(super) fn with_query(url: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = url.to_owned();
    for (name, value) in parameters {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                url.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

/// Sends a GET request with one header and returns the JSON of the response.
///
/// # Errors
/// Returns a failure if the response is missing or invalid. The message names the host, never the header or response.
pub(super) async fn json(
    url: &str,
    header: (&'static str, &str),
) -> Result<serde_json::Value, Failure> {
    let uri: Uri = url
        .parse()
        .map_err(|_| Failure::input("the platform's URL is not valid"))?;
    let host = uri.host().unwrap_or_default().to_owned();
    let failed = |what: &str| Failure::unavailable(format!("{host}: {what}"));
    match tokio::time::timeout(TIMEOUT, get(&uri, header)).await {
        Ok(Ok(body)) => {
            serde_json::from_slice(&body).map_err(|_| failed("the response is not JSON"))
        }
        Ok(Err(what)) => Err(failed(&what)),
        Err(_) => Err(failed("no response in time")),
    }
}

async fn get(uri: &Uri, header: (&'static str, &str)) -> Result<Bytes, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| text(&error))?;
    if !is_tls {
        return send(stream, uri, header).await;
    }
    let config = tls::of_platform().map_err(|failure| failure.message)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| text(&error))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(|error| format!("TLS: {error}"))?;
    send(stream, uri, header).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    (name, value): (&'static str, &str),
) -> Result<Bytes, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| text(&error))?;
    tokio::spawn(connection);
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(target)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .header(name, value)
        .body(Empty::<Bytes>::new())
        .map_err(|error| text(&error))?;
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| text(&error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("responded with status {}", status.as_u16()));
    }
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    Ok(body.map_err(|error| error.to_string())?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_added_to_a_url() {
        assert_eq!(
            with_query("https://a/b?v=2", &[("audience", "https://x:1/é")]),
            "https://a/b?v=2&audience=https%3A%2F%2Fx%3A1%2F%C3%A9"
        );
        assert_eq!(
            with_query("http://a", &[("x", "1"), ("y", "2")]),
            "http://a?x=1&y=2"
        );
    }
}
