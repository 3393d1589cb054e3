//! Access tokens that were revoked alone (RFC 7009), each remembered until it would have expired.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{Document, NewDocument, SecretWrite, Store, StoreError};

const PAGE: u32 = 1000;

/// Held whole.
#[derive(Default)]
pub(super) struct RevokedTokens(RwLock<HashMap<Uid, UnixMillis>>);

impl RevokedTokens {
    pub(super) fn contains(&self, token_id: Uid) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&token_id)
    }

    pub(super) fn insert(&self, token_id: Uid, expires_at: UnixMillis) {
        let mut tokens = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(token_id, expires_at);
    }

    /// Forgets those that have expired by themselves a while ago.
    pub(super) fn trim(&self, before: UnixMillis) {
        let mut tokens = self.0.write().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, expires_at| *expires_at > before);
    }

    pub(super) async fn reload(
        &self,
        store: &dyn Store,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let documents = store.scan(Kind::RevokedToken, after, PAGE, now).await?;
            for document in &documents {
                self.insert(document.uid, end(document));
            }
            if u32::try_from(documents.len()).unwrap_or(PAGE) < PAGE {
                return Ok(());
            }
            after = documents.last().map(|document| document.uid);
        }
    }
}

/// When the token of this record expires.
pub(super) fn end(document: &Document) -> UnixMillis {
    document.expires_at.unwrap_or(UnixMillis(i64::MAX))
}

/// The record that revokes one token.
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

/// The Session of a record, from its name.
pub(super) fn session_of(name: &str) -> Option<Uid> {
    name.split_once('/')?.0.parse().ok()
}
