//! Identifies the visitor of a page by the Session cookie.

use std::{convert::Infallible, sync::Arc, time::Duration};

use api::{core_v1::User, resource::Object as _};
use axum::extract::FromRequestParts;
use domain::{
    clock::UnixMillis,
    credential::Refusal,
    id::Uid,
    session::{self, browser_access_expiry, refresh_token_expiry},
    token::{Claims as TokenClaims, TokenType},
};
use http::{HeaderMap, HeaderValue, StatusCode, request::Parts};

use super::{
    cookie::{self, SameSite},
    failure::Failure,
};
use crate::{
    Caller, Context, Error, ErrorKind, Principal, Unauthenticated,
    authentication::{
        active::{ActiveSession, NotActive},
        browser::{self, Claims, NewBrowserSession, Resumed},
    },
    budget::Payer,
    directory::Presented,
    sealed::{self, NotOpened, Purpose},
};

/// Lifetime of a form token.
const FORM_LIFETIME: Duration = Duration::from_hours(24);

/// The visitor of a page, stored in the extensions of each page request.
#[derive(Clone)]
pub(crate) enum Visit {
    /// Has a Session.
    SignedIn(Arc<Visitor>),
    /// Has no Session. The text explains why a previous Session is gone.
    Unknown(Option<String>),
}

/// A visitor with a live Session.
pub(crate) struct Visitor {
    pub(crate) resumed: Resumed,
    pub(crate) uid: Uid,
}

/// Content of the Session cookie.
#[derive(Clone, PartialEq, prost::Message)]
struct Cookie {
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    token: Vec<u8>,
}

/// Content of a form token.
#[derive(Clone, PartialEq, prost::Message)]
struct FormToken {
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
}

/// Identifies the visitor, and returns the cookie to set.
///
/// # Errors
/// Returns an error if the Session cannot be checked now. The browser then keeps its cookie.
pub(super) async fn of(
    ctx: &Context,
    headers: &HeaderMap,
    caller: &Caller,
) -> Result<(Visit, Option<HeaderValue>), Error> {
    let Some(text) = cookie::find(headers, cookie::SESSION) else {
        return Ok((Visit::Unknown(None), None));
    };
    let gone = |why: &str| {
        let why = Some(why.to_owned());
        (
            Visit::Unknown(why),
            cookie::clear(cookie::SESSION, SameSite::Lax),
        )
    };
    let claims = match open(ctx, text).await {
        Ok(claims) => claims,
        Err(NotOpened::Unavailable) => return Err(Error::unavailable("cannot open a cookie")),
        Err(NotOpened::Expired) => return Ok(gone("Your Session has expired.")),
        Err(NotOpened::Invalid) => {
            return Ok(gone("This Cluster no longer knows your Session."));
        }
    };
    match browser::resume(ctx, claims, caller).await {
        Ok(resumed) => {
            let cookie = match resumed.replacement {
                Some(token_id) => Some(issue(
                    ctx,
                    &resumed.session.message,
                    claims.session,
                    token_id,
                )?),
                None => None,
            };
            let visitor = Visitor {
                resumed,
                uid: claims.session,
            };
            Ok((Visit::SignedIn(Arc::new(visitor)), cookie))
        }
        // The browser already has a newer cookie, which must be kept.
        Err(error) if error.reason() == Some(browser::SUPERSEDED) => {
            let why = "Your Session was just confirmed in another window. Reload the page.";
            Ok((Visit::Unknown(Some(why.to_owned())), None))
        }
        Err(error) => match error.kind() {
            ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => {
                Ok(gone(ended(error.reason().unwrap_or_default())))
            }
            _ => Err(error),
        },
    }
}

/// Returns the cookie of a new Session.
///
/// # Errors
/// Returns an error if no signing key is available.
pub(super) fn new_session_cookie(
    ctx: &Context,
    new: &NewBrowserSession,
) -> Result<HeaderValue, Error> {
    let uid = new.session.uid().parse().map_err(Error::internal)?;
    issue(ctx, &new.session, uid, browser::present(&new.session)?)
}

fn issue(
    ctx: &Context,
    session: &api::core_v1::Session,
    uid: Uid,
    token_id: Uid,
) -> Result<HeaderValue, Error> {
    let expires_at = refresh_token_expiry(session, None);
    let cookie = Cookie {
        session: uid.as_bytes().to_vec(),
        token: token_id.as_bytes().to_vec(),
    };
    let text = sealed::seal(ctx, Purpose::Browser, &cookie, expires_at)?;
    let lifetime = expires_at.since(ctx.now());
    cookie::set(cookie::SESSION, &text, SameSite::Lax, lifetime)
        .ok_or_else(|| Error::internal("no cookie could be made"))
}

/// Returns the Session that the cookie names, live or not. A new login ends it.
pub(super) async fn former(ctx: &Context, headers: &HeaderMap) -> Option<Uid> {
    let text = cookie::find(headers, cookie::SESSION)?;
    open(ctx, text).await.ok().map(|claims| claims.session)
}

async fn open(ctx: &Context, text: &str) -> Result<Claims, NotOpened> {
    let cookie = sealed::open::<Cookie>(ctx, Purpose::Browser, text).await?;
    let uid = |bytes: &[u8]| Uid::from_bytes(bytes).map_err(|_| NotOpened::Invalid);
    Ok(Claims {
        session: uid(&cookie.session)?,
        token_id: uid(&cookie.token)?,
    })
}

fn ended(reason: &str) -> &'static str {
    match reason {
        "refresh_token_reused" => {
            "Your Session was ended because an old copy of its cookie was used. This happens if you restore a backup \
             or an earlier state of your browser. If you did not, tell an administrator."
        }
        "user_disabled" => "Your User is disabled. Ask an administrator.",
        "user_locked" => "Your User is locked. Ask an administrator.",
        "session_rejected" => "Your Session was rejected by an administrator.",
        "session_gone" => "Your Session was ended.",
        _ => "Your Session has ended.",
    }
}

impl Visit {
    /// Returns the budget that the request body is charged to.
    pub(super) fn payer(&self, caller: &Caller) -> Payer {
        match self {
            Self::SignedIn(visitor) => Payer::User(visitor.resumed.user.uid),
            Self::Unknown(_) => Payer::anonymous(caller.ip),
        }
    }
}

impl Visitor {
    pub(crate) fn user(&self) -> &User {
        &self.resumed.user.message
    }

    pub(crate) fn display_name(&self) -> &str {
        let metadata = self.user().metadata();
        match metadata {
            Some(metadata) if !metadata.display_name.is_empty() => &metadata.display_name,
            _ => self.user().name(),
        }
    }

    /// Returns why the Session cannot be used, judged only by the documents that were loaded for it. Use this only to
    /// choose the page to show. Granting access requires [`Self::check_active`].
    pub(super) fn refusal(&self, now: UnixMillis) -> Option<Refusal> {
        let of = self.resumed.snapshot();
        let credential = of.credential.map(|stored| &stored.message);
        let device = of.device.map(|stored| &stored.message);
        session::check(&of.session.message, self.user(), credential, device, now).err()
    }

    /// Returns the Session if it is active.
    ///
    /// # Errors
    /// Returns a [`Failure`] that explains to the person why the Session cannot be used.
    pub(crate) async fn check_active(
        &self,
        ctx: &Context,
        now: UnixMillis,
    ) -> Result<ActiveSession, Failure> {
        let active = ActiveSession::check(ctx, self.resumed.snapshot(), now).await;
        active.map_err(|error| match error {
            NotActive::Failed(error) => error.into(),
            NotActive::Refused(Refusal::SessionPending) => Failure::new(
                StatusCode::FORBIDDEN,
                "Waiting for approval",
                "Your Session must be approved by an administrator before you can use it. Check again later.",
            )
            .then("/", "Check again"),
            NotActive::Refused(Refusal::AuthenticatorRequired) => Failure::new(
                StatusCode::FORBIDDEN,
                "A second factor is required",
                "Use an Authenticator to verify it's you before you use this Session.",
            )
            .then("/login", "Continue"),
            NotActive::Refused(refusal @ Refusal::ProviderInactive) => Failure::new(
                StatusCode::FORBIDDEN,
                "Sign in again",
                format!("Your Session can no longer be used here: {refusal}."),
            )
            .then("/login?again=1", "Sign in again"),
            NotActive::Refused(refusal) => Failure::new(
                StatusCode::FORBIDDEN,
                "Your Session cannot be used",
                format!("Reason: {refusal}."),
            ),
        })
    }

    /// Returns the Session as the principal of API calls.
    ///
    /// # Errors
    /// * [`Unauthenticated::Refused`] if the Session is not valid.
    /// * [`Unauthenticated::Unavailable`] if it cannot be checked now.
    pub(super) async fn principal(
        &self,
        ctx: &Context,
        active: &ActiveSession,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        if !ctx.directory.is_fresh() {
            return Err(Unauthenticated::Unavailable);
        }
        let session = active.session();
        let token_id = browser::present(session).map_err(|_| Unauthenticated::Refused {
            reason: Refusal::Incomplete.reason(),
        })?;
        let presented = Presented::PortalSession {
            session: self.uid,
            token_id,
        };
        if let Some(principal) = ctx.directory.cached(&presented) {
            return Ok(principal);
        }
        let now = ctx.now();
        let signer = ctx.keys.signer(now);
        let claims = TokenClaims {
            token_type: TokenType::Access,
            key_id: signer.map_err(|_| Unauthenticated::Unavailable)?.id(),
            subject: self.uid,
            token_id,
            expires_at: Some(browser_access_expiry(session, now)),
            credential_version: session
                .status
                .as_ref()
                .map_or(0, |status| status.credential_version),
            audience: ctx.cluster_uid,
        };
        ctx.directory.admit(&presented, claims).await
    }

    /// Returns a CSRF token for the forms of this Session.
    pub(crate) fn form_token(&self, ctx: &Context) -> Result<String, Error> {
        let token = FormToken {
            session: self.uid.as_bytes().to_vec(),
        };
        let expires_at = ctx.now().saturating_add(FORM_LIFETIME);
        sealed::seal(ctx, Purpose::Form, &token, expires_at)
    }

    /// Checks that a form carries the CSRF token of this Session.
    pub(super) async fn check(&self, ctx: &Context, token: Option<&str>) -> Result<(), Failure> {
        let opened = sealed::open::<FormToken>(ctx, Purpose::Form, token.unwrap_or_default()).await;
        match opened {
            Ok(opened) if opened.session == self.uid.as_bytes() => Ok(()),
            Err(NotOpened::Unavailable) => Err(Failure::unavailable()),
            Ok(_) | Err(NotOpened::Invalid | NotOpened::Expired) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "This page is too old",
                "You signed in again after you opened the page, or it was open for a day. Nothing was changed. Open \
                 the page again.",
            )
            .then("/", "Go to the portal")),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let visit = parts.extensions.get::<Self>().cloned();
        Ok(visit.unwrap_or(Self::Unknown(None)))
    }
}
