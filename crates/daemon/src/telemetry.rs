//! Export of traces, metrics and logs by OTLP over gRPC. It needs the feature `otlp` and an endpoint.

use std::{env, sync::Arc};

use gateway::Traces;
use metrics_exporter_prometheus::PrometheusRecorder;

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
mod spans;

#[cfg(feature = "otlp")]
pub(crate) use otlp::Exporters;

/// The standard variable of all `OpenTelemetry` exporters.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// The exporters. The default exports nothing.
#[derive(Default)]
pub(crate) struct Telemetry {
    #[cfg(feature = "otlp")]
    exporters: Option<otlp::Exporters>,
}

impl Telemetry {
    /// Starts the export to `endpoint`, or to the endpoint of the environment, if either is set.
    ///
    /// # Errors
    ///
    /// Returns an error if the endpoint is not valid.
    #[cfg(feature = "otlp")]
    pub(crate) fn start(endpoint: Option<&str>) -> anyhow::Result<Self> {
        let exporters = wanted(endpoint)
            .map(|endpoint| otlp::Exporters::start(&endpoint))
            .transpose()?;
        Ok(Self { exporters })
    }

    /// Checks that no endpoint is set.
    ///
    /// # Errors
    ///
    /// Returns an error if one is set, because this build cannot export.
    #[cfg(not(feature = "otlp"))]
    pub(crate) fn start(endpoint: Option<&str>) -> anyhow::Result<Self> {
        match wanted(endpoint) {
            None => Ok(Self::default()),
            Some(endpoint) => anyhow::bail!(
                "this octeliumd was built without OTLP and cannot export to {endpoint}; build it with \
                 --features daemon/otlp"
            ),
        }
    }

    /// Returns the collector of request spans.
    #[cfg_attr(
        not(feature = "otlp"),
        allow(
            clippy::unused_self,
            reason = "without the feature the type has no fields"
        )
    )]
    pub(crate) fn traces(&self) -> Option<Arc<dyn Traces>> {
        #[cfg(feature = "otlp")]
        if let Some(exporters) = &self.exporters {
            return Some(exporters.traces());
        }
        None
    }

    /// Installs the recorders of metrics: `local` and, if enabled, the exporter.
    ///
    /// # Errors
    ///
    /// Returns an error if a recorder is already installed.
    #[cfg_attr(
        not(feature = "otlp"),
        allow(
            clippy::unused_self,
            reason = "without the feature the type has no fields"
        )
    )]
    pub(crate) fn record_metrics(&self, local: PrometheusRecorder) -> anyhow::Result<()> {
        #[cfg(feature = "otlp")]
        if let Some(exporters) = &self.exporters {
            return exporters.record_metrics(local);
        }
        Ok(metrics::set_global_recorder(local)?)
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn exporters(&self) -> Option<&otlp::Exporters> {
        self.exporters.as_ref()
    }

    /// Exports the remaining data.
    pub(crate) async fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(exporters) = self.exporters {
            exporters.finish().await;
        }
        #[cfg(not(feature = "otlp"))]
        std::future::ready(()).await;
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the standard name of this variable in OpenTelemetry"
)]
fn wanted(endpoint: Option<&str>) -> Option<String> {
    endpoint
        .map(str::to_owned)
        .or_else(|| env::var(ENDPOINT_VARIABLE).ok())
        .filter(|endpoint| !endpoint.is_empty())
}
