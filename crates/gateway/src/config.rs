//! The configuration of the gateway.

use std::{sync::Arc, time::Duration};

use domain::{
    address::Network,
    rng::{Rng, SystemRng},
};
use rustls_pki_types::CertificateDer;

use crate::{AccessLog, Traces};

/// Limits and timeouts of the gateway, shared by all Services.
#[derive(Clone)]
pub struct Config {
    /// The domain of the Cluster, without a port. `allowClusterServices` refers to origins below it.
    pub domain: String,
    /// The domain with its port if that is not 443, as used in URLs.
    pub authority: String,
    /// The limit for resolving, connecting and the TLS handshake with an upstream together. This and the next two
    /// timeouts apply if the Service does not set its own.
    pub connect_timeout: Duration,
    /// The time that an upstream may take to begin its response after it received the whole request. It does not apply
    /// to gRPC calls, which have their own deadlines.
    pub response_timeout: Duration,
    /// The time that a client may pause within a request body. gRPC streams are not limited.
    pub body_idle_timeout: Duration,
    /// The time after which an idle upstream connection is closed.
    pub idle_connection_timeout: Duration,
    /// The maximum number of idle connections to each endpoint.
    pub idle_connections: usize,
    /// The maximum number of requests that are open at upstreams, including `WebSocket`s. A caller gets at most a quarter.
    pub upstream_requests: usize,
    /// The number of [workers](crate::worker). Each has its own upstream connections.
    pub workers: usize,
    /// True if upstreams may have link-local addresses. Cloud metadata services use such addresses.
    pub allow_link_local_upstreams: bool,
    /// Networks, in addition to the public Internet, in which token endpoints may be. Plain HTTP is allowed there.
    pub outbound_networks: Arc<[Network]>,
    /// Certificate authorities, in addition to the system's, that are trusted for token endpoints.
    pub outbound_authorities: Arc<[CertificateDer<'static>]>,
    /// The collector of request spans, if there is one.
    pub traces: Option<Arc<dyn Traces>>,
    /// The recipient of requests in addition to the access log, if there is one.
    pub access_log: Option<Arc<dyn AccessLog>>,
    /// The source of randomness for request ids.
    pub rng: Arc<dyn Rng>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            authority: "localhost".to_owned(),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_mins(1),
            body_idle_timeout: Duration::from_mins(1),
            idle_connection_timeout: Duration::from_mins(1),
            idle_connections: 256,
            upstream_requests: 16_384,
            workers: 1,
            allow_link_local_upstreams: false,
            outbound_networks: Arc::default(),
            outbound_authorities: Arc::default(),
            traces: None,
            access_log: None,
            rng: Arc::new(SystemRng),
        }
    }
}
