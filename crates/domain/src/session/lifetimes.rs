//! Durations and limits: the User decides, else the `ClusterConfig`, else the default. Each is honoured exactly.

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
const MOST_SESSIONS: u32 = 10_000;

/// For how long a Session and its tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// The Session, from its creation; refreshing does not lengthen it.
    pub session: Duration,
    /// Each access token, from the authentication that it came from.
    pub access_token: Duration,
    /// Each refresh token, likewise; never shorter than the access token.
    pub refresh_token: Duration,
}

/// What the `ClusterConfig` has for Users of one type, or the defaults.
struct Settings<'a> {
    client: Option<&'a meta_v1::Duration>,
    clientless: Option<&'a meta_v1::Duration>,
    access_token: Option<&'a meta_v1::Duration>,
    refresh_token: Option<&'a meta_v1::Duration>,
    max_per_user: u32,
    default_state: State,
}

/// The lifetimes of a Session of `user` and its tokens. Durations that are unset or zero fall to the next level;
/// by default a Session of a WORKLOAD lives 90 days and its refresh tokens 14, those of anybody else 21 hours, and
/// access tokens 4 hours.
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

/// How many Sessions `user` may have at a time: 16, for a WORKLOAD 128, unless set otherwise; never above 10,000.
pub fn max_per_user(user: &User, config: &ClusterConfig) -> u32 {
    let default = if is_workload(user) { 128 } else { 16 };
    [
        user_settings(user).max_per_user,
        cluster_settings(user, config).max_per_user,
    ]
    .into_iter()
    .find(|limit| *limit > 0)
    .unwrap_or(default)
    .min(MOST_SESSIONS)
}

/// In which state a new Session of `user` begins: ACTIVE unless set otherwise.
pub fn default_state(user: &User, config: &ClusterConfig) -> State {
    [
        user_settings(user).default_state,
        cluster_settings(user, config).default_state,
    ]
    .into_iter()
    .find(|state| *state != State::Unknown)
    .unwrap_or(State::Active)
}

/// When an access token of `session` expires that was issued at `issued_at` (for a Session that is not
/// [shared](super::is_shared): when its present authentication was set). Not after the Session, nor after
/// `credential`, nor after the generation of it that the Session came from. In whole seconds, rounded up.
pub fn access_token_expiry(
    session: &Session,
    credential: Option<&Credential>,
    issued_at: UnixMillis,
) -> UnixMillis {
    let lifetime = access_token_duration(session).unwrap_or_default();
    bounded(session, credential, issued_at.saturating_add(lifetime))
}

/// When the refresh token of the present authentication of `session` expires; bounded and rounded likewise.
pub fn refresh_token_expiry(session: &Session, credential: Option<&Credential>) -> UnixMillis {
    let end = refresh_token_end(session).unwrap_or_default();
    bounded(session, credential, end)
}

/// When an access token for one host expires that the browser of `session` gets at `now`: as any other, and not after
/// its refresh token, so that a browser that is left alone comes to an end.
pub fn browser_access_expiry(session: &Session, now: UnixMillis) -> UnixMillis {
    let lifetime = access_token_duration(session).unwrap_or_default();
    let end = now.saturating_add(lifetime);
    let end = end.min(refresh_token_end(session).unwrap_or_default());
    bounded(session, None, end)
}

/// From when on a browser gets a new access token in place of one that expires at `expires_at`: when half of its time
/// has passed, so that a page that is in use does not lose it.
pub fn browser_renewal_from(session: &Session, expires_at: UnixMillis) -> UnixMillis {
    let lifetime = access_token_duration(session).unwrap_or_default();
    expires_at.saturating_sub(lifetime / 2)
}

/// Whether no token of `session` can be accepted any more, whatever happens: it has expired, or it was not refreshed
/// in time.
pub fn is_over(session: &Session, now: UnixMillis) -> bool {
    let expires_at = session
        .spec
        .as_ref()
        .and_then(|spec| spec.expires_at.as_ref());
    if expires_at.is_none_or(|at| now >= UnixMillis::from_proto(at)) {
        return true;
    }
    // Never shorter than the access token's.
    !super::is_shared(session) && refresh_token_end(session).is_none_or(|end| now >= end)
}

/// For how long access tokens of the present authentication live.
pub(super) fn access_token_duration(session: &Session) -> Option<Duration> {
    let duration = super::current(session)?.access_token_duration.as_ref()?;
    duration::from_proto(duration)
}

/// When the refresh token of the present authentication ends, to the millisecond.
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
