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
        Beginning, By, access_token, begin, failure, loosen, reap,
        secret::{self, Failed, Proof, Purpose},
    },
    directory::{Known, Standing},
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
        let _turn = ctx.authentication.turn(proof.credential.uid).await;
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
            && let Ok(standing) = ctx.directory.standing(session, now).await
            && is_of(&standing, &proof, now)
        {
            ctx.usage.count(proof.credential.uid, now);
            audit_grant(
                ctx,
                &standing,
                &user.message,
                &proof.credential.message,
                caller,
            );
            return issue(ctx, &standing, &user.message, now);
        }
        let replaces = match existing(ctx, &proof, scopes, now).await? {
            Existing::Usable(session) => {
                ctx.authentication.grants.insert(key, session);
                continue;
            }
            Existing::Ending(session) => Some(session),
            Existing::None => None,
        };
        let beginning = beginning(&proof, &user, scopes, caller, replaces);
        match begin(ctx, beginning, now).await {
            Ok((session, _)) => {
                let uid = uid(&session)?;
                ctx.authentication.grants.insert(key, uid);
                let standing = stands(ctx, uid, now).await?;
                return issue(ctx, &standing, &user.message, now);
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
                let standing = stands(ctx, session, now).await?;
                redeem(ctx, &proof, &standing, &user, caller, now)
                    .await
                    .map(|()| standing)
            }
            Existing::Ending(session) => {
                let beginning = beginning(&proof, &user, scopes, caller, Some(session));
                begin_counted(ctx, &proof, beginning, now).await?
            }
            Existing::None => {
                let beginning = beginning(&proof, &user, scopes, caller, None);
                begin_counted(ctx, &proof, beginning, now).await?
            }
        };
        match outcome {
            Ok(standing) => {
                ctx.directory.forget(&[proof.credential.uid]);
                return issue(ctx, &standing, &user.message, now);
            }
            Err(error) => lost(ctx, &proof, user.uid, error, &mut was_reaped).await?,
        }
    }
}

async fn begin_counted(
    ctx: &Context,
    proof: &Proof,
    beginning: Beginning<'_>,
    now: UnixMillis,
) -> Result<Result<Arc<Standing>, CommitError>, Failed> {
    match begin(ctx, beginning, now).await {
        Ok((session, _)) => {
            ctx.directory.forget(&[proof.credential.uid]);
            Ok(Ok(stands(ctx, uid(&session)?, now).await?))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// Counts a use of the Credential for an existing Session.
async fn redeem(
    ctx: &Context,
    proof: &Proof,
    standing: &Standing,
    user: &Known<User>,
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
            loosen(ctx, &mut transaction, known, now).await?;
        }
    }
    transaction.push(Operation::Unchanged(Kind::User, user.uid, user.revision));
    let event = event(ctx, standing, &user.message, &known.message, caller);
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
    match ctx.directory.standing(stored.uid, now).await {
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

async fn stands(ctx: &Context, session: Uid, now: UnixMillis) -> Result<Arc<Standing>, Failed> {
    match ctx.directory.standing(session, now).await {
        Ok(standing) => Ok(standing),
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

async fn workload(ctx: &Context, proof: &Proof) -> Result<Known<User>, Failed> {
    let told = |error| Failed {
        error,
        credential: Some(proof.credential.clone()),
    };
    let user = secret::user(ctx, &proof.credential.message)
        .await
        .map_err(told)?;
    let is_workload = user
        .message
        .spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == user::spec::Type::Workload);
    if is_workload {
        Ok(user)
    } else {
        Err(told(
            Error::denied("Only a WORKLOAD User can be a client").because("user_type"),
        ))
    }
}

fn beginning<'a>(
    proof: &'a Proof,
    user: &'a Known<User>,
    scopes: &[Scope],
    caller: &'a Caller,
    replaces: Option<Uid>,
) -> Beginning<'a> {
    Beginning {
        by: By::Credential(proof),
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
    let told = |error| Failed {
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
                .map_err(|error| told(error.into()))?;
        }
        error => return Err(told(failure(error))),
    }
    ctx.directory.forget(&[proof.credential.uid, user]);
    Ok(())
}

fn is_of(standing: &Standing, proof: &Proof, now: UnixMillis) -> bool {
    let credential = standing.credential().and_then(|by| by.metadata.as_ref());
    standing.version == proof.generation.version()
        && credential.is_some_and(|metadata| metadata.uid == proof.claims.subject.to_string())
        && !ends_soon(standing.expires_at, now)
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
    standing: &Standing,
    user: &User,
    now: UnixMillis,
) -> Result<Granted, Failed> {
    let session_type = match standing.session_type() {
        Type::Unknown => Type::Clientless,
        known => known,
    };
    let lifetimes = session::lifetimes(user, &ctx.directory.cluster_config(), session_type);
    let end = token::expiry(standing.valid_until, Duration::ZERO);
    let expires_at = token::expiry(now, lifetimes.access_token).min(end);
    let token = access_token(ctx, standing.uid, standing.version, expires_at, now)?;
    Ok(Granted {
        token,
        expires_at,
        now,
    })
}

fn audit_grant(
    ctx: &Context,
    standing: &Standing,
    user: &User,
    credential: &Credential,
    caller: &Caller,
) {
    ctx.audit
        .add(event(ctx, standing, user, credential, caller));
}

fn event(
    ctx: &Context,
    standing: &Standing,
    user: &User,
    credential: &Credential,
    caller: &Caller,
) -> api::platform_v1::AuditEvent {
    let session = standing.metadata();
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
