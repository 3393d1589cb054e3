//! The handling of one request, from arrival to response.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as HttpBody;
use hyper::upgrade::OnUpgrade;

use crate::{
    Body, Gateway, Route,
    authorize::{AuthorizationOutcome, authorize},
    canonical::{Canonical, Length},
    denial::DenialFormat,
    denial_reason::Denial,
    forward::{GatewayResponse, forward},
    inbound::{Content, Inbound},
    listener::Unauthenticated,
    login,
    mode::Mode,
    record::{Outcome, Record},
    request_id::RequestId,
    route::{Access, Choice, Preflight},
    trace::TRACEPARENT,
};

impl Gateway {
    /// Handles one request from `peer`. Never fails: if the Service cannot respond, the response is a status.
    ///
    /// Dropping the future or the response body aborts the request at the upstream.
    pub async fn handle<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let client = peer.ip().to_canonical();
        let id = RequestId::random(&*self.config.rng);
        let is_person = login::is_navigation(&parts.method, &parts.headers);
        let mut record = Box::new(Record::new(id, client, parts.method.clone(), parts.version));
        record.log.clone_from(&self.config.access_log);
        if let Some(traces) = &self.config.traces {
            let parent = parts.headers.get(TRACEPARENT);
            let parent = parent.and_then(|value| value.to_str().ok());
            record.trace = Some(traces.begin(parent));
        }
        let served = self.serve(parts, body, client, &mut record).await;
        let renewal = record.renewal.take();
        let mut response = match served {
            Ok(GatewayResponse::Local(response)) => {
                record.set_status(response.status());
                record.set_grpc_status(response.headers());
                record.add_sent(HttpBody::size_hint(response.body()).lower());
                record.set_complete();
                response
            }
            Ok(GatewayResponse::Upstream(response)) => response.into_response(record),
            Err(denial) => {
                let portal = self.portal();
                let format = DenialFormat::of(mode(record.route.as_deref()), is_person, &portal);
                let mut response = denial.response(format, id);
                if record.caller.is_none() {
                    response.extensions_mut().insert(Unauthenticated);
                }
                if !matches!(record.outcome, Outcome::Denied(_)) {
                    record.outcome = Outcome::Refused(denial.reason());
                }
                record.set_status(response.status());
                record.set_grpc_status(response.headers());
                record.set_complete();
                response
            }
        };
        if let Some(cookie) = renewal {
            login::renew(response.headers_mut(), *cookie);
        }
        response
    }

    async fn serve<B>(
        &self,
        mut parts: Parts,
        body: B,
        client: IpAddr,
        record: &mut Record,
    ) -> Result<GatewayResponse, Denial>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let upgrade = parts.extensions.remove::<OnUpgrade>();
        let length = match (body.is_end_stream(), body.size_hint().exact()) {
            (true, _) => Length::Exact(0),
            (false, Some(length)) => Length::Exact(length),
            (false, None) => Length::Unknown,
        };
        let host = Canonical::take_host(&mut parts).map_err(Denial::Ambiguous)?;
        if is_for_the_server(&parts) {
            record.host = Some(Box::from(host.name()));
            record.outcome = Outcome::Open("server_options");
            return Ok(GatewayResponse::Local(server_options()));
        }
        let route = self.directory.route(host.name());
        record.route.clone_from(&route);
        // Only this line decides how the request is treated. It depends on the Service, not on the request.
        let mode = mode(route.as_deref());
        let request = Canonical::read(parts, host, length, mode).map_err(Denial::Ambiguous)?;
        record.set_request(&request);
        if !self.identity.is_fresh() {
            return Err(Denial::Stale);
        }
        let route = route.ok_or(Denial::NoService)?;
        if let Some(response) = preflight(&route, &request, record)? {
            return Ok(GatewayResponse::Local(response));
        }
        if route.access == Access::Authenticated && login::is_callback(&request) {
            let (response, reason) = Box::pin(login::answer(self, &request, record.id)).await;
            record.outcome = Outcome::Open(reason);
            return Ok(GatewayResponse::Local(response));
        }
        let inbound = Inbound {
            request,
            content: Content::Stream(body),
            upgrade,
            client,
            held: None,
        };
        match authorize(self, route, inbound, record).await? {
            AuthorizationOutcome::Permitted(permit, mut inbound) => match inbound.held.take() {
                None => forward(permit, inbound, self, record).await,
                Some(held) => {
                    // Boxed, so that requests of other Services do not carry its state twice.
                    let forwarding = Box::pin(forward(permit, inbound, self, record));
                    held.unless_evicted(forwarding).await
                }
            },
            AuthorizationOutcome::Answered(response) => Ok(GatewayResponse::Local(response)),
        }
    }
}

/// Returns true for `OPTIONS *` (RFC 9110 §9.3.7), which does not concern any Service.
fn is_for_the_server(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.uri.path() == "*" && parts.uri.query().is_none()
}

/// Builds a response that is the same for every host, so that it does not reveal Services.
fn server_options() -> Response<Body> {
    let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// Returns the mode of the Service, or HTTP without a Service.
fn mode(route: Option<&Route>) -> Mode {
    route.map_or(Mode::Http, |route| route.mode)
}

/// Answers a CORS preflight, which carries no credentials.
fn preflight(
    route: &Route,
    request: &Canonical,
    record: &mut Record,
) -> Result<Option<Response<Body>>, Denial> {
    // The caller is unknown, so no rule can select another configuration.
    let answer = route
        .plan(Choice::Default)
        .and_then(|plan| plan.cors.as_ref())
        .and_then(|cors| cors.preflight(&request.method, &request.headers));
    match answer {
        None => Ok(None),
        Some(Preflight::Refused) => Err(Denial::Origin),
        Some(Preflight::Allowed(headers)) => {
            record.outcome = Outcome::Open("preflight");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = headers;
            Ok(Some(response))
        }
    }
}
