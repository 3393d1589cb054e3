//! Logging to standard error, as text for people or as JSON for machines.

mod json;
mod sink;

use std::io::{IsTerminal as _, stderr};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

use crate::{
    settings::{LogFormat, LogSettings},
    telemetry::Telemetry,
};
use sink::Sink;

/// A guard that keeps the log running. Lines after its drop are lost.
#[must_use = "the log ends with it"]
pub(crate) struct Logging(#[allow(dead_code, reason = "dropping it writes the last lines")] Sink);

/// Starts logging. Call it once in a process.
///
/// # Errors
///
/// Returns an error if the filter does not parse.
pub(crate) fn start(settings: &LogSettings) -> anyhow::Result<Logging> {
    start_exporting(settings, &Telemetry::default())
}

/// Starts logging like [`start`], and exports the lines if `telemetry` is enabled.
///
/// # Errors
///
/// Returns an error if the filter does not parse.
pub(crate) fn start_exporting(
    settings: &LogSettings,
    telemetry: &Telemetry,
) -> anyhow::Result<Logging> {
    let filter = settings.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!("log filter {filter:?}: use the form `info` or `warn,octeliumd=debug`")
    })?;
    let terminal = stderr().is_terminal();
    let format = settings.log_format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let sink = Sink::start(stderr()).context("logging")?;
    #[cfg(feature = "otlp")]
    if let Some(exporters) = telemetry.exporters() {
        exporting(filter, format, terminal, &sink, exporters)?;
        return Ok(Logging(sink));
    }
    #[cfg(not(feature = "otlp"))]
    let _ = telemetry;
    let subscriber = fmt().with_env_filter(filter).with_writer(sink.writer());
    match format {
        LogFormat::Text => subscriber.with_ansi(terminal).finish().try_init(),
        LogFormat::Json => subscriber
            .fmt_fields(json::NoFields)
            .event_format(json::Json)
            .finish()
            .try_init(),
    }
    .context("logging")?;
    Ok(Logging(sink))
}

/// Applies the filter to both outputs.
#[cfg(feature = "otlp")]
fn exporting(
    filter: EnvFilter,
    format: LogFormat,
    terminal: bool,
    sink: &Sink,
    exporters: &crate::telemetry::Exporters,
) -> anyhow::Result<()> {
    use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _, registry};

    // Events of the export itself would be exported in turn, without end.
    let exported = filter_fn(|metadata| {
        !["opentelemetry", "tonic", "h2", "hyper", "tower"]
            .iter()
            .any(|name| metadata.target().starts_with(name))
    });
    let lines = fmt::layer().with_writer(sink.writer());
    let lines = match format {
        LogFormat::Text => lines.with_ansi(terminal).boxed(),
        LogFormat::Json => lines
            .fmt_fields(json::NoFields)
            .event_format(json::Json)
            .boxed(),
    };
    registry()
        .with(lines)
        .with(exporters.logs().with_filter(exported))
        .with(filter)
        .try_init()
        .context("logging")
}
