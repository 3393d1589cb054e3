//! Sending of one request: selection of endpoint and connection, and retries after connection failures.

use std::sync::Arc;

use http::{
    HeaderValue, Request, Response, Uri, Version, header,
    uri::{self, PathAndQuery},
};
use hyper::body::Incoming;

use crate::{
    body::{RequestBody, Transfer},
    upstream::{
        Endpoint, Lease, Upstream, connect::ConnectError, endpoint::Connection, url::Protocol,
    },
};

/// A request without its host.
pub(crate) struct Outgoing {
    /// The URI is set when the request is sent.
    pub(crate) request: Request<RequestBody>,
    pub(crate) target: PathAndQuery,
    /// `None` uses the host of the endpoint.
    pub(crate) host: Option<HeaderValue>,
    /// The state of a streamed body.
    pub(crate) transfer: Option<Arc<Transfer>>,
}

/// A response, with the endpoint that sent it.
pub(crate) struct EndpointResponse {
    pub(crate) response: Response<Incoming>,
    pub(crate) endpoint: Arc<Endpoint>,
    /// Set for an HTTP/1.1 connection.
    pub(crate) lease: Option<Lease>,
}

/// The reason why a request got no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("{endpoint}: {error}")]
    Connect {
        endpoint: uri::Authority,
        #[source]
        error: ConnectError,
    },
    #[error("{endpoint}: {error}")]
    Broken {
        endpoint: uri::Authority,
        #[source]
        error: hyper::Error,
    },
    #[error("the request cannot be sent")]
    Invalid,
}

/// The maximum number of retries after dead pooled connections.
const MOST_RETRIES: usize = 3;

impl Upstream {
    /// Sends a request, with retries only in two cases:
    ///
    /// - The upstream cannot have processed it: no connection was made, or nothing was sent.
    /// - It is idempotent (RFC 9110 §9.2.2) without a body, and its pooled connection was dead.
    pub(crate) async fn send(&self, outgoing: Outgoing) -> Result<EndpointResponse, SendError> {
        let Outgoing {
            mut request,
            target,
            host,
            transfer,
        } = outgoing;
        let bodyless = matches!(request.body(), RequestBody::Empty);
        let repeatable = bodyless && request.method().is_idempotent();
        let mut refused = 0;
        let mut retries = 0;
        loop {
            let endpoint = self.pick().ok_or(SendError::Invalid)?;
            let mut connection = match endpoint.connection(retries > 0).await {
                Ok(connection) => connection,
                Err(error) => {
                    refused += 1;
                    if refused < self.endpoints.len() {
                        continue;
                    }
                    return Err(SendError::Connect {
                        endpoint: endpoint.authority.clone(),
                        error,
                    });
                }
            };
            address(&mut request, endpoint, &target, host.as_ref())?;
            let spare = (repeatable && connection.is_used()).then(|| copy(&request));
            let sent = match &mut connection {
                Connection::Http1 { sender, .. } => sender.try_send_request(request).await,
                Connection::Http2(sender) => sender.try_send_request(request).await,
            };
            let mut failure = match sent {
                Ok(response) => {
                    return Ok(EndpointResponse {
                        response,
                        endpoint: Arc::clone(endpoint),
                        lease: connection.into_lease(endpoint, transfer),
                    });
                }
                Err(failure) => failure,
            };
            let spare = spare.filter(|_| connection.is_dead());
            match failure.take_message().or(spare) {
                Some(again) if retries < MOST_RETRIES => {
                    retries += 1;
                    request = again;
                }
                _ => {
                    return Err(SendError::Broken {
                        endpoint: endpoint.authority.clone(),
                        error: failure.into_error(),
                    });
                }
            }
        }
    }
}

impl Connection {
    /// Returns true if the connection may have carried a request before.
    fn is_used(&self) -> bool {
        match self {
            Self::Http1 { reused, .. } => *reused,
            Self::Http2(_) => true,
        }
    }

    /// Returns true if the whole connection failed. The failure of one request does not close an HTTP/2 connection.
    fn is_dead(&self) -> bool {
        match self {
            Self::Http1 { .. } => true,
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    fn into_lease(
        self,
        endpoint: &Arc<Endpoint>,
        transfer: Option<Arc<Transfer>>,
    ) -> Option<Lease> {
        match self {
            Self::Http1 { sender, .. } => Some(Lease {
                endpoint: Arc::clone(endpoint),
                sender,
                transfer,
            }),
            Self::Http2(_) => None,
        }
    }
}

/// Writes host and URI in the form of the endpoint's protocol.
fn address(
    request: &mut Request<RequestBody>,
    endpoint: &Endpoint,
    target: &PathAndQuery,
    host: Option<&HeaderValue>,
) -> Result<(), SendError> {
    let target = if endpoint.base.is_empty() {
        target.clone()
    } else {
        let target = format!("{}{target}", endpoint.base);
        PathAndQuery::try_from(target).map_err(|_| SendError::Invalid)?
    };
    match endpoint.protocol() {
        Protocol::Http1 => {
            *request.uri_mut() = Uri::from(target);
            let host = host.unwrap_or(&endpoint.host_header).clone();
            request.headers_mut().insert(header::HOST, host);
            *request.version_mut() = Version::HTTP_11;
        }
        Protocol::Http2 => {
            let authority = match host {
                None => endpoint.authority.clone(),
                Some(host) => {
                    uri::Authority::try_from(host.as_bytes()).map_err(|_| SendError::Invalid)?
                }
            };
            let mut parts = uri::Parts::default();
            parts.path_and_query = Some(target);
            parts.scheme = Some(endpoint.scheme());
            parts.authority = Some(authority);
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| SendError::Invalid)?;
            *request.version_mut() = Version::HTTP_2;
        }
    }
    Ok(())
}

fn copy(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}
