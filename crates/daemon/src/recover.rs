//! `octeliumd recover`: restores access for an operator who has the store and its master key.

use std::{
    io::{Write as _, stdout},
    sync::Arc,
};

use anyhow::Context as _;
use domain::{clock::SystemClock, rng::SystemRng};
use server::{Context, bootstrap, directory::Limits};

use crate::{arguments::Offline, files, logging, names::Names, storage};

/// The file of the token, in the data directory.
const TOKEN_FILE: &str = "recovery-token";

/// Creates a one-time token of User `root`.
///
/// # Errors
///
/// Returns an error if the store cannot be opened.
pub(crate) async fn run(mut settings: Offline) -> anyhow::Result<()> {
    settings.logs.log.get_or_insert_with(|| "warn".to_owned());
    let _logging = logging::start(&settings.logs)?;
    let data_dir = storage::present_data_dir(&settings.store)?;
    let clock = Arc::new(SystemClock);
    let store = storage::open(&settings.store, &data_dir, clock.clone()).await?;
    // Nothing is served, so the name is irrelevant.
    let domain = Names::parse("localhost")?.domain().clone();
    let context = Context::open(store, clock, Arc::new(SystemRng), domain, Limits::default())
        .await
        .context("state of the Cluster")?;
    let token = bootstrap::recover(&context).await.context("recovery")?;
    context.flush().await;
    let path = data_dir.join(TOKEN_FILE);
    files::write_secret(&path, token.expose())?;
    writeln!(
        stdout(),
        "A one-time token of User root is in {path}. For 15 minutes the API accepts it regardless of Policies:\n  \
         octeliumctl login --auth-token-file {path}\n\
         All previous Sessions of User root have ended. Remove the file when you are done.",
        path = path.display()
    )?;
    Ok(())
}
