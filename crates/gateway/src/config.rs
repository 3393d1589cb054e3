//! What an operator may set.

use std::{sync::Arc, time::Duration};

use domain::{
    address::Network,
    rng::{Rng, SystemRng},
};
use rustls_pki_types::CertificateDer;

use crate::{AccessLog, Traces};

/// Limits and time-outs of the gateway, the same for all Services.
#[derive(Clone)]
pub struct Config {
    /// Domain of the Cluster, without a port. Origins below it are those that `allowClusterServices` means.
    pub domain: String,
    /// The same, with the port where it is not 443: what URLs have.
    pub authority: String,
    /// How long resolving, connecting and the TLS handshake with an upstream may take together, where the Service says
    /// nothing of it. So with the next two.
    pub connect_timeout: Duration,
    /// How long an upstream may take to begin its response once it has the whole request. Calls of gRPC have
    /// deadlines of their own and are not limited by it.
    pub response_timeout: Duration,
    /// How long a client may pause within a request body. Streams of gRPC may pause for any time.
    pub body_idle_timeout: Duration,
    /// How long an unused connection to an upstream is kept.
    pub idle_connection_timeout: Duration,
    /// How many unused connections are kept for each endpoint.
    pub idle_connections: usize,
    /// How many [workers](crate::worker) there are: each has connections of its own.
    pub workers: usize,
    /// Whether an upstream may have a link-local address, which is where clouds serve their metadata.
    pub allow_link_local_upstreams: bool,
    /// Networks beside the public Internet that tokens for upstreams may come from; there over plain HTTP too.
    pub outbound_networks: Arc<[Network]>,
    /// Authorities beside those of the system that the certificates of token endpoints may come from.
    pub outbound_authorities: Arc<[CertificateDer<'static>]>,
    /// Who collects spans of requests; nobody where `None`.
    pub traces: Option<Arc<dyn Traces>>,
    /// Who keeps requests beyond the access log; nobody where `None`.
    pub access_log: Option<Arc<dyn AccessLog>>,
    /// Where request ids come from.
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
