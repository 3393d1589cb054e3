//! Refresh of a Session's tokens with its refresh token.

use api::{
    auth_v1::SessionToken,
    core_v1::{Credential, Device, Session, User},
    meta_v1::ObjectReference,
};
use domain::{
    clock::UnixMillis,
    credential::Refusal,
    id::Uid,
    kind::Kind,
    session::{self, Refresh},
    token::TokenType,
};
use store::{CommitError, Expected, Operation, SecretWrite, Transaction};

use super::{
    secret::{self, UNAUTHENTICATED},
    sign::SessionTokens,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    document::{
        codec::{self, Resource, Stored},
        load,
    },
    transaction::{Attempts, retry_conflict},
};

/// A Session and the objects it depends on, read from the store.
pub(super) struct Read {
    pub(super) session: Stored<Session>,
    pub(super) user: Stored<User>,
    pub(super) credential: Option<Stored<Credential>>,
    pub(super) device: Option<Stored<Device>>,
}

/// Issues new tokens to the holder of a refresh token. The same token can be used again for a short time, for clients
/// that lost the response. Later reuse indicates a stolen copy and ends the Session.
///
/// # Errors
/// Returns `Unauthenticated` if the token or the Session is not valid, `PermissionDenied` if the User cannot log in,
/// or `AlreadyExists` if the current access token is still valid for a while.
pub async fn with_refresh_token(
    ctx: &Context,
    refresh_token: &str,
    caller: &Caller,
) -> Result<SessionToken, Error> {
    attempt(ctx, refresh_token, caller)
        .await
        .inspect_err(|error| {
            if error.kind() != ErrorKind::AlreadyExists
                && let Some(reason) = error.reason()
            {
                let entry = Entry {
                    event_type: "session.refreshed",
                    resource: None,
                    user: None,
                    session: None,
                };
                ctx.audit.add(audit::refused(ctx, caller, entry, reason));
            }
        })
}

/// Checks that this refresh token belongs to a Session.
///
/// # Errors
/// Returns `Unauthenticated` if it does not.
pub async fn check_refresh_token(ctx: &Context, refresh_token: &str) -> Result<(), Error> {
    holder_ignoring_approval_and_authenticator(ctx, refresh_token, ctx.now())
        .await
        .map(|_| ())
}

/// Reads the Session of this refresh token and what it depends on, if it passes
/// [`session::check_ignoring_approval_and_authenticator`].
///
/// # Errors
/// Returns `Unauthenticated` if the token or the Session is not valid.
pub(super) async fn holder_ignoring_approval_and_authenticator(
    ctx: &Context,
    token: &str,
    now: UnixMillis,
) -> Result<Read, Error> {
    let claims = ctx.directory.verify(token, TokenType::Refresh).await;
    let claims = claims.map_err(secret::from_unauthenticated)?;
    let read = read_ignoring_approval_and_authenticator(ctx, claims.subject, now).await?;
    match session::refresh(&read.session.message, claims.token_id, now) {
        Ok(Refresh::Reuse) => Err(secret::unauthenticated("token_superseded")),
        Ok(_) | Err(Refusal::AuthenticatorRequired) => Ok(read),
        Err(refusal) => Err(refused(refusal)),
    }
}

async fn attempt(ctx: &Context, token: &str, caller: &Caller) -> Result<SessionToken, Error> {
    let claims = ctx.directory.verify(token, TokenType::Refresh).await;
    let claims = claims.map_err(secret::from_unauthenticated)?;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let read = read_ignoring_approval_and_authenticator(ctx, claims.subject, now).await?;
        let session = &read.session.message;
        let by = read.credential.as_ref().map(|stored| &stored.message);
        match session::refresh(session, claims.token_id, now).map_err(refused)? {
            Refresh::Remint => return Ok(SessionTokens::sign(ctx, session, by, now)?.to_proto(now)),
            Refresh::TooSoon => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    "The current access token is still valid; use it",
                )
                .because("refresh_too_soon"));
            }
            Refresh::Reuse => {
                revoke(ctx, &read, caller, now).await?;
                return Err(secret::unauthenticated("refresh_token_reused"));
            }
            Refresh::Rotate => match rotate(ctx, &read, caller, now).await {
                Ok(rotated) => {
                    return Ok(SessionTokens::sign(ctx, &rotated, by, now)?.to_proto(now));
                }
                Err(error) => retry_conflict(error)?,
            },
        }
    }
}

/// Reads a Session and what it depends on, if it passes [`session::check_ignoring_approval_and_authenticator`].
pub(super) async fn read_ignoring_approval_and_authenticator(
    ctx: &Context,
    uid: Uid,
    now: UnixMillis,
) -> Result<Read, Error> {
    let session = load::with_token_ids::<Session>(&*ctx.store, uid, now).await?;
    let session = session.ok_or_else(|| secret::unauthenticated("session_gone"))?;
    let status = session.message.status.clone().unwrap_or_default();
    let user = by_reference::<User>(ctx, status.user_ref.as_ref(), now).await?;
    let user = user.ok_or_else(|| secret::unauthenticated("user_gone"))?;
    let credential = by_reference::<Credential>(ctx, status.credential_ref.as_ref(), now).await?;
    let device = by_reference::<Device>(ctx, status.device_ref.as_ref(), now).await?;
    session::check_ignoring_approval_and_authenticator(
        &session.message,
        &user.message,
        credential.as_ref().map(|stored| &stored.message),
        device.as_ref().map(|stored| &stored.message),
        now,
    )
    .map_err(refused)?;
    Ok(Read {
        session,
        user,
        credential,
        device,
    })
}

async fn by_reference<T: Resource>(
    ctx: &Context,
    reference: Option<&ObjectReference>,
    now: UnixMillis,
) -> Result<Option<Stored<T>>, Error> {
    let Some(reference) = reference else {
        return Ok(None);
    };
    let Ok(uid) = reference.uid.parse() else {
        return Ok(None);
    };
    Ok(load::by_uid::<T>(&*ctx.store, uid, now).await?)
}

pub(super) async fn rotate(
    ctx: &Context,
    read: &Read,
    caller: &Caller,
    now: UnixMillis,
) -> Result<Session, CommitError> {
    let mut session = read.session.message.clone();
    let info = session::refresh_info(ctx.client_origin(caller));
    session::rotate_tokens(&mut session, ctx.new_uid(), now, info);
    let document = codec::encode(
        read.session.uid,
        read.session.created_at,
        &session,
        SecretWrite::Keep,
    );
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Put(
        document,
        Expected::Revision(read.session.revision),
    ));
    transaction.push(Operation::Unchanged(
        Kind::User,
        read.user.uid,
        read.user.revision,
    ));
    if let Some(credential) = &read.credential {
        transaction.push(Operation::Unchanged(
            Kind::Credential,
            credential.uid,
            credential.revision,
        ));
    }
    transaction.push(Operation::Audit(audit::done(
        ctx,
        caller,
        entry(read, "session.refreshed"),
    )));
    ctx.store.commit(transaction).await?;
    Ok(session)
}

/// Ends a Session whose refresh token was reused. The token may be stolen, so neither holder keeps the Session.
pub(super) async fn revoke(
    ctx: &Context,
    read: &Read,
    caller: &Caller,
    now: UnixMillis,
) -> Result<(), Error> {
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Delete(Kind::Session, read.session.uid, None));
    let mut event = audit::done(ctx, caller, entry(read, "session.revoked"));
    "refresh_token_reused".clone_into(&mut event.reason);
    transaction.push(Operation::Audit(event));
    match ctx.store.commit(transaction).await {
        Ok(committed) => {
            ctx.directory.catch_up(committed.cursor).await;
            Ok(())
        }
        // The Session is already gone.
        Err(CommitError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn entry<'a>(read: &'a Read, event_type: &'static str) -> Entry<'a> {
    let session = read.session.message.metadata.as_ref();
    Entry {
        event_type,
        resource: session.map(|metadata| (Kind::Session, metadata)),
        user: read.user.message.metadata.as_ref(),
        session,
    }
}

/// Converts a refusal to an error that names the reason. The holder of a refresh token may know it.
pub(super) fn refused(refusal: Refusal) -> Error {
    let kind = match refusal {
        Refusal::UserDisabled
        | Refusal::UserLocked
        | Refusal::AuthenticatorRequired
        | Refusal::NotRefreshable => ErrorKind::PermissionDenied,
        _ => ErrorKind::Unauthenticated,
    };
    Error::new(kind, format!("{UNAUTHENTICATED}: {refusal}")).because(refusal.reason())
}
