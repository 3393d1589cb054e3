//! Upstreams: endpoints, their health and their pooled connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api::core_v1::service::spec::{
    Config as ServiceConfig,
    config::{Http, upstream::Type},
};

use crate::{Config, mode::Mode, problems::Problems, secret::Secrets};

mod connect;
mod endpoint;
mod health;
mod http1;
mod http2;
mod send;
mod tls;
mod url;

pub(crate) use connect::ConnectError;
use connect::ReachableAddresses;
pub(crate) use endpoint::Endpoint;
pub(crate) use http1::Lease;
pub(crate) use send::{EndpointResponse, Outgoing, SendError};

/// The endpoints of a Service. All use the same protocol.
pub(crate) struct Upstream {
    endpoints: Box<[Arc<Endpoint>]>,
    next: AtomicUsize,
}

impl Upstream {
    pub(crate) fn compile(
        config: &ServiceConfig,
        http: &Http,
        mode: Mode,
        secrets: &Secrets<'_>,
        settings: &Config,
        problems: &mut Problems,
    ) -> Option<Self> {
        const PATH: &str = "spec.config.upstream";
        let upstream = config.upstream.clone().unwrap_or_default();
        let urls: Vec<(String, String, String)> = match upstream.r#type {
            Some(Type::Url(url)) => vec![(format!("{PATH}.url"), url, upstream.user)],
            Some(Type::Loadbalance(balance)) => balance
                .endpoints
                .into_iter()
                .enumerate()
                .map(|(index, endpoint)| {
                    let path = format!("{PATH}.loadbalance.endpoints[{index}].url");
                    (path, endpoint.url, endpoint.user)
                })
                .collect(),
            Some(Type::Container(_)) => {
                problems.add(&format!("{PATH}.container"), "is not supported; use url");
                return None;
            }
            None => Vec::new(),
        };
        if urls.is_empty() {
            problems.add(PATH, "has no endpoint; set url or loadbalance.endpoints");
            return None;
        }
        let prefer_http2 = mode == Mode::Grpc || http.is_upstream_http2;
        let reach = if settings.allow_link_local_upstreams {
            ReachableAddresses::Everything
        } else {
            ReachableAddresses::NotLinkLocal
        };
        let mut endpoints = Vec::with_capacity(urls.len());
        let mut trust = tls::Trust::of_service(config, secrets, problems);
        for (path, url, user) in &urls {
            if !user.is_empty() {
                problems.add(
                    path,
                    "is served by a User's client, which is not supported yet",
                );
            }
            match url::parse(url, prefer_http2) {
                Ok(url) => {
                    endpoints.extend(Endpoint::new(
                        url,
                        &mut trust,
                        settings,
                        reach.clone(),
                        problems,
                    ));
                }
                Err(problem) => problems.add(path, problem),
            }
        }
        let mut protocols = endpoints.iter().map(Endpoint::protocol);
        let first = protocols.next();
        if protocols.any(|protocol| Some(protocol) != first) {
            problems.add(PATH, "mixes protocols; use one scheme for all endpoints");
        }
        trust.check_use(problems);
        Some(Self {
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// Creates an endpoint that does not belong to a Service. `url` has no path. The endpoint needs a public address
    /// and a certificate that the system trusts, unless the settings allow more.
    pub(crate) fn outbound(url: &str, settings: &Config, problems: &mut Problems) -> Option<Self> {
        let url = url::parse(url, false).ok()?;
        let networks = Arc::clone(&settings.outbound_networks);
        let reach = if url.tls {
            ReachableAddresses::PublicAnd(networks)
        } else {
            ReachableAddresses::Only(networks)
        };
        let mut trust = tls::Trust::system(&settings.outbound_authorities);
        let endpoint = Endpoint::new(url, &mut trust, settings, reach, problems)?;
        Some(Self {
            endpoints: Box::new([Arc::new(endpoint)]),
            next: AtomicUsize::new(0),
        })
    }

    /// Returns the endpoint if there is exactly one.
    pub(crate) fn only(&self) -> Option<&Endpoint> {
        match &*self.endpoints {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Selects a healthy endpoint, round robin; any endpoint if none is healthy.
    fn pick(&self) -> Option<&Arc<Endpoint>> {
        let [only] = &*self.endpoints else {
            let start = self.next.fetch_add(1, Ordering::Relaxed);
            let order = || {
                (0..self.endpoints.len()).filter_map(|offset| {
                    self.endpoints
                        .get(start.wrapping_add(offset) % self.endpoints.len())
                })
            };
            return order()
                .find(|endpoint| endpoint.health.is_good())
                .or_else(|| order().next());
        };
        Some(only)
    }

    /// Returns true if a connection can be upgraded to a WebSocket.
    pub(crate) fn can_upgrade(&self) -> bool {
        self.endpoints
            .iter()
            .all(|endpoint| endpoint.protocol() == url::Protocol::Http1)
    }
}
