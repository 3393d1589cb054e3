//! Whether a call that goes on is still allowed.

use std::time::Duration;

use http::{HeaderMap, Uri};
use tokio_util::sync::CancellationToken;

use crate::{Caller, Context, Error, ErrorKind};

/// How often it is decided anew where nothing changes in the Cluster: a Policy may look at the time.
const INTERVAL: Duration = Duration::from_secs(1);

/// A call that has been let through and is not over.
pub(super) struct Standing {
    pub(super) ctx: Context,
    pub(super) caller: Caller,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Cancelled when whom it is for no longer stands.
    pub(super) revoked: CancellationToken,
}

impl Standing {
    /// Returns when the call would not be let through any more, and why. Decided anew with each change of the
    /// Cluster.
    pub(super) async fn ends(self) -> Error {
        let mut feed = self.ctx.directory.changes();
        // Something may have changed since it was let through.
        feed.mark_changed();
        loop {
            tokio::select! {
                biased;
                () = self.revoked.cancelled() => {
                    return Error::new(ErrorKind::Unauthenticated, "Octelium: Unauthenticated");
                }
                changed = feed.changed() => {
                    if changed.is_err() {
                        return Error::unavailable("the directory has ended");
                    }
                }
                () = tokio::time::sleep(INTERVAL) => {}
            }
            match super::admit(&self.ctx, &self.caller, &self.uri, &self.headers).await {
                Ok(_) => {}
                // Nothing can be told at present, so nothing is sent on it either.
                Err(refused) if refused.error.kind() == ErrorKind::Unavailable => {}
                Err(refused) => return refused.error,
            }
        }
    }
}
