//! Login of machines without a browser (RFC 8628). The machine shows a code, and a User enters it in a browser.

use std::time::Duration;

use api::{auth_v1::SessionToken, core_v1::Scope};
use domain::{address_prefix::AddressPrefix, clock::UnixMillis, id::Uid, kind::Kind, rng, scope};
use prost::Message as _;
use store::{CommitError, Operation, Transaction};

use super::{
    Login,
    active::{ActiveSession, NotActive},
    client_login,
    login::with_authentication_token,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    audit::{self, Entry},
    hits::{Allowed, Key, TooMany},
    limit::Limit,
    sealed::{self, NotOpened, Purpose},
    transaction::Attempts,
    waiting_logins::{CODE_LIFETIME, Waiting},
};

/// Lifetime of a code.
pub(crate) const LIFETIME: Duration = CODE_LIFETIME;
/// Minimum interval between two polls of a machine.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// Consonants that are easy to tell apart and form no words (RFC 8628 §6.1).
const ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LENGTH: usize = 8;
/// Maximum number of codes that a User can try per [`LIFETIME`].
const MOST_TRIES: u64 = 10;
const ASKED: &str = "device-login-asked";
const ANSWERED: &str = "device-login-answered";

/// A request of a machine, as the User sees it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Request {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) code: String,
    /// IP address of the machine.
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    #[prost(string, tag = "4")]
    pub(crate) user_agent: String,
    #[prost(string, repeated, tag = "5")]
    pub(crate) scopes: Vec<String>,
    #[prost(int64, tag = "6")]
    at: i64,
}

/// The stored answer to a request.
#[derive(Clone, PartialEq, prost::Message)]
struct ApprovalRecord {
    /// Uid of the approving User's Session; empty if the request was rejected.
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
    #[prost(string, repeated, tag = "2")]
    scopes: Vec<String>,
}

/// The content of a sealed device code.
#[derive(Clone, PartialEq, prost::Message)]
struct Device {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
}

/// The codes issued to a machine.
pub(crate) struct DeviceLoginCodes {
    /// Secret code with which the machine polls.
    pub(crate) device_code: String,
    /// Code that the machine shows to the User.
    pub(crate) user_code: String,
}

/// The reason why no tokens are issued.
#[derive(Debug)]
pub(crate) enum DevicePollError {
    /// The request is not answered yet.
    Pending,
    /// The machine polls too often.
    TooFast,
    /// The request was rejected.
    Denied,
    /// The code has expired, or its request was evicted.
    Expired,
    /// The code is invalid or was already used.
    Invalid,
    /// Another error.
    Failed(Error),
}

impl From<Error> for DevicePollError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Request {
    /// Returns the code as the machine shows it, in two groups.
    pub(crate) fn shown_code(&self) -> String {
        let (first, second) = self
            .code
            .split_at_checked(CODE_LENGTH / 2)
            .unwrap_or_default();
        format!("{first}-{second}")
    }

    /// Returns the time of the request.
    pub(crate) fn at(&self) -> UnixMillis {
        UnixMillis(self.at)
    }
}

/// Creates a request and returns its codes.
///
/// # Errors
/// Returns `RateLimited` if too many requests wait for a User; see [`WaitingLogins`](crate::waiting_logins::WaitingLogins).
pub(crate) async fn begin(
    ctx: &Context,
    scopes: &[String],
    caller: &Caller,
) -> Result<DeviceLoginCodes, Error> {
    let address = caller.ip.map(|ip| ip.to_string()).unwrap_or_default();
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let expires_at = now.saturating_add(LIFETIME);
        let id = ctx.new_uid();
        let code = rng::random_string(&*ctx.rng, ALPHABET, CODE_LENGTH);
        let waiting = Waiting {
            id,
            code: code.clone(),
            prefix: caller.ip.map(AddressPrefix::from),
            since: now,
        };
        make_room(ctx, waiting).await?;
        let request = Request {
            id: id.as_bytes().to_vec(),
            code: code.clone(),
            address: address.clone(),
            user_agent: caller.user_agent.clone(),
            scopes: scopes.to_vec(),
            at: now.0,
        };
        let mut transaction = Transaction::at(now);
        transaction.push(Operation::Record {
            kind: ASKED,
            key: code.clone().into_bytes(),
            value: request.encode_to_vec(),
            expires_at,
        });
        if let Err(error) = ctx.store.commit(transaction).await {
            ctx.authentication.device_logins.remove(id);
            match error {
                // Draws another random code.
                CommitError::RecordTaken => continue,
                error => return Err(error.into()),
            }
        }
        let device = Device {
            id: id.as_bytes().to_vec(),
        };
        return Ok(DeviceLoginCodes {
            device_code: sealed::seal(ctx, Purpose::DeviceCode, &device, expires_at)?,
            user_code: request.shown_code(),
        });
    }
}

/// Reserves a place for a login. If there is no free place, evicts another login from the store.
///
/// # Errors
/// Returns `RateLimited` if no login can be evicted.
async fn make_room(ctx: &Context, login: Waiting) -> Result<(), Error> {
    let logins = &ctx.authentication.device_logins;
    let (id, prefix) = (login.id, login.prefix);
    let evicted = logins.add(login).map_err(|full| {
        Limit::AnonymousRows.reached_by(prefix);
        too_many(full.retry_after)
    })?;
    let Some(evicted) = evicted else {
        return Ok(());
    };
    Limit::DeviceLoginEvicted.reached_by(evicted.prefix);
    let taken = ctx.store.take(ASKED, evicted.code.as_bytes(), ctx.now());
    match taken.await {
        Ok(Some(_)) => logins.record_evicted(evicted.id),
        // A User has entered the code at another replica, so that login no longer waits.
        Ok(None) => {}
        Err(error) => {
            logins.remove(id);
            return Err(error.into());
        }
    }
    Ok(())
}

/// Takes the request with this code, so that the code cannot be entered again. Returns the request, and a sealed copy
/// for [`answer`] by the same Session.
///
/// # Errors
/// Returns `FailedPrecondition` if no machine shows the code, or `RateLimited` after too many attempts.
pub(crate) async fn find(
    ctx: &Context,
    code: &str,
    by: &ActiveSession,
) -> Result<(Request, String), Error> {
    limit(ctx, Key::DeviceCodes(by.user().uid), MOST_TRIES).await?;
    let typed = code.bytes().filter(u8::is_ascii_alphanumeric);
    let typed: Vec<u8> = typed.map(|byte| byte.to_ascii_uppercase()).collect();
    let now = ctx.now();
    let none = || {
        Error::precondition(
            "No device is waiting with this code. A code works once, within ten minutes. Start the login again on the \
             device.",
        )
    };
    if typed.len() != CODE_LENGTH {
        return Err(none());
    }
    let asked = ctx.store.take(ASKED, &typed, now).await?.ok_or_else(none)?;
    ctx.authentication.device_logins.remove_entered(&typed);
    let request = Request::decode(&*asked).map_err(Error::internal)?;
    let expires_at = request.at().saturating_add(LIFETIME);
    let shown = ShownRequest {
        request: Some(request.clone()),
        session: by.uid().as_bytes().to_vec(),
    };
    let text = sealed::seal(ctx, Purpose::DeviceRequest, &shown, expires_at)?;
    Ok((request, text))
}

/// A request together with the Session that it was shown to.
#[derive(Clone, PartialEq, prost::Message)]
struct ShownRequest {
    #[prost(message, optional, tag = "1")]
    request: Option<Request>,
    #[prost(bytes = "vec", tag = "2")]
    session: Vec<u8>,
}

/// Approves or rejects a request that was shown to the same Session.
///
/// # Errors
/// Returns `FailedPrecondition` if the request has expired or was already answered.
pub(crate) async fn answer(
    ctx: &Context,
    shown: &str,
    is_approved: bool,
    by: &ActiveSession,
    caller: &Caller,
) -> Result<(), Error> {
    let late = || {
        Error::precondition(
            "This took too long, or was already answered. Start the login again on the device.",
        )
    };
    let opened = sealed::open::<ShownRequest>(ctx, Purpose::DeviceRequest, shown).await;
    let shown = opened.map_err(|error| match error {
        NotOpened::Unavailable => Error::unavailable("a request cannot be opened"),
        NotOpened::Invalid | NotOpened::Expired => late(),
    })?;
    let request = shown.request.ok_or_else(late)?;
    if shown.session != by.uid().as_bytes() {
        return Err(late());
    }
    let now = ctx.now();
    let answer = ApprovalRecord {
        session: if is_approved {
            shown.session
        } else {
            Vec::new()
        },
        scopes: request.scopes.clone(),
    };
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Record {
        kind: ANSWERED,
        key: request.id.clone(),
        value: answer.encode_to_vec(),
        expires_at: request.at().saturating_add(LIFETIME),
    });
    if is_approved {
        by.guard(&mut transaction);
    }
    let session = by.session().metadata.as_ref();
    let mut event = audit::done(
        ctx,
        caller,
        Entry {
            event_type: if is_approved {
                "device_login.approved"
            } else {
                "device_login.rejected"
            },
            resource: session.map(|metadata| (Kind::Session, metadata)),
            user: by.user().message.metadata.as_ref(),
            session,
        },
    );
    event.attrs.insert("from".to_owned(), request.address);
    transaction.push(Operation::Audit(event));
    match ctx.store.commit(transaction).await {
        Ok(_) => Ok(()),
        Err(CommitError::RecordTaken) => Err(late()),
        Err(CommitError::Conflict { .. }) => Err(Error::precondition(
            "Your Session changed in the meantime. Go back and try again.",
        )),
        Err(error) => Err(error.into()),
    }
}

/// Returns the tokens if the request was approved. The machine polls this function.
///
/// # Errors
/// Returns [`DevicePollError`] if no tokens can be issued.
pub(crate) async fn collect(
    ctx: &Context,
    device_code: &str,
    caller: &Caller,
) -> Result<(SessionToken, Vec<String>), DevicePollError> {
    let opened = sealed::open::<Device>(ctx, Purpose::DeviceCode, device_code).await;
    let device = opened.map_err(|error| match error {
        NotOpened::Invalid => DevicePollError::Invalid,
        NotOpened::Expired => DevicePollError::Expired,
        NotOpened::Unavailable => {
            DevicePollError::Failed(Error::unavailable("a code cannot be opened"))
        }
    })?;
    let id = Uid::from_bytes(&device.id).map_err(|_| DevicePollError::Invalid)?;
    if ctx.authentication.device_logins.is_evicted(id) {
        return Err(DevicePollError::Expired);
    }
    let now = ctx.now();
    // One second less than the interval, because clocks and networks are not exact.
    let window = INTERVAL.saturating_sub(Duration::from_secs(1));
    let allowed = Allowed { most: 1, window };
    match ctx.count(Key::DevicePolls(id), allowed).await {
        Ok(()) => {}
        Err(TooMany::Until(_)) => return Err(DevicePollError::TooFast),
        Err(TooMany::Failed(error)) => return Err(DevicePollError::Failed(error)),
    }
    let answer = ctx.store.take(ANSWERED, &device.id, now).await;
    let collected = format!("device-collected:{id}");
    let Some(answer) = answer.map_err(Error::from)? else {
        let before = ctx.store.counter(&collected, now).await;
        return Err(match before.map_err(Error::from)? {
            // A machine that lost the response does not have to wait for the code to expire.
            Some(_) => DevicePollError::Invalid,
            None => DevicePollError::Pending,
        });
    };
    let noted = ctx.store.count(&collected, LIFETIME, now).await;
    noted.map_err(Error::from)?;
    let answer = ApprovalRecord::decode(&*answer).map_err(Error::internal)?;
    if answer.session.is_empty() {
        return Err(DevicePollError::Denied);
    }
    let session = Uid::from_bytes(&answer.session).map_err(Error::internal)?;
    // The approving User may have lost access since the approval.
    let token = client_login::one_time_token(ctx, session).await;
    let token = token.map_err(|error| match error {
        NotActive::Refused(_) => DevicePollError::Denied,
        NotActive::Failed(error) => match error.kind() {
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => DevicePollError::Denied,
            _ => DevicePollError::Failed(error),
        },
    })?;
    let login = Login {
        token: token.expose(),
        scopes: &answer.scopes,
        code_verifier: &[],
    };
    let tokens = with_authentication_token(ctx, login, caller).await?;
    Ok((tokens, answer.scopes))
}

/// Parses scopes.
///
/// # Errors
/// Returns an error if a scope is invalid.
pub(crate) fn check_scopes(scopes: &[String]) -> Result<Vec<Scope>, Error> {
    scope::parse(scopes).map_err(|error| Error::invalid(error.to_string()))
}

async fn limit(ctx: &Context, key: Key, most: u64) -> Result<(), Error> {
    let allowed = Allowed {
        most,
        window: LIFETIME,
    };
    let until = match ctx.count(key, allowed).await {
        Ok(()) => return Ok(()),
        Err(TooMany::Failed(error)) => return Err(error),
        Err(TooMany::Until(until)) => until,
    };
    Err(too_many(until.since(ctx.now())))
}

fn too_many(retry_after: Duration) -> Error {
    Error::new(
        ErrorKind::RateLimited { retry_after },
        "There were too many attempts. Wait a few minutes and try again.",
    )
}
