//! Hands a login over to a Service: a short-lived one-time code, then a cookie for the host of that Service.
//!
//! A Service can read neither the login cookie nor the cookies of other Services. A stolen Service cookie is useless at
//! other hosts, because it is sealed for one host.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{
    clock::UnixMillis,
    id::Uid,
    session,
    token::{Claims, TokenType},
};
use store::{CommitError, Operation, Transaction};
use subtle::ConstantTimeEq as _;

use crate::{
    Context, Error, ErrorKind, Principal, Unauthenticated,
    authentication::active::{ActiveSession, NotActive},
    directory::Presented,
    return_to::ReturnTarget,
    sealed::{self, NotOpened, Purpose},
};

/// Path at which the host of a Service receives the code.
pub const CALLBACK: &str = "/.well-known/octelium/callback";
/// Maximum length of a code in bytes.
pub const LONGEST_CODE: usize = 6000;
const CODE_LIFETIME: Duration = Duration::from_secs(30);
/// Kind of the record that marks a code as used.
const USED: &str = "hand-over-used";

#[derive(Clone, PartialEq, prost::Message)]
struct Code {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    session: Vec<u8>,
    #[prost(string, tag = "3")]
    url: String,
    #[prost(string, tag = "4")]
    state: String,
    /// See [`Cookie::version`].
    #[prost(uint32, tag = "5")]
    version: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Cookie {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    session: Vec<u8>,
    #[prost(string, tag = "3")]
    host: String,
    #[prost(bytes = "vec", tag = "4")]
    key: Vec<u8>,
    /// Credential version of the Session when the handover started. After an Authenticator raises the Session, cookies
    /// with an older version are refused.
    #[prost(uint32, tag = "5")]
    version: u32,
}

/// The result of a successful handover.
pub struct RedeemedHandover {
    /// Value of the cookie for the host of the Service.
    pub cookie: String,
    /// Lifetime of the cookie.
    pub lifetime: Duration,
    /// Path and query to continue at.
    pub target: String,
}

/// Reason for refusing a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The code is malformed, expired, or issued for another host or browser.
    Invalid,
    /// The code was used before.
    Used,
    /// The code cannot be verified now.
    Unavailable,
}

/// Returns the SHA-256 digest of `nonce` in base64url. It binds a code to the browser that holds the nonce.
pub fn state_of(nonce: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, nonce.as_bytes()))
}

/// Returns the URL that hands the Session `by` over to the Service at `place`.
///
/// # Errors
/// Returns an error if no signing key is available.
pub(super) fn issue_code(
    ctx: &Context,
    by: &ActiveSession,
    place: &ReturnTarget,
) -> Result<String, Error> {
    let code = Code {
        id: ctx.new_uid().as_bytes().to_vec(),
        session: by.uid().as_bytes().to_vec(),
        url: place.url.clone(),
        state: place.state.clone(),
        version: version(by.session()),
    };
    let expires_at = ctx.now().saturating_add(CODE_LIFETIME);
    let code = sealed::seal(ctx, Purpose::HandOver, &code, expires_at)?;
    let (origin, _) =
        split(&place.url).ok_or_else(|| Error::internal("no address to return to"))?;
    Ok(format!("{origin}{CALLBACK}?code={code}"))
}

/// Redeems a code at the host `host` (lower case, no port). `nonce` is the value that the browser got there, or empty.
///
/// The code is marked as used before host and browser are compared: a code presented elsewhere has leaked.
///
/// # Errors
/// * [`Refused::Invalid`] if the code is not valid for this host and browser, or its Session is no longer active.
/// * [`Refused::Used`] if the code was redeemed before.
/// * [`Refused::Unavailable`] if the Cluster cannot verify it now.
pub async fn redeem_code(
    ctx: &Context,
    host: &str,
    code: &str,
    nonce: &str,
) -> Result<RedeemedHandover, Refused> {
    let opened = sealed::open::<Code>(ctx, Purpose::HandOver, code).await;
    let code = opened.map_err(|error| match error {
        NotOpened::Invalid | NotOpened::Expired => Refused::Invalid,
        NotOpened::Unavailable => Refused::Unavailable,
    })?;
    let (origin, target) = split(&code.url).ok_or(Refused::Invalid)?;
    let (Ok(id), Ok(session)) = (Uid::from_bytes(&code.id), Uid::from_bytes(&code.session)) else {
        return Err(Refused::Invalid);
    };
    let now = ctx.now();
    let mut transaction = Transaction::at(now);
    transaction.push(Operation::Record {
        kind: USED,
        key: id.as_bytes().to_vec(),
        value: Vec::new(),
        expires_at: now.saturating_add(CODE_LIFETIME),
    });
    match ctx.store.commit(transaction).await {
        Ok(_) => {}
        Err(CommitError::RecordTaken) => return Err(Refused::Used),
        Err(error) => {
            tracing::error!(%error, "a code cannot be redeemed");
            return Err(Refused::Unavailable);
        }
    }
    let is_host = host_of(origin).is_some_and(|of| of.eq_ignore_ascii_case(host));
    let is_browser: bool = state_of(nonce)
        .as_bytes()
        .ct_eq(code.state.as_bytes())
        .into();
    if nonce.is_empty() || !is_host || !is_browser {
        return Err(Refused::Invalid);
    }
    let expires_at = service_cookie_expiry(ctx, session, now).await?;
    let bound = Bound {
        session,
        version: code.version,
        host,
    };
    let cookie = seal(ctx, bound, expires_at).map_err(|_| Refused::Unavailable)?;
    Ok(RedeemedHandover {
        cookie,
        lifetime: expires_at.since(now),
        target: target.to_owned(),
    })
}

/// Authenticates the cookie `text` of a Service at the host `host` (lower case, no port).
///
/// # Errors
/// * [`Unauthenticated::Refused`] if the cookie is not valid at this host.
/// * [`Unauthenticated::Unavailable`] if the Cluster cannot verify it now.
pub async fn authenticate(
    ctx: &Context,
    text: &str,
    host: &str,
) -> Result<Arc<Principal>, Unauthenticated> {
    if !ctx.directory.is_fresh() {
        return Err(Unauthenticated::Unavailable);
    }
    let presented = Presented::ServiceCookie { host, text };
    if let Some(principal) = ctx.directory.cached(&presented) {
        return Ok(principal);
    }
    let refused = |reason| Unauthenticated::Refused { reason };
    let (cookie, expires_at) = sealed::open_with_end::<Cookie>(ctx, Purpose::Service, text)
        .await
        .map_err(|error| match error {
            NotOpened::Invalid => refused("cookie_invalid"),
            NotOpened::Expired => refused("cookie_expired"),
            NotOpened::Unavailable => Unauthenticated::Unavailable,
        })?;
    if cookie.host != host {
        return Err(refused("cookie_host"));
    }
    let uid = |bytes: &[u8]| Uid::from_bytes(bytes).map_err(|_| refused("cookie_invalid"));
    let claims = Claims {
        token_type: TokenType::Access,
        key_id: uid(&cookie.key)?,
        subject: uid(&cookie.session)?,
        token_id: uid(&cookie.id)?,
        expires_at: Some(expires_at),
        credential_version: cookie.version,
        audience: ctx.cluster_uid,
    };
    ctx.directory.admit(&presented, claims).await
}

/// Returns a new cookie for `host` and its lifetime. Returns `None` if it would not outlive the current cookie of
/// `principal`.
pub fn renew(ctx: &Context, principal: &Principal, host: &str) -> Option<(String, Duration)> {
    let now = ctx.now();
    let expires_at = session::browser_access_expiry(&principal.session(), now);
    if expires_at <= principal.claims.expires_at? {
        return None;
    }
    let bound = Bound {
        session: principal.claims.subject,
        version: principal.claims.credential_version,
        host,
    };
    let cookie = seal(ctx, bound, expires_at);
    let cookie = cookie.inspect_err(|error| tracing::error!(%error, "no cookie for a Service"));
    Some((cookie.ok()?, expires_at.since(now)))
}

/// The claims that a Service cookie is sealed with.
#[derive(Clone, Copy)]
struct Bound<'a> {
    session: Uid,
    version: u32,
    host: &'a str,
}

fn version(session: &api::core_v1::Session) -> u32 {
    session
        .status
        .as_ref()
        .map_or(0, |status| status.credential_version)
}

fn seal(ctx: &Context, bound: Bound<'_>, expires_at: UnixMillis) -> Result<String, Error> {
    let cookie = Cookie {
        id: ctx.new_uid().as_bytes().to_vec(),
        session: bound.session.as_bytes().to_vec(),
        host: bound.host.to_ascii_lowercase(),
        key: ctx.keys.signer(ctx.now())?.id().as_bytes().to_vec(),
        version: bound.version,
    };
    sealed::seal(ctx, Purpose::Service, &cookie, expires_at)
}

/// Returns the expiry of a Service cookie that is issued now for this Session.
async fn service_cookie_expiry(
    ctx: &Context,
    session: Uid,
    now: UnixMillis,
) -> Result<UnixMillis, Refused> {
    match ActiveSession::read(ctx, session, now).await {
        Ok(active) if session::is_browser(active.session()) => {
            Ok(session::browser_access_expiry(active.session(), now))
        }
        Ok(_) | Err(NotActive::Refused(_)) => Err(Refused::Invalid),
        Err(NotActive::Failed(error)) => Err(match error.kind() {
            ErrorKind::Unavailable | ErrorKind::Internal => Refused::Unavailable,
            _ => Refused::Invalid,
        }),
    }
}

/// Splits an absolute `https` URL into origin and target.
fn split(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let length = rest.find('/')?;
    url.split_at_checked("https://".len() + length)
}

fn host_of(origin: &str) -> Option<&str> {
    let authority = origin.strip_prefix("https://")?;
    authority.split(':').next()
}
