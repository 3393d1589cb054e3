//! Creates a Session and redeems its credential in one transaction. A limited credential never creates more Sessions
//! than its limit, and a failed attempt leaves no state behind.

use std::sync::Arc;

use api::{
    core_v1::{
        Credential, Session, User,
        session::{
            spec::State,
            status::{Type, authentication::Info},
        },
    },
    platform_v1::AuditEvent,
};
use domain::{
    clock::UnixMillis,
    credential::{self, AfterUse, Generation},
    id::Uid,
    kind::Kind,
    session::{self, MOST_PER_USER, NewSession},
};
use store::{CommitError, Committed, Expected, Operation, SecretWrite, StoreError, Transaction};

use super::{
    authenticator::{enforcement, fido::Passkey},
    enrollment::Link,
    identity::{Lifetime, ProvenIdentity},
    secret::Proof,
};
use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    directory::Versioned,
    document::{codec, index, load},
};

/// The proof that creates a Session.
#[derive(Clone, Copy)]
pub(crate) enum LoginMethod<'a> {
    /// The secret of a Credential, which is redeemed.
    Credential(&'a Proof),
    /// An identity that an `IdentityProvider` proved.
    Identity(&'a ProvenIdentity),
    /// A verified passkey.
    Passkey(&'a Passkey),
    /// An enrollment link of the Cluster, which is redeemed.
    Enrollment(&'a Link),
}

/// Parameters of a new Session.
pub(crate) struct SessionRequest<'a> {
    pub(crate) method: LoginMethod<'a>,
    pub(crate) user: &'a Versioned<User>,
    pub(crate) scopes: Vec<api::core_v1::Scope>,
    pub(crate) session_type: Type,
    /// True if cookies carry its tokens.
    pub(crate) is_browser: bool,
    pub(crate) caller: &'a Caller,
    /// A Session that this one replaces and that is deleted.
    pub(crate) replaces: Option<Uid>,
}

/// Creates the Session.
///
/// # Errors
/// Returns a conflict if the proof or the User changed since it was read, or [`CommitError::RecordTaken`] if a
/// single-use proof was already used.
pub(crate) async fn create_session(
    ctx: &Context,
    session_request: SessionRequest<'_>,
    now: UnixMillis,
) -> Result<(Session, Committed), CommitError> {
    let user = session_request.user;
    let mut transaction = Transaction::at(now);
    let mut session = match session_request.method {
        LoginMethod::Credential(proof) => {
            let (redeemed, after_use) = redeemed(proof, now);
            let session = session_of_credential(ctx, &session_request, proof, after_use, now);
            redeem(
                ctx,
                &mut transaction,
                session,
                proof,
                (redeemed, after_use),
                now,
            )
            .await?
        }
        LoginMethod::Identity(identity) => {
            identity.redeem(&mut transaction);
            session_of_identity(ctx, &session_request, identity, now)
        }
        LoginMethod::Passkey(passkey) => {
            passkey.redeem(&mut transaction);
            let info = passkey.info(ctx, session_request.caller);
            let mut session = session::new_session(new_session(ctx, &session_request, info, now));
            session::pin(&mut session, passkey.authenticator());
            session
        }
        LoginMethod::Enrollment(link) => {
            transaction.push(link.redeem());
            let caller = session_request.caller;
            let info = session::internal_info(ctx.client_origin(caller));
            session::new_session(new_session(ctx, &session_request, info, now))
        }
    };
    if session_request.is_browser {
        let provider = match session_request.method {
            LoginMethod::Identity(identity) => Some(&*identity.provider.message),
            LoginMethod::Credential(_) | LoginMethod::Passkey(_) | LoginMethod::Enrollment(_) => {
                None
            }
        };
        let action = enforcement::of_login(ctx, &user.message, &session, provider, now).await?;
        if let Some(status) = &mut session.status {
            status.set_authenticator_action(action);
        }
    }
    transaction.push(Operation::Unchanged(Kind::User, user.uid, user.revision));
    if let Some(replaced) = session_request.replaces {
        transaction.push(Operation::Delete(Kind::Session, replaced, None));
    }
    transaction.push(Operation::Limit {
        kind: Kind::Session,
        index: index::USER,
        value: user.uid.to_string(),
        below: session::max_per_user(&user.message, &ctx.directory.cluster_config()),
    });
    transaction.push(Operation::Put(
        codec::encode(uid_of(&session)?, now, &session, SecretWrite::Keep),
        Expected::Absent,
    ));
    transaction.push(Operation::Audit(event(ctx, &session_request, &session)));

    let committed = ctx.store.commit(transaction).await?;
    if let LoginMethod::Credential(proof) = session_request.method
        && !credential::counted(&proof.credential.message)
    {
        ctx.usage.count(proof.credential.uid, now);
    }
    Ok((session, committed))
}

/// Returns the uid of a new Session, under which it is stored.
///
/// # Errors
/// Returns an internal error if the Session has no valid uid.
fn uid_of(session: &Session) -> Result<Uid, StoreError> {
    let metadata = session.metadata.as_ref();
    let uid = metadata.map_or("", |metadata| metadata.uid.as_str());
    uid.parse::<Uid>().map_err(|error| StoreError {
        context: "read the uid of a new Session".to_owned(),
        transient: false,
        source: Some(Arc::new(error)),
    })
}

/// Returns the Credential after its use, if uses are counted.
fn redeemed(proof: &Proof, now: UnixMillis) -> (Option<Credential>, AfterUse) {
    let credential = &proof.credential.message;
    if !credential::counted(credential) {
        return (None, AfterUse::Keep);
    }
    let mut redeemed = Credential::clone(credential);
    let after_use = credential::record_use(&mut redeemed, 1, now);
    (Some(redeemed), after_use)
}

/// Redeems the Credential, and returns `session` as it is to be stored.
async fn redeem(
    ctx: &Context,
    transaction: &mut Transaction,
    mut session: Session,
    proof: &Proof,
    (redeemed, after_use): (Option<Credential>, AfterUse),
    now: UnixMillis,
) -> Result<Session, CommitError> {
    let credential = &proof.credential;
    let (uid, revision) = (credential.uid, credential.revision);
    match (redeemed, after_use) {
        (None, _) => {
            transaction.push(Operation::Unchanged(Kind::Credential, uid, revision));
        }
        (Some(redeemed), AfterUse::Keep) => {
            let document = codec::encode(uid, now, &redeemed, SecretWrite::Keep);
            transaction.push(Operation::Put(document, Expected::Revision(revision)));
        }
        (Some(_), AfterUse::Delete) => {
            transaction.push(Operation::Delete(Kind::Credential, uid, Some(revision)));
            detach_sessions(ctx, transaction, credential, now).await?;
            take_over(&mut session, &credential.message);
        }
    }
    Ok(session)
}

fn session_of_credential(
    ctx: &Context,
    session_request: &SessionRequest<'_>,
    proof: &Proof,
    after_use: AfterUse,
    now: UnixMillis,
) -> Session {
    let credential = &proof.credential.message;
    let version = match proof.generation {
        Generation::Current { version } | Generation::Overlapping { version, .. } => version,
    };
    let is_recovery = credential
        .status
        .as_ref()
        .is_some_and(|status| status.recovery);
    let caller = session_request.caller;
    let info = session::credential_info(credential, ctx.client_origin(caller));
    let mut new = new_session(ctx, session_request, info, now);
    new.credential = (after_use == AfterUse::Keep).then_some((&**credential, version));
    if is_recovery {
        // A recovery has no administrator who could approve the Session.
        new.state = State::Active;
    }
    session::new_session(new)
}

fn session_of_identity(
    ctx: &Context,
    session_request: &SessionRequest<'_>,
    identity: &ProvenIdentity,
    now: UnixMillis,
) -> Session {
    let info = identity.info(ctx, session_request.caller);
    let mut new = new_session(ctx, session_request, info, now);
    if identity.lifetime == Lifetime::AccessToken {
        new.lifetimes.session = new.lifetimes.session.min(new.lifetimes.access_token);
    }
    session::new_session(new)
}

fn new_session<'a>(
    ctx: &Context,
    session_request: &SessionRequest<'a>,
    info: Info,
    now: UnixMillis,
) -> NewSession<'a> {
    let user = &session_request.user.message;
    let config = ctx.directory.cluster_config();
    let user_name = user
        .metadata
        .as_ref()
        .map_or("", |metadata| metadata.name.as_str());
    NewSession {
        uid: ctx.new_uid(),
        name: session::new_name(user_name, &*ctx.rng),
        user,
        credential: None,
        session_type: session_request.session_type,
        is_browser: session_request.is_browser,
        scopes: session_request.scopes.clone(),
        token_id: ctx.new_uid(),
        info,
        lifetimes: session::lifetimes(user, &config, session_request.session_type),
        state: session::default_state(user, &config),
        now,
    }
}

fn event(ctx: &Context, session_request: &SessionRequest<'_>, session: &Session) -> AuditEvent {
    let entry = Entry {
        event_type: "session.created",
        resource: session
            .metadata
            .as_ref()
            .map(|metadata| (Kind::Session, metadata)),
        user: session_request.user.message.metadata.as_ref(),
        session: session.metadata.as_ref(),
    };
    let mut event = audit::done(ctx, session_request.caller, entry);
    let (attribute, metadata) = match session_request.method {
        LoginMethod::Credential(proof) => ("credential", &proof.credential.message.metadata),
        LoginMethod::Identity(identity) => {
            ("identityProvider", &identity.provider.message.metadata)
        }
        LoginMethod::Passkey(passkey) => ("authenticator", &passkey.authenticator().metadata),
        LoginMethod::Enrollment(_) => ("enrollment", &session_request.user.message.metadata),
    };
    if let Some(metadata) = metadata {
        let name = metadata.name.clone();
        event.attrs.insert(attribute.to_owned(), name);
    }
    event
}

/// Detaches the Sessions of a Credential that is deleted after its last use. They outlive it, because the deletion is
/// not a revocation. All of them belong to the User of the Credential.
pub(crate) async fn detach_sessions(
    ctx: &Context,
    transaction: &mut Transaction,
    credential: &Versioned<Credential>,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let uid = credential.uid.to_string();
    let (sessions, _) =
        load::by_index::<Session>(&*ctx.store, index::CREDENTIAL, &uid, MOST_PER_USER, now).await?;
    for stored in sessions {
        let mut session = stored.message;
        take_over(&mut session, &credential.message);
        if let Some(status) = &mut session.status {
            status.credential_ref = None;
        }
        let document = codec::encode(stored.uid, stored.created_at, &session, SecretWrite::Keep);
        transaction.push(Operation::Put(
            document,
            Expected::Revision(stored.revision),
        ));
    }
    Ok(())
}

/// Copies the Policies of the Credential to the Session.
fn take_over(session: &mut Session, credential: &Credential) {
    *session = session::under_credential(session, credential);
}

/// Converts the error of a failed creation to the error for the caller.
pub(crate) fn failure(error: CommitError) -> Error {
    match error {
        CommitError::LimitReached { .. } => {
            Error::denied("The User has reached its limit of Sessions").because("session_limit")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_session_without_a_uid_is_an_internal_error() {
        let error = Error::from(uid_of(&Session::default()).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
}
