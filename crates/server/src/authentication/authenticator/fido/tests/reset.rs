//! An administrator resets the Authenticators of a User while the User logs in.

use std::sync::Arc;

use api::{
    core_v1::User,
    meta_v1::ObjectReference,
    platform_v1::{ResetAuthenticatorsRequest, ResetAuthenticatorsResponse},
};
use domain::kind::Kind;
use store::{AuditQuery, Store};

use super::*;
use crate::{
    authentication::authenticator::{Factors, recovery},
    document::{index, load},
    resource::{authenticator::Reset, author::Author, write::transact},
};

impl World {
    async fn reset(&self, user: &str) -> Result<ResetAuthenticatorsResponse, Error> {
        let request = ResetAuthenticatorsRequest {
            user_ref: Some(ObjectReference {
                name: user.to_owned(),
                ..ObjectReference::default()
            }),
        };
        transact(&self.ctx, &Author::cluster("test"), &Reset(request)).await
    }

    /// Counts the documents with this index entry.
    async fn count<T: crate::document::codec::Resource>(
        &self,
        index: &'static str,
        value: &str,
    ) -> usize {
        let found = load::by_index::<T>(&*self.ctx.store, index, value, 100, self.ctx.now()).await;
        found.unwrap().0.len()
    }

    async fn has_factors(&self, user: &Stored<User>) -> bool {
        let store = &self.ctx.store;
        let found = store.get(Kind::SecondFactors, user.uid, self.ctx.now());
        found.await.unwrap().is_some()
    }
}

#[tokio::test]
async fn w39f_a_reset_deletes_all_authenticators_of_one_user() {
    let world = World::new(passkeys()).await;
    let alice = world.person("alice").await;
    let bob = world.person("bob").await;
    let (mut key, mut of_bob) = (SoftwareAuthenticator::new(), SoftwareAuthenticator::new());
    let caller = Caller::default();
    world.register(&alice, &mut key).await.unwrap();
    world.register(&bob, &mut of_bob).await.unwrap();
    // One Session created by the key, one pinned to it, and one unrelated to it.
    let begun = world.log_in(&mut key, &Tampering::default()).await.unwrap();
    let pinned = world.use_key(&alice, &mut key, &Tampering::default()).await;
    let pinned = world.holder(&pinned.unwrap()).await;
    let client = world.client_of(&alice).await;
    recovery::renew(&world.ctx, &pinned, &caller).await.unwrap();
    let wrong = recovery::authenticate(&world.ctx, &pinned, "0000", &caller).await;
    assert_eq!(reason(wrong), "code_wrong");
    recovery::renew(
        &world.ctx,
        &world
            .holder(
                &world
                    .use_key(&bob, &mut of_bob, &Tampering::default())
                    .await
                    .unwrap(),
            )
            .await,
        &caller,
    )
    .await
    .unwrap();

    let done = world.reset("alice").await.unwrap();
    assert_eq!((done.deleted_authenticators, done.ended_sessions), (1, 2));
    assert!(!world.has_factors(&alice.user).await);
    for session in [begun.session.uid(), pinned.session.message.uid()] {
        let uid = session.parse().unwrap();
        let gone = load::by_uid::<Session>(&*world.ctx.store, uid, world.ctx.now()).await;
        assert!(gone.unwrap().is_none());
    }
    let client = client.reload(&world.ctx).await.unwrap();
    let factors = Factors::load(&world.ctx, client.user.uid, world.ctx.now()).await;
    assert_eq!(factors.unwrap().failures(), 0);
    assert_eq!(
        reason(world.log_in(&mut key, &Tampering::default()).await),
        "webauthn_unknown"
    );
    assert!(world.has_factors(&bob.user).await);
    world
        .log_in(&mut of_bob, &Tampering::default())
        .await
        .unwrap();

    let query = AuditQuery {
        event_type: Some("user.authenticators_reset".to_owned()),
        limit: 10,
        ..AuditQuery::default()
    };
    let (events, _) = world.ctx.store.audit(query.clone()).await.unwrap();
    let [event] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(event.resource_ref.as_ref().unwrap().name, "alice");
    assert_eq!(event.attrs["authenticators"], "1");
    assert_eq!(event.attrs["sessions"], "2");

    // A second reset finds nothing and records no event.
    let nothing = world.reset("alice").await.unwrap();
    assert_eq!(nothing, ResetAuthenticatorsResponse::default());
    let (events, _) = world.ctx.store.audit(query).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        world.reset("nobody").await.unwrap_err().kind(),
        crate::ErrorKind::NotFound
    );
}

/// After a race, no Session remains that a deleted Authenticator created.
async fn racing_logins(store: Arc<dyn Store>) {
    let world = Arc::new(World::on(store, passkeys()).await);
    for round in 0..12 {
        let name = format!("person-{round}");
        let holder = world.person(&name).await;
        let mut key = SoftwareAuthenticator::new();
        let made = world.register(&holder, &mut key).await.unwrap();
        let logins: Vec<_> = (0..3)
            .map(|_| {
                let (world, mut key) = (world.clone(), key.clone());
                tokio::spawn(async move { world.log_in(&mut key, &Tampering::default()).await })
            })
            .collect();
        let done = world.reset(&name).await.unwrap();
        assert_eq!(done.deleted_authenticators, 1);
        let mut begun = 0;
        for login in logins {
            match login.await.unwrap() {
                Ok(_) => begun += 1,
                refused => assert_eq!(reason(refused), "webauthn_unknown"),
            }
        }
        assert_eq!(done.ended_sessions, begun);
        assert_eq!(
            world
                .count::<Session>(index::AUTHENTICATOR, made.uid())
                .await,
            0
        );
        let user = holder.user.uid.to_string();
        assert_eq!(world.count::<Authenticator>(index::USER, &user).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w39f_no_login_outlives_its_authenticator_on_sqlite() {
    racing_logins(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w39f_no_login_outlives_its_authenticator_on_postgres() {
    racing_logins(store::testing::postgres().await).await;
}
