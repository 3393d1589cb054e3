//! Data that an OTLP collector receives over real gRPC.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

use crate::support::{
    cluster::Cluster,
    https::get,
    scene::{Scene, WEB},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector that keeps all data.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    /// The attributes of each line.
    logs: Arc<Mutex<Vec<Vec<KeyValue>>>>,
    services: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let server = Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()))
            .add_service(LogsServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(socket)));
        (collector, url)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = text(&attributes, "service.name");
            self.services.lock().unwrap().extend(service);
            let spans = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let metrics = resources
            .flat_map(|resource| resource.scope_metrics)
            .flat_map(|scope| scope.metrics)
            .map(|metric| metric.name);
        self.metrics.lock().unwrap().extend(metrics);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let resources = request.into_inner().resource_logs.into_iter();
        let lines = resources
            .flat_map(|resource| resource.scope_logs)
            .flat_map(|scope| scope.log_records)
            .map(|record| record.attributes);
        self.logs.lock().unwrap().extend(lines);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_traces_metrics_and_logs_of_requests() {
    let (collector, url) = Collector::start().await;
    let mut scene = Scene::on(Cluster::start_with(&["--otlp-endpoint", &url])).await;
    let token = scene.access_token("cred01");
    let mut request = get("/orders?secret=query", &token);
    let parent = format!("00-{TRACE}-{PARENT}-01");
    request
        .headers_mut()
        .insert("traceparent", parent.parse().unwrap());
    let answer = scene.https.send(WEB, request).await;
    assert_eq!(answer.status, 200, "{answer:#?}");
    let received = answer.json()["headers"]["traceparent"]
        .as_str()
        .unwrap()
        .to_owned();
    // Remaining data is exported at shutdown.
    assert!(scene.cluster.terminate().success());

    let spans = collector.spans.lock().unwrap();
    let span = spans
        .iter()
        .find(|span| hex(&span.trace_id) == TRACE)
        .unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!(hex(&span.parent_span_id), PARENT);
    assert_eq!(received, format!("00-{TRACE}-{}-01", hex(&span.span_id)));
    assert_eq!(span.name, "GET web.default");
    for (key, value) in [
        ("url.path", "/orders"),
        ("http.response.status_code", "200"),
        ("octelium.user", "microservice1"),
        ("octelium.decision", "allowed"),
    ] {
        assert_eq!(text(&span.attributes, key).as_deref(), Some(value), "{key}");
    }
    assert!(
        collector
            .services
            .lock()
            .unwrap()
            .contains(&"octeliumd".to_owned())
    );

    let metrics = collector.metrics.lock().unwrap();
    for name in ["gateway_requests_total", "gateway_request_duration_seconds"] {
        assert!(metrics.iter().any(|metric| metric == name), "{metrics:?}");
    }

    let logs = collector.logs.lock().unwrap();
    let line = logs
        .iter()
        .find(|line| text(line, "service").as_deref() == Some("web.default"))
        .unwrap_or_else(|| panic!("{logs:#?}"));
    assert_eq!(text(line, "decision").as_deref(), Some("allowed"));
    let all = format!("{spans:?}{logs:?}");
    assert!(!all.contains(&token) && !all.contains("secret=query"));
}
