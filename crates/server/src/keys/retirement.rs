//! Removal of signing keys. A key is removed when all tokens that it signed have ended.

use std::time::Duration;

use api::core_v1::{Credential, Session};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{CommitError, Operation, StoreError, Transaction};

use super::{Keyring, Schedule};
use crate::document::codec::{Resource, decode};

/// The maximum difference of the clocks of replicas. A replica can sign with a key this long after the key's time.
const CLOCK_DIFFERENCE: Duration = Duration::from_mins(10);
const PAGE: u32 = 1000;

impl Keyring {
    pub(super) async fn retire(&self, schedule: Schedule) -> Result<(), StoreError> {
        let now = self.clock.now();
        // A key stops signing when the next key starts.
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
        // The earliest signature that is still needed decides, because generations sign one after the other.
        let needed = self.oldest_needed(now, first_end).await?;
        for (id, end) in ended {
            if needed.is_some_and(|needed| needed <= end) {
                break;
            }
            let mut transaction = Transaction::at(now);
            transaction.push(Operation::Delete(Kind::SigningKey, id, None));
            match self.store.commit(transaction).await {
                Ok(_) => {
                    tracing::info!(key = %id, "removed a signing key that has no valid tokens");
                }
                // Another replica has removed the key.
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

    /// Returns the signing time of the oldest token that may still be presented, or `None` if no token may be.
    ///
    /// The search stops at the first time that is not after `enough`, because that time already keeps every key.
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

/// Returns the signing time of the oldest live secret of a Credential. During an overlap, the signing time of the
/// previous secret is unknown, so the creation of the Credential counts.
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

/// Returns the creation time of a Session, the earliest time at which its tokens were signed. Each Session counts,
/// because the lifetimes of its tokens may have been changed since.
#[allow(
    clippy::unnecessary_wraps,
    reason = "has the same type as the functions of other kinds"
)]
fn session_signed_at(session: &Session, _now: UnixMillis) -> Option<UnixMillis> {
    let created_at = session
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.created_at.as_ref());
    Some(created_at.map_or(UnixMillis(0), UnixMillis::from_proto))
}
