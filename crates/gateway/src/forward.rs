//! Forwarding of a permitted request and its response.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    Gateway,
    authorize::Permit,
    body::{Bounds, RequestBody, RequestTrailers, Transfer, TransferState, Watch},
    canonical::{Ambiguity, Canonical, Length},
    denial_reason::Denial,
    inbound::{self, Content, Inbound},
    record::Record,
    route::{
        Action, ComputedFields, HostRule, IdentityFields, Plan, Proxy, UpstreamCredential, admit,
    },
    shares::Payer,
    trace::TRACEPARENT,
    upstream::{ConnectError, EndpointResponse, Outgoing, SendError},
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body::Body as HttpBody;

mod cookies;
mod proof;
mod response;
mod retrying;
mod tunnel;
mod upstream_response;
mod websocket;

pub(crate) use upstream_response::{GatewayResponse, UpstreamResponse};
use upstream_response::{Guards, ResponseRules};
#[cfg(feature = "fuzzing")]
pub(crate) use {cookies::clean as clean_cookies, websocket::boundaries as websocket_boundaries};

/// Returns the `Host` for the upstream, or `None` for that of the endpoint.
fn outgoing_host(
    rule: &HostRule,
    request: &Canonical,
    computed: Option<HeaderValue>,
) -> Option<HeaderValue> {
    match rule {
        HostRule::Upstream => None,
        HostRule::Preserve => Some(request.host.authority().clone()),
        HostRule::Fixed(host) => Some(host.clone()),
        HostRule::Computed(_) => computed,
    }
}

/// Performs the action of the Service for a permitted request.
pub(crate) async fn forward<B>(
    permit: Permit,
    mut inbound: Inbound<B>,
    gateway: &Gateway,
    record: &mut Record,
) -> Result<GatewayResponse, Denial>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (route, choice, computed, watch) = permit.into_parts();
    let plan = route.plan(choice).ok_or(Denial::NoConfig)?;
    let origin = inbound.request.headers.get(header::ORIGIN).cloned();
    let proxy = match &plan.action {
        Action::Direct(direct) => {
            return Ok(GatewayResponse::Local(response::direct(
                direct,
                plan,
                origin.as_ref(),
            )));
        }
        Action::Proxy(proxy) => proxy,
    };
    check_length(plan, inbound.request.length)?;

    check_signed_fields(proxy, &mut inbound.request)?;
    let payer = Payer::of(record.caller.as_deref(), inbound.client);
    // Dropped when the response ends, or if the upstream sends none.
    let exchange = gateway.exchanges.begin(payer)?;
    let grpc = route.mode.is_grpc();
    // If bodies are buffered for inspection, a WebSocket would bypass the inspection.
    let websocket = inbound.request.websocket
        && inbound.upgrade.is_some()
        && proxy.upstream.can_upgrade()
        && plan.buffering.is_none();
    let Inbound {
        request,
        content,
        upgrade,
        client,
        held: _,
    } = inbound;
    let (body, transfer) = outgoing_body(plan, proxy, content, &request, &watch, record);
    record.transfer.clone_from(&transfer);
    let mut outgoing = Outgoing {
        host: outgoing_host(&proxy.host, &request, computed.host),
        target: proxy
            .path
            .apply(request.target.clone())
            .ok_or(Denial::Ambiguous(Ambiguity::Target))?,
        request: prepare(
            proxy,
            Added {
                computed: computed.request_headers,
                identity: computed.identity,
                traceparent: record.trace.as_ref().and_then(|trace| trace.traceparent()),
                client,
            },
            request,
            body,
            websocket,
        ),
        transfer: transfer.clone(),
    };

    let token = match &proxy.credential {
        None => None,
        Some(credential) => {
            let now = gateway.clock.now();
            let adding = proof::add(credential, &proxy.upstream, &mut outgoing, now, record);
            // Boxed, so that requests of other Services do not carry its state.
            Box::pin(adding).await?
        }
    };
    let attempt = Attempt {
        proxy,
        watch: &watch,
        patience: (!grpc).then_some(plan.timeouts.response),
        transfer: transfer.as_deref(),
    };
    let answer = match &proxy.retry {
        None => attempt
            .answer(outgoing, record)
            .await
            .map_err(Unanswered::denial),
        Some(retry) => {
            let rng = &*gateway.config.rng;
            Box::pin(retrying::answer(&attempt, retry, outgoing, rng, record)).await
        }
    }?;
    record.endpoint = Some(Arc::clone(&answer.endpoint));
    if let Some(token) = token {
        token.judge(answer.response.status());
    }
    let upgrade = match (answer.response.status(), websocket) {
        (StatusCode::SWITCHING_PROTOCOLS, true) => upgrade,
        (StatusCode::SWITCHING_PROTOCOLS, false) => return Err(Denial::UpstreamUnavailable),
        _ => None,
    };
    let rules = ResponseRules {
        headers: &proxy.response_headers,
        computed: computed.response_headers,
        cors: plan.cors.as_ref(),
        origin: origin.as_ref(),
    };
    let guards = Guards { watch, exchange };
    let mut response = UpstreamResponse::new(answer, rules, guards, upgrade, grpc)
        .ok_or(Denial::UpstreamUnavailable)?;
    response.read_ahead().await;
    Ok(GatewayResponse::Upstream(Box::new(response)))
}

/// Builds the body for the upstream and, for a stream, its [`Transfer`].
fn outgoing_body<B>(
    plan: &Plan,
    proxy: &Proxy,
    content: Content<B>,
    request: &Canonical,
    watch: &Watch,
    record: &Record,
) -> (RequestBody, Option<Arc<Transfer>>)
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match content {
        Content::Whole(bytes, _) => (RequestBody::whole(bytes), record.transfer.clone()),
        Content::Stream(_) if request.length == Length::Exact(0) => (RequestBody::Empty, None),
        Content::Stream(stream) => {
            let transfer = Arc::new(Transfer::default());
            let bounds = Bounds {
                limit: plan.body_limit,
                idle: (!request.mode.is_grpc()).then_some(plan.timeouts.body_idle),
                watch: watch.another(),
                trailers: if request.mode.is_grpc() {
                    RequestTrailers::Cleaned(Arc::clone(&proxy.own_names))
                } else {
                    RequestTrailers::Dropped
                },
            };
            let body = RequestBody::stream(stream, bounds, Arc::clone(&transfer));
            (body, Some(transfer))
        }
    }
}

fn check_length(plan: &Plan, length: Length) -> Result<(), Denial> {
    match (plan.body_limit, length) {
        (Some(limit), Length::Exact(length)) if length > limit => Err(Denial::BodyTooLarge),
        _ => Ok(()),
    }
}

/// Rejects client fields that the gateway must not sign, because its signature vouches for them.
fn check_signed_fields(proxy: &Proxy, request: &mut Canonical) -> Result<(), Denial> {
    let Some(UpstreamCredential::Signature(_)) = &proxy.credential else {
        return Ok(());
    };
    let query = request.target.query();
    admit(&mut request.headers, query, &proxy.own_names).map_err(|_| Denial::UnsignedField)
}

/// The values that only the gateway sends to an upstream.
struct Added {
    computed: ComputedFields,
    identity: IdentityFields,
    traceparent: Option<HeaderValue>,
    client: IpAddr,
}

/// Builds the upstream request, except for its host. The gateway's own values are added last, so that client values
/// cannot remove them or appear beside them.
fn prepare(
    proxy: &Proxy,
    added: Added,
    canonical: Canonical,
    body: RequestBody,
    websocket: bool,
) -> Request<RequestBody> {
    let Canonical {
        method,
        host,
        mut headers,
        trailers,
        ..
    } = canonical;
    proxy.forwarded.apply(added.client, &host, &mut headers);
    proxy.request_headers.apply(added.computed, &mut headers);
    headers.extend(added.identity);
    if let Some(traceparent) = added.traceparent {
        headers.insert(TRACEPARENT, traceparent);
    }
    if websocket {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers && !proxy.upstream.can_upgrade() {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    request
}

/// The limits of one attempt to get a response.
struct Attempt<'a> {
    proxy: &'a Proxy,
    watch: &'a Watch,
    /// The time that the upstream may stay inactive.
    patience: Option<Duration>,
    transfer: Option<&'a Transfer>,
}

/// The reason why a request got no response.
struct Unanswered {
    denial: Denial,
    /// True if no connection was made.
    nothing_sent: bool,
}

impl Unanswered {
    fn denial(self) -> Denial {
        self.denial
    }
}

impl From<Denial> for Unanswered {
    fn from(denial: Denial) -> Self {
        Self {
            denial,
            nothing_sent: false,
        }
    }
}

impl Attempt<'_> {
    /// Waits for the response. Gives up if the Session ends or the upstream is inactive for too long.
    async fn answer(
        &self,
        outgoing: Outgoing,
        record: &Record,
    ) -> Result<EndpointResponse, Unanswered> {
        let sent = tokio::select! {
            biased;
            sent = self.proxy.upstream.send(outgoing) => sent,
            () = self.watch.over() => return Err(Denial::InvalidToken.into()),
            () = silence(self.patience, self.transfer) => return Err(Denial::UpstreamTimeout.into()),
        };
        sent.map_err(|error| {
            let denial = match self.transfer.map(Transfer::state) {
                None | Some(TransferState::Running | TransferState::Finished) => {
                    upstream_failed(&error, record)
                }
                Some(ended) => inbound::denial(ended),
            };
            Unanswered {
                denial,
                nothing_sent: matches!(error, SendError::Connect { .. }),
            }
        })
    }
}

fn upstream_failed(error: &SendError, record: &Record) -> Denial {
    match error {
        SendError::Connect {
            error: ConnectError::Timeout,
            ..
        } => Denial::UpstreamTimeout,
        SendError::Connect { .. } | SendError::Broken { .. } | SendError::Invalid => {
            tracing::warn!(
                request_id = record.id.as_str(),
                service = record.route.as_ref().map(|route| route.name()),
                %error,
                "the upstream failed"
            );
            Denial::UpstreamUnavailable
        }
    }
}

/// Returns when the upstream has neither taken body data nor responded for `patience`.
async fn silence(patience: Option<Duration>, transfer: Option<&Transfer>) {
    let Some(patience) = patience else {
        return std::future::pending().await;
    };
    loop {
        let before = transfer.map(Transfer::progress);
        tokio::time::sleep(patience).await;
        let moved = transfer.map(Transfer::progress) != before;
        if !moved && !transfer.is_some_and(Transfer::awaits_client) {
            return;
        }
    }
}
