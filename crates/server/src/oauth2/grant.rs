//! The client credentials grant. Each client, generation of its secret and set of scopes has one Session, with any
//! number of concurrent access tokens.

use std::{sync::Arc, time::Duration};

use api::core_v1::{
    Credential, Scope, Session, User,
    session::{spec::State, status::Type},
    user,
};
use domain::{
    clock::UnixMillis,
    credential::{self, AfterUse},
    id::Uid,
    kind::Kind,
    scope, session,
    token::{self, Token},
};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use crate::{
    Caller, Context, Error, Unauthenticated,
    audit::{self, Entry},
    authentication::{
        LoginMethod, SessionRequest, access_token, create_session, detach_sessions, failure, reap,
        secret::{self, Failed, Proof, Purpose},
    },
    directory::{ValidSession, Versioned},
    document::{codec, index, load},
    transaction::{Attempts, is_conflict},
};

/// A Session with less remaining time is replaced, because its tokens would be useless.
const NEARLY_ENDED: Duration = Duration::from_secs(5);

/// An issued access token.
pub(super) struct Granted {
    pub(super) token: Token,
    pub(super) expires_at: UnixMillis,
    pub(super) now: UnixMillis,
}

pub(super) async fn grant(
    ctx: &Context,
    proof: Proof,
    scopes: Vec<Scope>,
    caller: &Caller,
) -> Result<Granted, Failed> {
    if credential::counted(&proof.credential.message) {
        let _lock = ctx.authentication.lock(proof.credential.uid).await;
        return counted(ctx, proof, &scopes, caller).await;
    }
    unlimited(ctx, proof, &scopes, caller).await
}

/// Grants without counting uses. Writes nothing if the Session exists.
async fn unlimited(
    ctx: &Context,
    mut proof: Proof,
    scopes: &[Scope],
    caller: &Caller,
) -> Result<Granted, Failed> {
    let scope_hash: Arc<str> = scope::hash(scopes).into();
    let mut attempts = Attempts::default();
    let mut was_reaped = false;
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let user = workload(ctx, &proof).await?;
        let version = proof.generation.version();
        let key = (proof.credential.uid, version, scope_hash.clone());
        if let Some(session) = ctx.authentication.grants.get(&key)
            && let Ok(valid_session) = ctx.directory.valid_session(session, now).await
            && is_of(&valid_session, &proof, now)
        {
            ctx.usage.count(proof.credential.uid, now);
            audit_grant(
                ctx,
                &valid_session,
                &user.message,
                &proof.credential.message,
                caller,
            );
            return issue(ctx, &valid_session, &user.message, now);
        }
        let replaces = match existing(ctx, &proof, scopes, now).await? {
            Existing::Usable(session) => {
                ctx.authentication.grants.insert(key, session);
                continue;
            }
            Existing::Ending(session) => Some(session),
            Existing::None => None,
        };
        let session_request = session_request(&proof, &user, scopes, caller, replaces);
        match create_session(ctx, session_request, now).await {
            Ok((session, _)) => {
                let uid = uid(&session)?;
                ctx.authentication.grants.insert(key, uid);
                let valid_session = require_valid_session(ctx, uid, now).await?;
                return issue(ctx, &valid_session, &user.message, now);
            }
            Err(error) => {
                lost(ctx, &proof, user.uid, error, &mut was_reaped).await?;
                proof = secret::prove(
                    ctx,
                    proof.claims,
                    api::core_v1::credential::spec::Type::Oauth2,
                    Purpose::Authenticate,
                    ctx.now(),
                )
                .await?;
            }
        }
    }
}

/// Grants with counted uses. Each grant commits in the transaction that counts it.
async fn counted(
    ctx: &Context,
    mut proof: Proof,
    scopes: &[Scope],
    caller: &Caller,
) -> Result<Granted, Failed> {
    let mut attempts = Attempts::default();
    let mut was_reaped = false;
    loop {
        attempts.start().await?;
        let now = ctx.now();
        // Another request may have used up the Credential while this one waited for its turn.
        proof = secret::prove(
            ctx,
            proof.claims,
            api::core_v1::credential::spec::Type::Oauth2,
            Purpose::Authenticate,
            now,
        )
        .await?;
        let user = workload(ctx, &proof).await?;
        let outcome = match existing(ctx, &proof, scopes, now).await? {
            Existing::Usable(session) => {
                let valid_session = require_valid_session(ctx, session, now).await?;
                redeem(ctx, &proof, &valid_session, &user, caller, now)
                    .await
                    .map(|()| valid_session)
            }
            Existing::Ending(session) => {
                let session_request = session_request(&proof, &user, scopes, caller, Some(session));
                create_counted_session(ctx, &proof, session_request, now).await?
            }
            Existing::None => {
                let session_request = session_request(&proof, &user, scopes, caller, None);
                create_counted_session(ctx, &proof, session_request, now).await?
            }
        };
        match outcome {
            Ok(valid_session) => {
                ctx.directory.forget(&[proof.credential.uid]);
                return issue(ctx, &valid_session, &user.message, now);
            }
            Err(error) => lost(ctx, &proof, user.uid, error, &mut was_reaped).await?,
        }
    }
}

async fn create_counted_session(
    ctx: &Context,
    proof: &Proof,
    session_request: SessionRequest<'_>,
    now: UnixMillis,
) -> Result<Result<Arc<ValidSession>, CommitError>, Failed> {
    match create_session(ctx, session_request, now).await {
        Ok((session, _)) => {
            ctx.directory.forget(&[proof.credential.uid]);
            Ok(Ok(require_valid_session(ctx, uid(&session)?, now).await?))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// Counts a use of the Credential for an existing Session.
async fn redeem(
    ctx: &Context,
    proof: &Proof,
    valid_session: &ValidSession,
    user: &Versioned<User>,
    caller: &Caller,
    now: UnixMillis,
) -> Result<(), CommitError> {
    let known = &proof.credential;
    let mut redeemed = Credential::clone(&known.message);
    let mut transaction = Transaction::at(now);
    match credential::record_use(&mut redeemed, 1, now) {
        AfterUse::Keep => {
            let document = codec::encode(known.uid, now, &redeemed, SecretWrite::Keep);
            transaction.push(Operation::Put(document, Expected::Revision(known.revision)));
        }
        AfterUse::Delete => {
            transaction.push(Operation::Delete(
                Kind::Credential,
                known.uid,
                Some(known.revision),
            ));
            detach_sessions(ctx, &mut transaction, known, now).await?;
        }
    }
    transaction.push(Operation::Unchanged(Kind::User, user.uid, user.revision));
    let event = event(ctx, valid_session, &user.message, &known.message, caller);
    transaction.push(Operation::Audit(event));
    ctx.store.commit(transaction).await.map(|_| ())
}

enum Existing {
    None,
    Usable(Uid),
    /// The Session is about to end.
    Ending(Uid),
}

/// Returns the stored Session of this grant.
async fn existing(
    ctx: &Context,
    proof: &Proof,
    scopes: &[Scope],
    now: UnixMillis,
) -> Result<Existing, Failed> {
    let known = &proof.credential;
    let key = index::grant_key(&known.uid.to_string(), proof.generation.version(), scopes);
    let (sessions, _) = load::by_index::<Session>(&*ctx.store, index::GRANT, &key, 1, now)
        .await
        .map_err(Error::from)?;
    let Some(stored) = sessions.into_iter().next() else {
        return Ok(Existing::None);
    };
    if is_ending(&stored.message, now) {
        return Ok(Existing::Ending(stored.uid));
    }
    let spec = stored.message.spec.as_ref();
    // No token is issued that would not be accepted.
    let denied = |text: &str, reason| Failed {
        error: Error::denied(text).because(reason),
        credential: Some(known.clone()),
    };
    match spec.map(api::core_v1::session::Spec::state) {
        Some(State::Active) => {}
        Some(State::Pending) => {
            return Err(denied(
                "The Session of this client is waiting for approval",
                "session_pending",
            ));
        }
        Some(State::Rejected | State::Unknown) | None => {
            return Err(denied(
                "The Session of this client is rejected",
                "session_rejected",
            ));
        }
    }
    if stored
        .message
        .status
        .as_ref()
        .is_some_and(|status| status.is_locked)
    {
        return Err(denied(
            "The Session of this client is locked",
            "session_locked",
        ));
    }
    match ctx.directory.valid_session(stored.uid, now).await {
        Ok(_) => Ok(Existing::Usable(stored.uid)),
        Err(Unauthenticated::Refused {
            reason: "session_gone",
        }) => Ok(Existing::None),
        Err(Unauthenticated::Refused { reason }) => {
            Err(denied("The Session of this client is not valid", reason))
        }
        Err(error @ Unauthenticated::Unavailable) => Err(Error::unavailable(error).into()),
    }
}

async fn require_valid_session(
    ctx: &Context,
    session: Uid,
    now: UnixMillis,
) -> Result<Arc<ValidSession>, Failed> {
    match ctx.directory.valid_session(session, now).await {
        Ok(valid_session) => Ok(valid_session),
        Err(Unauthenticated::Refused {
            reason: "session_pending",
        }) => Err(
            Error::denied("The Session of this client is waiting for approval")
                .because("session_pending")
                .into(),
        ),
        Err(Unauthenticated::Refused { reason }) => {
            Err(Error::denied("The Session of this client is not valid")
                .because(reason)
                .into())
        }
        Err(error @ Unauthenticated::Unavailable) => Err(Error::unavailable(error).into()),
    }
}

async fn workload(ctx: &Context, proof: &Proof) -> Result<Versioned<User>, Failed> {
    let to_failed = |error| Failed {
        error,
        credential: Some(proof.credential.clone()),
    };
    let user = secret::user(ctx, &proof.credential.message)
        .await
        .map_err(to_failed)?;
    let is_workload = user
        .message
        .spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == user::spec::Type::Workload);
    if is_workload {
        Ok(user)
    } else {
        Err(to_failed(
            Error::denied("Only a WORKLOAD User can be a client").because("user_type"),
        ))
    }
}

fn session_request<'a>(
    proof: &'a Proof,
    user: &'a Versioned<User>,
    scopes: &[Scope],
    caller: &'a Caller,
    replaces: Option<Uid>,
) -> SessionRequest<'a> {
    SessionRequest {
        method: LoginMethod::Credential(proof),
        user,
        scopes: scopes.to_vec(),
        session_type: session::session_type(&proof.credential.message, ""),
        is_browser: false,
        caller,
        replaces,
    }
}

/// Handles a transaction that did not commit. Returns an error if a retry is useless.
async fn lost(
    ctx: &Context,
    proof: &Proof,
    user: Uid,
    error: CommitError,
    was_reaped: &mut bool,
) -> Result<(), Failed> {
    let to_failed = |error| Failed {
        error,
        credential: Some(proof.credential.clone()),
    };
    match error {
        error if is_conflict(&error) => {}
        // Another request of this client created the Session.
        CommitError::IndexTaken {
            index: index::GRANT,
            ..
        } => {}
        CommitError::LimitReached { .. } if !*was_reaped => {
            *was_reaped = true;
            reap::of_user(ctx, user)
                .await
                .map_err(|error| to_failed(error.into()))?;
        }
        error => return Err(to_failed(failure(error))),
    }
    ctx.directory.forget(&[proof.credential.uid, user]);
    Ok(())
}

fn is_of(valid_session: &ValidSession, proof: &Proof, now: UnixMillis) -> bool {
    let credential = valid_session
        .credential()
        .and_then(|by| by.metadata.as_ref());
    valid_session.version == proof.generation.version()
        && credential.is_some_and(|metadata| metadata.uid == proof.claims.subject.to_string())
        && !ends_soon(valid_session.expires_at, now)
}

/// Returns whether the Session must be replaced because it ends soon. The expiry of the Credential does not count: it
/// would limit a new Session too.
fn is_ending(session: &Session, now: UnixMillis) -> bool {
    let expires_at = session
        .spec
        .as_ref()
        .and_then(|spec| spec.expires_at.as_ref());
    expires_at.is_none_or(|at| ends_soon(UnixMillis::from_proto(at), now))
}

fn ends_soon(expires_at: UnixMillis, now: UnixMillis) -> bool {
    expires_at <= now.saturating_add(NEARLY_ENDED)
}

/// Issues an access token. It lives for the User's current access token duration, but not beyond the validity of its
/// Session.
fn issue(
    ctx: &Context,
    valid_session: &ValidSession,
    user: &User,
    now: UnixMillis,
) -> Result<Granted, Failed> {
    let session_type = match valid_session.session_type() {
        Type::Unknown => Type::Clientless,
        known => known,
    };
    let lifetimes = session::lifetimes(user, &ctx.directory.cluster_config(), session_type);
    let end = token::expiry(valid_session.valid_until, Duration::ZERO);
    let expires_at = token::expiry(now, lifetimes.access_token).min(end);
    let token = access_token(
        ctx,
        valid_session.uid,
        valid_session.version,
        expires_at,
        now,
    )?;
    Ok(Granted {
        token,
        expires_at,
        now,
    })
}

fn audit_grant(
    ctx: &Context,
    valid_session: &ValidSession,
    user: &User,
    credential: &Credential,
    caller: &Caller,
) {
    ctx.audit
        .add(event(ctx, valid_session, user, credential, caller));
}

fn event(
    ctx: &Context,
    valid_session: &ValidSession,
    user: &User,
    credential: &Credential,
    caller: &Caller,
) -> api::platform_v1::AuditEvent {
    let session = valid_session.metadata();
    let entry = Entry {
        event_type: "token.granted",
        resource: credential
            .metadata
            .as_ref()
            .map(|metadata| (Kind::Credential, metadata)),
        user: user.metadata.as_ref(),
        session: Some(&session),
    };
    audit::done(ctx, caller, entry)
}

fn uid(session: &Session) -> Result<Uid, Failed> {
    let uid = session
        .metadata
        .as_ref()
        .map_or("", |metadata| metadata.uid.as_str());
    uid.parse().map_err(|error| Error::internal(error).into())
}
