//! The admin listener, which serves health checks and metrics without TLS.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::State, routing::get};
use futures_util::future::BoxFuture;
use gateway::listener::{Limits, Protocol, Protocols, StallTimeout};
use http::{Request, Response, StatusCode, header};
use hyper::service::service_fn;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use store::Store;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    connections::{Bounds, Connections, Holder, Slot},
    listener::CountedConnection,
    sites::Incoming,
    telemetry::Telemetry,
};

/// The time after which a store that does not answer counts as not ready.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// The limits for connections, in total and of one address prefix.
const CONNECTIONS: Bounds = Bounds {
    total: 64,
    per_address: 16,
};
/// The time between the head of a request and the head of its response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after an `accept` failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Buckets of the duration histograms, in seconds.
const BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Installs the metrics recorder of the process.
///
/// # Errors
///
/// Returns an error if a recorder is already installed.
pub(crate) fn collect_metrics(telemetry: &Telemetry) -> anyhow::Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    telemetry.record_metrics(recorder)?;
    metrics::describe_counter!(
        "octelium_requests_total",
        "Requests by site and status class."
    );
    metrics::describe_histogram!(
        "octelium_request_seconds",
        "Seconds from the head of a request to the head of its response, by site."
    );
    metrics::describe_counter!(
        "octelium_limit_reached_total",
        "Number of times each limit was reached: connections closed, requests refused, events omitted."
    );
    metrics::describe_gauge!("octelium_ready", "1 while /readyz answers 200, else 0.");
    metrics::describe_gauge!(
        "octelium_store_confirmed_age_seconds",
        "Seconds since the store last confirmed the state of this replica."
    );
    metrics::describe_gauge!(
        "octelium_store_clock_ahead_seconds",
        "Difference between the clock of this machine and the clock of the database, in seconds; negative if this \
         machine is behind."
    );
    metrics::describe_counter!(
        "octelium_store_deadlines_exceeded_total",
        "Database operations that timed out."
    );
    metrics::describe_counter!(
        "octelium_store_history_replaced_total",
        "Number of times the database had lost changes that this replica had applied, and the replica reloaded \
         everything."
    );
    metrics::counter!("octelium_store_deadlines_exceeded_total").absolute(0);
    metrics::counter!("octelium_store_history_replaced_total").absolute(0);
    metrics::describe_gauge!("octelium_connections", "Open connections by listener.");
    Ok(handle)
}

/// The state that the admin listener reports on.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) store: Arc<dyn Store>,
    /// The age of the store's last confirmation from which requests are refused.
    pub(crate) stale_after: Duration,
    /// Cancelled when the process shuts down.
    pub(crate) stop: CancellationToken,
    pub(crate) metrics: PrometheusHandle,
    /// The connections of the listener whose readiness is reported.
    pub(crate) connections: Arc<Connections>,
}

impl Admin {
    /// Serves until `end` is cancelled.
    pub(crate) async fn serve(self, socket: TcpListener, end: CancellationToken) {
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(render))
            .with_state(self);
        let connections = Connections::new("admin", CONNECTIONS);
        let limits = Limits {
            head_timeout: REQUEST_TIMEOUT,
            ..Limits::default()
        };
        let protocols = Arc::new(Protocols::new(&limits));
        let tracker = TaskTracker::new();
        while let Some(accepted) = end.run_until_cancelled(socket.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    connections.not_accepted(&error);
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if let Some(slot) = admit(&connections, peer) {
                let router = router.clone();
                let protocols = Arc::clone(&protocols);
                let serving = serve_connection(stream, slot, router, protocols, end.clone());
                tracker.spawn(serving);
            }
        }
        tracker.close();
        if timeout(REQUEST_TIMEOUT, tracker.wait()).await.is_err() {
            tracing::warn!("requests to the admin listener were still open at the end");
        }
    }

    /// Returns the reason why the replica is not ready, or `None` if it is ready.
    async fn unready(&self) -> Option<&'static str> {
        if self.stop.is_cancelled() {
            return Some("shutting down\n");
        }
        if self.connections.is_refusing() {
            return Some("connections are refused: --max-connections is reached\n");
        }
        let feed = *self.store.feed().borrow();
        if feed.confirmed.elapsed() > self.stale_after {
            return Some("the store has not confirmed the state of this replica for too long\n");
        }
        if !feed.has_trusted_clock() {
            return Some("the clock of this machine differs too much from the one of the store\n");
        }
        match timeout(PING_TIMEOUT, self.store.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::warn!(error = %error, "store does not answer");
                Some("the store does not answer\n")
            }
            Err(_) => Some("the store does not answer in time\n"),
        }
    }
}

fn admit(connections: &Arc<Connections>, peer: SocketAddr) -> Option<Slot> {
    connections.admit(Holder::Client(peer.ip().into()))
}

async fn serve_connection(
    stream: TcpStream,
    slot: Slot,
    router: Router,
    protocols: Arc<Protocols>,
    end: CancellationToken,
) {
    let activity = Arc::clone(slot.activity());
    let share = slot.share();
    let stream = StallTimeout::new(CountedConnection::new(stream, slot), REQUEST_TIMEOUT);
    let service = service_fn(move |request| {
        Box::pin(answer(router.clone(), request)) as BoxFuture<'static, Result<_, Infallible>>
    });
    let stream = Box::new(stream);
    let served = protocols.serve(stream, Protocol::Http1, service, &activity, &share, &end);
    if let Err(error) = served.await {
        tracing::debug!(%error, "connection of the admin listener ended");
    }
}

/// Drops the body, because no handler reads it.
async fn answer(router: Router, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let request = request.map(|_| Body::empty());
    if let Ok(response) = timeout(REQUEST_TIMEOUT, router.oneshot(request)).await {
        return response;
    }
    let mut response = Response::new(Body::from("no response in time\n"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(response)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.unready().await {
        None => (StatusCode::OK, "ready\n"),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

async fn render(State(admin): State<Admin>) -> ([(header::HeaderName, &'static str); 1], String) {
    let is_ready = admin.unready().await.is_none();
    metrics::gauge!("octelium_ready").set(if is_ready { 1.0 } else { 0.0 });
    let confirmed = admin.store.feed().borrow().confirmed;
    metrics::gauge!("octelium_store_confirmed_age_seconds").set(confirmed.elapsed().as_secs_f64());
    admin.metrics.run_upkeep();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        admin.metrics.render(),
    )
}
