//! What the gateway asks of the rest of the system.

use std::{sync::Arc, time::Duration};

use api::core_v1;
use async_trait::async_trait;
use domain::clock::UnixMillis;
use policy::{PolicySet, StepUp, Subject};
use tokio_util::sync::CancellationToken;

use crate::{Assertion, Caller, CallerFacts, Route};

/// Who is behind a token, and which Policies there are.
#[async_trait]
pub trait Identity: Send + Sync + 'static {
    /// The caller that an access token stands for. Answers from memory except where it sees a Session first.
    ///
    /// # Errors
    /// Where the token proves nothing, or nothing can be said at present.
    async fn authenticate(&self, token: &str) -> Result<Principal, Rejection>;

    /// The caller that the cookie of a browser stands for at the host `host` (lower case, no port), and nowhere else.
    /// With it the cookie that the browser is to be given in its place, where it is old.
    ///
    /// # Errors
    /// As [`Self::authenticate`].
    async fn authenticate_cookie(
        &self,
        cookie: &str,
        host: &str,
    ) -> Result<(Principal, Option<Renewal>), Rejection>;

    /// Takes the code with which the login has sent a browser back to `host` that was given `nonce` there before;
    /// `nonce` is empty if the browser has none. The code is used up, also when it is refused.
    ///
    /// # Errors
    /// Where it is of another host, browser or time, or nothing can be said at present.
    async fn arrive(&self, host: &str, code: &str, nonce: &str) -> Result<Arrived, NotArrived>;

    /// The named Policies as they are now.
    fn policies(&self) -> PolicySet;

    /// Whether the view of the Cluster is recent enough to decide by.
    fn is_fresh(&self) -> bool;

    /// Signs for the upstream at `audience` who `caller` is, for no longer than until `valid_until`. `None` where
    /// nothing can be signed at present.
    fn assertion(
        &self,
        caller: &CallerFacts,
        audience: &str,
        valid_until: UnixMillis,
    ) -> Option<Assertion>;

    /// What the holder of the Session of `principal` could prove anew for `is_allowed` to let them through, which it
    /// does not now. `None` where nothing would do, or nothing can be said at present.
    async fn step_up(
        &self,
        principal: &Principal,
        is_allowed: &(dyn for<'s> Fn(&'s Subject) -> bool + Send + Sync),
    ) -> Option<StepUp>;

    /// Where a browser that asked for `url`, and keeps `nonce`, is sent to prove what `step_up` asks for; `None` where
    /// that cannot be said.
    fn proof(&self, url: &str, nonce: &str, step_up: &StepUp) -> Option<String>;

    /// Where a browser that asked for `url`, and keeps `nonce`, is sent to log in; `None` where that cannot be said.
    fn login(&self, url: &str, nonce: &str) -> Option<String>;
}

/// Which Service a host name means.
pub trait Directory: Send + Sync + 'static {
    /// The public, enabled Service at `host` (lower case, no port).
    fn route(&self, host: &str) -> Option<Arc<Route>>;
}

/// A caller whose token was found good.
#[derive(Clone)]
pub struct Principal {
    /// What Policies see of it.
    pub subject: Arc<Subject>,
    /// Cancelled once the Session no longer stands: open streams end with it.
    pub revoked: CancellationToken,
    /// When the access token ends.
    pub valid_until: UnixMillis,
    /// What the Session is restricted to; empty: not restricted.
    pub scopes: Arc<[core_v1::Scope]>,
    /// Who it is.
    pub caller: Arc<Caller>,
}

/// A cookie in place of one that is old.
pub struct Renewal {
    /// Its value.
    pub cookie: String,
    /// For how long it is good.
    pub lifetime: Duration,
}

/// Somebody who comes from the login.
pub struct Arrived {
    /// The value of the cookie for this host.
    pub cookie: String,
    /// For how long it is good.
    pub lifetime: Duration,
    /// Path and query to go on to.
    pub target: String,
}

/// Why nobody comes from the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotArrived {
    /// The code is not accepted.
    Refused {
        /// A stable word for the log; never shown to the caller.
        reason: &'static str,
    },
    /// It could not be checked at present.
    Unavailable,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It proves nothing, or what it stood for no longer stands.
    Unauthenticated {
        /// A stable word for the log; never shown to the caller.
        reason: &'static str,
    },
    /// It could not be checked at present.
    Unavailable,
}
