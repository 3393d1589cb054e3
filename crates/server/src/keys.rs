//! The keys that sign the Cluster's tokens.
//!
//! The keys are in the store, so all replicas use the same ones. A new key is published well before it signs. The
//! signing key follows from the clock and the published keys alone, so no leader election is needed. An old key
//! verifies as long as any token that it signed can be valid.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    kind::Kind,
    rng::Rng,
    token::{SigningKey, VerifyingKey},
};
use store::{
    CommitError, Document, Expected, IndexEntry, Operation, Store, StoreError, Transaction,
};

mod published;
mod record;
mod retirement;
mod rotation;

use record::Record;

pub use rotation::Schedule;

/// Time for which an unknown key id is not looked up again.
const UNKNOWN_FOR: Duration = Duration::from_secs(5);
/// Maximum number of unknown key ids looked up within [`UNKNOWN_FOR`].
const UNKNOWN_AT_MOST: usize = 64;

/// Returns the index entries of a stored signing key. Needed to copy it to another store.
///
/// # Errors
/// Returns an error if the document cannot be decoded.
pub fn indexes(document: &Document) -> Result<Vec<IndexEntry>, prost::DecodeError> {
    Record::decode_from(document).map(|record| record.indexes())
}

/// The signing keys of the Cluster that this replica knows.
pub struct Keyring {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: ArcSwap<Keys>,
    /// Number of removals of keys. Results of verifications under another number must be verified again.
    epoch: AtomicU64,
    unknown: Mutex<HashMap<Uid, UnixMillis>>,
    /// Held while keys are read from the store, so that an older read cannot overwrite a newer one.
    loading: tokio::sync::Mutex<()>,
}

/// Ordered by generation.
#[derive(Default)]
struct Keys(Vec<Arc<Key>>);

struct Key {
    generation: u64,
    signs_from: UnixMillis,
    verifying: VerifyingKey,
    signing: SigningKey,
}

impl Keyring {
    /// Reads all keys, and creates the first one in an empty store.
    ///
    /// # Errors
    /// Returns an error if the store fails or a stored key is invalid.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: &dyn Rng,
    ) -> Result<Self, StoreError> {
        let keyring = Self {
            store,
            clock,
            keys: ArcSwap::default(),
            epoch: AtomicU64::new(0),
            unknown: Mutex::default(),
            loading: tokio::sync::Mutex::new(()),
        };
        keyring.reload().await?;
        if keyring.keys.load().0.is_empty() {
            let now = keyring.clock.now();
            keyring.publish(rng, 1, now).await?;
            keyring.reload().await?;
        }
        Ok(keyring)
    }

    /// Returns the key that signs at `now`.
    ///
    /// # Errors
    /// Returns an error if no key exists. Tokens must then not be issued.
    pub(crate) fn signer(&self, now: UnixMillis) -> Result<Signer, StoreError> {
        let keys = self.keys.load();
        let current = keys.0.iter().rev().find(|key| key.signs_from <= now);
        // If the clock was set back before the first key, all replicas choose the oldest key.
        let key = current.or_else(|| keys.0.first());
        key.map(|key| Signer(key.clone()))
            .ok_or_else(|| StoreError {
                context: "no signing key".to_owned(),
                transient: true,
                source: None,
            })
    }

    /// Returns the key with this id. Reads the store if the key is unknown.
    pub(crate) async fn verifier(&self, id: Uid) -> Result<Option<VerifyingKey>, StoreError> {
        let key = self.find(id).await?;
        Ok(key.map(|key| key.verifying.clone()))
    }

    /// Like [`Self::verifier`], with the private key. Used to open text that was sealed under it.
    pub(crate) async fn opener(&self, id: Uid) -> Result<Option<Signer>, StoreError> {
        Ok(self.find(id).await?.map(Signer))
    }

    async fn find(&self, id: Uid) -> Result<Option<Arc<Key>>, StoreError> {
        if let Some(key) = self.known(id) {
            return Ok(Some(key));
        }
        if !self.may_ask_for(id) {
            return Ok(None);
        }
        let now = self.clock.now();
        if self.store.get(Kind::SigningKey, id, now).await?.is_none() {
            return Ok(None);
        }
        self.reload().await?;
        Ok(self.known(id))
    }

    /// Returns the number of removals of keys, under which results of verifications stay valid.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Reads all keys again.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let _loading = self.loading.lock().await;
        let now = self.clock.now();
        let documents = self
            .store
            .scan(Kind::SigningKey, None, u32::MAX >> 8, now)
            .await?;
        let before = self.keys.load();
        let mut keys = Vec::with_capacity(documents.len());
        for document in &documents {
            match before
                .0
                .iter()
                .find(|key| key.verifying.id() == document.uid)
            {
                Some(known) => keys.push(known.clone()),
                None => keys.extend(self.open_key(document).await?.map(Arc::new)),
            }
        }
        keys.sort_by_key(|key| key.generation);
        let has_lost = before.0.iter().any(|old| {
            !keys
                .iter()
                .any(|key| key.verifying.id() == old.verifying.id())
        });
        self.keys.store(Arc::new(Keys(keys)));
        if has_lost {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    async fn open_key(&self, document: &Document) -> Result<Option<Key>, StoreError> {
        let record = Record::decode_from(document).map_err(|error| damaged(document, error))?;
        // The key was deleted after the scan.
        let Some(secret) = self.store.secret(Kind::SigningKey, document.uid).await? else {
            return Ok(None);
        };
        let signing = SigningKey::from_pkcs8(document.uid, &secret)
            .map_err(|error| damaged(document, error))?;
        let verifying = signing.verifying_key();
        if verifying.as_bytes() != record.public_key {
            return Err(StoreError {
                context: format!("{document:?}: the public and the private key do not match"),
                transient: false,
                source: None,
            });
        }
        Ok(Some(Key {
            generation: record.generation,
            signs_from: record.signs_from(),
            verifying,
            signing,
        }))
    }

    /// Stores a new key. Succeeds if another replica was first.
    async fn publish(
        &self,
        rng: &dyn Rng,
        generation: u64,
        signs_from: UnixMillis,
    ) -> Result<(), StoreError> {
        let key = SigningKey::generate(rng).map_err(|error| StoreError {
            context: "make a signing key".to_owned(),
            transient: false,
            source: Some(Arc::new(error)),
        })?;
        let record = Record {
            public_key: key.verifying_key().as_bytes().to_vec(),
            generation,
            signs_from_millis: signs_from.0,
        };
        let now = self.clock.now();
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Put(
            record.to_document(&key, now),
            Expected::Absent,
        ));
        match self.store.commit(transaction).await {
            Ok(_) => {
                tracing::info!(key = %key.id(), generation, signs_from = %signs_from, "published a signing key");
                Ok(())
            }
            Err(CommitError::IndexTaken { .. } | CommitError::Conflict { .. }) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
            Err(error) => Err(StoreError {
                context: "publish a signing key".to_owned(),
                transient: false,
                source: Some(Arc::new(error)),
            }),
        }
    }

    fn known(&self, id: Uid) -> Option<Arc<Key>> {
        let keys = self.keys.load();
        keys.0.iter().find(|key| key.verifying.id() == id).cloned()
    }

    /// Bounds the store reads that unauthenticated callers can cause. A new key also arrives with the change feed.
    fn may_ask_for(&self, id: Uid) -> bool {
        let now = self.clock.now();
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.retain(|_, asked_at| now.since(*asked_at) < UNKNOWN_FOR && *asked_at <= now);
        if unknown.contains_key(&id) || unknown.len() >= UNKNOWN_AT_MOST {
            return false;
        }
        unknown.insert(id, now);
        true
    }
}

/// The signing key, held so that several tokens are signed by the same one.
pub(crate) struct Signer(Arc<Key>);

impl std::ops::Deref for Signer {
    type Target = SigningKey;

    fn deref(&self) -> &SigningKey {
        &self.0.signing
    }
}

fn damaged(
    document: &Document,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError {
        context: format!("open {document:?}"),
        transient: false,
        source: Some(Arc::new(error)),
    }
}
