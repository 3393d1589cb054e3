//! Login with an assertion of a workload's platform (RFC 7523).

use std::sync::Arc;

use api::{
    auth_v1::SessionToken,
    core_v1::{
        IdentityProvider, Scope, Session, User,
        identity_provider::spec,
        session::status::{Type, authentication::info::Details},
        user,
    },
    meta_v1::ObjectReference,
    resource::Object as _,
};
use authn::{
    assertion::{self, Verified},
    jwks::Rejected,
    jws::Unverified,
    provider::AuthenticationTime,
};
use domain::{clock::UnixMillis, id::Uid, kind::Kind, scope, session};
use policy::Facts;
use store::CommitError;

use super::{
    identity::{IdentityFailed, Lifetime, ProvenIdentity, SingleUse, claims, refused_identity},
    reap,
    secret::{UNAUTHENTICATED, check_user, unauthenticated},
    session_creation::{LoginMethod, SessionRequest, create_session, failure},
    sign::SessionTokens,
};
use crate::{
    Caller, Context, Error, ErrorKind,
    directory::{ProviderEntry, Versioned},
    document::{index, load},
    resource::metadata,
    transaction::{Attempts, is_conflict},
};

const USED_ASSERTION: &str = "assertion";
/// Maximum number of Sessions of a User.
const SESSIONS: u32 = 10_000;

/// A request to log in with an assertion.
pub struct AssertionLogin<'a> {
    /// The token, as the platform issued it.
    pub assertion: &'a str,
    /// The `IdentityProvider` to use. Default: the one whose issuer matches the token.
    pub provider: Option<&'a ObjectReference>,
    /// Scopes that restrict the Session; see [`domain::scope`].
    pub scopes: &'a [String],
}

/// Creates a Session for the WORKLOAD User that an assertion identifies.
///
/// # Errors
/// Returns `InvalidArgument` if a scope is invalid, `Unauthenticated` if the assertion is invalid or matches no User,
/// or `PermissionDenied` if the User cannot log in this way.
pub async fn with_assertion(
    ctx: &Context,
    login: AssertionLogin<'_>,
    caller: &Caller,
) -> Result<SessionToken, Error> {
    let scopes = scope::parse(login.scopes).map_err(|error| Error::invalid(error.to_string()))?;
    if let Some(provider) = login.provider {
        metadata::check_lengths(Kind::IdentityProvider, &provider.name, &provider.uid)?;
    }
    let login_request = AssertionRequest {
        assertion: login.assertion,
        provider: login.provider,
        client_id: None,
        scopes: &scopes,
        session_type: session::session_type_of(&caller.user_agent),
        lifetime: Lifetime::Settings,
    };
    let outcome = match create_session_by_assertion(ctx, &login_request, caller).await {
        Ok((session, now)) => SessionTokens::sign(ctx, &session, None, now)
            .map(|tokens| tokens.to_proto(now))
            .map_err(IdentityFailed::from),
        Err(failed) => Err(failed),
    };
    outcome.map_err(|failed| {
        refused_identity(ctx, caller, "session.created", &failed);
        failed.error
    })
}

/// Parameters of a Session that an assertion creates.
pub(crate) struct AssertionRequest<'a> {
    pub(crate) assertion: &'a str,
    pub(crate) provider: Option<&'a ObjectReference>,
    /// The client id that the client claims, if it sent one.
    pub(crate) client_id: Option<&'a str>,
    pub(crate) scopes: &'a [Scope],
    pub(crate) session_type: Type,
    pub(crate) lifetime: Lifetime,
}

/// Creates the Session and redeems the assertion in one transaction.
pub(crate) async fn create_session_by_assertion(
    ctx: &Context,
    login_request: &AssertionRequest<'_>,
    caller: &Caller,
) -> Result<(Session, UnixMillis), IdentityFailed> {
    let mut entry = provider(ctx, login_request)?;
    let mut room = Room::AsIs;
    let mut attempts = Attempts::default();
    loop {
        attempts.start().await?;
        let now = ctx.now();
        let at_provider =
            |error: Error, entry: &Arc<ProviderEntry>| IdentityFailed::at(error, entry);
        let (verified, is_reusable) = verify(ctx, login_request, &entry).await?;
        let user = user(ctx, &entry, &verified, login_request.client_id, now).await?;
        let identity = prove(
            ctx,
            &entry,
            (verified, is_reusable),
            &user,
            login_request,
            caller,
        )?;
        let replaces = match room {
            Room::Replace => oldest(ctx, &identity, &user, now)
                .await
                .map_err(|error| at_provider(error, &entry))?,
            Room::AsIs | Room::Reaped => None,
        };
        let session_request = SessionRequest {
            method: LoginMethod::Identity(&identity),
            user: &user,
            scopes: login_request.scopes.to_vec(),
            session_type: login_request.session_type,
            is_browser: false,
            caller,
            replaces,
        };
        let failed = |error: Error| IdentityFailed {
            user: user.message.metadata.clone().map(Box::new),
            identifier: Some(identity.identifier.clone()),
            ..IdentityFailed::at(error, &entry)
        };
        match create_session(ctx, session_request, now).await {
            Ok((session, _)) => return Ok((session, now)),
            Err(CommitError::RecordTaken) => {
                return Err(failed(unauthenticated("assertion_replayed")));
            }
            Err(CommitError::Conflict {
                kind: Kind::IdentityProvider,
                uid,
            }) => entry = reread(ctx, uid, now).await?,
            Err(error) if is_conflict(&error) => {}
            Err(error @ CommitError::LimitReached { .. }) => {
                room = match room {
                    Room::AsIs => {
                        reap::of_user(ctx, user.uid)
                            .await
                            .map_err(|error| failed(error.into()))?;
                        Room::Reaped
                    }
                    Room::Reaped => Room::Replace,
                    Room::Replace => return Err(failed(failure(error))),
                };
            }
            Err(error) => return Err(failed(failure(error))),
        }
    }
}

/// The next step if the User has reached the limit of Sessions.
#[derive(Clone, Copy)]
enum Room {
    AsIs,
    Reaped,
    /// Replaces the oldest Session of the same identity, so that a workload that logs in every hour is not locked out.
    Replace,
}

/// Returns the provider named in the request, or else the one whose issuer matches the token.
fn provider(
    ctx: &Context,
    login_request: &AssertionRequest<'_>,
) -> Result<Arc<ProviderEntry>, IdentityFailed> {
    let unverified = Unverified::parse(login_request.assertion)
        .map_err(|error| unauthenticated(assertion::Refusal::from(error).reason()))?;
    let named = login_request
        .provider
        .filter(|named| !named.name.is_empty() || !named.uid.is_empty());
    let entry = match named {
        Some(named) => ctx.directory.identity_provider(&named.name, &named.uid),
        None => {
            assertion::issuer(&unverified).and_then(|issuer| ctx.directory.token_provider(issuer))
        }
    };
    entry.ok_or_else(|| unauthenticated("provider_unknown").into())
}

/// Reads the provider from the store, because it changed since it was read.
async fn reread(
    ctx: &Context,
    uid: Uid,
    now: UnixMillis,
) -> Result<Arc<ProviderEntry>, IdentityFailed> {
    let stored = load::by_uid::<IdentityProvider>(&*ctx.store, uid, now).await;
    let stored = stored.map_err(Error::from)?;
    let stored = stored.ok_or_else(|| unauthenticated("provider_unknown"))?;
    Ok(Arc::new(ProviderEntry::new(stored.into())))
}

/// Verifies the assertion, and returns whether the provider allows its reuse.
async fn verify(
    ctx: &Context,
    login_request: &AssertionRequest<'_>,
    entry: &Arc<ProviderEntry>,
) -> Result<(Verified, bool), IdentityFailed> {
    let at_provider = |error: Error| IdentityFailed::at(error, entry);
    entry
        .check_usable()
        .map_err(|reason| at_provider(unauthenticated(reason)))?;
    let (location, audience) = entry
        .identity_tokens()
        .ok_or_else(|| at_provider(unauthenticated("provider_type")))?;
    let own = ctx.domain.url();
    let audience = if audience.is_empty() { &own } else { audience };
    let keys = ctx.providers.keys(location, &ctx.clock);
    match keys
        .verify(login_request.assertion, audience, &*ctx.clock)
        .await
    {
        Ok(verified) => {
            let is_reusable = entry.spec().is_some_and(|spec| {
                matches!(&spec.r#type, Some(spec::Type::OidcIdentityToken(token)) if token.allow_reuse)
            });
            Ok((verified, is_reusable))
        }
        Err(Rejected::Refused(refusal)) => Err(at_provider(unauthenticated(refusal.reason()))),
        Err(Rejected::Unavailable(error)) => {
            let public = "The identity provider cannot be reached; try again";
            let error = Error::unavailable(error).with_public_message(public);
            Err(at_provider(error.because("provider_unavailable")))
        }
    }
}

/// Returns the User that has exactly this identity.
async fn user(
    ctx: &Context,
    entry: &Arc<ProviderEntry>,
    verified: &Verified,
    client_id: Option<&str>,
    now: UnixMillis,
) -> Result<Versioned<User>, IdentityFailed> {
    let identifier = &verified.subject;
    let failed = |error: Error, user: Option<&Versioned<User>>| IdentityFailed {
        user: user.and_then(|user| user.message.metadata.clone().map(Box::new)),
        identifier: Some(identifier.clone()),
        ..IdentityFailed::at(error, entry)
    };
    let key = index::identity_key(entry.name(), identifier);
    let found = load::by_index::<User>(&*ctx.store, index::IDENTITY, &key, 1, now).await;
    let (found, _) = found.map_err(|error| failed(error.into(), None))?;
    let user: Versioned<User> = match found.into_iter().next() {
        Some(stored) => stored.into(),
        None => return Err(failed(unauthenticated("identity_unknown"), None)),
    };
    let is_workload = user
        .message
        .spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == user::spec::Type::Workload);
    if !is_workload {
        let error = Error::denied("Only a WORKLOAD User can log in with an assertion");
        return Err(failed(error.because("user_type"), Some(&user)));
    }
    check_user(&user.message).map_err(|error| failed(error, Some(&user)))?;
    // RFC 7521 §4.2: the client id must identify the subject of the assertion.
    if client_id.is_some_and(|id| id != identifier && id != user.message.name()) {
        return Err(failed(unauthenticated("client_id"), Some(&user)));
    }
    Ok(user)
}

/// Builds the proven identity if the provider's rules allow it.
fn prove(
    ctx: &Context,
    entry: &Arc<ProviderEntry>,
    (verified, is_reusable): (Verified, bool),
    user: &Versioned<User>,
    login_request: &AssertionRequest<'_>,
    caller: &Caller,
) -> Result<ProvenIdentity, IdentityFailed> {
    let now = ctx.now();
    let facts = Facts::aal("", &claims(&verified.claims));
    let record = match (&verified.id, is_reusable) {
        (_, true) => None,
        (Some(id), false) => Some(SingleUse {
            kind: USED_ASSERTION,
            key: [entry.provider.uid.as_bytes(), id.as_bytes()].concat(),
            expires_at: verified.ends_at,
        }),
        (None, false) => {
            return Err(IdentityFailed {
                user: user.message.metadata.clone().map(Box::new),
                identifier: Some(verified.subject),
                ..IdentityFailed::at(without_id(entry.name()), entry)
            });
        }
    };
    let identity = ProvenIdentity {
        provider: entry.provider.clone(),
        aal: entry.aal(&facts, now),
        identifier: verified.subject,
        email: String::new(),
        pic_url: String::new(),
        saml: None,
        oidc: None,
        // The platform issued the token for this request.
        authenticated: AuthenticationTime {
            at: Some(now),
            was_requested: false,
        },
        records: record.into_iter().collect(),
        lifetime: login_request.lifetime,
    };
    if entry.allows(&user.message, &identity.info(ctx, caller), now) {
        return Ok(identity);
    }
    let public = format!(
        "The rules of the IdentityProvider {} deny this",
        entry.name()
    );
    Err(IdentityFailed {
        user: user.message.metadata.clone().map(Box::new),
        identifier: Some(identity.identifier),
        ..IdentityFailed::at(Error::denied(public).because("provider_rule"), entry)
    })
}

/// The error for an assertion without `jti`, which could be replayed undetected. The caller has proved its identity,
/// so the message may name the cause.
fn without_id(provider: &str) -> Error {
    tracing::warn!(
        identity_provider = provider,
        "an assertion without `jti` is refused, because it could be replayed; if the tokens of the IdentityProvider \
         have no `jti`, set its spec.oidcIdentityToken.allowReuse"
    );
    Error::new(
        ErrorKind::Unauthenticated,
        format!(
            "{UNAUTHENTICATED}: the assertion has no `jti` and could be replayed. If the tokens of this platform have \
             no `jti`, an administrator can set spec.oidcIdentityToken.allowReuse of the IdentityProvider {provider}"
        ),
    )
    .because("assertion_without_id")
}

/// Returns the oldest Session that the same identity created.
async fn oldest(
    ctx: &Context,
    identity: &ProvenIdentity,
    user: &Versioned<User>,
    now: UnixMillis,
) -> Result<Option<Uid>, Error> {
    let uid = user.uid.to_string();
    let sessions = load::by_index::<Session>(&*ctx.store, index::USER, &uid, SESSIONS, now).await?;
    let provider = identity.provider.uid.to_string();
    let is_of = |session: &Session| {
        let status = session.status.as_ref()?;
        let info = status.initial_authentication.as_ref()?.info.as_ref()?;
        match info.details.as_ref()? {
            Details::IdentityProvider(by) => {
                let reference = by.identity_provider_ref.as_ref()?;
                Some(reference.uid == provider && by.identifier == identity.identifier)
            }
            _ => None,
        }
    };
    // Sessions are sorted oldest first.
    let mut own = sessions.0.iter();
    let found = own.find(|stored| is_of(&stored.message) == Some(true));
    Ok(found.map(|stored| stored.uid))
}
