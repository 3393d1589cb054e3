//! Who is visiting a page.

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
    sealed::{self, NotOpened, Purpose},
};
use crate::{
    Caller, Context, Error, ErrorKind, Principal, Unauthenticated,
    authentication::{
        active::{ActiveSession, NotActive},
        browser::{self, Begun, Claims, Resumed},
    },
    budget::Payer,
    directory::Presented,
};

/// How long a form may lie open.
const FORM_LIFETIME: Duration = Duration::from_hours(24);

/// Whoever has asked for a page. In the extensions of each request to one.
#[derive(Clone)]
pub(crate) enum Visit {
    /// Somebody with a Session.
    Known(Arc<Visitor>),
    /// Somebody without, and why there is none any more where there was one.
    Unknown(Option<String>),
}

/// Somebody with a Session that stands.
pub(crate) struct Visitor {
    pub(crate) resumed: Resumed,
    pub(crate) uid: Uid,
}

/// In a cookie.
#[derive(Clone, PartialEq, prost::Message)]
struct Cookie {
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    token: Vec<u8>,
}

/// In the forms of a Session.
#[derive(Clone, PartialEq, prost::Message)]
struct FormToken {
    #[prost(bytes = "vec", tag = "1")]
    session: Vec<u8>,
}

/// Who is visiting, and the cookie that the browser is to be given.
///
/// # Errors
/// Where it cannot be said at present: then the browser keeps what it has.
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
            return Ok(gone("Your Session is not known to this Cluster any more."));
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
            Ok((Visit::Known(Arc::new(visitor)), cookie))
        }
        // The browser has another by now, which it is to keep.
        Err(error) if error.reason() == Some(browser::SUPERSEDED) => {
            let why =
                "Your Session has just been confirmed in another window. Load the page again.";
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

/// The cookie of a Session that has just begun.
///
/// # Errors
/// Where there is no key.
pub(super) fn begun(ctx: &Context, begun: &Begun) -> Result<HeaderValue, Error> {
    let uid = begun.session.uid().parse().map_err(Error::internal)?;
    issue(ctx, &begun.session, uid, browser::present(&begun.session)?)
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

/// The Session that the browser names, whether it stands or not: it ends where another begins.
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
            "Your Session was ended because an old copy of its cookie was used. If you have restored a backup or an \
             earlier state of your browser, that is why. If not, tell an administrator."
        }
        "user_disabled" => "Your User is disabled. Ask an administrator.",
        "user_locked" => "Your User is locked. Ask an administrator.",
        "session_rejected" => "Your Session was rejected by an administrator.",
        "session_gone" => "Your Session was ended.",
        _ => "Your Session has ended.",
    }
}

impl Visit {
    /// Who the body of the request is charged to.
    pub(super) fn payer(&self, caller: &Caller) -> Payer {
        match self {
            Self::Known(visitor) => Payer::User(visitor.resumed.user.uid),
            Self::Unknown(_) => Payer::anonymous(caller.ip),
        }
    }
}

impl Visitor {
    /// Whose Session it is.
    pub(crate) fn user(&self) -> &User {
        &self.resumed.user.message
    }

    /// The name to greet by.
    pub(crate) fn display_name(&self) -> &str {
        let metadata = self.user().metadata();
        match metadata {
            Some(metadata) if !metadata.display_name.is_empty() => &metadata.display_name,
            _ => self.user().name(),
        }
    }

    /// What the documents of the Session say against using it now, if anything. Only for finding the page to show:
    /// rights are used by [`Self::check_active`].
    pub(super) fn refusal(&self, now: UnixMillis) -> Option<Refusal> {
        let of = self.resumed.snapshot();
        let credential = of.credential.map(|stored| &stored.message);
        let device = of.device.map(|stored| &stored.message);
        session::check(&of.session.message, self.user(), credential, device, now).err()
    }

    /// The Session, if it may be used now.
    ///
    /// # Errors
    /// What stands against it, for the person to read.
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
                "Your Session has to be approved by an administrator before you can use it. Look again later.",
            )
            .then("/", "Look again"),
            NotActive::Refused(Refusal::AuthenticatorRequired) => Failure::new(
                StatusCode::FORBIDDEN,
                "A second factor is needed",
                "Your Session needs an Authenticator before it can be used.",
            )
            .then("/login", "Go on"),
            NotActive::Refused(refusal @ Refusal::ProviderInactive) => Failure::new(
                StatusCode::FORBIDDEN,
                "Sign in again",
                format!("Your Session cannot be used here any more: {refusal}."),
            )
            .then("/login?again=1", "Sign in again"),
            NotActive::Refused(refusal) => Failure::new(
                StatusCode::FORBIDDEN,
                "Your Session cannot be used",
                format!("The reason: {refusal}."),
            ),
        })
    }

    /// The Session as what calls the API.
    ///
    /// # Errors
    /// Where it does not stand, or that cannot be said.
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
        if let Some(principal) = ctx.directory.remembered(&presented) {
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

    /// The token for the forms of this Session.
    pub(crate) fn form_token(&self, ctx: &Context) -> Result<String, Error> {
        let token = FormToken {
            session: self.uid.as_bytes().to_vec(),
        };
        let expires_at = ctx.now().saturating_add(FORM_LIFETIME);
        sealed::seal(ctx, Purpose::Form, &token, expires_at)
    }

    /// Whether a form carries the token of this Session.
    pub(super) async fn check(&self, ctx: &Context, token: Option<&str>) -> Result<(), Failure> {
        let opened = sealed::open::<FormToken>(ctx, Purpose::Form, token.unwrap_or_default()).await;
        match opened {
            Ok(opened) if opened.session == self.uid.as_bytes() => Ok(()),
            Err(NotOpened::Unavailable) => Err(Failure::unavailable()),
            Ok(_) | Err(NotOpened::Invalid | NotOpened::Expired) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                "This page is too old",
                "You have logged in anew since the page was opened, or it lay open for a day. Nothing was done. Open \
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
