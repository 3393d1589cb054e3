//! Create, update and delete for all kinds.

use std::future::Future;

use api::meta_v1::{DeleteOptions, Metadata};
use domain::{id::Uid, kind::Kind};
use store::{CommitError, SecretWrite};

use super::{administrators, author::Author, draft::Draft, metadata};
use crate::{
    Context, Error, ErrorKind,
    document::codec::{MOST_BYTES, Resource, Stored},
    transaction::Attempts,
};

/// Maximum number of refusals by the store of a transaction that planning found valid.
const REFUSALS: usize = 8;

/// The creator of the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// API clients.
    Clients,
    /// Authentication, on behalf of the User. Administrators change only the spec.
    Authentication,
    /// The Cluster itself.
    Cluster,
}

/// A kind that can be written, with its rules.
pub trait Managed: Resource {
    /// Maximum number of name parts, separated by dots.
    const NAME_PARTS: usize = 1;

    /// The creator of its objects.
    const ORIGIN: Origin = Origin::Clients;

    /// Returns the name under which `name` is stored.
    fn stored_name(name: &str) -> String {
        name.to_owned()
    }

    /// Checks that the author may create this kind.
    ///
    /// # Errors
    /// Returns `InvalidArgument` if the author must not create it.
    fn check_creatable(draft: &Draft<'_>) -> Result<(), Error> {
        match Self::ORIGIN {
            Origin::Clients => Ok(()),
            Origin::Cluster if draft.author.is_cluster() => Ok(()),
            Origin::Authentication | Origin::Cluster => Err(not_creatable(Self::DOCUMENT)),
        }
    }

    /// Merges the fields that an update may change into the old object.
    fn overlay(old: &Self, sent: Self) -> Self {
        let mut new = sent;
        *new.metadata_mut() = match Self::ORIGIN {
            Origin::Clients | Origin::Cluster => metadata::overlay(old.metadata(), new.metadata()),
            Origin::Authentication => old.metadata().cloned().unwrap_or_default(),
        };
        new.set_status(old.status().cloned());
        new
    }

    /// Takes the secret part out of the message and checks it.
    ///
    /// # Errors
    /// Returns `InvalidArgument` if the secret is missing or malformed.
    fn take_secret(&mut self) -> Result<SecretWrite, Error> {
        Ok(SecretWrite::Keep)
    }

    /// Checks a new revision against all rules, and derives its status.
    fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Returns warnings about a valid object for its author, in ASCII.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Refuses the deletion, or stages the deletion of dependents.
    fn release(
        _draft: &mut Draft<'_>,
        _old: &Stored<Self>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

/// Changes that are planned in a draft, again at each attempt.
pub trait Plan: Sync {
    /// The result for the caller.
    type Output: Send;

    /// Stages the changes.
    fn stage(
        &self,
        draft: &mut Draft<'_>,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// Plans and commits. Plans again if an object changed meanwhile.
///
/// # Errors
/// Returns the error of the plan or the store, and `Conflict` if the objects keep changing.
pub async fn transact<P: Plan>(
    context: &Context,
    author: &Author,
    plan: &P,
) -> Result<P::Output, Error> {
    let mut attempts = Attempts::default();
    let mut refusals = 0;
    loop {
        attempts.start().await.map_err(|_| keep_changing())?;
        let mut draft = Draft::new(context, author);
        let output = Box::pin(plan.stage(&mut draft)).await?;
        match draft.commit().await {
            Ok(cursor) => {
                // The Cluster also writes before its directory runs.
                if let Some(cursor) = cursor.filter(|_| !author.is_cluster()) {
                    context.directory.catch_up(cursor).await;
                }
                return Ok(output);
            }
            Err(CommitError::Store(error)) => return Err(error.into()),
            // Planning again reads the new state and reports its problems.
            Err(CommitError::Conflict { .. }) => {}
            Err(error) => {
                refusals += 1;
                if refusals == REFUSALS {
                    return Err(error.into());
                }
            }
        }
    }
}

/// The error if all attempts were used.
fn keep_changing() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "The objects involved keep changing; try again",
    )
}

/// Creates a resource.
pub struct Create<T>(pub T);

/// Replaces the descriptive metadata and the spec of a resource.
pub struct Update<T>(pub T);

/// Deletes a resource.
pub struct Delete<T> {
    which: DeleteOptions,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T> Delete<T> {
    /// Deletes the resource that `which` names.
    pub fn new(which: DeleteOptions) -> Self {
        Self {
            which,
            kind: std::marker::PhantomData,
        }
    }
}

impl<T: Managed> Plan for Create<T> {
    type Output = T;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<T, Error> {
        create(draft, self.0.clone()).await
    }
}

impl<T: Managed> Plan for Update<T> {
    type Output = T;

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<T, Error> {
        let sent = self.0.clone();
        let sent_metadata = sent.metadata().cloned().unwrap_or_default();
        let name = &sent_metadata.name;
        let old = find::<T>(draft, name, &sent_metadata.uid).await?;
        let updated = update(draft, &old, sent).await?.unwrap_or(old.message);
        administrators::check(draft).await?;
        Ok(updated)
    }
}

impl<T: Managed> Plan for Delete<T> {
    type Output = ();

    async fn stage(&self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let old = find::<T>(draft, &self.which.name, &self.which.uid).await?;
        delete(draft, &old).await?;
        administrators::check(draft).await
    }
}

/// Stages a new resource.
///
/// # Errors
/// Returns `AlreadyExists` if the name is taken, and `InvalidArgument` or another error of the rules of the kind.
pub async fn create<T: Managed>(draft: &mut Draft<'_>, sent: T) -> Result<T, Error> {
    T::check_creatable(draft)?;
    let sent_metadata = sent
        .metadata()
        .ok_or_else(|| Error::invalid("Resource metadata must be set"))?;
    if sent.spec().is_none() {
        return Err(Error::invalid("Resource spec must be set"));
    }
    let full_name = T::stored_name(&sent_metadata.name);
    metadata::check_name(&full_name, T::NAME_PARTS)?;
    metadata::check(sent_metadata)?;
    let metadata = Metadata {
        name: full_name.clone(),
        ..metadata::accepted(sent_metadata, draft.author)
    };
    if draft.find::<T>(&full_name).await?.is_some() {
        return Err(Error::already_exists(T::DOCUMENT, full_name));
    }
    let mut new = sent;
    *new.metadata_mut() = metadata;
    new.set_status(None);
    let secret = new.take_secret()?;
    new.complete();
    T::prepare(draft, &mut new, None).await?;
    check_size(&new)?;
    draft.create(new, secret)
}

/// Stages the next revision of `old`. Returns `None` if `sent` changes nothing.
///
/// # Errors
/// Returns `Conflict` if `sent` was based on another revision, and `PermissionDenied` for a system object. Otherwise
/// returns the errors of the rules of the kind.
pub async fn update<T: Managed>(
    draft: &mut Draft<'_>,
    old: &Stored<T>,
    sent: T,
) -> Result<Option<T>, Error> {
    let sent_metadata = sent
        .metadata()
        .ok_or_else(|| Error::invalid("Resource metadata must be set"))?;
    if sent.spec().is_none() {
        return Err(Error::invalid("Resource spec must be set"));
    }
    metadata::check(sent_metadata)?;
    let made_from = &sent_metadata.resource_version;
    if !made_from.is_empty() && *made_from != old.revision.0.to_string() {
        return Err(Error::conflict(T::DOCUMENT, old.message.name()));
    }
    let mut sent = sent;
    let secret = match sent.take_secret()? {
        SecretWrite::Set(secret) if draft.has_secret::<T>(old.uid, &secret).await? => {
            SecretWrite::Keep
        }
        secret => secret,
    };
    let mut new = T::overlay(&old.message, sent);
    new.complete();
    let has_secret = matches!(secret, SecretWrite::Set(_));
    if new == old.message && !has_secret {
        return Ok(None);
    }
    refuse_system(draft, old)?;
    T::prepare(draft, &mut new, Some(old)).await?;
    check_size(&new)?;
    draft.replace(old, new, secret).map(Some)
}

/// Stages the deletion of `old` and its dependents.
///
/// # Errors
/// Returns `PermissionDenied` for a system object, and otherwise the errors of the rules of the kind.
pub async fn delete<T: Managed>(draft: &mut Draft<'_>, old: &Stored<T>) -> Result<(), Error> {
    refuse_system(draft, old)?;
    draft.delete(old);
    T::release(draft, old).await
}

/// Returns the resource with this name, or with this uid if the name is empty.
///
/// # Errors
/// Returns `NotFound` if it does not exist, and `InvalidArgument` if name and uid are missing or malformed.
pub async fn find<T: Managed>(
    draft: &mut Draft<'_>,
    name: &str,
    uid: &str,
) -> Result<Stored<T>, Error> {
    let (found, which) = if name.is_empty() {
        let uid = parse_uid(uid)?;
        (draft.find_by_uid::<T>(uid).await?, uid.to_string())
    } else {
        let name = T::stored_name(name);
        metadata::check_stored_name(&name)?;
        (draft.find::<T>(&name).await?, name)
    };
    found.ok_or_else(|| Error::not_found(T::DOCUMENT, which))
}

/// Parses a uid sent by a client.
///
/// # Errors
/// Returns `InvalidArgument` if it is missing or not a UUID version 4.
pub fn parse_uid(uid: &str) -> Result<Uid, Error> {
    if uid.is_empty() {
        return Err(Error::invalid("Either a name or a uid must be set"));
    }
    metadata::check_uid_length(uid)?;
    let parsed: Option<Uid> = uid.parse().ok();
    parsed
        .filter(Uid::is_random)
        .ok_or_else(|| Error::invalid(format!("The uid {uid:?} is not a UUID version 4")))
}

fn check_size<T: Resource>(new: &T) -> Result<(), Error> {
    let length = new.encoded_len();
    if length <= MOST_BYTES {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The {} {} has {length} encoded bytes; at most {MOST_BYTES} are allowed",
        T::DOCUMENT,
        new.name()
    )))
}

fn not_creatable(kind: Kind) -> Error {
    Error::invalid(format!("A {kind} cannot be created through the API"))
}

fn refuse_system<T: Resource>(draft: &Draft<'_>, old: &Stored<T>) -> Result<(), Error> {
    let is_system = old.message.metadata().is_some_and(|m| m.is_system);
    if is_system && !draft.author.is_cluster() {
        return Err(Error::denied("This is a System Resource"));
    }
    Ok(())
}
