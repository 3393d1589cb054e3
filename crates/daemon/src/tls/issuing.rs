//! Certificates issued on demand for exactly the name that a client requests.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    clock::{Clock, UnixMillis},
    rng::Rng,
};
use moka::sync::Cache;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::authority::{Authority, LEAF_LIFETIME};

/// The maximum number of cached certificates of each class.
const KEPT: u64 = 4096;
/// The rate limit for names that are not served: a burst, then certificates per second. Issuing one takes about as long
/// as a TLS handshake.
const BURST: f64 = 100.0;
const PER_SECOND: f64 = 10.0;

/// The relation of a name to this Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostClass {
    /// A name that is served.
    Served,
    /// A name that a Service could have. The answer does not reveal whether the Service exists.
    Possible,
    /// A name outside of the domain, or not a DNS name.
    Foreign,
}

/// The port that classifies host names.
pub(crate) trait KnownHosts: Send + Sync + 'static {
    /// Classifies `host`, which is in lower case and without a port.
    fn class(&self, host: &str) -> HostClass;
}

/// Issues a certificate for each name at or below the domain when it is first requested.
///
/// A name that is not served gets one too. The response is then a 404 over HTTPS, the same for a private Service and
/// for no Service. These certificates have their own cache and a rate limit, so invented names neither evict
/// certificates of Services nor consume more CPU time.
pub(crate) struct IssuingResolver {
    authority: Authority,
    hosts: Arc<dyn KnownHosts>,
    default_host: String,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    served: Cache<String, Arc<CertifiedKey>>,
    possible: Cache<String, Arc<CertifiedKey>>,
    allowance: Mutex<Allowance>,
}

/// A token bucket.
struct Allowance {
    left: f64,
    at: UnixMillis,
}

impl Allowance {
    fn take(&mut self, now: UnixMillis) -> bool {
        let refill = now.since(self.at).as_secs_f64() * PER_SECOND;
        self.left = (self.left + refill).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

fn cache() -> Cache<String, Arc<CertifiedKey>> {
    Cache::builder()
        .max_capacity(KEPT)
        .time_to_live(LEAF_LIFETIME.min(Duration::from_hours(24)))
        .build()
}

impl IssuingResolver {
    /// Creates a resolver. A client that sends no host name, for example when it connects to an address, gets the
    /// certificate of `default_host`.
    pub(crate) fn new(
        authority: Authority,
        hosts: Arc<dyn KnownHosts>,
        default_host: String,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        let now = clock.now();
        Self {
            authority,
            hosts,
            default_host,
            clock,
            rng,
            served: cache(),
            possible: cache(),
            allowance: Mutex::new(Allowance {
                left: BURST,
                at: now,
            }),
        }
    }

    fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        // Classified for each connection, so that a deleted or private Service looks like one that never existed.
        match self.hosts.class(host) {
            HostClass::Served => self.served(host),
            HostClass::Possible => self.possible(host),
            HostClass::Foreign => None,
        }
    }

    fn served(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(issued) = self.served.get(host) {
            return Some(issued);
        }
        self.issue(host, &self.served)
    }

    fn possible(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        if let Some(issued) = self.possible.get(host) {
            return Some(issued);
        }
        let now = self.clock.now();
        let mut allowance = self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let is_allowed = allowance.take(now);
        drop(allowance);
        if !is_allowed {
            metrics::counter!("octelium_certificates_refused_total").increment(1);
            tracing::debug!(
                host,
                "too many certificate requests for names that are not served"
            );
            return None;
        }
        self.issue(host, &self.possible)
    }

    fn issue(
        &self,
        host: &str,
        kept: &Cache<String, Arc<CertifiedKey>>,
    ) -> Option<Arc<CertifiedKey>> {
        match self
            .authority
            .issue(host, self.rng.as_ref(), self.clock.now())
        {
            Ok(issued) => {
                kept.insert(host.to_owned(), Arc::clone(&issued));
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
            return self.served(&self.default_host);
        };
        self.certificate(&name.to_ascii_lowercase())
    }
}

impl fmt::Debug for IssuingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuingResolver").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use domain::{clock::ManualClock, rng::SeededRng};
    use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

    use super::*;

    struct Hosts;

    impl KnownHosts for Hosts {
        fn class(&self, host: &str) -> HostClass {
            match host {
                "example.com" | "app.example.com" | "other.example.com" => HostClass::Served,
                host if host.ends_with(".example.com") => HostClass::Possible,
                _ => HostClass::Foreign,
            }
        }
    }

    async fn resolver() -> (IssuingResolver, Arc<ManualClock>) {
        let store = store::testing::sqlite();
        let clock = Arc::new(ManualClock::at(UnixMillis(1_700_000_000_000)));
        let rng = Arc::new(SeededRng::new(1));
        let authority = Authority::open(&*store, &*rng, clock.now()).await.unwrap();
        let resolver = IssuingResolver::new(
            authority,
            Arc::new(Hosts),
            "example.com".to_owned(),
            Arc::clone(&clock) as _,
            rng,
        );
        (resolver, clock)
    }

    /// Returns the names in the certificate of `host`.
    fn names(resolver: &IssuingResolver, host: &str) -> Option<Vec<String>> {
        let issued = resolver.certificate(host)?;
        let (_, certificate) =
            x509_parser::certificate::X509Certificate::from_der(&issued.cert[0]).unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let names = names.value.general_names.iter().map(|name| match name {
            GeneralName::DNSName(name) => (*name).to_owned(),
            other => panic!("{other}"),
        });
        Some(names.collect())
    }

    #[tokio::test]
    async fn a_name_without_a_route_gets_a_certificate_for_exactly_itself_g11() {
        let (resolver, _) = resolver().await;
        for host in ["app.example.com", "nothing.example.com", "a.b.example.com"] {
            assert_eq!(names(&resolver, host), Some(vec![host.to_owned()]));
        }
        assert_eq!(names(&resolver, "example.org"), None);
    }

    #[tokio::test]
    async fn made_up_names_are_issued_at_a_limited_rate_and_hold_up_no_service_g11() {
        let (resolver, clock) = resolver().await;
        let made_up =
            |from: usize| (from..from + 1000).map(|index| format!("x{index}.example.com"));
        let issued = |from: usize| {
            made_up(from)
                .filter(|host| resolver.certificate(host).is_some())
                .count()
        };
        assert_eq!(issued(0), 100);
        assert!(resolver.certificate("app.example.com").is_some());
        assert!(
            resolver.certificate("x0.example.com").is_some(),
            "issued before"
        );
        clock.advance(Duration::from_secs(1));
        assert_eq!(issued(1000), 10);
        assert!(resolver.certificate("other.example.com").is_some());
    }
}
