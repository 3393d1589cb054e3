//! Backup and restore. The format is independent of the backend: either one can restore a backup of either.
//!
//! A backup is one consistent state: documents with their index entries, audit events, usage and counters. It leaves
//! out single-use records, because a record consumed after the backup must not become valid again, and the change log.
//! Secrets stay sealed under the master key, which is not in the backup and without which the backup is useless. The
//! same key authenticates the backup, so that nothing can be inserted without it.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::{constant_time, hmac};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use prost::Message as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use crate::{
    Backend, Store, StoreConfig, StoreError,
    backup_format::{
        DumpedDocument, Header, Item, LONGEST_RECORD, Load, MAC_LEN, MAGIC, Record, VERSION,
    },
    open::open_unfinished,
    row,
    seal::{KeyId, Sealer, SecretLocation},
};

/// The number of items buffered between the store and the file.
const BUFFERED: usize = 256;

/// The content of a backup that was written or read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of documents by kind.
    pub documents: BTreeMap<Kind, u64>,
    /// The number of audit events.
    pub audit_events: u64,
    /// The time of the backup.
    pub created_at: UnixMillis,
}

/// The content to leave out of a restore.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Kinds of documents to leave out, such as Sessions, which may have been revoked since the backup.
    pub without: Vec<Kind>,
    /// The Cluster to which the backup must belong. Any Cluster if `None`.
    pub cluster: Option<Uid>,
}

/// A store that contains a backup and is marked as unfinished. Until [`Self::finish`], [`open`](crate::open) refuses
/// it, and [`import`] replaces its content.
#[must_use = "the store cannot be opened until the restore is finished"]
pub struct Restored {
    backend: Backend,
    summary: Summary,
}

impl Restored {
    /// Returns the storage port, for changes before the restore is finished.
    pub fn store(&self) -> Arc<dyn Store> {
        self.backend.store()
    }

    /// Returns the content of the backup.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Removes the mark, so that the store can be opened. Returns the content of the backup.
    ///
    /// # Errors
    /// Returns an error if the store fails. The restore must then be repeated.
    pub async fn finish(self) -> Result<Summary, StoreError> {
        self.backend.finish_restore().await?;
        Ok(self.summary)
    }
}

/// Writes a backup of `backend` to `target`, from one snapshot. Concurrent writes to the store continue.
///
/// # Errors
/// Returns an error if the store or `target` fails.
pub async fn export(
    backend: &Backend,
    target: impl AsyncWrite + Send + Unpin,
    now: UnixMillis,
) -> Result<Summary, StoreError> {
    let sealer = backend.sealer();
    let (key_id, context) = sealer.authenticate();
    let mut output = Output { target, context };
    let header = Header {
        version: VERSION,
        cluster_uid: backend.cluster_uid().as_bytes().to_vec(),
        created_at: now.0,
        key_id: key_id.as_bytes().to_vec(),
    };
    output.write(MAGIC).await?;
    output.write_record(&header.encode_to_vec()).await?;
    let mut summary = Summary {
        created_at: now,
        ..Summary::default()
    };
    let mut items: u64 = 0;
    let mut dump = backend.dump(BUFFERED);
    while let Some(item) = dump.recv().await {
        let item = match item? {
            Item::Document(document) => Item::Document(under_present_key(document, sealer)?),
            other => other,
        };
        summary.add(&item)?;
        items += 1;
        let record = Record { item: Some(item) };
        output.write_record(&record.encode_to_vec()).await?;
    }
    output.finish(items).await?;
    Ok(summary)
}

/// Restores a backup into the empty store of `config`, in one transaction. The Cluster keeps the uid of the backup. The
/// content of an unfinished restore is replaced.
///
/// If the current master key is not that of the backup, the latter must be given as a former one
/// ([`MasterKeys::with_former`](crate::seal::MasterKeys::with_former)).
///
/// # Errors
/// Returns an error if the store is not empty, the backup is damaged, altered, of another version or of another Cluster
/// than [`ImportOptions::cluster`], or its master key was not given.
pub async fn import(
    config: StoreConfig,
    source: impl AsyncRead + Send + Unpin,
    options: &ImportOptions,
) -> Result<Restored, StoreError> {
    let backend = open_unfinished(config.clone()).await?;
    let sealer = backend.sealer();
    let mut input = Input {
        source,
        seen: MAGIC.to_vec(),
        context: None,
    };
    let header = input.read_header(sealer).await?;
    let cluster_uid = row::uid(&header.cluster_uid)?;
    check_cluster(cluster_uid, options)?;
    let (load, loading) = mpsc::channel(BUFFERED);
    let loaded = backend.load(cluster_uid, loading);
    let read = read_items(&mut input, sealer, options, load);
    let (loaded, read) = tokio::join!(loaded, read);
    // Report the error of the store first: if it gives up, reading fails only as a consequence.
    let is_committed = loaded?;
    let mut summary = read?;
    if !is_committed {
        return Err(StoreError::new("the restore was cancelled"));
    }
    summary.created_at = UnixMillis(header.created_at);
    // Opened again, because the backend still has the previous uid of the Cluster.
    drop(backend);
    Ok(Restored {
        backend: open_unfinished(config).await?,
        summary,
    })
}

fn check_cluster(backed_up: Uid, options: &ImportOptions) -> Result<(), StoreError> {
    if let Some(expected) = options.cluster
        && expected != backed_up
    {
        return Err(StoreError::new(format!(
            "the backup is of Cluster {backed_up}, but the store that it replaces is of Cluster {expected}: restore \
             into a new data directory, or set the former database to that of Cluster {backed_up}"
        )));
    }
    Ok(())
}

async fn read_items(
    input: &mut Input<impl AsyncRead + Send + Unpin>,
    sealer: &Sealer,
    options: &ImportOptions,
    load: mpsc::Sender<Load>,
) -> Result<Summary, StoreError> {
    let gone = || StoreError::new("the store stopped reading the backup");
    let mut summary = Summary::default();
    let mut items: u64 = 0;
    while let Some(record) = input.read_record().await? {
        items += 1;
        let record =
            Record::decode(record.as_slice()).map_err(|_| damaged("a malformed record"))?;
        let item = match record.item {
            None => return Err(damaged("an unknown record")),
            Some(Item::Document(document)) => {
                if options.without.contains(&row::kind(&document.kind)?) {
                    continue;
                }
                Item::Document(under_present_key(document, sealer)?)
            }
            Some(other) => other,
        };
        summary.add(&item)?;
        load.send(Load::Item(item)).await.map_err(|_| gone())?;
    }
    input.check_end(items).await?;
    load.send(Load::Finish).await.map_err(|_| gone())?;
    Ok(summary)
}

impl Summary {
    fn add(&mut self, item: &Item) -> Result<(), StoreError> {
        match item {
            Item::Document(document) => {
                *self
                    .documents
                    .entry(row::kind(&document.kind)?)
                    .or_default() += 1;
            }
            Item::Audit(_) => self.audit_events += 1,
            Item::Usage(_) | Item::Counter(_) => {}
        }
        Ok(())
    }
}

fn under_present_key(
    mut document: DumpedDocument,
    sealer: &Sealer,
) -> Result<DumpedDocument, StoreError> {
    if let Some(sealed) = &document.sealed
        && !sealer.is_present(sealed)
    {
        let place =
            SecretLocation::of_document(row::kind(&document.kind)?, row::uid(&document.uid)?);
        document.sealed = Some(sealer.seal(place, &sealer.open(place, sealed)?)?);
    }
    Ok(document)
}

struct Output<W> {
    target: W,
    context: hmac::Context,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.context.update(bytes);
        self.write_unauthenticated(bytes).await
    }

    async fn write_record(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(record.len())
            .ok()
            .filter(|length| *length <= LONGEST_RECORD)
            .ok_or_else(|| StoreError::new("a document is too large for a backup"))?;
        self.write(&length.to_be_bytes()).await?;
        self.write(record).await
    }

    async fn finish(mut self, items: u64) -> Result<(), StoreError> {
        self.write(&0_u32.to_be_bytes()).await?;
        self.write(&items.to_be_bytes()).await?;
        let mac = self.context.clone().sign();
        self.write_unauthenticated(mac.as_ref()).await?;
        self.target
            .shutdown()
            .await
            .map_err(|error| StoreError::new("writing the backup").caused_by(error))
    }

    async fn write_unauthenticated(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.target
            .write_all(bytes)
            .await
            .map_err(|error| StoreError::new("writing the backup").caused_by(error))
    }
}

struct Input<R> {
    source: R,
    /// The bytes read before the key was known.
    seen: Vec<u8>,
    context: Option<hmac::Context>,
}

impl<R: AsyncRead + Unpin> Input<R> {
    async fn read_header(&mut self, sealer: &Sealer) -> Result<Header, StoreError> {
        let mut magic = vec![0; MAGIC.len()];
        self.source
            .read_exact(&mut magic)
            .await
            .map_err(|_| StoreError::new("this is not a backup"))?;
        if magic != MAGIC {
            return Err(StoreError::new("this is not a backup"));
        }
        let record = self
            .read_record()
            .await?
            .ok_or_else(|| damaged("no header"))?;
        let header =
            Header::decode(record.as_slice()).map_err(|_| damaged("a malformed header"))?;
        if header.version != VERSION {
            return Err(StoreError::new(format!(
                "the backup has the format {}, but this version reads {VERSION}",
                header.version
            )));
        }
        let key_id = KeyId::from_bytes(&header.key_id).ok_or_else(|| damaged("no key id"))?;
        let mut context = sealer.authenticate_with(key_id).ok_or_else(|| {
            StoreError::new(format!(
                "the backup was made with the master key {key_id}, which was not given"
            ))
        })?;
        context.update(&self.seen);
        self.seen = Vec::new();
        self.context = Some(context);
        Ok(header)
    }

    /// Reads the next record, or `None` after the last one.
    async fn read_record(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let mut length = [0; 4];
        self.read(&mut length).await?;
        let length = u32::from_be_bytes(length);
        if length == 0 {
            return Ok(None);
        }
        if length > LONGEST_RECORD {
            return Err(damaged("a record that is too long"));
        }
        let mut record = vec![0; usize::try_from(length).unwrap_or(0)];
        self.read(&mut record).await?;
        Ok(Some(record))
    }

    async fn check_end(&mut self, items: u64) -> Result<(), StoreError> {
        let mut count = [0; 8];
        self.read(&mut count).await?;
        let mut mac = [0; MAC_LEN];
        self.source
            .read_exact(&mut mac)
            .await
            .map_err(|_| damaged("it ends too early"))?;
        let expected = self
            .context
            .take()
            .ok_or_else(|| damaged("no header"))?
            .sign();
        let is_authentic = constant_time::verify_slices_are_equal(expected.as_ref(), &mac).is_ok();
        if !is_authentic || u64::from_be_bytes(count) != items {
            return Err(damaged("its contents were changed"));
        }
        Ok(())
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.source
            .read_exact(bytes)
            .await
            .map_err(|_| damaged("it ends too early"))?;
        match &mut self.context {
            Some(context) => context.update(bytes),
            None => self.seen.extend_from_slice(bytes),
        }
        Ok(())
    }
}

fn damaged(how: &str) -> StoreError {
    StoreError::new(format!("the backup is damaged or was changed: {how}"))
}
