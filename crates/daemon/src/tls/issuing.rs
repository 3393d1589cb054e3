//! Picks the certificate of a connection: issued for exactly the name that the client asks for.

use std::{fmt, sync::Arc, time::Duration};

use domain::{clock::Clock, rng::Rng};
use moka::sync::Cache;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::authority::{Authority, LEAF_LIFETIME};

/// Which names are served.
pub(crate) trait KnownHosts: Send + Sync + 'static {
    /// True where requests for `host`, in lower case and without a port, are answered by something.
    fn is_known(&self, host: &str) -> bool;
}

/// Issues a certificate for each served name when it is first asked for.
///
/// A name that is not served gets no certificate, whether something of that name exists or not.
pub(crate) struct IssuingResolver {
    authority: Authority,
    hosts: Arc<dyn KnownHosts>,
    default_host: String,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    issued: Cache<String, Arc<CertifiedKey>>,
}

impl IssuingResolver {
    /// A client that names no host, as one that connects to an address, gets the certificate of `default_host`.
    pub(crate) fn new(
        authority: Authority,
        hosts: Arc<dyn KnownHosts>,
        default_host: String,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self {
            authority,
            hosts,
            default_host,
            clock,
            rng,
            issued: Cache::builder()
                .max_capacity(4096)
                .time_to_live(LEAF_LIFETIME.min(Duration::from_hours(24)))
                .build(),
        }
    }

    fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(issued) = self.issued.get(host) {
            return Some(issued);
        }
        match self
            .authority
            .issue(host, self.rng.as_ref(), self.clock.now())
        {
            Ok(issued) => {
                self.issued.insert(host.to_owned(), Arc::clone(&issued));
                Some(issued)
            }
            Err(error) => {
                tracing::error!(host, error = format!("{error:#}"), "certificate not issued");
                None
            }
        }
    }
}

impl ResolvesServerCert for IssuingResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Some(name) = hello.server_name() else {
            return self.certificate(&self.default_host);
        };
        let host = name.to_ascii_lowercase();
        // Asked each time: a Service that was deleted is no longer served from the cache.
        if self.hosts.is_known(&host) {
            self.certificate(&host)
        } else {
            None
        }
    }
}

impl fmt::Debug for IssuingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuingResolver").finish_non_exhaustive()
    }
}
