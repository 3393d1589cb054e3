//! Repeated authorization of a streaming call.

use std::time::Duration;

use http::{HeaderMap, Uri};
use tokio_util::sync::CancellationToken;

use crate::{Caller, Context, Error, ErrorKind};

/// Interval of repeated authorization without changes in the Cluster. Policies may depend on the time.
const INTERVAL: Duration = Duration::from_secs(1);

/// An authorized call that is still streaming.
pub(super) struct AuthorizedStream {
    pub(super) ctx: Context,
    pub(super) caller: Caller,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    /// Cancelled when the Session is no longer valid.
    pub(super) revoked: CancellationToken,
}

impl AuthorizedStream {
    /// Waits until the call is no longer authorized, and returns the reason. Authorizes again after each change of the
    /// Cluster.
    pub(super) async fn until_unauthorized(self) -> Error {
        let mut feed = self.ctx.directory.changes();
        // Something may have changed since the call was authorized.
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
                // No decision is possible now. The stream stays open, but sends no data meanwhile.
                Err(refused) if refused.error.kind() == ErrorKind::Unavailable => {}
                Err(refused) => return refused.error,
            }
        }
    }
}
