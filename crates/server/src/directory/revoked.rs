//! Access tokens that were revoked individually (RFC 7009), each kept until it would have expired.
//!
//! Memory is bounded. If tokens do not fit, unknown tokens are looked up in the store until the last omitted token has
//! expired.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{PoisonError, RwLock},
};

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{Document, NewDocument, SecretWrite, Store, StoreError};

const PAGE: u32 = 1000;

/// A bounded set of the ids of revoked tokens.
pub(super) struct RevokedTokens {
    capacity: usize,
    held: RwLock<RevokedSet>,
}

#[derive(Default)]
struct RevokedSet {
    tokens: HashMap<Uid, UnixMillis>,
    /// Entries of `tokens`, ordered by expiry.
    by_expiry: BTreeSet<(UnixMillis, Uid)>,
    /// Latest expiry of an omitted token.
    left_out_until: Option<UnixMillis>,
}

/// The state of a token in this set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Revocation {
    Revoked,
    NotRevoked,
    /// Only the store can answer.
    Unknown,
}

impl RevokedTokens {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            held: RwLock::default(),
        }
    }

    /// Returns whether the token was revoked. Reads the store only if tokens were omitted.
    ///
    /// # Errors
    /// Returns the error of the store. The token must then not be accepted.
    pub(super) async fn contains(
        &self,
        store: &dyn Store,
        token_id: Uid,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        match self.revocation(token_id, now) {
            Revocation::Revoked => Ok(true),
            Revocation::NotRevoked => Ok(false),
            Revocation::Unknown => {
                metrics::counter!("directory_revoked_token_reads_total").increment(1);
                let found = store.get(Kind::RevokedToken, token_id, now).await?;
                Ok(found.is_some())
            }
        }
    }

    fn revocation(&self, token_id: Uid, now: UnixMillis) -> Revocation {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if held.tokens.contains_key(&token_id) {
            Revocation::Revoked
        } else if held.left_out_until.is_some_and(|until| now < until) {
            Revocation::Unknown
        } else {
            Revocation::NotRevoked
        }
    }

    pub(super) fn insert(&self, token_id: Uid, expires_at: UnixMillis) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if held.tokens.contains_key(&token_id) {
            return;
        }
        if held.tokens.len() >= self.capacity {
            if held.left_out_until.is_none() {
                tracing::warn!(
                    capacity = self.capacity,
                    "more access tokens are revoked than fit in memory; the others are looked up in the store"
                );
            }
            held.left_out_until = held.left_out_until.max(Some(expires_at));
            return;
        }
        held.tokens.insert(token_id, expires_at);
        held.by_expiry.insert((expires_at, token_id));
        count(&held);
    }

    /// Removes tokens that expired at or before `before`.
    pub(super) fn trim(&self, before: UnixMillis) {
        let is_due = |held: &RevokedSet| {
            let first = held.by_expiry.first();
            first.is_some_and(|(expires_at, _)| *expires_at <= before)
                || held.left_out_until.is_some_and(|until| until <= before)
        };
        if !is_due(&self.held.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        while let Some((expires_at, token_id)) = held.by_expiry.first().copied() {
            if expires_at > before {
                break;
            }
            held.by_expiry.remove(&(expires_at, token_id));
            held.tokens.remove(&token_id);
        }
        held.left_out_until = held.left_out_until.filter(|until| *until > before);
        count(&held);
    }

    /// Reads all revoked tokens. Calls `on_each` with the Session and the id of each token after adding it.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub(super) async fn reload(
        &self,
        store: &dyn Store,
        now: UnixMillis,
        on_each: impl Fn(Uid, Uid),
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let documents = store.scan(Kind::RevokedToken, after, PAGE, now).await?;
            for document in &documents {
                self.insert(document.uid, end(document));
                if let Some(session) = session_of(&document.name) {
                    on_each(session, document.uid);
                }
            }
            if u32::try_from(documents.len()).unwrap_or(PAGE) < PAGE {
                return Ok(());
            }
            after = documents.last().map(|document| document.uid);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge")]
fn count(held: &RevokedSet) {
    metrics::gauge!("directory_revoked_tokens").set(held.tokens.len() as f64);
}

/// Returns the expiry of the token of this record.
pub(super) fn end(document: &Document) -> UnixMillis {
    document.expires_at.unwrap_or(UnixMillis(i64::MAX))
}

/// Builds the record that revokes one token.
pub(crate) fn record(
    session: Uid,
    token_id: Uid,
    expires_at: UnixMillis,
    now: UnixMillis,
) -> NewDocument {
    NewDocument {
        kind: Kind::RevokedToken,
        uid: token_id,
        name: format!("{session}/{token_id}"),
        created_at: now,
        expires_at: Some(expires_at),
        body: Vec::new(),
        indexes: Vec::new(),
        secret: SecretWrite::Keep,
    }
}

/// Returns the Session of a record, from its name.
pub(super) fn session_of(name: &str) -> Option<Uid> {
    name.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use domain::rng::SeededRng;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn id(seed: u64) -> Uid {
        Uid::random(&SeededRng::new(seed))
    }

    #[test]
    fn a_full_map_keeps_to_its_limit_and_loses_no_revocation_s11() {
        let tokens = RevokedTokens::new(100);
        for seed in 0..1000 {
            tokens.insert(
                id(seed),
                UnixMillis(NOW.0 + 10 + i64::try_from(seed).unwrap()),
            );
        }
        let (held, ordered) = {
            let held = tokens.held.read().unwrap();
            (held.tokens.len(), held.by_expiry.len())
        };
        assert_eq!((held, ordered), (100, 100));
        for seed in 0..1000 {
            assert_ne!(
                tokens.revocation(id(seed), NOW),
                Revocation::NotRevoked,
                "{seed}"
            );
        }
        // An unknown token is looked up while it could be an omitted one.
        let last = UnixMillis(NOW.0 + 1009);
        assert_eq!(
            tokens.revocation(id(5000), UnixMillis(last.0 - 1)),
            Revocation::Unknown
        );
        assert_eq!(tokens.revocation(id(5000), last), Revocation::NotRevoked);
    }

    #[test]
    fn only_expired_tokens_make_room_s11() {
        let tokens = RevokedTokens::new(2);
        tokens.insert(id(1), UnixMillis(NOW.0 + 20));
        tokens.insert(id(2), UnixMillis(NOW.0 + 10));
        // Inserted again, as after a reload.
        tokens.insert(id(2), UnixMillis(NOW.0 + 10));
        assert_eq!(tokens.revocation(id(3), NOW), Revocation::NotRevoked);
        tokens.insert(id(3), UnixMillis(NOW.0 + 30));
        tokens.trim(UnixMillis(NOW.0 + 9));
        assert_eq!(tokens.revocation(id(2), NOW), Revocation::Revoked);
        tokens.trim(UnixMillis(NOW.0 + 10));
        tokens.insert(id(4), UnixMillis(NOW.0 + 40));
        assert_eq!(tokens.revocation(id(1), NOW), Revocation::Revoked);
        assert_eq!(tokens.revocation(id(3), NOW), Revocation::Unknown);
        assert_eq!(tokens.revocation(id(4), NOW), Revocation::Revoked);
        tokens.trim(UnixMillis(NOW.0 + 30));
        assert_eq!(tokens.revocation(id(3), NOW), Revocation::NotRevoked);
        assert_eq!(tokens.revocation(id(4), NOW), Revocation::Revoked);
    }
}
