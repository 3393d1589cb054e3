//! The Cluster as this replica sees it: a cache in front of the store, which the change feed keeps up to date.
//!
//! Invariant: a read that began before a change is never cached after that change was applied. Missing objects are
//! fetched from the store, so new objects work at once. When a Session is no longer valid, every [`Principal`] of it
//! is notified.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use api::core_v1::{
    Authenticator, ClusterConfig, Credential, Device, Group, Namespace, Session, User,
};
use domain::{
    clock::{Clock, UnixMillis},
    credential::Refusal,
    id::Uid,
    session,
    token::Claims,
};
use policy::PolicySet;
use store::{Cursor, FeedState, Store, StoreError};
use tokio::sync::watch;

use crate::{
    document::{codec, load},
    keys::Keyring,
};

mod authenticator_rules;
mod authenticators;
pub(crate) mod cache;
mod documents;
mod feed;
mod invalidation;
mod presented;
mod principal;
mod providers;
mod resource_snapshots;
pub(crate) mod revoked;
mod session_context;
mod sessions;
mod tokens;

pub(crate) use authenticator_rules::{AuthenticatorRules, EnforcementList, Login};
use authenticators::Authenticators;
use cache::Cache;
use documents::Documents;
pub(crate) use documents::Versioned;
use invalidation::Invalidations;
pub(crate) use presented::{CacheKey, Presented};
pub use principal::Principal;
use principal::SessionParts;
pub(crate) use principal::ValidSession;
pub(crate) use providers::{Membership, ProviderEntry};
use resource_snapshots::ResourceSnapshots;
pub use resource_snapshots::ServiceEntry;
use revoked::RevokedTokens;
use session_context::SessionContexts;
use sessions::Sessions;

/// Maximum number of attempts of a read that concurrent changes invalidate.
const FILLS: usize = 8;

/// Capacities of the caches, and the maximum age of the state.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions cached with all objects they depend on.
    pub sessions: usize,
    /// Verified access tokens.
    pub tokens: usize,
    /// Users, and equally many Credentials and Devices.
    pub documents: usize,
    /// Access tokens that were revoked individually and have not expired.
    pub revoked_tokens: usize,
    /// Maximum age of the change feed. If it is older, requests are not answered.
    pub stale_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 80_000,
            tokens: 80_000,
            documents: 20_000,
            revoked_tokens: 100_000,
            stale_after: Duration::from_secs(5),
        }
    }
}

/// The reason why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The token, or an object it depends on, is not valid.
    #[error("not authenticated: {reason}")]
    Refused {
        /// Stable identifier for logs and audit events.
        reason: &'static str,
    },
    /// The validity cannot be determined now.
    #[error("cannot authenticate at the moment")]
    Unavailable,
}

/// The Cluster as this replica sees it; see the module documentation.
pub struct Directory {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: Arc<Keyring>,
    limits: Limits,
    snapshots: ResourceSnapshots,
    users: Documents<User>,
    credentials: Documents<Credential>,
    devices: Documents<Device>,
    authenticators: Authenticators,
    session_contexts: SessionContexts,
    sessions: Sessions,
    revoked: RevokedTokens,
    tokens: Cache<CacheKey, Arc<Principal>>,
    refused: Cache<CacheKey, tokens::Refused>,
    invalidations: Invalidations,
    applied: watch::Sender<Applied>,
    /// False while all state is reloaded after the store's history was replaced, and while this process's clock is
    /// wrong.
    trusted: AtomicBool,
    opened: Instant,
    /// Milliseconds from `opened` until the store last confirmed the state.
    confirmed: AtomicU64,
}

/// The position up to which changes are applied. A later history of the store orders after an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Applied {
    history: u64,
    cursor: Cursor,
}

impl Directory {
    /// Loads the objects that are held completely. The state is updated only while [`Directory::run`] runs.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keys: Arc<Keyring>,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        // The position is taken before the first read. Changes during the load are then applied again.
        let state = *store.feed().borrow();
        let directory = Self {
            store,
            clock,
            keys,
            limits,
            snapshots: ResourceSnapshots::empty(),
            users: Documents::new(limits.documents),
            credentials: Documents::new(limits.documents),
            devices: Documents::new(limits.documents),
            authenticators: Authenticators::new(limits.documents),
            session_contexts: SessionContexts::default(),
            sessions: Sessions::new(limits.sessions),
            revoked: RevokedTokens::new(limits.revoked_tokens),
            tokens: Cache::new(limits.tokens),
            refused: Cache::new(limits.tokens / 4),
            invalidations: Invalidations::default(),
            applied: watch::Sender::new(Applied {
                history: state.history,
                cursor: state.cursor,
            }),
            trusted: AtomicBool::new(state.has_trusted_clock()),
            opened: Instant::now(),
            confirmed: AtomicU64::new(0),
        };
        directory.reload().await?;
        Ok(directory)
    }

    /// Returns all named Policies.
    pub fn policies(&self) -> PolicySet {
        self.snapshots.policies()
    }

    /// Returns the `ClusterConfig`, or the defaults if none exists yet.
    pub fn cluster_config(&self) -> Arc<ClusterConfig> {
        self.snapshots.config()
    }

    /// Returns the rules of the `ClusterConfig` about Authenticators.
    pub(crate) fn authenticator_rules(&self) -> Arc<AuthenticatorRules> {
        self.snapshots.authenticator_rules()
    }

    /// Returns the Service with this host name, without the Cluster's domain: `svc`, `svc.namespace`.
    pub fn service_by_host(&self, hostname: &str) -> Option<Arc<ServiceEntry>> {
        self.snapshots.service_by_host(hostname)
    }

    /// Returns the Service with this full name: `svc.namespace`.
    pub fn service_by_name(&self, name: &str) -> Option<Arc<ServiceEntry>> {
        self.snapshots.service_by_name(name)
    }

    /// Returns all Services, in no particular order.
    pub fn services(&self) -> Vec<Arc<ServiceEntry>> {
        self.snapshots.services()
    }

    /// Returns the Namespace with this name.
    pub fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.snapshots.namespace(name)
    }

    /// Returns whether the store confirmed the state recently and this process's clock agrees with the store's. If
    /// not, requests must not be answered.
    pub fn is_fresh(&self) -> bool {
        if !self.trusted.load(Ordering::Acquire) {
            return false;
        }
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Acquire));
        self.opened.elapsed().saturating_sub(confirmed) < self.limits.stale_after
    }

    /// Waits until all changes up to `cursor` are applied here, for at most one second. Callers then read their own
    /// writes, and an acknowledged revocation is effective in this process.
    pub async fn catch_up(&self, cursor: Cursor) {
        let mut applied = self.applied.subscribe();
        // The writer checked the history before its commit.
        let history = self.store.feed().borrow().history;
        let wanted = Applied { history, cursor };
        let reached = applied.wait_for(|applied| *applied >= wanted);
        if tokio::time::timeout(Duration::from_secs(1), reached)
            .await
            .is_err()
        {
            tracing::warn!("changes are applied late");
        }
    }

    /// Returns a receiver that is notified when changes have been applied.
    pub(crate) fn changes(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// Returns the number of cached Sessions and the number of their tokens in use.
    pub fn size(&self) -> (usize, usize) {
        self.sessions.size()
    }

    pub(crate) async fn user(&self, uid: Uid) -> Result<Option<Versioned<User>>, StoreError> {
        let now = self.clock.now();
        self.users
            .get(uid, &*self.store, &self.invalidations, now)
            .await
    }

    pub(crate) async fn credential(
        &self,
        uid: Uid,
    ) -> Result<Option<Versioned<Credential>>, StoreError> {
        let now = self.clock.now();
        self.credentials
            .get(uid, &*self.store, &self.invalidations, now)
            .await
    }

    /// Returns the Authenticators of a User, oldest first. The list may be slightly stale: use it for hints, not for
    /// decisions.
    pub(crate) async fn authenticators(
        &self,
        user: Uid,
    ) -> Result<Arc<[Authenticator]>, StoreError> {
        let now = self.clock.now();
        self.authenticators.of(user, &*self.store, now).await
    }

    /// Evicts these objects from the caches, so that they are read again. Another replica may have changed them.
    pub(crate) fn forget(&self, uids: &[Uid]) {
        for uid in uids {
            self.users.invalidate(*uid);
            self.credentials.invalidate(*uid);
            self.devices.invalidate(*uid);
        }
    }

    /// Returns the Session with the objects it depends on.
    ///
    /// # Errors
    /// Returns [`Unauthenticated::Refused`] if the Session is not valid, or [`Unauthenticated::Unavailable`] if that
    /// cannot be determined.
    pub(crate) async fn valid_session(
        &self,
        session: Uid,
        now: UnixMillis,
    ) -> Result<Arc<ValidSession>, Unauthenticated> {
        match self.sessions.get(session) {
            Some(valid_session) if now < valid_session.valid_until => Ok(valid_session),
            _ => self.fill(session, now).await,
        }
    }

    async fn principal(
        &self,
        claims: Claims,
        now: UnixMillis,
    ) -> Result<Arc<Principal>, Unauthenticated> {
        let key_epoch = self.keys.epoch();
        let claims = Arc::new(claims);
        let mut valid_session = self.valid_session(claims.subject, now).await?;
        for is_last in [false, false, true] {
            if self.is_revoked(&claims, now).await? {
                return Err(refused("token_revoked"));
            }
            let outcome = valid_session.token_end(&valid_session.session(), &claims, now);
            if let Ok(end) = outcome
                && let Some(revoked) = self.sessions.watch(&valid_session, &claims, end)
                // Checked again because the token may have been revoked before `watch` registered it.
                && !self.is_revoked(&claims, now).await?
            {
                return Ok(Arc::new(Principal {
                    valid_until: end.min(valid_session.valid_until),
                    revoked,
                    claims,
                    derived: std::sync::OnceLock::new(),
                    valid_session,
                    key_epoch,
                }));
            }
            if is_last {
                return Err(outcome.map_or_else(
                    |error| refused(error.reason()),
                    |_| Unauthenticated::Unavailable,
                ));
            }
            // The token may be newer than the cached Session.
            valid_session = self.fill(claims.subject, now).await?;
        }
        Err(Unauthenticated::Unavailable)
    }

    async fn is_revoked(&self, claims: &Claims, now: UnixMillis) -> Result<bool, Unauthenticated> {
        let contains = self.revoked.contains(&*self.store, claims.token_id, now);
        contains.await.map_err(unavailable)
    }

    /// Reads the Session and the objects it depends on, and caches them.
    async fn fill(
        &self,
        session: Uid,
        now: UnixMillis,
    ) -> Result<Arc<ValidSession>, Unauthenticated> {
        let mut was_refused = false;
        for _ in 0..FILLS {
            let position = self.invalidations.position();
            let parts = match self.read(session, now).await {
                Ok(parts) => parts,
                Err(Failure::Unavailable(error)) => return Err(unavailable(error)),
                Err(Failure::Refused { reason, cached }) => {
                    // Another replica may have changed the cached objects a moment ago.
                    if was_refused || cached.is_empty() {
                        return Err(refused(reason));
                    }
                    was_refused = true;
                    self.forget(&cached);
                    continue;
                }
            };
            let message = parts.session.message.clone();
            let session_context = self.session_contexts.of(&parts);
            let dependencies = session_context.dependencies.clone();
            let inserted = self.sessions.insert(
                ValidSession::new(session, &message, session_context),
                || {
                    !self
                        .invalidations
                        .any_invalidated_since(position, &[session])
                        && !self
                            .invalidations
                            .any_invalidated_since(position, &dependencies)
                },
                |valid_session, claims| valid_session.token_end(&message, claims, now).ok(),
            );
            if let Some(valid_session) = inserted {
                return Ok(valid_session);
            }
            self.forget(&dependencies);
        }
        Err(Unauthenticated::Unavailable)
    }

    async fn read(&self, uid: Uid, now: UnixMillis) -> Result<SessionParts, Failure> {
        let session = load::with_token_ids::<Session>(&*self.store, uid, now).await?;
        let session: Versioned<Session> = session.ok_or_else(|| gone("session_gone", &[]))?.into();
        let status = session.message.status.as_ref();
        let reference = |reference: Option<&api::meta_v1::ObjectReference>| match reference {
            None => Ok(None),
            Some(reference) => match reference.uid.parse::<Uid>() {
                Ok(uid) => Ok(Some(uid)),
                Err(_) => Err(gone(Refusal::Incomplete.reason(), &[])),
            },
        };
        let user = reference(status.and_then(|status| status.user_ref.as_ref()))?;
        let user = user.ok_or_else(|| gone(Refusal::Incomplete.reason(), &[]))?;
        let credential = reference(status.and_then(|status| status.credential_ref.as_ref()))?;
        let device = reference(status.and_then(|status| status.device_ref.as_ref()))?;
        let cached: Vec<Uid> = [Some(user), credential, device]
            .into_iter()
            .flatten()
            .collect();

        let user = self
            .user(user)
            .await?
            .ok_or_else(|| gone("user_gone", &cached))?;
        let credential = match credential {
            Some(uid) => self.credential(uid).await?,
            None => None,
        };
        let device = match device {
            Some(uid) => {
                self.devices
                    .get(uid, &*self.store, &self.invalidations, now)
                    .await?
            }
            None => None,
        };
        session::check(
            &session.message,
            &user.message,
            credential.as_ref().map(|credential| &*credential.message),
            device.as_ref().map(|device| &*device.message),
            now,
        )
        .map_err(|refusal| gone(refusal.reason(), &cached))?;
        let groups = self.groups(&user.message, now).await?;
        let groups = groups.ok_or_else(|| gone("group_missing", &cached))?;
        Ok(SessionParts {
            session,
            user,
            credential,
            device,
            groups,
        })
    }

    /// Returns the Groups of a User, or `None` if one is missing. The DENY Policies of a missing Group would be
    /// missing too.
    pub(crate) async fn groups(
        &self,
        user: &User,
        now: UnixMillis,
    ) -> Result<Option<Vec<(Uid, Arc<Group>)>>, StoreError> {
        let names = user.spec.iter().flat_map(|spec| &spec.groups);
        let mut groups = Vec::new();
        for name in names {
            let group = match self.snapshots.group(name) {
                Some(group) => Some(group),
                // The Group may have been created a moment ago.
                None => load::by_name::<Group>(&*self.store, name, now)
                    .await?
                    .map(|group| (group.uid, Arc::new(group.message))),
            };
            match group {
                Some(group) => groups.push(group),
                None => return Ok(None),
            }
        }
        Ok(Some(groups))
    }

    /// Marks all changes up to `state` as applied.
    fn confirm(&self, state: FeedState) {
        self.trusted
            .store(state.has_trusted_clock(), Ordering::Release);
        let at = state
            .confirmed
            .saturating_duration_since(self.opened)
            .as_millis();
        self.confirmed
            .fetch_max(u64::try_from(at).unwrap_or(0), Ordering::AcqRel);
    }
}

/// The reason why a Session could not be read.
enum Failure {
    Refused {
        reason: &'static str,
        /// Objects that may have been read from a cache.
        cached: Vec<Uid>,
    },
    Unavailable(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if codec::is_damaged_document(&error) {
            // Reading again would not help, and must not delay other changes.
            tracing::error!(%error, "an object that a Session depends on is damaged; the Session is refused");
            return gone("document_damaged", &[]);
        }
        Self::Unavailable(error)
    }
}

fn gone(reason: &'static str, cached: &[Uid]) -> Failure {
    Failure::Refused {
        reason,
        cached: cached.to_vec(),
    }
}

fn refused(reason: &'static str) -> Unauthenticated {
    Unauthenticated::Refused { reason }
}

#[allow(clippy::needless_pass_by_value, reason = "is the argument of map_err")]
fn unavailable(error: StoreError) -> Unauthenticated {
    tracing::error!(%error, "cannot authenticate");
    Unauthenticated::Unavailable
}
