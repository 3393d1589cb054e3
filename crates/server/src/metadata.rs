//! The metadata of authenticators that the FIDO Alliance publishes (MDS 3.1), for the whole Cluster.
//!
//! One replica fetches them or reads a file, verifies what it gets and stores it; all use what is stored, and verify it
//! again. So a Cluster starts and works without the publisher. What is older than what is stored, or is signed by
//! somebody else, changes nothing.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::platform_v1::{MetadataServiceState, metadata_service_state::State};
use arc_swap::ArcSwapOption;
use authn::{
    mds::{LARGEST, Metadata, PUBLISHER, Rejected, Standing, Trust, default_anchors},
    webauthn::{AttestedModel, Registered},
};
use aws_lc_rs::digest;
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use http::Uri;
use prost::Message as _;
use store::{
    CommitError, Document, Expected, NewDocument, Operation, SecretWrite, StoreError, Transaction,
};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::Context;

const NAME: &str = "fido";
/// How often a replica looks whether there is anything to do.
const LOOK: Duration = Duration::from_secs(30);
/// How often the publisher is asked while nothing is due.
const ASK: Duration = Duration::from_hours(24);
const FIRST_DELAY: Duration = Duration::from_mins(1);
const LONGEST_DELAY: Duration = Duration::from_hours(6);
/// `nextUpdate` is a day.
const DAY: Duration = Duration::from_hours(24);

/// Where metadata come from.
#[derive(Debug, Clone)]
pub enum Location {
    /// Over the network.
    Url(Uri),
    /// A file, for Clusters that reach nobody.
    File(PathBuf),
}

/// Where metadata come from, and who must have signed them.
#[derive(Debug, Clone)]
pub struct Source {
    /// `None` uses what another replica has stored.
    pub location: Option<Location>,
    /// Authorities, in DER.
    pub anchors: Vec<Vec<u8>>,
    /// The name in the certificate of the signer.
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

/// What is known of the model of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Attested {
    pub(crate) description: String,
    pub(crate) is_verified: bool,
    pub(crate) is_software: bool,
    pub(crate) is_hardware: bool,
    /// 0 for none.
    pub(crate) certification_level: u32,
}

/// What is known of a model now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There are no metadata here, or not yet.
    NoMetadata,
    /// Something is known against it.
    Compromised,
    /// Its certification level: 0 for none.
    Level(u32),
}

/// What a replica knows of them.
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
    /// What was written to the log last.
    told: String,
}

/// The open part of what is stored; the metadata themselves are beside it.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(int64, tag = "3")]
    stored_at: i64,
}

/// Why there are no newer ones.
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
    #[error("what is stored cannot be read")]
    Damaged,
}

impl MetadataService {
    /// With metadata from `source`.
    pub(crate) fn from(source: Source) -> Self {
        Self {
            source,
            ..Self::default()
        }
    }

    /// What the attestation of a registration proves; nothing where there are no metadata.
    ///
    /// # Errors
    /// Where it claims a model that is known, and is not of it, or the model is compromised.
    pub(crate) fn attest(
        &self,
        registered: &Registered,
        now: UnixMillis,
    ) -> Result<Attested, authn::mds::Unattested> {
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
            certification_level: entry.standing(now).level(),
        })
    }

    /// What is known now of a model that was proved before.
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
        match entry.map(|entry| entry.standing(now)) {
            Some(Standing::Compromised) => Verdict::Compromised,
            Some(standing) => Verdict::Level(standing.level()),
            // Of what nobody knows any more, nothing is certified.
            None => Verdict::Level(0),
        }
    }

    /// What administrators are told.
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

    /// Takes over what is stored, and asks the publisher where that is due, until `stop`.
    pub(crate) async fn run(&self, ctx: &Context, stop: &CancellationToken) {
        loop {
            self.look(ctx).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// One look. What fails is told, and tried again later: what there is stays in use.
    pub(crate) async fn look(&self, ctx: &Context) {
        let now = ctx.now();
        // What is stored and not trusted here, as others trust it who have other authorities, is no reason not to ask.
        let mut outcome = self.take_over(ctx, now).await;
        if self.is_due(now) {
            outcome = self.renew(ctx, now).await;
            self.note(&outcome, now);
        }
        self.tell(&outcome);
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

    /// Each reason once, until there is another or none.
    fn tell(&self, outcome: &Result<(), Failed>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = outcome else {
            attempts.told.clear();
            if self.source.location.is_none() {
                // Nothing else is tried here that could still fail.
                attempts.last_error.clear();
            }
            return;
        };
        let error = error.to_string();
        if attempts.told != error {
            tracing::warn!(
                error,
                "the metadata of authenticators could not be renewed; those that are there stay"
            );
        }
        attempts.last_error.clone_from(&error);
        attempts.told = error;
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
        // The day on which there should be later ones.
        let next = next.filter(|next| *next > now);
        *attempts = Attempts {
            next: Some(next.map_or(ask, |next| ask.min(next))),
            ..Attempts::default()
        };
    }

    /// Uses what is stored, where it is not what is used.
    async fn take_over(&self, ctx: &Context, now: UnixMillis) -> Result<(), Failed> {
        let Some((document, record)) = stored(ctx, now).await? else {
            return Ok(());
        };
        let current = self.current.load();
        if current
            .as_ref()
            .is_some_and(|current| current.digest == record.digest)
        {
            return Ok(());
        }
        let blob = ctx
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

    /// Asks the publisher.
    async fn renew(&self, ctx: &Context, now: UnixMillis) -> Result<(), Failed> {
        let blob = self.fetch(ctx).await?;
        let digest = digest::digest(&digest::SHA256, &blob).as_ref().to_vec();
        let before = stored_document(ctx, now).await?;
        let current = self.current.load();
        // What is stored and not in use here is of somebody who is not trusted here, or damaged: it says nothing.
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
            None => (ctx.new_uid(), Expected::Absent),
        };
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Put(
            new_document(uid, &record, blob, now),
            expected,
        ));
        match ctx.store.commit(transaction).await {
            Ok(_) => {}
            // Another replica was quicker; its number is at least as high or is found to be lower next time.
            Err(CommitError::Conflict { .. } | CommitError::NameTaken { .. }) => {
                return self.take_over(ctx, now).await;
            }
            Err(error) => return Err(error.into()),
        }
        tracing::info!(
            number = metadata.number,
            entries = metadata.entries.len(),
            "there are newer metadata of authenticators"
        );
        self.current.store(Some(Arc::new(Loaded {
            metadata,
            digest,
            stored_at: now,
        })));
        Ok(())
    }

    async fn fetch(&self, ctx: &Context) -> Result<Vec<u8>, Failed> {
        match &self.source.location {
            None => Err(Failed::Unreachable("there is no source".to_owned())),
            Some(Location::Url(url)) => ctx
                .federation
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

    /// Verifies them where that holds nobody up.
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

async fn stored_document(ctx: &Context, now: UnixMillis) -> Result<Option<Document>, StoreError> {
    let kind = Kind::AuthenticatorMetadata;
    ctx.store.get_by_name(kind, NAME, now).await
}

async fn stored(ctx: &Context, now: UnixMillis) -> Result<Option<(Document, Record)>, Failed> {
    let Some(document) = stored_document(ctx, now).await? else {
        return Ok(None);
    };
    let record = Record::decode(document.body.as_slice()).map_err(|_| Failed::Damaged)?;
    Ok(Some((document, record)))
}

/// They are no secret: what is sealed is read only when it is needed, though.
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
