//! The Cluster as this replica knows it: a cache in front of the store that the change feed keeps true.
//!
//! Invariant: nothing that was read before a change is put into a cache after that change was taken over. What is
//! not known is fetched, so what was just created works at once; what no longer stands is told to all who hold a
//! [`Principal`] of it.

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
    keys::Keyring,
    resource::{codec, load},
};

mod authenticator_rules;
mod authenticators;
pub(crate) mod cache;
mod documents;
mod feed;
mod foundation;
mod held;
mod invalidation;
mod presented;
mod principal;
mod providers;
pub(crate) mod revoked;
mod sessions;
mod tokens;

pub(crate) use authenticator_rules::{AuthenticatorRules, EnforcementList, Login};
use authenticators::Authenticators;
use cache::Cache;
use documents::Documents;
pub(crate) use documents::Known;
use foundation::Foundations;
use held::Held;
pub use held::ServiceEntry;
use invalidation::Invalidations;
pub(crate) use presented::{CacheKey, Presented};
use principal::Parts;
pub use principal::Principal;
pub(crate) use principal::Standing;
pub(crate) use providers::{Membership, ProviderEntry};
use revoked::RevokedTokens;
use sessions::Sessions;

/// How often a read is repeated that was overtaken by changes.
const FILLS: usize = 8;

/// How much is kept in memory, and how old it may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions that are known with all they stand on.
    pub sessions: usize,
    /// Access tokens that need not be verified again.
    pub tokens: usize,
    /// Users, and as many Credentials and Devices.
    pub documents: usize,
    /// Access tokens that were revoked alone and have not expired.
    pub revoked_tokens: usize,
    /// With a feed older than this nothing is answered.
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

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// It, or what it came from, does not stand.
    #[error("not authenticated: {reason}")]
    Refused {
        /// A stable word for logs and audit.
        reason: &'static str,
    },
    /// Whether it stands cannot be said at present.
    #[error("cannot authenticate at present")]
    Unavailable,
}

/// See the module.
pub struct Directory {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    keys: Arc<Keyring>,
    limits: Limits,
    held: Held,
    users: Documents<User>,
    credentials: Documents<Credential>,
    devices: Documents<Device>,
    authenticators: Authenticators,
    foundations: Foundations,
    sessions: Sessions,
    revoked: RevokedTokens,
    tokens: Cache<CacheKey, Arc<Principal>>,
    refused: Cache<CacheKey, tokens::Refused>,
    invalidations: Invalidations,
    applied: watch::Sender<Applied>,
    /// False while everything is read again because the store's history was replaced, and while the clock of this
    /// process is wrong.
    trusted: AtomicBool,
    opened: Instant,
    /// Milliseconds from `opened` to when the store last confirmed what is known here.
    confirmed: AtomicU64,
}

/// How far the changes of the Cluster are taken over here. A later history of the store counts as further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Applied {
    history: u64,
    cursor: Cursor,
}

impl Directory {
    /// Reads what is held whole. Nothing is followed before [`Directory::run`].
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keys: Arc<Keyring>,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        // Before anything is read: what changes meanwhile is taken over once more.
        let state = *store.feed().borrow();
        let directory = Self {
            store,
            clock,
            keys,
            limits,
            held: Held::empty(),
            users: Documents::new(limits.documents),
            credentials: Documents::new(limits.documents),
            devices: Documents::new(limits.documents),
            authenticators: Authenticators::new(limits.documents),
            foundations: Foundations::default(),
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

    /// All named Policies.
    pub fn policies(&self) -> PolicySet {
        self.held.policies()
    }

    /// The `ClusterConfig`; the defaults where there is none yet.
    pub fn cluster_config(&self) -> Arc<ClusterConfig> {
        self.held.config()
    }

    /// The rules of the `ClusterConfig` about Authenticators.
    pub(crate) fn authenticator_rules(&self) -> Arc<AuthenticatorRules> {
        self.held.authenticator_rules()
    }

    /// The Service of this host name, the Cluster's domain cut off: `svc`, `svc.namespace`.
    pub fn service_by_host(&self, hostname: &str) -> Option<Arc<ServiceEntry>> {
        self.held.service_by_host(hostname)
    }

    /// The Service of this full name: `svc.namespace`.
    pub fn service_by_name(&self, name: &str) -> Option<Arc<ServiceEntry>> {
        self.held.service_by_name(name)
    }

    /// All Services, in no order.
    pub fn services(&self) -> Vec<Arc<ServiceEntry>> {
        self.held.services()
    }

    /// The Namespace of this name.
    pub fn namespace(&self, name: &str) -> Option<Arc<Namespace>> {
        self.held.namespace(name)
    }

    /// Whether the store has confirmed lately that nothing is missing here, and this process's clock agrees with the
    /// store's. If not, nothing may be answered.
    pub fn is_fresh(&self) -> bool {
        if !self.trusted.load(Ordering::Acquire) {
            return false;
        }
        let confirmed = Duration::from_millis(self.confirmed.load(Ordering::Acquire));
        self.opened.elapsed().saturating_sub(confirmed) < self.limits.stale_after
    }

    /// Returns when all changes up to `cursor` are taken over here, or after a second: whoever has written reads
    /// what was written, and a revocation that was acknowledged has happened in this process.
    pub async fn catch_up(&self, cursor: Cursor) {
        let mut applied = self.applied.subscribe();
        // The writer has checked the history before it committed.
        let history = self.store.feed().borrow().history;
        let wanted = Applied { history, cursor };
        let reached = applied.wait_for(|applied| *applied >= wanted);
        if tokio::time::timeout(Duration::from_secs(1), reached)
            .await
            .is_err()
        {
            tracing::warn!("changes are taken over late");
        }
    }

    /// Told each time that changes have been taken over here.
    pub(crate) fn changes(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    /// How many Sessions are known with all they stand on, and how many tokens of them are in use.
    pub fn size(&self) -> (usize, usize) {
        self.sessions.size()
    }

    pub(crate) async fn user(&self, uid: Uid) -> Result<Option<Known<User>>, StoreError> {
        let now = self.clock.now();
        self.users
            .get(uid, &*self.store, &self.invalidations, now)
            .await
    }

    pub(crate) async fn credential(
        &self,
        uid: Uid,
    ) -> Result<Option<Known<Credential>>, StoreError> {
        let now = self.clock.now();
        self.credentials
            .get(uid, &*self.store, &self.invalidations, now)
            .await
    }

    /// The Authenticators of a User, oldest first, as they were a moment ago: good for hints, not for decisions.
    pub(crate) async fn authenticators(
        &self,
        user: Uid,
    ) -> Result<Arc<[Authenticator]>, StoreError> {
        let now = self.clock.now();
        self.authenticators.of(user, &*self.store, now).await
    }

    /// Forgets what is cached of these, so that they are read anew: what was refused may have changed elsewhere.
    pub(crate) fn forget(&self, uids: &[Uid]) {
        for uid in uids {
            self.users.invalidate(*uid);
            self.credentials.invalidate(*uid);
            self.devices.invalidate(*uid);
        }
    }

    /// What the Session stands on.
    ///
    /// # Errors
    /// Where it does not stand, or the Cluster cannot tell.
    pub(crate) async fn standing(
        &self,
        session: Uid,
        now: UnixMillis,
    ) -> Result<Arc<Standing>, Unauthenticated> {
        match self.sessions.get(session) {
            Some(standing) if now < standing.valid_until => Ok(standing),
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
        let mut standing = self.standing(claims.subject, now).await?;
        for is_last in [false, false, true] {
            if self.is_revoked(&claims, now).await? {
                return Err(refused("token_revoked"));
            }
            let outcome = standing.token_end(&standing.session(), &claims, now);
            if let Ok(end) = outcome
                && let Some(revoked) = self.sessions.watch(&standing, &claims, end)
                // Revoked in between: the record is there before the token is looked for.
                && !self.is_revoked(&claims, now).await?
            {
                return Ok(Arc::new(Principal {
                    valid_until: end.min(standing.valid_until),
                    revoked,
                    claims,
                    derived: std::sync::OnceLock::new(),
                    standing,
                    key_epoch,
                }));
            }
            if is_last {
                return Err(outcome.map_or_else(
                    |error| refused(error.reason()),
                    |_| Unauthenticated::Unavailable,
                ));
            }
            // The token may be newer than what is known of its Session.
            standing = self.fill(claims.subject, now).await?;
        }
        Err(Unauthenticated::Unavailable)
    }

    async fn is_revoked(&self, claims: &Claims, now: UnixMillis) -> Result<bool, Unauthenticated> {
        let contains = self.revoked.contains(&*self.store, claims.token_id, now);
        contains.await.map_err(unavailable)
    }

    /// Reads what the Session stands on, and keeps it.
    async fn fill(&self, session: Uid, now: UnixMillis) -> Result<Arc<Standing>, Unauthenticated> {
        let mut was_refused = false;
        for _ in 0..FILLS {
            let moment = self.invalidations.now();
            let parts = match self.read(session, now).await {
                Ok(parts) => parts,
                Err(Failure::Unavailable(error)) => return Err(unavailable(error)),
                Err(Failure::Refused { reason, cached }) => {
                    // What is cached may have been changed by another replica a moment ago.
                    if was_refused || cached.is_empty() {
                        return Err(refused(reason));
                    }
                    was_refused = true;
                    self.forget(&cached);
                    continue;
                }
            };
            let message = parts.session.message.clone();
            let foundation = self.foundations.of(&parts);
            let dependencies = foundation.dependencies.clone();
            let inserted = self.sessions.insert(
                Standing::new(session, &message, foundation),
                || {
                    !self.invalidations.any_since(moment, &[session])
                        && !self.invalidations.any_since(moment, &dependencies)
                },
                |standing, claims| standing.token_end(&message, claims, now).ok(),
            );
            if let Some(standing) = inserted {
                return Ok(standing);
            }
            self.forget(&dependencies);
        }
        Err(Unauthenticated::Unavailable)
    }

    async fn read(&self, uid: Uid, now: UnixMillis) -> Result<Parts, Failure> {
        let session = load::with_token_ids::<Session>(&*self.store, uid, now).await?;
        let session: Known<Session> = session.ok_or_else(|| gone("session_gone", &[]))?.into();
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
        Ok(Parts {
            session,
            user,
            credential,
            device,
            groups,
        })
    }

    /// The Groups of a User; `None` where one is missing, whose DENY Policies would be missing with it.
    pub(crate) async fn groups(
        &self,
        user: &User,
        now: UnixMillis,
    ) -> Result<Option<Vec<(Uid, Arc<Group>)>>, StoreError> {
        let names = user.spec.iter().flat_map(|spec| &spec.groups);
        let mut groups = Vec::new();
        for name in names {
            let group = match self.held.group(name) {
                Some(group) => Some(group),
                // Created a moment ago.
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

    /// Everything that `state` tells of is taken over.
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

/// Why a Session could not be read.
enum Failure {
    Refused {
        reason: &'static str,
        /// What of it may have come from a cache.
        cached: Vec<Uid>,
    },
    Unavailable(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if codec::is_damage(&error) {
            // No other reading will do better, and nothing else must wait for it.
            tracing::error!(%error, "what a Session stands on is damaged; it is refused");
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
