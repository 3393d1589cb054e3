//! The gateway: its ports, its configuration and its state.

use std::sync::Arc;

use domain::clock::Clock;

use crate::{
    Config, Directory, Identity,
    shares::{BodyBudget, Exchanges},
};

/// The data plane. Beside its ports, it keeps only the shares of callers in memory and connections.
pub struct Gateway {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) identity: Arc<dyn Identity>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) bodies: BodyBudget,
    pub(crate) exchanges: Arc<Exchanges>,
}

impl Gateway {
    /// Creates a gateway to the Services of `directory`, for the callers that `identity` authenticates.
    pub fn new(
        directory: Arc<dyn Directory>,
        identity: Arc<dyn Identity>,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Arc<Self> {
        Arc::new(Self {
            directory,
            identity,
            clock,
            bodies: BodyBudget::default(),
            exchanges: Exchanges::new(config.upstream_requests),
            config,
        })
    }

    /// Returns the URL of the Cluster's pages.
    pub(crate) fn portal(&self) -> String {
        format!("https://{}/", self.config.authority)
    }
}
