//! Browser Sessions: creation, resumption and end. Their tokens leave the Cluster only in sealed cookies, each for one
//! host.

use api::{
    core_v1::{Credential, Device, Session, User, session::status::Type},
    meta_v1::Metadata,
    resource::Object as _,
};
use domain::{
    clock::UnixMillis,
    credential::Refusal,
    id::Uid,
    kind::Kind,
    session::{self, BrowserToken},
};
use store::{CommitError, Operation, Transaction};

use super::{
    active::{ActiveSession, Snapshot},
    authenticator::fido::Passkey,
    enrollment::{self, Link},
    identity::ProvenIdentity,
    reap,
    refresh::{self, Read},
    secret,
    session_creation::{self, LoginMethod, SessionRequest, failure},
};
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    directory::Versioned,
    document::{codec::Stored, load},
    transaction::{Attempts, is_conflict, retry_conflict},
};

/// Reason for refusing a cookie issued before an Authenticator raised the Session. The browser has a newer cookie.
pub(crate) const SUPERSEDED: &str = "token_superseded";

/// A login of a browser.
pub(crate) struct BrowserLogin {
    pub(crate) user: Uid,
    pub(crate) method: BrowserLoginMethod,
    /// The current Session of this browser, which the new one replaces.
    pub(crate) former: Option<Uid>,
}

/// The proof that identifies the User.
pub(crate) enum BrowserLoginMethod {
    /// A link of an enrollment.
    Enrollment(Link),
    /// An identity that an `IdentityProvider` proved.
    Identity(ProvenIdentity),
    /// A passkey.
    Passkey(Box<Passkey>),
}

impl BrowserLoginMethod {
    fn as_login_method(&self) -> LoginMethod<'_> {
        match self {
            Self::Enrollment(link) => LoginMethod::Enrollment(link),
            Self::Identity(identity) => LoginMethod::Identity(identity),
            Self::Passkey(passkey) => LoginMethod::Passkey(passkey),
        }
    }
}

/// A new Session.
pub(crate) struct NewBrowserSession {
    pub(crate) session: Session,
}

/// The claims in a browser's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) session: Uid,
    pub(crate) token_id: Uid,
}

/// A Session that continues. It may wait for approval or for an Authenticator; [`ActiveSession`] excludes that.
pub(crate) struct Resumed {
    pub(crate) session: Stored<Session>,
    pub(crate) user: Stored<User>,
    pub(crate) credential: Option<Stored<Credential>>,
    pub(crate) device: Option<Stored<Device>>,
    /// The token to send to the browser, if it replaces the one in the cookie.
    pub(crate) replacement: Option<Uid>,
}

/// Creates a browser Session if `check` accepts the User. Deletes the former Session of the browser.
///
/// # Errors
/// Returns `Unauthenticated` if the User is gone or the proof was already used, or `PermissionDenied` if the User
/// cannot log in or has too many Sessions.
pub(crate) async fn log_in(
    ctx: &Context,
    login: &BrowserLogin,
    caller: &Caller,
    check: impl Fn(&User) -> Result<(), Error>,
) -> Result<NewBrowserSession, Error> {
    let mut attempts = Attempts::default();
    let mut was_reaped = false;
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let user = load::by_uid::<User>(&*ctx.store, login.user, now).await?;
        let user: Versioned<User> = user
            .ok_or_else(|| secret::unauthenticated("user_gone"))?
            .into();
        check(&user.message)?;
        secret::may_log_in(&user.message).map_err(|refusal| {
            Error::denied(match refusal {
                Refusal::UserDisabled => "This User is disabled. Ask an administrator.",
                _ => "This User is locked. Ask an administrator.",
            })
            .because(refusal.reason())
        })?;
        match attempt(ctx, login, &user, caller, now).await {
            Ok(begun) => return Ok(begun),
            Err(CommitError::RecordTaken) => {
                return Err(Error::new(
                    ErrorKind::Unauthenticated,
                    "This was already used and works only once. Ask for a new one, or sign in again.",
                )
                .because("used_already"));
            }
            Err(CommitError::Conflict {
                kind: Kind::Enrollment,
                ..
            }) => return Err(enrollment::gone()),
            // The caller has to verify the changed passkey again.
            Err(CommitError::Conflict {
                kind: kind @ Kind::Authenticator,
                uid,
            }) => return Err(Error::conflict(kind, uid)),
            Err(error) if is_conflict(&error) => {}
            Err(CommitError::LimitReached { .. }) if !was_reaped => {
                was_reaped = true;
                reap::of_user(ctx, user.uid).await?;
            }
            Err(error) => return Err(failure(error)),
        }
    }
}

async fn attempt(
    ctx: &Context,
    login: &BrowserLogin,
    user: &Versioned<User>,
    caller: &Caller,
    now: UnixMillis,
) -> Result<NewBrowserSession, CommitError> {
    let mut replaces = login.former;
    if let Some(former) = replaces
        && ctx.store.get(Kind::Session, former, now).await?.is_none()
    {
        replaces = None;
    }
    let session_request = SessionRequest {
        method: login.method.as_login_method(),
        user,
        scopes: Vec::new(),
        session_type: Type::Clientless,
        is_browser: true,
        caller,
        replaces,
    };
    let (session, committed) = session_creation::create_session(ctx, session_request, now).await?;
    if replaces.is_some() {
        ctx.directory.catch_up(committed.cursor).await;
    }
    Ok(NewBrowserSession { session })
}

/// Resumes the Session that a browser's cookie names. Rotates a token that has been in use for a while.
///
/// # Errors
/// Returns `Unauthenticated` or `PermissionDenied` if the Session is not valid, or `Unavailable` if that cannot be
/// determined.
pub(crate) async fn resume(
    ctx: &Context,
    claims: Claims,
    caller: &Caller,
) -> Result<Resumed, Error> {
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let read =
            refresh::read_ignoring_approval_and_authenticator(ctx, claims.session, now).await?;
        let session = &read.session.message;
        match session::browser_token(session, claims.token_id, now).map_err(refresh::refused)? {
            BrowserToken::Present => return Ok(resumed(read, None)),
            BrowserToken::Replaced => {
                let present = present(session)?;
                return Ok(resumed(read, Some(present)));
            }
            BrowserToken::Superseded => return Err(secret::unauthenticated(SUPERSEDED)),
            BrowserToken::Reused => {
                refresh::revoke(ctx, &read, caller, now).await?;
                return Err(secret::unauthenticated("refresh_token_reused"));
            }
            BrowserToken::Due => match refresh::rotate(ctx, &read, caller, now).await {
                Ok(rotated) => {
                    let present = present(&rotated)?;
                    let mut resumed = resumed(read, Some(present));
                    resumed.session.message = rotated;
                    return Ok(resumed);
                }
                Err(error) => retry_conflict(error)?,
            },
        }
    }
}

/// Ends a Session of the User of `by`: its own, or another. Succeeds if the Session is already gone.
///
/// # Errors
/// Returns `NotFound` if the Session belongs to another User.
pub(crate) async fn end(
    ctx: &Context,
    by: &ActiveSession,
    session: Uid,
    caller: &Caller,
) -> Result<(), Error> {
    let by = (by.session().metadata.as_ref(), by.user());
    end_session(ctx, by, session, caller).await
}

/// Logs a browser out, also while its Session waits for approval or an Authenticator.
///
/// # Errors
/// Returns an error if the store fails.
pub(crate) async fn log_out(ctx: &Context, own: &Resumed, caller: &Caller) -> Result<(), Error> {
    let by = (own.session.message.metadata.as_ref(), &own.user);
    end_session(ctx, by, own.session.uid, caller).await
}

async fn end_session(
    ctx: &Context,
    (by, user): (Option<&Metadata>, &Stored<User>),
    session: Uid,
    caller: &Caller,
) -> Result<(), Error> {
    let now = ctx.now();
    let Some(stored) = load::by_uid::<Session>(&*ctx.store, session, now).await? else {
        return Ok(());
    };
    let owner = stored.message.status().and_then(|of| of.user_ref.as_ref());
    if owner.map(|owner| owner.uid.as_str()) != Some(user.message.uid()) {
        return Err(Error::not_found(Kind::Session, session));
    }
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Delete(Kind::Session, session, None));
    let metadata = stored.message.metadata.as_ref();
    transaction.push(Operation::Audit(audit::done(
        ctx,
        caller,
        Entry {
            event_type: "session.ended",
            resource: metadata.map(|metadata| (Kind::Session, metadata)),
            user: user.message.metadata.as_ref(),
            session: by,
        },
    )));
    match ctx.store.commit(transaction).await {
        Ok(committed) => {
            // A change is visible on this replica before it is acknowledged.
            ctx.directory.catch_up(committed.cursor).await;
            Ok(())
        }
        Err(CommitError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Resumed {
    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            session: &self.session,
            user: &self.user,
            credential: self.credential.as_ref(),
            device: self.device.as_ref(),
        }
    }
}

fn resumed(read: Read, replacement: Option<Uid>) -> Resumed {
    Resumed {
        session: read.session,
        user: read.user,
        credential: read.credential,
        device: read.device,
        replacement,
    }
}

/// Returns the id of the current token.
pub(crate) fn present(session: &Session) -> Result<Uid, Error> {
    let authentication = session.status().and_then(|of| of.authentication.as_ref());
    let token_id = authentication.map(|authentication| authentication.token_id.as_str());
    token_id
        .unwrap_or_default()
        .parse()
        .map_err(Error::internal)
}
