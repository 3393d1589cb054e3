//! Where requests go: endpoints, their health and their pooled connections.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api::core_v1::service::spec::{
    Config as ServiceConfig,
    config::{Http, upstream::Type},
};

use crate::{
    Config,
    route::{Mode, Problems},
};

mod connect;
mod endpoint;
mod health;
mod http1;
mod http2;
mod send;
mod tls;
mod url;

pub(crate) use connect::ConnectError;
pub(crate) use endpoint::Endpoint;
pub(crate) use http1::Lease;
pub(crate) use send::{Answer, Outgoing, SendError};

/// The endpoints of a Service. All speak the same protocol.
pub(crate) struct Upstream {
    endpoints: Box<[Arc<Endpoint>]>,
    next: AtomicUsize,
}

impl Upstream {
    pub(crate) fn compile(
        config: &ServiceConfig,
        http: &Http,
        mode: Mode,
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
                problems.add(&format!("{PATH}.container"), "is not served; use url");
                return None;
            }
            None => Vec::new(),
        };
        if urls.is_empty() {
            problems.add(PATH, "has no endpoint; set url or loadbalance.endpoints");
            return None;
        }
        let prefer_http2 = mode == Mode::Grpc || http.is_upstream_http2;
        let mut endpoints = Vec::with_capacity(urls.len());
        let mut trust = tls::Trust::new(config.tls.as_ref(), problems);
        for (path, url, user) in &urls {
            if !user.is_empty() {
                problems.add(
                    path,
                    "is served by a User's client, which is not served yet",
                );
            }
            match url::parse(url, prefer_http2) {
                Ok(url) => endpoints.extend(Endpoint::new(url, &mut trust, settings, problems)),
                Err(problem) => problems.add(path, problem),
            }
        }
        let mut protocols = endpoints.iter().map(Endpoint::protocol);
        let first = protocols.next();
        if protocols.any(|protocol| Some(protocol) != first) {
            problems.add(PATH, "mixes protocols; use one scheme for all endpoints");
        }
        Some(Self {
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            next: AtomicUsize::new(0),
        })
    }

    /// Round robin over what works; over all where nothing seems to.
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

    /// Whether a connection can become a WebSocket.
    pub(crate) fn can_upgrade(&self) -> bool {
        self.endpoints
            .iter()
            .all(|endpoint| endpoint.protocol() == url::Protocol::Http1)
    }
}
