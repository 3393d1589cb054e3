//! HTTP requests to identity providers. Their URLs are untrusted, so every address is checked before connecting.
//! Redirects, proxies and schemes other than `https` are not supported.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::address::Network;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

mod connector;

use connector::{ConnectError, Connector};

/// Maximum duration of a request, including the response body.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Time after which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 32;
const USER_AGENT: &str = concat!("octeliumd/", env!("CARGO_PKG_VERSION"));

/// Allowed destinations and additional trust anchors.
#[derive(Clone, Default)]
pub struct Config {
    /// Networks allowed in addition to the public Internet.
    pub allowed: Vec<Network>,
    /// Certificate authorities trusted in addition to those of the system.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// Reasons why a request fails.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The URL has a scheme other than `https` or no host.
    #[error("not an https URL with a host")]
    Url,
    /// The host has no address in an allowed network.
    #[error(
        "{host} has no allowed address; to allow a private network, use --outbound-allow of octeliumd"
    )]
    Forbidden {
        /// Host name.
        host: String,
    },
    /// Connecting or TLS failed, or the peer closed the connection early.
    #[error("{host} cannot be reached: {detail}")]
    Connect {
        /// Host name.
        host: String,
        /// Cause of the failure.
        detail: String,
    },
    /// The response exceeds the caller's limit.
    #[error("{host} responded with more than {limit} bytes")]
    TooLarge {
        /// Host name.
        host: String,
        /// Limit in bytes.
        limit: usize,
    },
    /// The response did not arrive in time.
    #[error("{host} did not respond within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// Host name.
        host: String,
    },
    /// The response has a status other than 200.
    #[error("{host} responded with status {status}")]
    Status {
        /// Host name.
        host: String,
        /// HTTP status.
        status: u16,
    },
}

/// An HTTP client for identity providers. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Outbound(Client<Connector, Full<Bytes>>);

impl Outbound {
    /// Creates a client with its own connection pool.
    pub fn new(config: Config) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(config.authorities);
        let connector = Connector::new(config.allowed.into(), Arc::new(roots));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Self(client)
    }

    /// Sends a request and reads the whole response with any status. `limit` is the maximum size of the body in bytes.
    ///
    /// # Errors
    /// Returns an [`OutboundError`] other than [`OutboundError::Status`] if the response is missing or incomplete.
    pub async fn send(
        &self,
        mut request: Request<Vec<u8>>,
        limit: usize,
    ) -> Result<Response<Vec<u8>>, OutboundError> {
        let host = check(request.uri())?.to_owned();
        let agent = header::HeaderValue::from_static(USER_AGENT);
        request
            .headers_mut()
            .entry(header::USER_AGENT)
            .or_insert(agent);
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let answer = async {
            let response = self.0.request(request).await;
            let (head, body) = response
                .map_err(|error| failed(&host, &error))?
                .into_parts();
            let body = Limited::new(body, limit).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    OutboundError::TooLarge {
                        host: host.clone(),
                        limit,
                    }
                } else {
                    OutboundError::Connect {
                        host: host.clone(),
                        detail: "the response is incomplete".to_owned(),
                    }
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes().into()))
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OutboundError::Timeout { host }),
        }
    }

    /// Sends a GET request and returns the body of the response with status 200.
    ///
    /// # Errors
    /// Returns [`OutboundError::Status`] for another status, and the errors of [`send`](Self::send).
    pub async fn get(&self, uri: &Uri, limit: usize) -> Result<Vec<u8>, OutboundError> {
        let request = Request::get(uri.clone())
            .header(header::ACCEPT, "application/json, */*;q=0.1")
            .body(Vec::new())
            .map_err(|_| OutboundError::Url)?;
        let response = self.send(request, limit).await?;
        match response.status().as_u16() {
            200 => Ok(response.into_body()),
            status => Err(OutboundError::Status {
                host: uri.host().unwrap_or_default().to_owned(),
                status,
            }),
        }
    }
}

impl Default for Outbound {
    /// Creates a client that reaches only the public Internet.
    fn default() -> Self {
        Self::new(Config::default())
    }
}

fn check(uri: &Uri) -> Result<&str, OutboundError> {
    let authority = uri.authority().ok_or(OutboundError::Url)?;
    let host = uri.host().filter(|host| !host.is_empty());
    if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
        return Err(OutboundError::Url);
    }
    host.ok_or(OutboundError::Url)
}

fn failed(host: &str, error: &ClientError) -> OutboundError {
    let host = host.to_owned();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<ConnectError>() {
            return match error {
                ConnectError::Forbidden => OutboundError::Forbidden { host },
                error => OutboundError::Connect {
                    host,
                    detail: error.to_string(),
                },
            };
        }
        // The TLS error about a certificate is the most specific one.
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return OutboundError::Connect {
                host,
                detail: error.to_string(),
            };
        }
        cause = inner.source();
    }
    OutboundError::Connect {
        host,
        detail: error.to_string(),
    }
}
