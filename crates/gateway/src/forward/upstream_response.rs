//! The response of an upstream on its way to the client.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};

use crate::{
    body::Watch,
    canonical::Names,
    forward::{response, tunnel},
    record::Record,
    response_body::{Body, FirstFrame, Proxied, first_frame},
    route::{ComputedFields, Cors, HeaderRules},
    shares::Exchange,
    upstream::{EndpointResponse, Lease},
};

/// A response, by its origin.
pub(crate) enum GatewayResponse {
    /// From the gateway.
    Local(Response<Body>),
    /// From an upstream.
    Upstream(Box<UpstreamResponse>),
}

/// The head and body of a response, with everything that must live as long as the body.
pub(crate) struct UpstreamResponse {
    status: StatusCode,
    headers: HeaderMap,
    kind: Kind,
    guards: Guards,
    grpc: bool,
    /// Names of trailers that the Service removes or sets itself.
    trailers: Option<Arc<Names>>,
}

/// The parts of a request that last until its response or its WebSocket ends.
pub(super) struct Guards {
    pub(super) watch: Watch,
    pub(super) exchange: Exchange,
}

/// The changes that a Service makes to the head of a response.
pub(super) struct ResponseRules<'a> {
    pub(super) headers: &'a HeaderRules,
    pub(super) computed: ComputedFields,
    pub(super) cors: Option<&'a Cors>,
    /// The `Origin` of the request.
    pub(super) origin: Option<&'a HeaderValue>,
}

enum Kind {
    Body {
        incoming: Incoming,
        first: Option<FirstFrame>,
        lease: Option<Lease>,
    },
    WebSocket {
        client: OnUpgrade,
        upstream: OnUpgrade,
    },
}

impl UpstreamResponse {
    /// Builds the response. `upgrade` is the client's connection if it requested a WebSocket. Returns `None` if the
    /// upstream switches to another protocol.
    pub(super) fn new(
        answer: EndpointResponse,
        rules: ResponseRules<'_>,
        guards: Guards,
        upgrade: Option<OnUpgrade>,
        grpc: bool,
    ) -> Option<Self> {
        let EndpointResponse {
            mut response,
            lease,
            ..
        } = answer;
        let tunnel = match upgrade {
            Some(client) => {
                let protocol = response.headers().get(header::UPGRADE)?;
                if !protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
                    return None;
                }
                Some((client, hyper::upgrade::on(&mut response)))
            }
            None => None,
        };
        let (head, incoming) = response.into_parts();
        let kind = match tunnel {
            Some((client, upstream)) => Kind::WebSocket { client, upstream },
            None => Kind::Body {
                incoming,
                first: None,
                lease,
            },
        };
        let status = head.status;
        let mut headers = head.headers;
        response::clean(&mut headers);
        rules.headers.apply(rules.computed, &mut headers);
        if let Some(cors) = rules.cors {
            cors.apply(rules.origin, &mut headers);
        }
        if matches!(kind, Kind::WebSocket { .. }) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        Some(Self {
            status,
            headers,
            kind,
            guards,
            grpc,
            trailers: rules.headers.names(),
        })
    }

    /// Takes the first frame of the body if it is already available.
    pub(super) async fn read_ahead(&mut self) {
        if let Kind::Body {
            incoming, first, ..
        } = &mut self.kind
            && !incoming.is_end_stream()
        {
            *first = first_frame(incoming).await;
        }
    }

    /// Builds the response for the client. `record` is written when the body has ended.
    pub(crate) fn into_response(self, mut record: Box<Record>) -> Response<Body> {
        record.set_status(self.status);
        record.set_grpc_status(&self.headers);
        let body = match self.kind {
            Kind::WebSocket { client, upstream } => {
                tunnel::open(client, upstream, self.guards, record);
                Body::empty()
            }
            Kind::Body {
                incoming,
                first: None,
                lease,
            } if incoming.is_end_stream() => {
                if let Some(lease) = lease {
                    lease.release();
                }
                record.set_complete();
                Body::empty()
            }
            Kind::Body {
                incoming,
                first,
                lease,
            } => Body::proxied(Proxied {
                upstream: Some(incoming),
                first,
                watch: self.guards.watch,
                lease,
                exchange: Some(self.guards.exchange),
                record,
                grpc: self.grpc,
                trailers: self.trailers,
            }),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}
