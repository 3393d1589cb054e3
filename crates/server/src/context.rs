//! What every use case gets: the ports, and who asks.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use authn::outbound::Outbound;
use domain::{
    clock::{Clock, UnixMillis},
    id::Uid,
    rng::Rng,
};
use store::{Store, StoreError};

use crate::{
    Directory, Principal, access_log::AccessBatch, audit::AuditBatch, authentication,
    budget::BodyBudget, directory, federation::Federation, keys::Keyring, metadata,
    metadata::MetadataService, places::Places, row_budget::AnonymousRows, usage::UsageBatch,
};

/// The Cluster as seen by one replica. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub rng: Arc<dyn Rng>,
    /// What this replica knows of the Cluster.
    pub directory: Arc<Directory>,
    /// What signs tokens.
    pub keys: Arc<Keyring>,
    /// Audit events that are written in batches.
    pub audit: Arc<AuditBatch>,
    /// What was asked of Services, written in batches.
    pub access: Arc<AccessBatch>,
    /// Uses that are counted in batches.
    pub usage: Arc<UsageBatch>,
    pub(crate) bodies: Arc<BodyBudget>,
    /// Rows that requests without authentication store: logins that failed at a provider, and logins of machines.
    pub(crate) anonymous_rows: Arc<AnonymousRows>,
    /// How long audit events are kept; for ever if `None`.
    pub(crate) audit_retention: Option<Duration>,
    pub(crate) authentication: Arc<authentication::State>,
    pub(crate) federation: Arc<Federation>,
    pub(crate) metadata: Arc<MetadataService>,
    pub(crate) places: Arc<Places>,
    /// The Cluster's name.
    pub domain: Domain,
    /// The Cluster's uid: the audience of its tokens.
    pub cluster_uid: Uid,
}

impl Context {
    /// Reads what is held in memory, and makes the first signing key of a new Cluster. Nothing is kept true before
    /// [`Context::run`].
    ///
    /// # Errors
    /// Where the store fails.
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
            anonymous_rows: Arc::default(),
            audit_retention: None,
            authentication: Arc::default(),
            federation: Arc::default(),
            metadata: Arc::default(),
            places: Arc::default(),
            domain,
        })
    }

    /// Reaches identity providers by `outbound`; otherwise at the public Internet alone.
    #[must_use]
    pub fn with_outbound(mut self, outbound: Outbound) -> Self {
        self.federation = Arc::new(Federation::by(outbound));
        self
    }

    /// Knows models of authenticators by metadata from `source`.
    #[must_use]
    pub fn with_metadata(mut self, source: metadata::Source) -> Self {
        self.metadata = Arc::new(MetadataService::from(source));
        self
    }

    /// Removes audit events that are older than `retention`.
    #[must_use]
    pub fn with_audit_retention(mut self, retention: Option<Duration>) -> Self {
        self.audit_retention = retention;
        self
    }

    /// Knows where addresses are.
    #[must_use]
    pub fn with_places(mut self, places: Arc<Places>) -> Self {
        self.places = places;
        self
    }

    /// The present instant.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// A new uid.
    pub fn new_uid(&self) -> Uid {
        Uid::random(&*self.rng)
    }
}

/// The Cluster's domain, with the port where it is not 443: `example.com`, `localhost:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    authority: Arc<str>,
    host_length: usize,
}

/// Not `host` or `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a domain; write host or host:port, as example.com or localhost:8443")]
pub struct InvalidDomain;

impl Domain {
    /// Without the port: what certificates, host names and `WebAuthn` have.
    pub fn host(&self) -> &str {
        self.authority.get(..self.host_length).unwrap_or_default()
    }

    /// With the port where it is not 443.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// `https://` and the authority: the issuer (RFC 8414 §2).
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

/// Whoever sent a request, known or not.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Names the request in logs, audit and the reply.
    pub request_id: String,
    /// Where it came from, as far as the listener trusts it.
    pub ip: Option<IpAddr>,
    /// As sent, shortened to 220 bytes.
    pub user_agent: String,
}

/// Whoever sent an authenticated request. In the `http::Extensions` of each of them.
#[derive(Clone)]
pub struct Actor {
    /// As whom.
    pub principal: Arc<Principal>,
    /// Names the request in logs, audit and the reply.
    pub request_id: String,
    /// Where it came from, as far as the listener trusts it.
    pub ip: Option<IpAddr>,
    /// As sent, shortened to 220 bytes.
    pub user_agent: String,
}
