//! Export of traces, metrics and logs by OTLP over gRPC, where the program was built with it and an endpoint is
//! given.

use std::{env, sync::Arc};

use gateway::Traces;
use metrics_exporter_prometheus::PrometheusRecorder;

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "otlp")]
mod spans;

#[cfg(feature = "otlp")]
pub(crate) use otlp::Exporters;

/// As every program with an exporter of `OpenTelemetry` takes it.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// What exports; nothing by default.
#[derive(Default)]
pub(crate) struct Telemetry {
    #[cfg(feature = "otlp")]
    exporters: Option<otlp::Exporters>,
}

impl Telemetry {
    /// Exports to `endpoint`, else to that of the environment, if there is one.
    ///
    /// # Errors
    /// Where it is no endpoint, or the program was built without.
    #[cfg(feature = "otlp")]
    pub(crate) fn start(endpoint: Option<&str>) -> anyhow::Result<Self> {
        let exporters = wanted(endpoint)
            .map(|endpoint| otlp::Exporters::start(&endpoint))
            .transpose()?;
        Ok(Self { exporters })
    }

    /// As above.
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

    /// What collects spans of requests.
    #[cfg_attr(
        not(feature = "otlp"),
        allow(clippy::unused_self, reason = "there is nothing in it then")
    )]
    pub(crate) fn traces(&self) -> Option<Arc<dyn Traces>> {
        #[cfg(feature = "otlp")]
        if let Some(exporters) = &self.exporters {
            return Some(exporters.traces());
        }
        None
    }

    /// Has the metrics of the process recorded, beside by `local`.
    ///
    /// # Errors
    /// Where they are already.
    #[cfg_attr(
        not(feature = "otlp"),
        allow(clippy::unused_self, reason = "there is nothing in it then")
    )]
    pub(crate) fn record_metrics(&self, local: PrometheusRecorder) -> anyhow::Result<()> {
        #[cfg(feature = "otlp")]
        if let Some(exporters) = &self.exporters {
            return exporters.record_metrics(local);
        }
        Ok(metrics::set_global_recorder(local)?)
    }

    /// What logs are exported by.
    #[cfg(feature = "otlp")]
    pub(crate) fn exporters(&self) -> Option<&otlp::Exporters> {
        self.exporters.as_ref()
    }

    /// Exports what is still in memory.
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
    reason = "a variable of this program, by the name that all exporters have for it"
)]
fn wanted(endpoint: Option<&str>) -> Option<String> {
    endpoint
        .map(str::to_owned)
        .or_else(|| env::var(ENDPOINT_VARIABLE).ok())
        .filter(|endpoint| !endpoint.is_empty())
}
