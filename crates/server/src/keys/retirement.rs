//! A key goes when no token that it signed can live.

use std::time::Duration;

use api::core_v1::{Credential, Session};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{CommitError, Operation, StoreError, Transaction};

use super::{Keyring, Schedule};
use crate::resource::codec::{Resource, decode};

/// Clocks of replicas may differ: a token may have been signed that much after its key's time.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(10);
const PAGE: u32 = 1000;

impl Keyring {
    pub(super) async fn retire(&self, schedule: Schedule) -> Result<(), StoreError> {
        let now = self.clock.now();
        // A key's last signature is when the next one began to sign.
        let ended: Vec<(Uid, UnixMillis)> = {
            let keys = self.keys.load();
            let pairs = keys.0.iter().zip(keys.0.iter().skip(1));
            pairs
                .map(|(key, next)| {
                    let end = next.signs_from.saturating_add(CLOCK_DIFFERENCE);
                    (key.verifying.id(), end)
                })
                .filter(|(_, end)| end.saturating_add(schedule.published_before) < now)
                .collect()
        };
        let Some((_, first_end)) = ended.first().copied() else {
            return Ok(());
        };
        // The earliest signature that is still needed decides: generations sign one after the other.
        let needed = self.oldest_needed(now, first_end).await?;
        for (id, end) in ended {
            if needed.is_some_and(|needed| needed <= end) {
                break;
            }
            let mut transaction = Transaction::at(now);
            transaction.push(Operation::Delete(Kind::SigningKey, id, None));
            match self.store.commit(transaction).await {
                Ok(_) => tracing::info!(key = %id, "removed a signing key of which no token lives"),
                // Another replica was first.
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error),
                Err(error) => {
                    return Err(StoreError {
                        context: "remove a signing key".to_owned(),
                        transient: false,
                        source: Some(std::sync::Arc::new(error)),
                    });
                }
            }
        }
        Ok(())
    }

    /// When the oldest token that may still be presented was signed; `None` where there are none. Stops looking at
    /// the first that is as old as `enough`, which already keeps every key.
    async fn oldest_needed(
        &self,
        now: UnixMillis,
        enough: UnixMillis,
    ) -> Result<Option<UnixMillis>, StoreError> {
        let mut oldest = self.oldest(now, enough, credential_signed_at).await?;
        if oldest.is_none_or(|oldest| oldest > enough) {
            let session = self.oldest(now, enough, session_signed_at).await?;
            oldest = match (oldest, session) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(oldest)
    }

    async fn oldest<T: Resource>(
        &self,
        now: UnixMillis,
        enough: UnixMillis,
        signed_at: fn(&T, UnixMillis) -> Option<UnixMillis>,
    ) -> Result<Option<UnixMillis>, StoreError> {
        let mut oldest: Option<UnixMillis> = None;
        let mut after = None;
        loop {
            let documents = self.store.scan(T::DOCUMENT, after, PAGE, now).await?;
            for document in &documents {
                let signed = signed_at(&decode::<T>(document)?.message, now);
                oldest = match (oldest, signed) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            }
            let is_last = u32::try_from(documents.len()).unwrap_or(PAGE) < PAGE;
            if is_last || oldest.is_some_and(|oldest| oldest <= enough) {
                return Ok(oldest);
            }
            after = documents.last().map(|document| document.uid);
        }
    }
}

/// When the oldest live secret of a Credential was signed. In an overlap that of the generation before is unknown,
/// so it counts as having been signed with the Credential.
fn credential_signed_at(credential: &Credential, now: UnixMillis) -> Option<UnixMillis> {
    let status = credential.status.as_ref()?;
    let expires_at = credential
        .spec
        .as_ref()
        .and_then(|spec| spec.expires_at.as_ref());
    if expires_at.is_some_and(|at| UnixMillis::from_proto(at) <= now) || status.version == 0 {
        return None;
    }
    let in_overlap = status
        .previous_expires_at
        .as_ref()
        .is_some_and(|until| now < UnixMillis::from_proto(until));
    let signed_at = if in_overlap {
        credential
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.created_at.as_ref())
    } else {
        status.last_rotation_at.as_ref()
    };
    Some(signed_at.map_or(UnixMillis(0), UnixMillis::from_proto))
}

/// A Session's tokens were signed since it was made; how long each lives may have been changed since, so all count.
#[allow(
    clippy::unnecessary_wraps,
    reason = "of the type of those of other kinds"
)]
fn session_signed_at(session: &Session, _now: UnixMillis) -> Option<UnixMillis> {
    let created_at = session
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.created_at.as_ref());
    Some(created_at.map_or(UnixMillis(0), UnixMillis::from_proto))
}
