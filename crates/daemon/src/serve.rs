//! `octeliumd serve`.

use crate::{arguments::Serving, logging, running::Instance, telemetry::Telemetry};

/// Serves until the process is asked to shut down.
///
/// # Errors
///
/// Returns an error if a setting is not valid or a part does not start.
pub(crate) async fn run(serving: Serving) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(serving.listen.otlp_endpoint.as_deref())?;
    let _logging = logging::start_exporting(&serving.logs, &telemetry)?;
    let Serving {
        store,
        listen,
        proxies,
        outbound,
        ..
    } = serving;
    let proxies = proxies.open(&listen)?;
    let ended = match Instance::start(store, listen, proxies, &outbound, &telemetry).await {
        Ok(instance) => instance.wait().await,
        Err(error) => Err(error),
    };
    telemetry.finish().await;
    ended
}
