//! `octeliumd restore`: replaces the store by a backup, without undoing revocations since the backup.
//!
//! If the replaced store is available, its revocations are carried over. Otherwise the revocations are unknown: all
//! Sessions end, and each Credential must be rotated before it authenticates again.

mod carry_over;
mod distrust;
mod swap;

use std::{
    io::{Write as _, stdout},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use domain::{
    clock::{Clock as _, SystemClock},
    kind::Kind,
    rng::SystemRng,
};
use store::{
    Store, StoreConfig,
    transfer::{self, ImportOptions, Summary},
};

use carry_over::second_factors;

use crate::{arguments::Restore, files::lock, logging, settings::StoreSettings, storage};

/// Restores a backup.
///
/// # Errors
///
/// Returns an error if the store is in use. Also returns an error if the backup belongs to another Cluster, is damaged,
/// or is encrypted with another master key. An embedded store is then unchanged. A database on a server is unchanged, or
/// marked as unfinished: it cannot be opened until the restore is repeated.
pub(crate) async fn run(mut restore: Restore) -> anyhow::Result<()> {
    let settings = &mut restore.offline;
    settings.logs.log.get_or_insert_with(|| "warn".to_owned());
    let _logging = logging::start(&settings.logs)?;
    let data_dir = storage::data_dir(&settings.store)?;
    let _lock = lock(&data_dir)?;
    if settings.store.database_url.is_some() {
        on_server(&restore, &data_dir).await
    } else {
        embedded(&restore, &data_dir).await
    }
}

/// Restores into a staging directory, which then replaces the existing database.
async fn embedded(restore: &Restore, data_dir: &Path) -> anyhow::Result<()> {
    let settings = &restore.offline.store;
    let keys = storage::present_master_keys(settings, data_dir)?;
    let staging = swap::Staging::create(data_dir)?;
    let config = |directory: &Path| StoreConfig {
        location: store::Location::Directory(directory.to_owned()),
        keys: Some(keys.clone()),
        clock: Arc::new(SystemClock),
    };
    let former = if swap::contains_database(data_dir) {
        Some(
            store::open(config(data_dir))
                .await
                .context("the existing store")?,
        )
    } else {
        None
    };
    // The flag for a database on a server conflicts in the same way with `--former-database-url`.
    ensure!(
        former.is_none() || !restore.trust_credentials,
        "--trust-credentials is for a restore into an empty data directory. {} contains a store, and its revocations \
         are carried over: omit the flag, or restore into a new data directory",
        data_dir.display()
    );
    let summary = fill(restore, config(staging.path()), former).await?;
    let kept = staging.install()?;
    let mut out = stdout().lock();
    writeln!(out, "{summary}")?;
    if let Some(kept) = kept {
        writeln!(out, "The previous store is kept as {}*.", kept.display())?;
    }
    Ok(())
}

/// Restores into an empty database, or into one in which a restore has not finished.
async fn on_server(restore: &Restore, data_dir: &Path) -> anyhow::Result<()> {
    let settings = &restore.offline.store;
    let former = match &restore.former_database_url {
        None => None,
        Some(url) => {
            let former = StoreSettings {
                database_url: Some(url.clone()),
                ..settings.clone()
            };
            let former = storage::open(&former, data_dir, Arc::new(SystemClock));
            Some(former.await.context("the former database")?)
        }
    };
    let config = storage::config(settings, data_dir, Arc::new(SystemClock))?;
    let summary = fill(restore, config, former).await?;
    writeln!(stdout(), "{summary}")?;
    Ok(())
}

/// Imports the backup, applies the revocations since then, and returns the message for the operator. The store can be
/// opened only after the last step.
async fn fill(
    restore: &Restore,
    config: StoreConfig,
    former: Option<Arc<dyn Store>>,
) -> anyhow::Result<String> {
    let context = || restore.input.display().to_string();
    let input = tokio::fs::File::open(&restore.input)
        .await
        .with_context(context)?;
    // An enrollment link works as long as its document exists, so a link that was used since the backup must not be
    // restored.
    let mut without = vec![Kind::Enrollment];
    if former.is_none() {
        without.push(Kind::Session);
    }
    let options = ImportOptions {
        without,
        cluster: former.as_ref().map(|former| former.cluster_uid()),
    };
    let restoring = transfer::import(config, input, &options)
        .await
        .with_context(context)?;
    let restored = restoring.store();
    let now = SystemClock.now();
    let what_became = match former {
        Some(former) => {
            let backed_up_at = restoring.summary().created_at;
            let carried =
                carry_over::carry_over(former.as_ref(), restored.as_ref(), backed_up_at, now);
            carried.await?.to_string()
        }
        None if restore.trust_credentials => {
            "All Sessions have ended. Credentials, Authenticators and recovery codes are those of the backup, \
             including those that were revoked, removed or used since."
                .to_owned()
        }
        None => {
            let credentials = distrust::distrust(restored.as_ref(), &SystemRng, now).await?;
            let users = second_factors::void_recovery_codes(restored.as_ref(), now).await?;
            format!(
                "All Sessions have ended, and each of the {credentials} Credentials must be rotated before it \
                 authenticates again: log in with `octeliumd recover`, then rotate each with `octeliumctl create cred \
                 --rotate NAME`. The recovery codes of {users} Users are void. Authenticators are those of the backup, \
                 including those that were removed since: `octeliumctl get authn` lists them."
            )
        }
    };
    let summary = restoring.finish().await?;
    Ok(format!("{}\n{what_became}", restored_text(&summary)))
}

fn restored_text(summary: &Summary) -> String {
    format!(
        "Restored {} documents and {} audit events as of {}.",
        summary.documents.values().sum::<u64>(),
        summary.audit_events,
        summary.created_at
    )
}
