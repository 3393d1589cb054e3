//! `octeliumd doctor`: finds problems and suggests remedies.

mod authority;
mod data_directory;
mod documents;
mod report;

use std::{
    io::{Write as _, stdout},
    sync::Arc,
};

use anyhow::bail;
use domain::clock::{Clock, SystemClock};

use self::report::Report;
use crate::{arguments::Offline, logging, storage};

/// Runs all checks and prints the findings.
///
/// # Errors
///
/// Returns an error after the last check if there are problems.
pub(crate) async fn run(mut settings: Offline) -> anyhow::Result<()> {
    settings.logs.log.get_or_insert_with(|| "warn".to_owned());
    let _logging = logging::start(&settings.logs)?;
    let mut report = Report::default();
    examine(&settings, &mut report).await;
    let mut out = stdout().lock();
    write!(out, "{report}")?;
    out.flush()?;
    match report.problems() {
        0 => Ok(()),
        1 => bail!("there is a problem"),
        problems => bail!("there are {problems} problems"),
    }
}

async fn examine(settings: &Offline, report: &mut Report) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let Some(data_dir) = &settings.store.data_dir else {
        report.problem(
            "data directory",
            "not set: use --data-dir or OCTELIUM_DATA_DIR",
        );
        return;
    };
    if !data_dir.exists() {
        report.problem(
            "data directory",
            format!(
                "{} does not exist: `octeliumd serve` creates it",
                data_dir.display()
            ),
        );
        return;
    }
    data_directory::examine(data_dir, report);
    let opened = storage::open_backend(&settings.store, data_dir, Arc::clone(&clock)).await;
    let backend = match opened {
        Ok(backend) => backend,
        Err(error) => return report.problem("store", format!("{error:#}")),
    };
    match backend.check().await {
        Ok(findings) => {
            for finding in findings {
                report.problem("store", finding.0);
            }
        }
        Err(error) => return report.problem("store", error.to_string()),
    }
    let store = backend.store();
    match store.ping().await {
        Ok(()) => report.passed("store", format!("answers; Cluster {}", store.cluster_uid())),
        Err(error) => return report.problem("store", error.to_string()),
    }
    let now = clock.now();
    authority::examine(store.as_ref(), data_dir, now, report).await;
    documents::examine(store.as_ref(), now, report).await;
}
