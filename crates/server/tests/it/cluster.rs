//! A Cluster that has begun.

use std::{str::FromStr as _, sync::Arc};

use domain::{
    clock::{ManualClock, UnixMillis},
    rng::SystemRng,
    token::Token,
};
use server::{Context, Directory, Domain, bootstrap, directory::Limits, keys::Keyring};
use store::Store;
use tokio_util::sync::CancellationToken;

/// 2026-11-22T00:00:00Z.
pub(crate) const START: UnixMillis = UnixMillis(1_795_305_600_000);

/// One replica.
pub(crate) struct Cluster {
    pub(crate) context: Context,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) root_token: Option<Token>,
    stop: CancellationToken,
}

impl Cluster {
    /// A replica on `store`, which begins the Cluster where it is the first.
    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let keys = Keyring::open(store.clone(), clock.clone(), &SystemRng)
            .await
            .unwrap();
        let keys = Arc::new(keys);
        let directory = Directory::open(
            store.clone(),
            clock.clone(),
            keys.clone(),
            Limits::default(),
        );
        let directory = Arc::new(directory.await.unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(directory.clone().run(stop.clone()));
        let context = Context {
            cluster_uid: store.cluster_uid(),
            store,
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            directory,
            keys,
            domain: Domain::from_str("localhost:8443").unwrap(),
        };
        let begun = bootstrap::bootstrap(&context).await.unwrap();
        Self {
            context,
            clock,
            root_token: begun.root_token,
            stop,
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
