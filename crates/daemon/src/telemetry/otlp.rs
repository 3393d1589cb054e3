//! The exporters of traces, metrics and logs. Headers, intervals and the sampler are set with the `OpenTelemetry`
//! environment variables.

use std::{env, sync::Arc};

use anyhow::{Context as _, anyhow, ensure};
use gateway::Traces;
use metrics_exporter_prometheus::PrometheusRecorder;
use metrics_opentelemetry::{OpenTelemetryMetrics, OpenTelemetryRecorder};
use metrics_util::layers::FanoutBuilder;
use opentelemetry::{KeyValue, metrics::MeterProvider as _, trace::TracerProvider as _};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    logs::{SdkLogger, SdkLoggerProvider},
    metrics::SdkMeterProvider,
    trace::SdkTracerProvider,
};

use super::spans::Spans;

/// The name of the service and of the instrumentation scope.
const NAME: &str = "octeliumd";

/// The exporters. They run in the background until [`Self::finish`].
pub(crate) struct Exporters {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    logs: SdkLoggerProvider,
}

impl Exporters {
    /// Starts the exporters. They connect when there is data to export; an unreachable endpoint does not affect the
    /// Cluster.
    ///
    /// # Errors
    ///
    /// Returns an error if `endpoint` is not a valid endpoint.
    pub(super) fn start(endpoint: &str) -> anyhow::Result<Self> {
        // The TLS feature of tonic would also take over the `https` URLs of the workspace's own clients.
        ensure!(
            endpoint.starts_with("http://"),
            "OTLP endpoint {endpoint:?}: only http:// is supported; use a collector on this machine or in its network"
        );
        let context = || format!("OTLP endpoint {endpoint:?}: use the form http://localhost:4317");
        let spans = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(context)?;
        let metrics = MetricExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(context)?;
        let logs = LogExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .with_context(context)?;
        let resource = resource();
        Ok(Self {
            traces: SdkTracerProvider::builder()
                .with_batch_exporter(spans)
                .with_resource(resource.clone())
                .build(),
            metrics: SdkMeterProvider::builder()
                .with_periodic_exporter(metrics)
                .with_resource(resource.clone())
                .build(),
            logs: SdkLoggerProvider::builder()
                .with_batch_exporter(logs)
                .with_resource(resource)
                .build(),
        })
    }

    pub(super) fn traces(&self) -> Arc<dyn Traces> {
        Arc::new(Spans::new(self.traces.tracer(NAME)))
    }

    pub(super) fn record_metrics(&self, local: PrometheusRecorder) -> anyhow::Result<()> {
        let metrics = OpenTelemetryMetrics::new(self.metrics.meter(NAME));
        let recorder = FanoutBuilder::default()
            .add_recorder(local)
            .add_recorder(OpenTelemetryRecorder::new(metrics))
            .build();
        metrics::set_global_recorder(recorder)
            .map_err(|_| anyhow!("a metrics recorder is already installed"))
    }

    /// Returns the layer that exports logs.
    pub(crate) fn logs(&self) -> OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger> {
        OpenTelemetryTracingBridge::new(&self.logs)
    }

    pub(super) async fn finish(self) {
        let ended = tokio::task::spawn_blocking(move || {
            report("traces", &self.traces.shutdown());
            report("metrics", &self.metrics.shutdown());
            // Logs are last, because they contain the errors of the other exporters.
            report("logs", &self.logs.shutdown());
        });
        if ended.await.is_err() {
            tracing::error!("the export did not stop in time");
        }
    }
}

fn report(signal: &str, outcome: &OTelSdkResult) {
    if let Err(error) = outcome {
        tracing::warn!(signal, %error, "some telemetry was not exported");
    }
}

fn resource() -> Resource {
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => builder.build(),
        None => builder.with_service_name(NAME).build(),
    }
}
