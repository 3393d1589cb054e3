//! The ports through which the gateway uses the rest of the system.

use std::{sync::Arc, time::Duration};

use api::core_v1;
use async_trait::async_trait;
use domain::clock::UnixMillis;
use policy::{PolicySet, StepUp, Subject};
use tokio_util::sync::CancellationToken;

use crate::{Assertion, Caller, CallerFacts, Route};

/// The port that authenticates callers and supplies Policies.
#[async_trait]
pub trait Identity: Send + Sync + 'static {
    /// Authenticates an access token. Reads from memory, except when it sees a Session for the first time.
    ///
    /// # Errors
    ///
    /// Returns [`Rejection::Unauthenticated`] if the token is invalid, or [`Rejection::Unavailable`] if it cannot be
    /// checked.
    async fn authenticate(&self, token: &str) -> Result<Principal, Rejection>;

    /// Authenticates the access cookie of a browser. The cookie is valid only at `host` (lower case, no port). Also
    /// returns the cookie that replaces an old one.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Self::authenticate`].
    async fn authenticate_cookie(
        &self,
        cookie: &str,
        host: &str,
    ) -> Result<(Principal, Option<Renewal>), Rejection>;

    /// Redeems the code with which the login redirected a browser back to `host`. `nonce` is the value that this
    /// browser received at `host` before; it is empty if the browser has none. The code is used up even if it is
    /// rejected.
    ///
    /// # Errors
    ///
    /// Returns [`CodeError::Refused`] if the code is expired, or belongs to another host or browser. Returns
    /// [`CodeError::Unavailable`] if it cannot be checked.
    async fn redeem_code(
        &self,
        host: &str,
        code: &str,
        nonce: &str,
    ) -> Result<RedeemedCode, CodeError>;

    /// Returns the current named Policies.
    fn policies(&self) -> PolicySet;

    /// Returns true if the local copy of the Cluster state is recent enough to authorize requests.
    fn is_fresh(&self) -> bool;

    /// Signs an assertion of the caller's identity for the upstream at `audience`. It expires no later than
    /// `valid_until`. Returns `None` if signing is not possible.
    fn assertion(
        &self,
        caller: &CallerFacts,
        audience: &str,
        valid_until: UnixMillis,
    ) -> Option<Assertion>;

    /// Finds the fresh authentication with which `is_allowed` would accept `principal`. Returns `None` if none would
    /// suffice or if this cannot be determined.
    async fn step_up(
        &self,
        principal: &Principal,
        is_allowed: &(dyn for<'s> Fn(&'s Subject) -> bool + Send + Sync),
    ) -> Option<StepUp>;

    /// Returns the URL of the step-up page for a browser that requested `url` and holds `nonce`. Returns `None` if the
    /// URL cannot be built.
    fn proof(&self, url: &str, nonce: &str, step_up: &StepUp) -> Option<String>;

    /// Returns the URL of the login page for a browser that requested `url` and holds `nonce`. Returns `None` if the
    /// URL cannot be built.
    fn login(&self, url: &str, nonce: &str) -> Option<String>;
}

/// The port that maps host names to Services.
pub trait Directory: Send + Sync + 'static {
    /// Returns the Route of the public, enabled Service at `host` (lower case, no port).
    fn route(&self, host: &str) -> Option<Arc<Route>>;
}

/// An authenticated caller.
#[derive(Clone)]
pub struct Principal {
    /// The attributes of the caller that Policies see.
    pub subject: Arc<Subject>,
    /// A token that is cancelled when the Session becomes invalid. Open streams end with it.
    pub revoked: CancellationToken,
    /// The time when the access token expires.
    pub valid_until: UnixMillis,
    /// The scopes of the Session. An empty list means no restriction.
    pub scopes: Arc<[core_v1::Scope]>,
    /// The identity of the caller, for logs and the upstream.
    pub caller: Arc<Caller>,
}

/// A cookie that replaces an old one.
pub struct Renewal {
    /// The value of the cookie.
    pub cookie: String,
    /// The lifetime of the cookie.
    pub lifetime: Duration,
}

/// A browser that returned from the login with a valid code.
pub struct RedeemedCode {
    /// The value of the access cookie for this host.
    pub cookie: String,
    /// The lifetime of the cookie.
    pub lifetime: Duration,
    /// The path and query to redirect the browser to.
    pub target: String,
}

/// The reason why a login code was not redeemed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeError {
    /// The code was rejected.
    Refused {
        /// A stable identifier for the log, never shown to the caller.
        reason: &'static str,
    },
    /// The code could not be checked.
    Unavailable,
}

/// The reason why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The token is invalid, or its Session is no longer valid.
    Unauthenticated {
        /// A stable identifier for the log, never shown to the caller.
        reason: &'static str,
    },
    /// The token could not be checked.
    Unavailable,
}
