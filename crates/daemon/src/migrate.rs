//! `octeliumd migrate`: migrates the store to the schema of this version, without serving.

use std::{
    io::{Write as _, stdout},
    sync::Arc,
};

use domain::clock::SystemClock;

use crate::{arguments::Offline, logging, storage};

/// Opens the store, which migrates it.
///
/// # Errors
///
/// Returns an error if the store cannot be opened or has a newer schema.
pub(crate) async fn run(settings: Offline) -> anyhow::Result<()> {
    let _logging = logging::start(&settings.logs)?;
    let data_dir = storage::data_dir(&settings.store)?;
    let store = storage::open(&settings.store, &data_dir, Arc::new(SystemClock)).await?;
    writeln!(
        stdout(),
        "The store of Cluster {} now has the schema of octeliumd {}.",
        store.cluster_uid(),
        env!("CARGO_PKG_VERSION")
    )?;
    Ok(())
}
