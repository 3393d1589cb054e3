//! The control plane of a replica, and what it does beside answering requests.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use authn::outbound::Outbound;
use domain::{clock::Clock, rng::Rng, token::Token};
use server::{Context, Domain, bootstrap, directory::Limits, metadata::Source, places::Places};
use store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What every request of the API and every decision of the gateway stands on.
pub(crate) struct ControlPlane {
    context: Context,
    root_token: Option<Token>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What a replica knows that is not in the store.
pub(crate) struct Surroundings {
    pub(crate) outbound: Outbound,
    pub(crate) metadata: Source,
    pub(crate) places: Arc<Places>,
    /// From when on the change feed counts as stale.
    pub(crate) stale_after: Duration,
    /// How long audit events are kept; for ever if `None`.
    pub(crate) audit_retention: Option<Duration>,
}

impl ControlPlane {
    /// Reads what is held in memory, follows the changes of the Cluster, and puts the built-in objects into an
    /// empty one.
    ///
    /// # Errors
    /// Where the store fails.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        domain: Domain,
        surroundings: Surroundings,
    ) -> anyhow::Result<Self> {
        let limits = Limits {
            stale_after: surroundings.stale_after,
            ..Limits::default()
        };
        let context = Context::open(store, clock, rng, domain, limits)
            .await
            .context("state of the Cluster")?
            .with_outbound(surroundings.outbound)
            .with_metadata(surroundings.metadata)
            .with_places(surroundings.places)
            .with_audit_retention(surroundings.audit_retention);
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

    /// What use cases get.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// The authentication token of User `root`, where the Cluster has begun just now.
    pub(crate) fn root_token(&self) -> Option<&Token> {
        self.root_token.as_ref()
    }

    /// Runs `task` until the control plane ends. It gets the token that tells it to.
    pub(crate) fn spawn<F>(&self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task(self.stop.clone()));
    }

    /// Ends what runs in the background, and writes what is still in memory.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
