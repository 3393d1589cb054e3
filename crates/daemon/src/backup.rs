//! `octeliumd backup`: a backup of the store in one file, without downtime.

use std::{
    fs::{File, OpenOptions},
    io::{Write as _, stdout},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use domain::clock::{Clock as _, SystemClock};
use store::transfer;

use crate::{arguments::Backup, logging, storage};

/// Writes the backup atomically.
///
/// # Errors
///
/// Returns an error if the file exists or cannot be written, or if the store fails.
pub(crate) async fn run(mut backup: Backup) -> anyhow::Result<()> {
    let settings = &mut backup.offline;
    settings.logs.log.get_or_insert_with(|| "warn".to_owned());
    let _logging = logging::start(&settings.logs)?;
    let output = &backup.output;
    ensure!(!output.exists(), "{} already exists", output.display());
    let data_dir = storage::present_data_dir(&settings.store)?;
    let backend = storage::open_backend(&settings.store, &data_dir, Arc::new(SystemClock)).await?;

    let partial = partial(output);
    let file = create(&partial)?;
    let written = async {
        let file = tokio::fs::File::from_std(file.try_clone()?);
        let summary = transfer::export(&backend, file, SystemClock.now()).await?;
        Ok::<_, anyhow::Error>(summary)
    };
    let finished = match written.await {
        Ok(summary) => file
            .sync_all()
            .and_then(|()| std::fs::rename(&partial, output))
            .map(|()| summary)
            .with_context(|| output.display().to_string()),
        Err(error) => Err(error),
    };
    let summary = match finished {
        Ok(summary) => summary,
        Err(error) => {
            // An incomplete backup is useless.
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
    };
    writeln!(
        stdout(),
        "{} holds {} documents and {} audit events as of {}. It cannot be restored without the master key, \
         which is not in it.",
        output.display(),
        summary.documents.values().sum::<u64>(),
        summary.audit_events,
        summary.created_at
    )?;
    Ok(())
}

fn partial(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn create(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| path.display().to_string())
}
