//! Applies the store's change feed to the Directory.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use domain::{id::Uid, kind::Kind};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::{Change, Changes, Document, FeedState, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Applied, Directory, Unauthenticated, resource_snapshots, revoked};

const BATCH: u32 = 1000;
/// Number of concurrent reads while a batch is applied.
const READS: usize = 16;
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Interval between checks for expired tokens.
const TICK: Duration = Duration::from_millis(100);

impl Directory {
    /// Follows the changes of the Cluster until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut feed = self.store.feed();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            match self.advance(&mut feed).await {
                Ok(state) => self.confirm(state),
                Err(error) => {
                    tracing::error!(%error, "cannot follow the changes of the Cluster");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(RETRY_AFTER) => continue,
                    }
                }
            }
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = feed.changed() => match changed {
                        Ok(()) => break,
                        // The store is gone. The state becomes stale and is then no longer used.
                        Err(_) => return stop.cancelled().await,
                    },
                    _ = tick.tick() => self.end_tokens(),
                }
            }
        }
    }

    /// Applies all changes that the feed knows of. Returns the state of the feed.
    async fn advance(
        &self,
        feed: &mut watch::Receiver<FeedState>,
    ) -> Result<FeedState, StoreError> {
        loop {
            let state = *feed.borrow_and_update();
            let applied = *self.applied.borrow();
            if applied.history != state.history {
                self.replace(state).await?;
                continue;
            }
            if applied.cursor >= state.cursor {
                return Ok(state);
            }
            let apply = |cursor| {
                self.applied.send_replace(Applied {
                    cursor,
                    history: state.history,
                });
            };
            match self.store.changes(applied.cursor, BATCH).await? {
                // The feed reports the replacement, too.
                Changes::Replaced => {}
                Changes::Trimmed(cursor) => {
                    self.reload().await?;
                    apply(cursor);
                }
                Changes::Next(changes) => {
                    let Some(last) = changes.last().map(|change| change.cursor) else {
                        // The range contains no changes of documents.
                        apply(state.cursor);
                        continue;
                    };
                    self.apply(changes).await?;
                    apply(last);
                }
            }
        }
    }

    /// Reloads all state, because the store's history was replaced. Requests are not answered until that is done.
    async fn replace(&self, state: FeedState) -> Result<(), StoreError> {
        self.trusted.store(false, Ordering::Release);
        tracing::warn!(
            history = state.history,
            "the store's history was replaced: reading everything again"
        );
        self.reload().await?;
        self.applied.send_replace(Applied {
            cursor: state.cursor,
            history: state.history,
        });
        Ok(())
    }

    /// Applies a batch of changes. Applying it twice is harmless.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        // Only the last change of a document counts.
        let changes: BTreeMap<(Kind, Uid), Change> = changes
            .into_iter()
            .map(|change| ((change.kind, change.uid), change))
            .collect();
        let now = self.clock.now();

        let is_read =
            |kind: Kind| resource_snapshots::has_snapshot(kind) || kind == Kind::RevokedToken;
        let wanted: Vec<_> = changes
            .keys()
            .copied()
            .filter(|(kind, _)| is_read(*kind))
            .collect();
        let read: Vec<(Kind, Uid, Option<Document>)> = stream::iter(wanted)
            .map(|(kind, uid)| async move {
                let document = self.store.get(kind, uid, now).await?;
                Ok::<_, StoreError>((kind, uid, document))
            })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        self.snapshots.apply(&read)?;
        for (kind, uid, document) in &read {
            if let (Kind::RevokedToken, Some(document)) = (kind, document) {
                self.revoked.insert(*uid, revoked::end(document));
            }
        }
        if changes.keys().any(|(kind, _)| *kind == Kind::SigningKey) {
            self.keys.reload().await?;
        }

        // After this, reads that began earlier can no longer be cached.
        for (_, uid) in changes.keys() {
            self.invalidations.record(*uid);
        }
        for ((kind, uid), change) in &changes {
            match kind {
                Kind::User => self.users.invalidate(*uid),
                Kind::Credential => self.credentials.invalidate(*uid),
                Kind::Device => self.devices.invalidate(*uid),
                Kind::Authenticator => self.authenticators.note_change(),
                Kind::Session if change.revision.is_none() => self.sessions.revoke(*uid),
                Kind::RevokedToken => {
                    if let Some(session) = revoked::session_of(&change.name) {
                        self.sessions.revoke_token(session, *uid);
                    }
                }
                _ => {}
            }
        }
        let in_use = self.sessions.outdate(changes.keys().map(|(_, uid)| *uid));
        self.recheck(in_use).await
    }

    /// Reads all state again.
    pub(super) async fn reload(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.snapshots.reload(&*self.store, now).await?;
        // The trimmed changes may include revoked tokens.
        self.revoked
            .reload(&*self.store, now, |session, token_id| {
                self.sessions.revoke_token(session, token_id);
            })
            .await?;
        self.keys.reload().await?;
        self.invalidations.record_all();
        self.users.clear();
        self.credentials.clear();
        self.devices.clear();
        self.session_contexts.clear();
        self.authenticators.note_change();
        let in_use = self.sessions.outdate_all();
        self.recheck(in_use).await
    }

    /// Checks the Sessions that may have open streams, and ends those that are no longer valid.
    async fn recheck(&self, sessions: Vec<Uid>) -> Result<(), StoreError> {
        let now = self.clock.now();
        stream::iter(sessions)
            .map(|session| async move {
                match self.fill(session, now).await {
                    Ok(_) => Ok(()),
                    Err(Unauthenticated::Refused { .. }) => {
                        self.sessions.revoke(session);
                        Ok(())
                    }
                    Err(Unauthenticated::Unavailable) => Err(StoreError {
                        context: "check the Sessions in use".to_owned(),
                        transient: true,
                        source: None,
                    }),
                }
            })
            .buffer_unordered(READS)
            .try_collect()
            .await
    }

    fn end_tokens(&self) {
        let now = self.clock.now();
        self.sessions.end_tokens(now);
        self.revoked
            .trim(now.saturating_sub(Duration::from_hours(1)));
    }
}
