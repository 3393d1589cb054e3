//! A Cluster and its Users, for tests.
#![allow(
    clippy::large_futures,
    reason = "a test polls each of them once, on a stack of its own"
)]

use std::{str::FromStr as _, sync::Arc};

use api::{
    core_v1::{
        Authenticator, ClusterConfig, Session, User, cluster_config::spec::Authenticator as Rules,
        session::status::Type as SessionType, user,
    },
    meta_v1::Metadata,
    platform_v1::audit_event::Outcome,
    resource::Object as _,
};
use domain::{
    clock::{ManualClock, UnixMillis},
    id::Uid,
    rng::SystemRng,
};
use store::{AuditQuery, Expected, Operation, SecretWrite, Store, Transaction};
use tokio_util::sync::CancellationToken;

use super::{Holder, step_up};
use crate::{
    Caller, Context, Domain, Error,
    authentication::{
        browser::{self, BrowserLogin, BrowserLoginMethod},
        enrollment::Link,
        session_creation::{LoginMethod, SessionRequest, create_session},
    },
    directory::Limits,
    document::{
        codec::{self, Stored},
        load,
    },
};

/// 2026-11-22T00:00:00Z.
pub(super) const START: UnixMillis = UnixMillis(1_795_305_600_000);

/// A Cluster of one replica with the given rules about Authenticators.
pub(super) struct World {
    pub(super) ctx: Context,
    pub(super) clock: Arc<ManualClock>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub(super) async fn new(rules: Rules) -> Self {
        Self::on(store::testing::sqlite(), rules).await
    }

    /// Like [`Self::new`], on the given store.
    pub(super) async fn on(store: Arc<dyn Store>, rules: Rules) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let stop = CancellationToken::new();
        let ctx = replica(store, &clock, &stop).await;
        let mut config = ClusterConfig {
            metadata: Some(Metadata {
                name: "default".to_owned(),
                ..Metadata::default()
            }),
            ..ClusterConfig::default()
        };
        config.spec_mut().authenticator = Some(rules);
        let world = Self { ctx, clock, stop };
        world.put(world.ctx.new_uid(), &config).await;
        world
    }

    /// Replaces the rules about Authenticators.
    pub(super) async fn set_rules(&self, rules: Rules) {
        let found = load::by_name::<ClusterConfig>(&*self.ctx.store, "default", self.ctx.now());
        let mut stored = found.await.unwrap().unwrap();
        stored.message.spec_mut().authenticator = Some(rules);
        self.replace(&stored).await;
    }

    /// Writes a changed object.
    pub(super) async fn replace<T: crate::document::codec::Resource>(&self, stored: &Stored<T>) {
        let mut transaction = Transaction::at(self.ctx.now());
        transaction.push(Operation::Put(
            codec::encode(
                stored.uid,
                stored.created_at,
                &stored.message,
                SecretWrite::Keep,
            ),
            Expected::Revision(stored.revision),
        ));
        step_up::commit(&self.ctx, transaction).await.unwrap();
    }

    /// Opens another replica of the Cluster.
    pub(super) async fn another(&self) -> Context {
        replica(self.ctx.store.clone(), &self.clock, &self.stop).await
    }

    async fn put<T: crate::document::codec::Resource>(&self, uid: Uid, message: &T) {
        let mut transaction = Transaction::at(self.ctx.now());
        transaction.push(Operation::Put(
            codec::encode(uid, self.ctx.now(), message, SecretWrite::Keep),
            Expected::Absent,
        ));
        step_up::commit(&self.ctx, transaction).await.unwrap();
    }

    /// Creates a User with a browser Session.
    pub(super) async fn person(&self, name: &str) -> Holder {
        let mut user = User::default();
        let uid = self.ctx.new_uid();
        user.metadata_mut().name = name.to_owned();
        user.spec_mut().set_type(user::spec::Type::Human);
        self.put(uid, &user).await;
        self.browser_of(uid).await
    }

    pub(super) async fn browser_of(&self, user: Uid) -> Holder {
        let link = Link::of(&self.ctx, user).await;
        let login = BrowserLogin {
            user,
            method: BrowserLoginMethod::Enrollment(link),
            former: None,
        };
        let begun = browser::log_in(&self.ctx, &login, &Caller::default(), |_| Ok(())).await;
        self.holder(&begun.unwrap().session).await
    }

    /// Returns the holder of the current token of a browser Session.
    pub(super) async fn holder(&self, session: &Session) -> Holder {
        let claims = browser::Claims {
            session: session.uid().parse().unwrap(),
            token_id: browser::present(session).unwrap(),
        };
        let resumed = browser::resume(&self.ctx, claims, &Caller::default()).await;
        Holder::of_browser(&self.ctx, &resumed.unwrap())
            .await
            .unwrap()
    }

    /// Creates a client Session for the same User.
    pub(super) async fn client_of(&self, holder: &Holder) -> Holder {
        let link = Link::of(&self.ctx, holder.user.uid).await;
        let user = holder.user.clone().into();
        let session_request = SessionRequest {
            method: LoginMethod::Enrollment(&link),
            user: &user,
            scopes: Vec::new(),
            session_type: SessionType::Client,
            is_browser: false,
            caller: &Caller::default(),
            replaces: None,
        };
        let (session, _) = create_session(&self.ctx, session_request, self.ctx.now())
            .await
            .unwrap();
        self.of_client(&session).await
    }

    /// Returns the holder of the current token of a client Session.
    pub(super) async fn of_client(&self, session: &Session) -> Holder {
        let uid = session.uid().parse().unwrap();
        let token_id = browser::present(session).unwrap();
        Holder::read(&self.ctx, uid, token_id).await.unwrap()
    }

    pub(super) async fn stored(&self, name: &str) -> Authenticator {
        let found = load::by_name::<Authenticator>(&*self.ctx.store, name, self.ctx.now()).await;
        found.unwrap().unwrap().message
    }

    pub(super) async fn refusals(&self, event_type: &str) -> Vec<String> {
        let query = AuditQuery {
            event_type: Some(event_type.to_owned()),
            limit: 100,
            ..AuditQuery::default()
        };
        let (events, _) = self.ctx.store.audit(query).await.unwrap();
        let refused = events
            .into_iter()
            .filter(|event| event.outcome() == Outcome::Refused);
        refused.map(|event| event.reason).collect()
    }
}

async fn replica(
    store: Arc<dyn Store>,
    clock: &Arc<ManualClock>,
    stop: &CancellationToken,
) -> Context {
    let ctx = Context::open(
        store,
        clock.clone(),
        Arc::new(SystemRng),
        Domain::from_str("localhost:8443").unwrap(),
        Limits::default(),
    );
    let ctx = ctx.await.unwrap();
    tokio::spawn(ctx.directory.clone().run(stop.clone()));
    ctx
}

/// Returns the reason of the error, or `nothing` on success.
pub(super) fn reason<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "nothing",
        Err(error) => error.reason().unwrap_or("no reason"),
    }
}
