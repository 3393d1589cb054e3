//! A planned transaction: a view of the store with the staged changes applied.

use std::collections::{BTreeMap, BTreeSet};

use api::{meta_v1::Metadata, platform_v1::AuditEvent};
use domain::{clock::UnixMillis, id::Uid, kind::Kind};
use store::{
    CommitError, Cursor, Document, Expected, IndexEntry, NewDocument, Operation, Order, Query,
    Revision, SecretWrite, Transaction,
};
use subtle::ConstantTimeEq as _;

use super::{author::Author, metadata};
use crate::{
    Context, Error,
    audit::{self, Change},
    document::{
        codec::{self, Resource, Stored},
        index, load,
    },
};

/// Reads the store through the staged changes, and commits them as one transaction.
///
/// The transaction fails if a resource read with [`Draft::require`] changes before the commit. A rule that was checked
/// during planning therefore still holds at the commit.
pub struct Draft<'a> {
    /// The Cluster.
    pub context: &'a Context,
    /// The author of the writes.
    pub author: &'a Author,
    /// The time of the whole transaction.
    pub now: UnixMillis,
    read: BTreeMap<(Kind, String), Option<Document>>,
    staged: BTreeMap<(Kind, String), Staged>,
    /// The name of each staged uid.
    names: BTreeMap<(Kind, Uid), String>,
    /// The names of objects that are, or were, staged with an index entry.
    entries: BTreeMap<(Kind, &'static str, String), BTreeSet<String>>,
    /// Keys in staging order.
    order: Vec<(Kind, String)>,
    guards: BTreeMap<(Kind, Uid), Revision>,
    /// Internal documents to delete.
    internal: BTreeMap<(Kind, Uid), Revision>,
    limits: Vec<Operation>,
    audit: Vec<Operation>,
    weakened: AccessReductions,
}

/// Staged changes and deletions that can take away access to the API.
#[derive(Debug, Clone, Default)]
pub struct AccessReductions {
    /// True if a Group, a Policy or the `ClusterConfig` is affected, which many Users share.
    pub shared: bool,
    /// The Users with an affected User, Credential, Session or Device.
    pub users: BTreeSet<Uid>,
}

enum Staged {
    Put {
        document: Document,
        write: Box<NewDocument>,
        expected: Expected,
    },
    Delete {
        uid: Uid,
        revision: Option<Revision>,
    },
}

impl<'a> Draft<'a> {
    /// Creates an empty draft.
    pub fn new(context: &'a Context, author: &'a Author) -> Self {
        Self {
            context,
            author,
            now: context.now(),
            read: BTreeMap::new(),
            staged: BTreeMap::new(),
            names: BTreeMap::new(),
            entries: BTreeMap::new(),
            order: Vec::new(),
            guards: BTreeMap::new(),
            internal: BTreeMap::new(),
            limits: Vec::new(),
            audit: Vec::new(),
            weakened: AccessReductions::default(),
        }
    }

    /// Returns the staged changes and deletions that can take away access to the API.
    pub fn weakened(&self) -> &AccessReductions {
        &self.weakened
    }

    /// Discards all staged changes, so that nothing is committed.
    pub fn discard(&mut self) {
        self.staged.clear();
        self.names.clear();
        self.order.clear();
        self.audit.clear();
        self.guards.clear();
        self.internal.clear();
        self.limits.clear();
    }

    /// Returns the resource with this name.
    ///
    /// # Errors
    /// Returns `InvalidArgument` if the name is too long, and `Unavailable` or `Internal` if the store fails.
    pub async fn find<T: Resource>(&mut self, name: &str) -> Result<Option<Stored<T>>, Error> {
        metadata::check_lengths(T::DOCUMENT, name, "")?;
        let key = (T::DOCUMENT, name.to_owned());
        match self.staged.get(&key) {
            Some(Staged::Put { document, .. }) => return Ok(Some(codec::decode(document)?)),
            Some(Staged::Delete { .. }) => return Ok(None),
            None => {}
        }
        let document = if let Some(document) = self.read.get(&key) {
            document.clone()
        } else {
            let store = &self.context.store;
            let document = store.get_by_name(T::DOCUMENT, name, self.now).await?;
            self.read.insert(key, document.clone());
            document
        };
        Ok(document.as_ref().map(codec::decode).transpose()?)
    }

    /// Returns the resource with this uid.
    ///
    /// # Errors
    /// Returns `Unavailable` or `Internal` if the store fails.
    pub async fn find_by_uid<T: Resource>(&mut self, uid: Uid) -> Result<Option<Stored<T>>, Error> {
        if let Some(staged) = self.staged_with_uid(T::DOCUMENT, uid) {
            return match staged {
                Staged::Put { document, .. } => Ok(Some(codec::decode(document)?)),
                Staged::Delete { .. } => Ok(None),
            };
        }
        Ok(load::by_uid(&*self.context.store, uid, self.now).await?)
    }

    /// Returns the resource with this name and guards it against changes until the commit.
    ///
    /// # Errors
    /// Returns the errors of [`Draft::find`].
    pub async fn require<T: Resource>(&mut self, name: &str) -> Result<Option<Stored<T>>, Error> {
        let found = self.find::<T>(name).await?;
        if let Some(found) = &found {
            self.hold(found);
        }
        Ok(found)
    }

    /// Makes the commit fail if the resource is no longer at the revision that was read. Staged resources need no
    /// guard: their write checks the revision.
    pub fn hold<T: Resource>(&mut self, read: &Stored<T>) {
        self.hold_revision(T::DOCUMENT, read.uid, read.revision);
    }

    /// Like [`Draft::hold`], by kind, uid and revision.
    pub fn hold_revision(&mut self, kind: Kind, uid: Uid, revision: Revision) {
        if self.staged_with_uid(kind, uid).is_none() {
            self.guards.insert((kind, uid), revision);
        }
    }

    /// Returns whether `secret` equals the sealed secret of the resource, compared in constant time. A caller who may
    /// write the secret learns only this.
    ///
    /// # Errors
    /// Returns `Unavailable` if the store cannot answer now.
    pub async fn has_secret<T: Resource>(&self, uid: Uid, secret: &[u8]) -> Result<bool, Error> {
        if self.staged_with_uid(T::DOCUMENT, uid).is_some() {
            return Ok(false);
        }
        match self.context.store.secret(T::DOCUMENT, uid).await {
            Ok(sealed) => {
                Ok(sealed.is_some_and(|sealed| bool::from(sealed.as_slice().ct_eq(secret))))
            }
            Err(error) if error.transient => Err(error.into()),
            Err(error) => {
                // A secret that cannot be opened is replaced.
                tracing::error!(%error, "a secret cannot be decrypted");
                Ok(false)
            }
        }
    }

    /// Returns at most `limit` resources with an index entry.
    ///
    /// # Errors
    /// Returns `Unavailable` or `Internal` if the store fails.
    pub async fn by_index<T: Resource>(
        &mut self,
        index: &'static str,
        value: &str,
        limit: u32,
    ) -> Result<Vec<Stored<T>>, Error> {
        let staged_count = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let store = &*self.context.store;
        let limit_with_staged = limit.saturating_add(staged_count);
        let (stored, _) =
            load::by_index::<T>(store, index, value, limit_with_staged, self.now).await?;
        let mut found: Vec<Stored<T>> = stored
            .into_iter()
            .filter(|stored| self.staged_with_uid(T::DOCUMENT, stored.uid).is_none())
            .collect();
        let key = (T::DOCUMENT, index, value.to_owned());
        for name in self.entries.get(&key).into_iter().flatten() {
            // A later write may have removed the entry.
            if let Some(Staged::Put {
                document, write, ..
            }) = self.staged.get(&(T::DOCUMENT, name.clone()))
                && write
                    .indexes
                    .iter()
                    .any(|entry| entry.index == index && entry.value == value)
            {
                found.push(codec::decode(document)?);
            }
        }
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Makes the commit fail unless fewer than `below` resources have an index entry after the transaction.
    pub fn limit(&mut self, kind: Kind, index: &'static str, value: impl Into<String>, below: u32) {
        self.limits.push(Operation::Limit {
            kind,
            index,
            value: value.into(),
            below,
        });
    }

    /// Stages a new resource and returns it as readers will see it.
    ///
    /// # Errors
    /// Returns `Internal` if the encoded resource cannot be decoded.
    pub fn create<T: Resource>(&mut self, mut message: T, secret: SecretWrite) -> Result<T, Error> {
        let uid = self.context.new_uid();
        self.sign(message.metadata_mut());
        message.metadata_mut().uid = uid.to_string();
        message.metadata_mut().created_at = Some(self.now.to_proto());
        message.complete();
        let write = codec::encode(uid, self.now, &message, secret);
        self.stage(write, Revision(1), Expected::Absent)
    }

    /// Stages the next revision of a resource and returns it as readers will see it.
    ///
    /// # Errors
    /// Returns `Internal` if the encoded resource cannot be decoded.
    pub fn replace<T: Resource>(
        &mut self,
        old: &Stored<T>,
        mut message: T,
        secret: SecretWrite,
    ) -> Result<T, Error> {
        self.sign(message.metadata_mut());
        message.metadata_mut().updated_at = Some(self.now.to_proto());
        message.complete();
        let write = codec::encode(old.uid, old.created_at, &message, secret);
        let key = (T::DOCUMENT, write.name.clone());
        // A second write in one draft replaces the first, so it keeps the expected revision.
        let (revision, expected) = match self.staged.get(&key) {
            Some(Staged::Put {
                document, expected, ..
            }) => (document.revision, *expected),
            _ => (
                Revision(old.revision.0.saturating_add(1)),
                Expected::Revision(old.revision),
            ),
        };
        self.stage(write, revision, expected)
    }

    /// Stages the deletion of a resource at the revision that was read.
    pub fn delete<T: Resource>(&mut self, old: &Stored<T>) {
        self.remove(old, Some(old.revision));
        if let Some(metadata) = old.message.metadata() {
            self.audit_change(Change::Deleted, T::DOCUMENT, metadata);
        }
    }

    /// Stages the deletion of a resource that depends on another one, at any revision.
    pub fn delete_dependent<T: Resource>(&mut self, old: &Stored<T>) {
        if self.deletes(T::DOCUMENT, old.uid) {
            return;
        }
        self.remove(old, None);
        if let Some(metadata) = old.message.metadata() {
            self.audit_change(Change::Deleted, T::DOCUMENT, metadata);
        }
    }

    /// Stages the deletion of an internal document that belongs to a resource. Returns whether the document exists.
    ///
    /// # Errors
    /// Returns `Unavailable` or `Internal` if the store fails.
    pub async fn delete_internal(&mut self, kind: Kind, uid: Uid) -> Result<bool, Error> {
        let Some(document) = self.context.store.get(kind, uid, self.now).await? else {
            return Ok(false);
        };
        self.internal.insert((kind, uid), document.revision);
        Ok(true)
    }

    /// Stages the deletion of all internal documents with an index entry. The commit fails if another one is created
    /// meanwhile.
    ///
    /// # Errors
    /// Returns `Unavailable` or `Internal` if the store fails.
    pub async fn delete_internal_by_index(
        &mut self,
        kind: Kind,
        index: &'static str,
        value: &str,
    ) -> Result<(), Error> {
        let found = self.context.store.list(Query {
            kind,
            index: Some((index, value.to_owned())),
            order: Order::default(),
            offset: 0,
            limit: u32::MAX >> 8,
            now: self.now,
        });
        for document in found.await?.documents {
            self.internal
                .insert((kind, document.uid), document.revision);
        }
        self.limit(kind, index, value, 1);
        Ok(())
    }

    /// Adds an audit event for the changes as a whole, besides the events of the single changes.
    pub fn record(
        &mut self,
        event_type: &'static str,
        kind: Kind,
        metadata: &Metadata,
        attrs: BTreeMap<String, String>,
    ) {
        let event = match self.author.actor() {
            Some(actor) => audit::event_by(self.context, actor, event_type, kind, metadata),
            None => audit::event_by_cluster(self.context, event_type, kind, metadata),
        };
        self.audit
            .push(Operation::Audit(AuditEvent { attrs, ..event }));
    }

    /// Returns the number of resources of a kind that the draft deletes.
    pub fn count_deleted(&self, kind: Kind) -> usize {
        let staged = self.staged.iter().filter(|((of, _), _)| *of == kind);
        staged
            .filter(|(_, staged)| matches!(staged, Staged::Delete { .. }))
            .count()
    }

    /// Returns whether the draft deletes the resource.
    pub fn deletes(&self, kind: Kind, uid: Uid) -> bool {
        matches!(self.staged_with_uid(kind, uid), Some(Staged::Delete { .. }))
    }

    /// Commits all staged changes in one transaction. Returns the cursor of the change log, or `None` if nothing was
    /// staged.
    ///
    /// # Errors
    /// Returns [`CommitError::Conflict`] if an object changed since it was read, and other variants if the store
    /// refuses the transaction or fails.
    pub async fn commit(self) -> Result<Option<Cursor>, CommitError> {
        if self.staged.is_empty() && self.internal.is_empty() {
            return Ok(None);
        }
        let mut transaction = Transaction::at(self.now);
        let mut puts = Vec::new();
        let mut staged = self.staged;
        // Deletions come first: they free names and unique values for the writes.
        for key in self.order {
            match staged.remove(&key) {
                Some(Staged::Put {
                    write, expected, ..
                }) => {
                    puts.push(Operation::Put(*write, expected));
                }
                Some(Staged::Delete { uid, revision }) => {
                    transaction.push(Operation::Delete(key.0, uid, revision));
                }
                None => {}
            }
        }
        for ((kind, uid), revision) in self.internal {
            transaction.push(Operation::Delete(kind, uid, Some(revision)));
        }
        transaction.operations.extend(puts);
        for ((kind, uid), revision) in self.guards {
            transaction.push(Operation::Unchanged(kind, uid, revision));
        }
        // Limits are counted after all other operations.
        transaction.operations.extend(self.limits);
        transaction.operations.extend(self.audit);
        let committed = self.context.store.commit(transaction).await?;
        Ok(Some(committed.cursor))
    }

    fn stage<T: Resource>(
        &mut self,
        mut write: NewDocument,
        revision: Revision,
        expected: Expected,
    ) -> Result<T, Error> {
        let key = (write.kind, write.name.clone());
        if matches!(write.secret, SecretWrite::Keep)
            && let Some(Staged::Put { write: earlier, .. }) = self.staged.get(&key)
        {
            write.secret = earlier.secret.clone();
        }
        let document = Document {
            kind: write.kind,
            uid: write.uid,
            name: write.name.clone(),
            revision,
            created_at: write.created_at,
            expires_at: write.expires_at,
            body: write.body.clone(),
        };
        let stored = codec::decode::<T>(&document)?;
        let change = match expected {
            Expected::Absent => Change::Created,
            Expected::Revision(_) => Change::Updated,
        };
        if let Some(metadata) = stored.message.metadata()
            && self.staged_with_uid(write.kind, write.uid).is_none()
        {
            self.audit_change(change, T::DOCUMENT, metadata);
        }
        if change == Change::Updated {
            self.weaken(write.kind, write.uid, &write.indexes);
        }
        self.guards.remove(&(write.kind, write.uid));
        self.note(&key, write.uid);
        for entry in &write.indexes {
            let names = self
                .entries
                .entry((key.0, entry.index, entry.value.clone()))
                .or_default();
            names.insert(key.1.clone());
        }
        let write = Box::new(write);
        self.staged.insert(
            key,
            Staged::Put {
                document,
                write,
                expected,
            },
        );
        Ok(stored.message)
    }

    fn remove<T: Resource>(&mut self, old: &Stored<T>, revision: Option<Revision>) {
        let key = (T::DOCUMENT, old.message.name().to_owned());
        self.guards.remove(&(T::DOCUMENT, old.uid));
        let uid = old.uid;
        self.note(&key, uid);
        self.weaken(T::DOCUMENT, uid, &old.message.indexes());
        self.staged.insert(key, Staged::Delete { uid, revision });
    }

    fn weaken(&mut self, kind: Kind, uid: Uid, indexes: &[IndexEntry]) {
        match kind {
            Kind::Group | Kind::Policy | Kind::ClusterConfig => self.weakened.shared = true,
            Kind::User => {
                self.weakened.users.insert(uid);
            }
            Kind::Credential | Kind::Session | Kind::Device => {
                let of_user = indexes.iter().filter(|entry| entry.index == index::USER);
                let users = of_user.filter_map(|entry| entry.value.parse::<Uid>().ok());
                self.weakened.users.extend(users);
            }
            _ => {}
        }
    }

    fn note(&mut self, key: &(Kind, String), uid: Uid) {
        if self.names.insert((key.0, uid), key.1.clone()).is_none() {
            self.order.push(key.clone());
        }
    }

    fn sign(&self, metadata: &mut Metadata) {
        metadata.actor_ref = self.author.session();
        self.author
            .operation()
            .clone_into(&mut metadata.actor_operation);
    }

    fn audit_change(&mut self, change: Change, kind: Kind, metadata: &Metadata) {
        let event = match self.author.actor() {
            Some(actor) => audit::change(self.context, actor, change, kind, metadata),
            None => audit::change_by_cluster(self.context, change, kind, metadata),
        };
        self.audit.push(event);
    }

    fn staged_with_uid(&self, kind: Kind, uid: Uid) -> Option<&Staged> {
        let name = self.names.get(&(kind, uid))?;
        self.staged.get(&(kind, name.clone()))
    }
}
