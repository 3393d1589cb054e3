//! Requests to identity providers. Their URLs come from outside, so each address is checked before it is connected
//! to; there are no redirects, no proxies and no other scheme than `https`.

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

/// How long a request may take in all.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 32;
const USER_AGENT: &str = concat!("octeliumd/", env!("CARGO_PKG_VERSION"));

/// Where requests may go, and whom they trust.
#[derive(Clone, Default)]
pub struct Config {
    /// Networks beside the public Internet.
    pub allowed: Vec<Network>,
    /// Authorities beside those of the system.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// Another scheme than `https`, or no host.
    #[error("not an https URL with a host")]
    Url,
    /// All addresses of the host are outside of what may be reached.
    #[error(
        "{host} has no address that may be reached; private networks are given to octeliumd by --outbound-allow"
    )]
    Forbidden {
        /// The host.
        host: String,
    },
    /// No connection, no TLS, or a peer that breaks off.
    #[error("{host} cannot be reached: {detail}")]
    Connect {
        /// The host.
        host: String,
        /// What happened.
        detail: String,
    },
    /// More than the caller wants to read.
    #[error("{host} answers with more than {limit} bytes")]
    TooLarge {
        /// The host.
        host: String,
        /// In bytes.
        limit: usize,
    },
    /// No answer in time.
    #[error("{host} does not answer within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// The host.
        host: String,
    },
    /// An answer that is of no use.
    #[error("{host} answers with status {status}")]
    Status {
        /// The host.
        host: String,
        /// Its status.
        status: u16,
    },
}

/// Sends requests. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Client<Connector, Full<Bytes>>);

impl Outbound {
    /// With connections of its own.
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

    /// Sends a request and reads the whole answer, whatever its status: `limit` bytes at the most.
    ///
    /// # Errors
    /// Where there is no answer.
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
                        detail: "it breaks off".to_owned(),
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

    /// The body of a GET that is answered with 200.
    ///
    /// # Errors
    /// Where there is no such answer.
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
    /// To the public Internet alone.
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
        // What TLS says of a certificate tells most.
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
