//! Follows the change log of the store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use domain::{id::Uid, kind::Kind};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use store::{Change, Changes, Cursor, Document, StoreError};
use tokio_util::sync::CancellationToken;

use super::{Directory, Unauthenticated, held, revoked};

const BATCH: u32 = 1000;
/// How many reads of a batch run at a time.
const READS: usize = 16;
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// How often tokens are looked at that have come to their end.
const TICK: Duration = Duration::from_millis(100);

impl Directory {
    /// Follows the changes of the Cluster until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut feed = self.store.feed();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let state = *feed.borrow_and_update();
            match self.advance(state.cursor).await {
                Ok(()) => self.confirm(state.confirmed),
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
                        // The store is gone: what is known grows stale, and is then no longer answered from.
                        Err(_) => return stop.cancelled().await,
                    },
                    _ = tick.tick() => self.end_tokens(),
                }
            }
        }
    }

    /// Takes over all changes up to `target`.
    async fn advance(&self, target: Cursor) -> Result<(), StoreError> {
        loop {
            let applied = *self.applied.borrow();
            if applied >= target {
                return Ok(());
            }
            match self.store.changes(applied, BATCH).await? {
                Changes::Trimmed(cursor) => {
                    self.reload().await?;
                    self.applied.send_replace(cursor);
                }
                Changes::Next(changes) => {
                    let Some(last) = changes.last().map(|change| change.cursor) else {
                        // Nothing of the range concerns documents.
                        self.applied.send_replace(target);
                        return Ok(());
                    };
                    self.apply(changes).await?;
                    self.applied.send_replace(last);
                }
            }
        }
    }

    /// Takes over a batch. Done twice it has the effect of once.
    async fn apply(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        // Of several changes of a document only the last counts.
        let changes: BTreeMap<(Kind, Uid), Change> = changes
            .into_iter()
            .map(|change| ((change.kind, change.uid), change))
            .collect();
        let now = self.clock.now();

        let is_read = |kind: Kind| held::is_held(kind) || kind == Kind::RevokedToken;
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
        self.held.apply(&read)?;
        for (kind, uid, document) in &read {
            if let (Kind::RevokedToken, Some(document)) = (kind, document) {
                self.revoked.insert(*uid, revoked::end(document));
            }
        }
        if changes.keys().any(|(kind, _)| *kind == Kind::SigningKey) {
            self.keys.reload().await?;
        }

        // From here on no read that began before can be put into a cache.
        for (_, uid) in changes.keys() {
            self.invalidations.note(*uid);
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

    /// Reads everything anew.
    pub(super) async fn reload(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.held.reload(&*self.store, now).await?;
        // Tokens may have been revoked alone in what was trimmed.
        self.revoked
            .reload(&*self.store, now, |session, token_id| {
                self.sessions.revoke_token(session, token_id);
            })
            .await?;
        self.keys.reload().await?;
        self.invalidations.note_all();
        self.users.clear();
        self.credentials.clear();
        self.devices.clear();
        self.authenticators.note_change();
        let in_use = self.sessions.outdate_all();
        self.recheck(in_use).await
    }

    /// Whether Sessions by which something may be open still stand. Those that don't are ended here.
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
