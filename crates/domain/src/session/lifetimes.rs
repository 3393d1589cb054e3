//! Lifetimes and limits of Sessions. The setting of the User applies, else that of the `ClusterConfig`, else the
//! default.

use std::time::Duration;

use api::{
    core_v1::{
        ClusterConfig, Credential, Session, User,
        session::{spec::State, status::Type},
        user,
    },
    meta_v1,
};

use crate::{clock::UnixMillis, credential, duration, token};

const HOUR: Duration = Duration::from_hours(1);
/// The largest limit of concurrent Sessions of a User.
pub const MOST_PER_USER: u32 = 10_000;

/// The lifetimes of a Session and its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// The lifetime of the Session, from its creation. A refresh does not extend it.
    pub session: Duration,
    /// The lifetime of each access token, from the authentication that it was issued for.
    pub access_token: Duration,
    /// The lifetime of each refresh token, from the same time. Never shorter than the access token.
    pub refresh_token: Duration,
}

/// The settings for one User, or those of the `ClusterConfig` for Users of one type.
struct Settings<'a> {
    client: Option<&'a meta_v1::Duration>,
    clientless: Option<&'a meta_v1::Duration>,
    access_token: Option<&'a meta_v1::Duration>,
    refresh_token: Option<&'a meta_v1::Duration>,
    max_per_user: u32,
    default_state: State,
}

/// Returns the lifetimes of a Session of `user` and its tokens. An unset or zero duration falls back to the next level.
/// By default, a Session of a WORKLOAD lives 90 days and its refresh tokens 14 days. Sessions and refresh tokens of
/// other Users live 21 hours. Access tokens live 4 hours.
pub fn lifetimes(user: &User, config: &ClusterConfig, session_type: Type) -> Lifetimes {
    let own = user_settings(user);
    let cluster = cluster_settings(user, config);
    let (session, refresh_token) = if is_workload(user) {
        (HOUR * 24 * 90, HOUR * 24 * 14)
    } else {
        (HOUR * 21, HOUR * 21)
    };
    let of_session = |settings: &Settings<'_>| match session_type {
        Type::Client => set(settings.client),
        Type::Clientless | Type::Unknown => set(settings.clientless),
    };
    let access_token = set(own.access_token)
        .or_else(|| set(cluster.access_token))
        .unwrap_or(HOUR * 4);
    Lifetimes {
        session: of_session(&own)
            .or_else(|| of_session(&cluster))
            .unwrap_or(session),
        access_token,
        refresh_token: set(own.refresh_token)
            .or_else(|| set(cluster.refresh_token))
            .unwrap_or(refresh_token)
            .max(access_token),
    }
}

/// Returns the limit of concurrent Sessions of `user`: 16 by default, 128 for a WORKLOAD, and never above 10,000.
pub fn max_per_user(user: &User, config: &ClusterConfig) -> u32 {
    let default = if is_workload(user) { 128 } else { 16 };
    [
        user_settings(user).max_per_user,
        cluster_settings(user, config).max_per_user,
    ]
    .into_iter()
    .find(|limit| *limit > 0)
    .unwrap_or(default)
    .min(MOST_PER_USER)
}

/// Returns the initial state of a new Session of `user`: ACTIVE by default.
pub fn default_state(user: &User, config: &ClusterConfig) -> State {
    [
        user_settings(user).default_state,
        cluster_settings(user, config).default_state,
    ]
    .into_iter()
    .find(|state| *state != State::Unknown)
    .unwrap_or(State::Active)
}

/// Returns the expiry of an access token of `session` that was issued at `issued_at`. For a Session that is not
/// [shared](super::is_shared), this is the time of its current authentication. The token expires no later than the
/// Session, `credential`, and the generation of the Credential that created the Session. Whole seconds, rounded up.
pub fn access_token_expiry(
    session: &Session,
    credential: Option<&Credential>,
    issued_at: UnixMillis,
) -> UnixMillis {
    let lifetime = access_token_duration(session).unwrap_or_default();
    bounded(session, credential, issued_at.saturating_add(lifetime))
}

/// Returns the expiry of the current refresh token of `session`, limited and rounded like [`access_token_expiry`].
pub fn refresh_token_expiry(session: &Session, credential: Option<&Credential>) -> UnixMillis {
    let end = refresh_token_end(session).unwrap_or_default();
    bounded(session, credential, end)
}

/// Returns the expiry of an access token for one host that the browser of `session` gets at `now`. It is at most
/// the expiry of the refresh token, so that an unused browser Session ends.
pub fn browser_access_expiry(session: &Session, now: UnixMillis) -> UnixMillis {
    let lifetime = access_token_duration(session).unwrap_or_default();
    let end = now.saturating_add(lifetime);
    let end = end.min(refresh_token_end(session).unwrap_or_default());
    bounded(session, None, end)
}

/// Returns the time from which a browser gets a replacement for an access token that expires at `expires_at`: half of
/// its lifetime before that, so that a page in use does not lose its token.
pub fn browser_renewal_from(session: &Session, expires_at: UnixMillis) -> UnixMillis {
    let lifetime = access_token_duration(session).unwrap_or_default();
    expires_at.saturating_sub(lifetime / 2)
}

/// Returns whether no token of `session` can ever be accepted again: it has expired, or was not refreshed in time.
pub fn is_over(session: &Session, now: UnixMillis) -> bool {
    let expires_at = session
        .spec
        .as_ref()
        .and_then(|spec| spec.expires_at.as_ref());
    if expires_at.is_none_or(|at| now >= UnixMillis::from_proto(at)) {
        return true;
    }
    // The refresh token never expires before the access token.
    !super::is_shared(session) && refresh_token_end(session).is_none_or(|end| now >= end)
}

/// Returns the lifetime of access tokens of the current authentication.
pub(super) fn access_token_duration(session: &Session) -> Option<Duration> {
    let duration = super::current(session)?.access_token_duration.as_ref()?;
    duration::from_proto(duration)
}

/// Returns the end of the current refresh token, to the millisecond.
pub(super) fn refresh_token_end(session: &Session) -> Option<UnixMillis> {
    let authentication = super::current(session)?;
    let duration = duration::from_proto(authentication.refresh_token_duration.as_ref()?)?;
    let set_at = UnixMillis::from_proto(authentication.set_at.as_ref()?);
    Some(set_at.saturating_add(duration))
}

fn bounded(session: &Session, credential: Option<&Credential>, end: UnixMillis) -> UnixMillis {
    let session_end = session
        .spec
        .as_ref()
        .and_then(|spec| spec.expires_at.as_ref())
        .map(UnixMillis::from_proto);
    let version = session
        .status
        .as_ref()
        .map_or(0, |status| status.credential_version);
    let credential_end =
        credential.and_then(|credential| credential::version_ends_at(credential, version));
    let end = [session_end, credential_end]
        .into_iter()
        .flatten()
        .fold(end, UnixMillis::min);
    token::expiry(end, Duration::ZERO)
}

fn set(duration: Option<&meta_v1::Duration>) -> Option<Duration> {
    duration
        .and_then(duration::from_proto)
        .filter(|duration| !duration.is_zero())
}

fn is_workload(user: &User) -> bool {
    user.spec
        .as_ref()
        .is_some_and(|spec| spec.r#type() == user::spec::Type::Workload)
}

macro_rules! settings {
    ($from:expr) => {
        $from.map_or(
            Settings {
                client: None,
                clientless: None,
                access_token: None,
                refresh_token: None,
                max_per_user: 0,
                default_state: State::Unknown,
            },
            |settings| Settings {
                client: settings.client_duration.as_ref(),
                clientless: settings.clientless_duration.as_ref(),
                access_token: settings.access_token_duration.as_ref(),
                refresh_token: settings.refresh_token_duration.as_ref(),
                max_per_user: settings.max_per_user,
                default_state: settings.default_state(),
            },
        )
    };
}

fn user_settings(user: &User) -> Settings<'_> {
    settings!(user.spec.as_ref().and_then(|spec| spec.session.as_ref()))
}

fn cluster_settings<'a>(user: &User, config: &'a ClusterConfig) -> Settings<'a> {
    let session = config.spec.as_ref().and_then(|spec| spec.session.as_ref());
    if is_workload(user) {
        settings!(session.and_then(|session| session.workload.as_ref()))
    } else {
        settings!(session.and_then(|session| session.human.as_ref()))
    }
}
