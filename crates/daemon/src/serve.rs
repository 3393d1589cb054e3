//! `octeliumd serve`.

use crate::{arguments::Serving, logging, running::Instance};

/// Serves until the process is asked to end.
///
/// # Errors
/// Where a setting is wrong or the parts do not start.
pub(crate) async fn run(serving: Serving) -> anyhow::Result<()> {
    let _logging = logging::start(&serving.logs)?;
    Instance::start(serving.store, serving.listen)
        .await?
        .wait()
        .await
}
