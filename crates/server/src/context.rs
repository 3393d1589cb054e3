//! The context of a use case: the ports and the state of the replica.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use authn::outbound::Outbound;
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    rng::Rng,
    session::{self, ClientOrigin},
};
use store::{Store, StoreError};

use crate::{
    Caller, Directory,
    access_log::AccessBatch,
    audit_batch::AuditBatch,
    authentication_state::AuthenticationState,
    budget::BodyBudget,
    directory,
    geoip::GeoIpDatabases,
    hits::{Allowed, Key, OverLimit, TooMany},
    keys::Keyring,
    mds_metadata,
    mds_metadata::MetadataService,
    provider_cache::ProviderCache,
    row_budget::FailedLogins,
    usage::UsageBatch,
};

/// The shared state of one replica. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The random number generator.
    pub rng: Arc<dyn Rng>,
    /// The Cluster as this replica sees it.
    pub directory: Arc<Directory>,
    /// The keys that sign tokens.
    pub keys: Arc<Keyring>,
    /// Audit events that are written in batches.
    pub audit: Arc<AuditBatch>,
    /// The access log of requests to Services, written in batches.
    pub access: Arc<AccessBatch>,
    /// Counts of uses, written in batches.
    pub usage: Arc<UsageBatch>,
    pub(crate) bodies: Arc<BodyBudget>,
    /// Keys that have too many hits.
    pub(crate) over_limit: Arc<OverLimit>,
    /// Logins at identity providers that failed.
    pub(crate) failed_logins: Arc<FailedLogins>,
    /// The retention of audit events. `None` keeps them forever.
    pub(crate) audit_retention: Option<Duration>,
    pub(crate) authentication: Arc<AuthenticationState>,
    pub(crate) providers: Arc<ProviderCache>,
    pub(crate) metadata: Arc<MetadataService>,
    pub(crate) geoip: Arc<GeoIpDatabases>,
    /// The domain of the Cluster.
    pub domain: Domain,
    /// The uid of the Cluster, which is the audience of its tokens.
    pub cluster_uid: Uid,
}

impl Context {
    /// Loads the in-memory state, and creates the first signing key of a new Cluster. The state is updated only while
    /// [`Context::run`] runs.
    ///
    /// # Errors
    /// Returns the error of the store.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        domain: Domain,
        limits: directory::Limits,
    ) -> Result<Self, StoreError> {
        let keys = Arc::new(Keyring::open(store.clone(), clock.clone(), &*rng).await?);
        let directory = Directory::open(store.clone(), clock.clone(), keys.clone(), limits).await?;
        Ok(Self {
            cluster_uid: store.cluster_uid(),
            store,
            clock,
            rng,
            directory: Arc::new(directory),
            keys,
            audit: Arc::default(),
            access: Arc::default(),
            usage: Arc::default(),
            bodies: Arc::default(),
            over_limit: Arc::default(),
            failed_logins: Arc::default(),
            audit_retention: None,
            authentication: Arc::default(),
            providers: Arc::default(),
            metadata: Arc::default(),
            geoip: Arc::default(),
            domain,
        })
    }

    /// Uses `outbound` for requests to identity providers. The default reaches only the public Internet.
    #[must_use]
    pub fn with_outbound(mut self, outbound: Outbound) -> Self {
        self.providers = Arc::new(ProviderCache::by(outbound));
        self
    }

    /// Uses `source` for the metadata of authenticator models.
    #[must_use]
    pub fn with_metadata(mut self, source: mds_metadata::Source) -> Self {
        self.metadata = Arc::new(MetadataService::from(source));
        self
    }

    /// Removes audit events that are older than `retention`. With `None` they are kept.
    #[must_use]
    pub fn with_audit_retention(mut self, retention: Option<Duration>) -> Self {
        self.audit_retention = retention;
        self
    }

    /// Uses `geoip` to locate IP addresses.
    #[must_use]
    pub fn with_geoip(mut self, geoip: Arc<GeoIpDatabases>) -> Self {
        self.geoip = geoip;
        self
    }

    /// Returns the current time.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Counts a hit of `key`.
    ///
    /// # Errors
    /// Returns [`TooMany::Until`] if there are more hits than allowed, and [`TooMany::Failed`] if the store fails.
    pub(crate) async fn count(&self, key: Key, allowed: Allowed) -> Result<(), TooMany> {
        self.over_limit
            .count(&*self.store, key, allowed, self.now())
            .await
    }

    /// Returns a new random uid.
    pub fn new_uid(&self) -> Uid {
        Uid::random(&*self.rng)
    }

    /// Returns the ports that the updates of [`MetadataService`] need.
    pub(crate) fn metadata_ports(&self) -> mds_metadata::Ports<'_> {
        mds_metadata::Ports {
            store: &*self.store,
            clock: &*self.clock,
            rng: &*self.rng,
            providers: &self.providers,
        }
    }

    /// Returns the client information and location for an authentication info.
    pub(crate) fn client_origin(&self, caller: &Caller) -> ClientOrigin {
        ClientOrigin {
            downstream: session::downstream(caller.ip, &caller.user_agent),
            geoip: caller.ip.and_then(|ip| self.geoip.find(ip)),
        }
    }
}

/// The domain of the Cluster, with the port unless it is 443: `example.com`, `localhost:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    authority: Arc<str>,
    host_length: usize,
}

/// The error for a text that is not `host` or `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a domain; use host or host:port, such as example.com or localhost:8443")]
pub struct InvalidDomain;

impl Domain {
    /// Returns the host without the port, as used by certificates, host names and `WebAuthn`.
    pub fn host(&self) -> &str {
        self.authority.get(..self.host_length).unwrap_or_default()
    }

    /// Returns the host, with the port unless it is 443.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns `https://` and the authority: the issuer (RFC 8414 §2).
    pub fn url(&self) -> String {
        format!("https://{}", self.authority)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

impl FromStr for Domain {
    type Err = InvalidDomain;

    fn from_str(text: &str) -> Result<Self, InvalidDomain> {
        let text = text.to_ascii_lowercase();
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| InvalidDomain)?)),
            None => (text.as_str(), None),
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if host.len() > 253 || !host.split('.').all(label) || port == Some(0) {
            return Err(InvalidDomain);
        }
        let authority = match port {
            None | Some(443) => host.to_owned(),
            Some(port) => format!("{host}:{port}"),
        };
        Ok(Self {
            authority: authority.into(),
            host_length: host.len(),
        })
    }
}
