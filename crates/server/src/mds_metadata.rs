//! The FIDO Alliance's metadata of authenticators (MDS 3.1), shared by the Cluster.
//!
//! One replica downloads the metadata or reads a file, verifies them and stores them. All replicas use the stored copy
//! and verify it again. The Cluster therefore works without the publisher. Metadata that are older than the stored
//! ones, or signed by another party, are rejected.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::platform_v1::{MetadataServiceState, metadata_service_state::State};
use arc_swap::ArcSwapOption;
use authn::{
    mds::{AuthenticatorStatus, LARGEST, Metadata, PUBLISHER, Rejected, Trust, default_anchors},
    webauthn::{AttestedModel, Registered},
};
use aws_lc_rs::digest;
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    kind::Kind,
    rng::Rng,
};
use http::Uri;
use prost::Message as _;
use store::{
    CommitError, Document, Expected, NewDocument, Operation, SecretWrite, Store, StoreError,
    Transaction,
};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::provider_cache::ProviderCache;

const NAME: &str = "fido";
/// Interval between checks for work.
const LOOK: Duration = Duration::from_secs(30);
/// Interval between downloads if nothing is due earlier.
const ASK: Duration = Duration::from_hours(24);
const FIRST_DELAY: Duration = Duration::from_mins(1);
const LONGEST_DELAY: Duration = Duration::from_hours(6);
/// The precision of `nextUpdate`, which is a date.
const DAY: Duration = Duration::from_hours(24);

/// The location of the metadata.
#[derive(Debug, Clone)]
pub enum Location {
    /// An HTTP URL.
    Url(Uri),
    /// A file, for Clusters without network access.
    File(PathBuf),
}

/// The location of the metadata, and the required signer.
#[derive(Debug, Clone)]
pub struct Source {
    /// Location; `None` uses the metadata that another replica stored.
    pub location: Option<Location>,
    /// Certificates of trusted authorities, in DER.
    pub anchors: Vec<Vec<u8>>,
    /// Required name in the certificate of the signer.
    pub publisher: String,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            location: None,
            anchors: default_anchors(),
            publisher: PUBLISHER.to_owned(),
        }
    }
}

/// The verified facts about the model of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attested {
    pub(crate) description: String,
    pub(crate) is_verified: bool,
    pub(crate) is_software: bool,
    pub(crate) is_hardware: bool,
    /// FIDO certification level; 0 if not certified.
    pub(crate) certification_level: u32,
}

/// The current assessment of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No metadata are loaded.
    NoMetadata,
    /// The model is compromised.
    Compromised,
    /// Certification level; 0 if not certified.
    Level(u32),
}

/// The ports that the updates of the metadata need.
#[derive(Clone, Copy)]
pub(crate) struct Ports<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) rng: &'a dyn Rng,
    pub(crate) providers: &'a ProviderCache,
}

/// The metadata and their update state on one replica.
#[derive(Default)]
pub(crate) struct MetadataService {
    source: Source,
    current: ArcSwapOption<Loaded>,
    attempts: Mutex<Attempts>,
}

struct Loaded {
    metadata: Metadata,
    digest: Vec<u8>,
    stored_at: UnixMillis,
}

#[derive(Default)]
struct Attempts {
    failures: u32,
    next: Option<UnixMillis>,
    last_error: String,
    /// The last error that was logged.
    logged_error: String,
}

/// The unsealed part of the stored document. The metadata are in its sealed part.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(int64, tag = "3")]
    stored_at: i64,
}

/// The reason why no newer metadata were loaded.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Unreachable(String),
    #[error(transparent)]
    Rejected(#[from] Rejected),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Commit(#[from] CommitError),
    #[error("the stored metadata cannot be read")]
    Damaged,
}

impl MetadataService {
    /// Creates the service with metadata from `source`.
    pub(crate) fn from(source: Source) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// Returns the facts that the attestation of a registration proves. They are empty if no metadata are loaded.
    ///
    /// # Errors
    /// Returns an error if the attestation claims a known model but does not match it, or if the model is compromised.
    pub(crate) fn attest(
        &self,
        registered: &Registered,
        now: UnixMillis,
    ) -> Result<Attested, authn::mds::AttestationRejection> {
        let current = self.current.load();
        let Some(current) = current.as_ref() else {
            return Ok(Attested::default());
        };
        let Some(entry) = current.metadata.attest(registered, now)? else {
            return Ok(Attested::default());
        };
        Ok(Attested {
            description: entry.description.clone(),
            is_verified: true,
            is_software: entry.is_software(),
            is_hardware: entry.is_hardware(),
            certification_level: entry.authenticator_status(now).level(),
        })
    }

    /// Returns the current assessment of a model that was proven at registration.
    pub(crate) fn verdict(&self, model: &AttestedModel, now: UnixMillis) -> Verdict {
        let current = self.current.load();
        let Some(current) = current.as_ref() else {
            return Verdict::NoMetadata;
        };
        let entry = match model {
            AttestedModel::None => None,
            AttestedModel::Aaguid(aaguid) => current.metadata.model(*aaguid),
            AttestedModel::KeyIdentifier(key) => current.metadata.model_of_key(key, now),
        };
        match entry.map(|entry| entry.authenticator_status(now)) {
            Some(AuthenticatorStatus::Compromised) => Verdict::Compromised,
            Some(authenticator_status) => Verdict::Level(authenticator_status.level()),
            // A model that is no longer listed counts as not certified.
            None => Verdict::Level(0),
        }
    }

    /// Returns the state for administrators.
    pub(crate) fn state(&self, now: UnixMillis) -> MetadataServiceState {
        let current = self.current.load();
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let source = match &self.source.location {
            None => String::new(),
            Some(Location::Url(url)) => url.to_string(),
            Some(Location::File(path)) => path.display().to_string(),
        };
        let mut state = MetadataServiceState {
            source,
            last_error: attempts.last_error.clone(),
            next_attempt_at: attempts.next.map(UnixMillis::to_proto),
            ..MetadataServiceState::default()
        };
        if let Some(current) = current.as_ref() {
            let metadata = &current.metadata;
            state.number = metadata.number;
            state.next_update = Some(metadata.next_update.to_proto());
            state.stored_at = Some(current.stored_at.to_proto());
            state.entries = u32::try_from(metadata.entries.len()).unwrap_or(u32::MAX);
            state.set_state(if is_stale(metadata, now) {
                State::Stale
            } else {
                State::Current
            });
        } else {
            state.set_state(State::None);
        }
        state
    }

    /// Loads stored metadata, and renews them when due, until `stop`.
    pub(crate) async fn run(&self, ports: Ports<'_>, stop: &CancellationToken) {
        loop {
            self.check_for_update(ports).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Makes one check. A failure is logged and retried later, and the current metadata stay in use.
    pub(crate) async fn check_for_update(&self, ports: Ports<'_>) {
        let now = ports.clock.now();
        // Stored metadata that this replica does not trust, because it has other authorities, must not prevent a
        // download.
        let mut outcome = self.take_over(ports, now).await;
        if self.is_due(now) {
            outcome = self.renew(ports, now).await;
            self.note(&outcome, now);
        }
        self.log_outcome(&outcome);
        let current = self.current.load();
        let is_stale = current
            .as_ref()
            .is_some_and(|current| is_stale(&current.metadata, now));
        metrics::gauge!("octelium_mds_stale").set(f64::from(u8::from(is_stale)));
    }

    fn is_due(&self, now: UnixMillis) -> bool {
        if self.source.location.is_none() {
            return false;
        }
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.next.is_none_or(|next| now >= next)
    }

    /// Logs an error once, until it changes or is resolved.
    fn log_outcome(&self, outcome: &Result<(), Failed>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = outcome else {
            attempts.logged_error.clear();
            if self.source.location.is_none() {
                // Without a location, no other step can fail.
                attempts.last_error.clear();
            }
            return;
        };
        let error = error.to_string();
        if attempts.logged_error != error {
            tracing::warn!(
                error,
                "the metadata of authenticators could not be updated; the previous metadata stay in use"
            );
        }
        attempts.last_error.clone_from(&error);
        attempts.logged_error = error;
    }

    fn note(&self, outcome: &Result<(), Failed>, now: UnixMillis) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if outcome.is_err() {
            let factor = 1_u32.checked_shl(attempts.failures).unwrap_or(u32::MAX);
            let delay = FIRST_DELAY.saturating_mul(factor).min(LONGEST_DELAY);
            attempts.failures = attempts.failures.saturating_add(1);
            attempts.next = Some(now.saturating_add(delay));
            return;
        }
        let ask = now.saturating_add(ASK);
        let current = self.current.load();
        let next = current.as_ref().map(|current| current.metadata.next_update);
        // Newer metadata are expected on this day.
        let next = next.filter(|next| *next > now);
        *attempts = Attempts {
            next: Some(next.map_or(ask, |next| ask.min(next))),
            ..Attempts::default()
        };
    }

    /// Loads the stored metadata if they differ from the current ones.
    async fn take_over(&self, ports: Ports<'_>, now: UnixMillis) -> Result<(), Failed> {
        let Some((document, record)) = stored(ports, now).await? else {
            return Ok(());
        };
        let current = self.current.load();
        if current
            .as_ref()
            .is_some_and(|current| current.digest == record.digest)
        {
            return Ok(());
        }
        let blob = ports
            .store
            .secret(Kind::AuthenticatorMetadata, document.uid)
            .await?;
        let blob = blob.ok_or(Failed::Damaged)?.to_vec();
        let metadata = self.verify(blob, None, now).await?;
        self.current.store(Some(Arc::new(Loaded {
            metadata,
            digest: record.digest,
            stored_at: UnixMillis(record.stored_at),
        })));
        Ok(())
    }

    /// Downloads the metadata, verifies and stores them.
    async fn renew(&self, ports: Ports<'_>, now: UnixMillis) -> Result<(), Failed> {
        let blob = self.fetch(ports).await?;
        let digest = digest::digest(&digest::SHA256, &blob).as_ref().to_vec();
        let before = stored_document(ports, now).await?;
        let current = self.current.load();
        // Stored metadata that are not in use here are damaged, or signed by a party that is not trusted here. They
        // are ignored.
        let in_use = before.as_ref().and_then(|document| {
            let record = Record::decode(document.body.as_slice()).ok()?;
            let is_used = current
                .as_ref()
                .is_some_and(|current| current.digest == record.digest);
            is_used.then_some(record)
        });
        if in_use
            .as_ref()
            .is_some_and(|record| record.digest == digest)
        {
            return Ok(());
        }
        let known = in_use.map(|record| record.number);
        let metadata = self.verify(blob.clone(), known, now).await?;
        let record = Record {
            number: metadata.number,
            digest: digest.clone(),
            stored_at: now.0,
        };
        let (uid, expected) = match &before {
            Some(document) => (document.uid, Expected::Revision(document.revision)),
            None => (Uid::random(ports.rng), Expected::Absent),
        };
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Put(
            new_document(uid, &record, blob, now),
            expected,
        ));
        match ports.store.commit(transaction).await {
            Ok(_) => {}
            // Another replica was faster. If its number is lower, the next check replaces its metadata.
            Err(CommitError::Conflict { .. } | CommitError::NameTaken { .. }) => {
                return self.take_over(ports, now).await;
            }
            Err(error) => return Err(error.into()),
        }
        tracing::info!(
            number = metadata.number,
            entries = metadata.entries.len(),
            "newer metadata of authenticators are already stored"
        );
        self.current.store(Some(Arc::new(Loaded {
            metadata,
            digest,
            stored_at: now,
        })));
        Ok(())
    }

    async fn fetch(&self, ports: Ports<'_>) -> Result<Vec<u8>, Failed> {
        match &self.source.location {
            None => Err(Failed::Unreachable("no source is configured".to_owned())),
            Some(Location::Url(url)) => ports
                .providers
                .outbound()
                .get(url, LARGEST)
                .await
                .map_err(|error| Failed::Unreachable(error.to_string())),
            Some(Location::File(path)) => {
                let failed = |error: std::io::Error| {
                    Failed::Unreachable(format!("{}: {error}", path.display()))
                };
                let file = tokio::fs::File::open(path).await.map_err(failed)?;
                let mut blob = Vec::new();
                let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
                file.take(most)
                    .read_to_end(&mut blob)
                    .await
                    .map_err(failed)?;
                Ok(blob)
            }
        }
    }

    /// Verifies the metadata on a blocking thread.
    async fn verify(
        &self,
        blob: Vec<u8>,
        known: Option<u64>,
        now: UnixMillis,
    ) -> Result<Metadata, Failed> {
        let anchors = self.source.anchors.clone();
        let publisher = self.source.publisher.clone();
        let verified = tokio::task::spawn_blocking(move || {
            let trust = Trust {
                anchors: &anchors,
                publisher: &publisher,
            };
            Metadata::verify(&blob, trust, known, now)
        });
        Ok(verified.await.map_err(|_| Failed::Damaged)??)
    }
}

fn is_stale(metadata: &Metadata, now: UnixMillis) -> bool {
    now >= metadata.next_update.saturating_add(DAY)
}

async fn stored_document(
    ports: Ports<'_>,
    now: UnixMillis,
) -> Result<Option<Document>, StoreError> {
    let kind = Kind::AuthenticatorMetadata;
    ports.store.get_by_name(kind, NAME, now).await
}

async fn stored(ports: Ports<'_>, now: UnixMillis) -> Result<Option<(Document, Record)>, Failed> {
    let Some(document) = stored_document(ports, now).await? else {
        return Ok(None);
    };
    let record = Record::decode(document.body.as_slice()).map_err(|_| Failed::Damaged)?;
    Ok(Some((document, record)))
}

/// Builds the stored document. The metadata are not secret, but the sealed part is read only on demand.
fn new_document(uid: Uid, record: &Record, blob: Vec<u8>, now: UnixMillis) -> NewDocument {
    NewDocument {
        kind: Kind::AuthenticatorMetadata,
        uid,
        name: NAME.to_owned(),
        created_at: now,
        expires_at: None,
        body: record.encode_to_vec(),
        indexes: Vec::new(),
        secret: SecretWrite::Set(blob.into()),
    }
}

#[cfg(test)]
mod tests;
