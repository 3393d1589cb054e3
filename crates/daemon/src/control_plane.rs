//! The control plane of a replica and its background tasks.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use authn::outbound::Outbound;
use domain::{clock::Clock, rng::Rng, token::Token};
use server::{
    Context, Domain, bootstrap, directory::Limits, geoip::GeoIpDatabases, mds_metadata::Source,
};
use store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The state of the control plane, shared by the API and the gateway.
pub(crate) struct ControlPlane {
    context: Context,
    root_token: Option<Token>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The settings and resources of a replica that are not in the store.
pub(crate) struct ReplicaDependencies {
    pub(crate) outbound: Outbound,
    pub(crate) metadata: Source,
    pub(crate) geoip: Arc<GeoIpDatabases>,
    /// The age from which the change feed counts as stale.
    pub(crate) stale_after: Duration,
    /// The retention of audit events. `None` keeps them forever.
    pub(crate) audit_retention: Option<Duration>,
}

impl ControlPlane {
    /// Loads the in-memory state, follows the changes of the Cluster, and creates the built-in resources of a new
    /// Cluster.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        domain: Domain,
        dependencies: ReplicaDependencies,
    ) -> anyhow::Result<Self> {
        let limits = Limits {
            stale_after: dependencies.stale_after,
            ..Limits::default()
        };
        let context = Context::open(store, clock, rng, domain, limits)
            .await
            .context("state of the Cluster")?
            .with_outbound(dependencies.outbound)
            .with_metadata(dependencies.metadata)
            .with_geoip(dependencies.geoip)
            .with_audit_retention(dependencies.audit_retention);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let running = context.clone();
        let until = stop.clone();
        tasks.spawn(async move { running.run(until).await });
        let begun = bootstrap::bootstrap(&context)
            .await
            .context("built-in objects")?;
        Ok(Self {
            context,
            root_token: begun.root_token,
            stop,
            tasks,
        })
    }

    /// Returns the context of the use cases.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Returns the authentication token of User `root` if the Cluster was just created.
    pub(crate) fn root_token(&self) -> Option<&Token> {
        self.root_token.as_ref()
    }

    /// Runs `task` until the control plane ends. The task gets a token that is cancelled then.
    pub(crate) fn spawn<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.stop.clone()));
    }

    /// Ends the background tasks and writes pending state.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
