//! Dispatch of requests by host to the parts of the Cluster.

use std::{net::IpAddr, sync::Arc, time::Instant};

use axum::body::Body;
use domain::rng::{Rng, random_string};
use gateway::{
    grpc_status,
    listener::{Limit, TrustedProxies, Unauthenticated, has_both_framings, has_malformed_chunk},
    status_class,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header, uri::Authority};
use http_body_util::Either;

use crate::{
    names::{Names, Site},
    sites::{Connection, Incoming, Sites},
};

const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// The gRPC status of a request without a valid token.
const UNAUTHENTICATED: u8 = 16;
const ID_LENGTH: usize = 16;
/// The maximum number of fields in a request head. HTTP/2 limits only their bytes, but each field needs memory.
const MAX_FIELDS: usize = 256;

/// A response of the gateway, or of another part of the Cluster.
pub(crate) type Answer = Either<gateway::Body, Body>;

/// Dispatches requests by host.
pub(crate) struct Dispatch {
    strict_transport: Option<HeaderValue>,
    names: Names,
    sites: Sites,
    proxies: Arc<TrustedProxies>,
    rng: Arc<dyn Rng>,
}

impl Dispatch {
    /// Creates a dispatcher. `proxies` determines the addresses of clients.
    pub(crate) fn new(
        names: Names,
        sites: Sites,
        proxies: Arc<TrustedProxies>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self {
            strict_transport: strict_transport(names.domain().host()),
            names,
            sites,
            proxies,
            rng,
        }
    }

    /// Handles a request and logs it in one line. For Services the gateway writes the line, with the decision.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        mut connection: Connection,
    ) -> Response<Answer> {
        let host = match self.read(&request, &mut connection) {
            Ok(host) => host,
            Err((status, problem)) => {
                let line = self.line(&request, &connection);
                let mut response = refusal(status, problem);
                if request.version() <= Version::HTTP_11 {
                    // After an ambiguous request, no later bytes of the connection must be parsed as a request.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                line.write("none", "", &response);
                return response.map(Either::Right);
            }
        };
        let connection = &connection;
        if disagrees(connection, &host) {
            let line = self.line(&request, connection);
            let response = refusal(
                StatusCode::MISDIRECTED_REQUEST,
                "The host of the request is not the one that the connection was made for.\n",
            );
            line.write("none", &host, &response);
            return response.map(Either::Right);
        }
        let site = self.names.site(&host);
        if site == Site::Service {
            let response = self.sites.service(request, connection).await;
            return response.map(Either::Left);
        }
        let line = self.line(&request, connection);
        let id = line.id.clone();
        let mut response = match site {
            // Boxed, so that requests to Services do not carry their state.
            Site::Api => Box::pin(self.sites.api(request, connection, id)).await,
            Site::Cluster => {
                let answering = Box::pin(self.sites.cluster(request, connection, id));
                self.secure_only(answering.await)
            }
            Site::Portal | Site::Service => self.secure_only(self.portal()),
        };
        if is_refusal(&response) {
            response.extensions_mut().insert(Unauthenticated);
        }
        line.write(site.as_str(), &host, &response);
        response.map(Either::Right)
    }

    /// Checks the head, replaces the address of a trusted proxy by the client's, and returns the host.
    fn read(
        &self,
        request: &Request<Incoming>,
        connection: &mut Connection,
    ) -> Result<String, (StatusCode, &'static str)> {
        let proxy = connection.peer.ip();
        let client = self.proxies.client(proxy, request.headers()).map_err(|_| {
            let problem = "X-Forwarded-For of the proxy is not a list of addresses.\n";
            (StatusCode::BAD_REQUEST, problem)
        })?;
        connection.peer.set_ip(client);
        if request.headers().len() > MAX_FIELDS {
            Limit::HeadFields.reached_by(client);
            let problem = "The request has too many header fields.\n";
            return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, problem));
        }
        host(request).map_err(|problem| (StatusCode::BAD_REQUEST, problem))
    }

    /// Collects the facts for the log line of a request that does not reach a Service.
    fn line(&self, request: &Request<Incoming>, connection: &Connection) -> Line {
        Line {
            id: random_string(&*self.rng, ID_ALPHABET, ID_LENGTH),
            peer: connection.peer.ip(),
            method: request.method().clone(),
            // The query is left out because it can contain secrets.
            path: request.uri().path().to_owned(),
            started: Instant::now(),
        }
    }

    fn secure_only(&self, mut response: Response<Body>) -> Response<Body> {
        if let Some(value) = &self.strict_transport {
            let headers = response.headers_mut();
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
        response
    }

    /// Redirects to the domain itself, which serves all pages.
    fn portal(&self) -> Response<Body> {
        let mut response = plain(StatusCode::PERMANENT_REDIRECT, "");
        if let Ok(location) = HeaderValue::try_from(format!("{}/", self.names.domain().url())) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}

/// Returns the HSTS policy (RFC 6797) of one year. `localhost` gets none, because other programs on the machine serve
/// without TLS.
fn strict_transport(host: &str) -> Option<HeaderValue> {
    let is_local = host == "localhost" || host.ends_with(".localhost");
    (!is_local).then(|| HeaderValue::from_static("max-age=31536000"))
}

/// The facts for the log line of a request.
struct Line {
    id: String,
    peer: IpAddr,
    method: Method,
    path: String,
    started: Instant,
}

impl Line {
    fn write(self, site: &'static str, host: &str, response: &Response<Body>) {
        let elapsed = self.started.elapsed();
        // gRPC errors have the gRPC status in the head and an HTTP status of 200.
        let grpc_status = grpc_status(response.headers());
        let class = status_class(response.status(), grpc_status);
        metrics::counter!("octelium_requests_total", "site" => site, "status" => class)
            .increment(1);
        metrics::histogram!("octelium_request_seconds", "site" => site).record(elapsed);
        tracing::info!(
            request_id = self.id,
            site,
            client = %self.peer,
            host,
            method = %self.method,
            path = self.path,
            status = response.status().as_u16(),
            grpc_status,
            elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

impl Site {
    /// Returns the name in logs and metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cluster => "cluster",
            Self::Portal => "portal",
            Self::Service => "service",
        }
    }
}

fn refusal(status: StatusCode, problem: &'static str) -> Response<Body> {
    let mut response = plain(status, problem);
    response.extensions_mut().insert(Unauthenticated);
    response
}

/// Returns true for a client error of the API or a page. Clients with access cause few of them.
fn is_refusal(response: &Response<Body>) -> bool {
    let status = grpc_status(response.headers());
    response.status().is_client_error() || status == Some(UNAUTHENTICATED)
}

/// Builds a response in plain text.
pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// Returns the host of a request, in lower case and without the port.
fn host(request: &Request<Incoming>) -> Result<String, &'static str> {
    if has_both_framings(request.extensions()) {
        return Err("The request gives its length in two ways.\n");
    }
    if has_malformed_chunk(request.extensions()) {
        return Err("A chunk of the request body is malformed.\n");
    }
    let mut headers = request.headers().get_all(header::HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (None, _) => None,
        (Some(header), None) => Some(
            Authority::try_from(header.as_bytes())
                .map_err(|_| "The Host header is not a host.\n")?,
        ),
        (Some(_), Some(_)) => return Err("The request has more than one Host header.\n"),
    };
    let authority = match (request.uri().authority(), header) {
        (None, None) => return Err("The request names no host.\n"),
        (Some(authority), None) => authority.clone(),
        (None, Some(header)) => header,
        (Some(authority), Some(header)) if *authority == header => header,
        (Some(_), Some(_)) => return Err("The request names two hosts.\n"),
    };
    if authority.as_str().contains('@') {
        return Err("The host holds user information.\n");
    }
    Ok(authority.host().to_ascii_lowercase())
}

/// Returns true if the host differs from the server name of the handshake (RFC 9110 §7.4). The client verified a
/// certificate for another name.
fn disagrees(connection: &Connection, host: &str) -> bool {
    connection
        .server_name
        .as_deref()
        .is_some_and(|name| name != host)
}
