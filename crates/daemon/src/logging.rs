//! Log lines: to standard error, as text for people or as JSON for machines.

use std::io::{IsTerminal as _, stderr};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

use crate::settings::{LogFormat, LogSettings};

/// Begins to log. Once a process.
///
/// # Errors
/// Where the filter does not parse.
pub(crate) fn start(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = settings.log.as_deref().unwrap_or("info");
    let filter = EnvFilter::try_new(filter).with_context(|| {
        format!("log filter {filter:?}; write as `info` or `warn,octeliumd=debug`")
    })?;
    let terminal = stderr().is_terminal();
    let format = settings.log_format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    let subscriber = fmt().with_env_filter(filter).with_writer(stderr);
    match format {
        LogFormat::Text => subscriber.with_ansi(terminal).finish().try_init(),
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init(),
    }
    .context("logging")
}
