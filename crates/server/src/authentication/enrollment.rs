//! Enrollment links, which give a person a browser Session once: for the first login, or without an identity provider.
//!
//! A link is sealed and works while a document with its id exists. The transaction that creates the Session deletes
//! the document, and so does a revocation. Therefore a failed login does not redeem the link, and a used or revoked
//! link never works again.

use std::time::Duration;

use api::{
    core_v1::{User, user},
    meta_v1::ObjectReference,
    platform_v1::{
        CreateEnrollmentRequest, Enrollment, EnrollmentList, ListEnrollmentOptions,
        RevokeEnrollmentRequest, RevokeEnrollmentResponse,
    },
    resource::Object as _,
};
use domain::{clock::UnixMillis, duration, id::Uid, kind::Kind};
use prost::Message as _;
use store::{
    CommitError, Document, Expected, IndexEntry, NewDocument, Operation, Order, Query, Revision,
    SecretWrite, StoreError, Transaction,
};

use super::{
    browser::{self, BrowserLogin, BrowserLoginMethod, NewBrowserSession},
    secret,
};
use crate::{
    Actor, Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    document::{codec::Stored, index, load},
    resource::{metadata, read, write::parse_uid},
    sealed::{self, NotOpened, Purpose},
    transaction::{Attempts, retry_conflict},
};

const LIFETIME: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(7 * 24);
const EVENT: &str = "session.created";
/// Maximum number of links revoked in one transaction.
const BATCH: u32 = 500;

/// A presented link that existed when it was checked.
pub(crate) struct Link {
    uid: Uid,
    revision: Revision,
}

impl Link {
    /// Returns the operation that redeems the link. It fails if the link is gone.
    pub(super) fn redeem(&self) -> Operation {
        Operation::Delete(Kind::Enrollment, self.uid, Some(self.revision))
    }
}

#[cfg(test)]
impl Link {
    /// Creates a link whose stored content is empty.
    pub(super) async fn of(ctx: &Context, user: Uid) -> Self {
        let uid = ctx.new_uid();
        let (now, expires_at) = (ctx.now(), ctx.now().saturating_add(LIFETIME));
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Put(
            document(uid, user, now, expires_at, &Enrollment::default()),
            Expected::Absent,
        ));
        let committed = ctx.store.commit(transaction).await.unwrap();
        Self {
            uid,
            revision: committed.revisions[0],
        }
    }
}

/// The content of a sealed link.
#[derive(Clone, PartialEq, prost::Message)]
struct Content {
    #[prost(bytes = "vec", tag = "1")]
    user: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
}

/// Creates a link.
///
/// # Errors
/// Returns `NotFound` if the User does not exist, `InvalidArgument` if the User is not of type HUMAN or the duration
/// is invalid, or `FailedPrecondition` if the User cannot log in.
pub async fn create(
    ctx: &Context,
    actor: &Actor,
    request: &CreateEnrollmentRequest,
) -> Result<Enrollment, Error> {
    let lifetime = match &request.expires_in {
        None => LIFETIME,
        Some(given) => {
            duration::check(given).map_err(|error| Error::invalid(format!("expiresIn: {error}")))?
        }
    };
    if lifetime.is_zero() || lifetime > LONGEST {
        return Err(Error::invalid(
            "expiresIn must be more than 0 and at most 7 days",
        ));
    }
    let now = ctx.now();
    let user = find(ctx, request.user_ref.as_ref()).await?;
    if user.message.spec().map(user::Spec::r#type) != Some(user::spec::Type::Human) {
        return Err(Error::invalid(format!(
            "The User {} is not of type HUMAN: workloads log in with a Credential",
            user.message.name()
        )));
    }
    secret::may_log_in(&user.message).map_err(|refusal| {
        Error::precondition(format!("The User {}: {refusal}", user.message.name()))
            .because(refusal.reason())
    })?;
    let expires_at = now.saturating_add(lifetime);
    let uid = ctx.new_uid();
    let content = Content {
        user: user.uid.as_bytes().to_vec(),
        id: uid.as_bytes().to_vec(),
    };
    let text = sealed::seal(ctx, Purpose::Enrollment, &content, expires_at)?;
    let enrollment = Enrollment {
        url: String::new(),
        expires_at: Some(expires_at.to_proto()),
        user_ref: Some(user.message.reference()),
        uid: uid.to_string(),
        created_at: Some(now.to_proto()),
        created_by_ref: Some(actor.principal.user().reference()),
    };

    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Put(
        document(uid, user.uid, now, expires_at, &enrollment),
        Expected::Absent,
    ));
    transaction.push(Operation::Unchanged(Kind::User, user.uid, user.revision));
    transaction.push(audited(ctx, actor, "enrollment.created", &enrollment));
    ctx.store.commit(transaction).await?;
    Ok(Enrollment {
        // The secret is in the fragment, so no server or log on the way sees it. A link preview that fetches the URL
        // cannot redeem the link.
        url: format!("{}/enroll#{}.{text}", ctx.domain.url(), user.message.name()),
        ..enrollment
    })
}

/// Returns one page of the valid links, without their secrets.
///
/// # Errors
/// Returns `NotFound` if the User does not exist, or `InvalidArgument` if the page is invalid.
pub async fn list(ctx: &Context, options: &ListEnrollmentOptions) -> Result<EnrollmentList, Error> {
    let user = match &options.user_ref {
        Some(reference) => Some(find(ctx, Some(reference)).await?),
        None => None,
    };
    let index = user.map(|user| (index::USER, user.uid.to_string()));
    let common = options.common.as_ref();
    let (documents, meta) = read::documents(ctx, common, Kind::Enrollment, index).await?;
    let items: Result<_, StoreError> = documents.iter().map(decode).collect();
    Ok(EnrollmentList {
        api_version: "platform/v1".to_owned(),
        kind: "EnrollmentList".to_owned(),
        items: items?,
        list_response_meta: Some(meta),
    })
}

/// Revokes one unused link, or all unused links of a User.
///
/// # Errors
/// Returns `NotFound` if the link or User does not exist, or `InvalidArgument` unless exactly one of `uid` and
/// `userRef` is set.
pub async fn revoke(
    ctx: &Context,
    actor: &Actor,
    request: &RevokeEnrollmentRequest,
) -> Result<RevokeEnrollmentResponse, Error> {
    let documents = match (request.uid.as_str(), &request.user_ref) {
        ("", Some(reference)) => {
            let user = find(ctx, Some(reference)).await?;
            return revoke_all(ctx, actor, user.uid).await;
        }
        (uid, None) if !uid.is_empty() => {
            let uid = parse_uid(uid)?;
            let found = ctx.store.get(Kind::Enrollment, uid, ctx.now()).await?;
            found.into_iter().collect::<Vec<_>>()
        }
        _ => return Err(Error::invalid("either uid or userRef must be set")),
    };
    let gone = || Error::not_found(Kind::Enrollment, &request.uid);
    if documents.is_empty() {
        return Err(gone());
    }
    match remove(ctx, actor, &documents).await {
        Ok(()) => Ok(RevokeEnrollmentResponse { revoked: 1 }),
        // The link was redeemed at the same time. The Session that it created can be ended.
        Err(CommitError::Conflict { .. }) => Err(gone()),
        Err(error) => Err(error.into()),
    }
}

async fn revoke_all(
    ctx: &Context,
    actor: &Actor,
    user: Uid,
) -> Result<RevokeEnrollmentResponse, Error> {
    let mut revoked = 0;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let found = ctx.store.list(Query {
            kind: Kind::Enrollment,
            index: Some((index::USER, user.to_string())),
            order: Order::default(),
            offset: 0,
            limit: BATCH,
            now: ctx.now(),
        });
        let documents = found.await?.documents;
        if documents.is_empty() {
            return Ok(RevokeEnrollmentResponse { revoked });
        }
        match remove(ctx, actor, &documents).await {
            Ok(()) => {
                let count = u32::try_from(documents.len()).unwrap_or(u32::MAX);
                revoked = revoked.saturating_add(count);
                // The next batch is another transaction.
                attempts = Attempts::default();
            }
            Err(error) => retry_conflict(error)?,
        }
    }
}

async fn remove(ctx: &Context, actor: &Actor, documents: &[Document]) -> Result<(), CommitError> {
    let mut transaction = Transaction::at(ctx.now());
    for document in documents {
        let (uid, revision) = (document.uid, document.revision);
        transaction.push(Operation::Delete(Kind::Enrollment, uid, Some(revision)));
        let enrollment = decode(document).map_err(CommitError::Store)?;
        transaction.push(audited(ctx, actor, "enrollment.revoked", &enrollment));
    }
    ctx.store.commit(transaction).await.map(|_| ())
}

fn document(
    uid: Uid,
    user: Uid,
    created_at: UnixMillis,
    expires_at: UnixMillis,
    enrollment: &Enrollment,
) -> NewDocument {
    NewDocument {
        kind: Kind::Enrollment,
        uid,
        name: uid.to_string(),
        created_at,
        expires_at: Some(expires_at),
        body: enrollment.encode_to_vec(),
        indexes: vec![IndexEntry {
            index: index::USER,
            value: user.to_string(),
            unique: false,
        }],
        secret: SecretWrite::Keep,
    }
}

fn decode(document: &Document) -> Result<Enrollment, StoreError> {
    Enrollment::decode(document.body.as_slice()).map_err(|error| StoreError {
        context: format!("decode {document:?}"),
        transient: false,
        source: Some(std::sync::Arc::new(error)),
    })
}

/// Builds the audit event of a created or revoked link. Its resource is the User of the link.
fn audited(
    ctx: &Context,
    actor: &Actor,
    event_type: &'static str,
    enrollment: &Enrollment,
) -> Operation {
    let session = actor.principal.session_metadata();
    let caller = Caller {
        request_id: actor.request_id.clone(),
        ip: actor.ip,
        user_agent: actor.user_agent.clone(),
    };
    let entry = Entry {
        event_type,
        resource: None,
        user: actor.principal.user().metadata.as_ref(),
        session: Some(&session),
    };
    let mut event = audit::done(ctx, &caller, entry);
    event.resource_ref.clone_from(&enrollment.user_ref);
    let uid = enrollment.uid.clone();
    event.attrs.insert("enrollment".to_owned(), uid);
    Operation::Audit(event)
}

/// Redeems a link and creates the Session of its User. `text` is the fragment of the link. `former` is the current
/// Session of the browser, which ends.
///
/// # Errors
/// Returns `Unauthenticated` if the link is invalid, expired or used, or `PermissionDenied` if the User cannot log in
/// or has too many Sessions.
pub(crate) async fn redeem(
    ctx: &Context,
    text: &str,
    former: Option<Uid>,
    caller: &Caller,
) -> Result<NewBrowserSession, Error> {
    attempt(ctx, text, former, caller)
        .await
        .inspect_err(|error| {
            if let Some(reason) = error.reason() {
                let entry = Entry {
                    event_type: EVENT,
                    resource: None,
                    user: None,
                    session: None,
                };
                ctx.audit.add(audit::refused(ctx, caller, entry, reason));
            }
        })
}

async fn attempt(
    ctx: &Context,
    text: &str,
    former: Option<Uid>,
    caller: &Caller,
) -> Result<NewBrowserSession, Error> {
    let text = text.trim();
    let (name, code) = text
        .rsplit_once('.')
        .ok_or_else(|| none("link_malformed"))?;
    let opened = sealed::open::<Content>(ctx, Purpose::Enrollment, code).await;
    let link = opened.map_err(|error| match error {
        NotOpened::Invalid => none("link_invalid"),
        NotOpened::Expired => Error::new(
            ErrorKind::Unauthenticated,
            "This link has expired. Ask for a new one.",
        )
        .because("link_expired"),
        NotOpened::Unavailable => Error::unavailable("a link cannot be opened"),
    })?;
    let (Ok(user), Ok(id)) = (Uid::from_bytes(&link.user), Uid::from_bytes(&link.id)) else {
        return Err(none("link_invalid"));
    };
    let there = ctx.store.get(Kind::Enrollment, id, ctx.now()).await?;
    let there = there.ok_or_else(gone)?;
    let login = BrowserLogin {
        user,
        method: BrowserLoginMethod::Enrollment(Link {
            uid: id,
            revision: there.revision,
        }),
        former,
    };
    browser::log_in(ctx, &login, caller, |user| {
        // The name in the link, which the page shows, must be the name of the User.
        if user.name() == name {
            Ok(())
        } else {
            Err(none("link_name"))
        }
    })
    .await
}

fn none(reason: &'static str) -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "This is not a link of this Cluster, or it is incomplete. Copy the whole link, or ask for a new one.",
    )
    .because(reason)
}

/// The error for a link of this Cluster that was used or revoked.
pub(super) fn gone() -> Error {
    Error::new(
        ErrorKind::Unauthenticated,
        "This link was already used or was revoked. Ask for a new one, or sign in again.",
    )
    .because("link_gone")
}

async fn find(ctx: &Context, reference: Option<&ObjectReference>) -> Result<Stored<User>, Error> {
    let reference = reference.cloned().unwrap_or_default();
    metadata::check_lengths(Kind::User, &reference.name, &reference.uid)?;
    let now = ctx.now();
    let found = if reference.uid.is_empty() {
        if reference.name.is_empty() {
            return Err(Error::invalid("userRef needs a name or a uid"));
        }
        load::by_name::<User>(&*ctx.store, &reference.name, now).await?
    } else {
        let uid = parse_uid(&reference.uid)?;
        load::by_uid::<User>(&*ctx.store, uid, now)
            .await?
            .filter(|found| reference.name.is_empty() || found.message.name() == reference.name)
    };
    let which = if reference.name.is_empty() {
        &reference.uid
    } else {
        &reference.name
    };
    found.ok_or_else(|| Error::not_found(Kind::User, which))
}
