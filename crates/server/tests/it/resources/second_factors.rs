//! Deleting a User deletes the stored second factors.

use std::sync::Arc;

use api::{core_v1::User, meta_v1::DeleteOptions, resource::Object as _};
use domain::{id::Uid, kind::Kind};
use server::resource::write::Delete;
use store::{Expected, NewDocument, Operation, SecretWrite, Store, Transaction};

use crate::cluster::Cluster;

/// Stores lockout counters and recovery codes of a User.
async fn put_second_factors(cluster: &Cluster, user: Uid) {
    let mut transaction = Transaction::at(cluster.context.now());
    let document = NewDocument {
        kind: Kind::SecondFactors,
        uid: user,
        name: user.to_string(),
        created_at: cluster.context.now(),
        expires_at: None,
        body: Vec::new(),
        indexes: Vec::new(),
        secret: SecretWrite::Keep,
    };
    transaction.push(Operation::Put(document, Expected::Absent));
    cluster.context.store.commit(transaction).await.unwrap();
}

async fn has_second_factors(cluster: &Cluster, user: Uid) -> bool {
    let (store, now) = (&cluster.context.store, cluster.context.now());
    let found = store.get(Kind::SecondFactors, user, now).await.unwrap();
    found.is_some()
}

async fn they_go_with_their_user(store: Arc<dyn Store>) {
    let cluster = Cluster::on(store).await;
    let root = cluster.root().await;
    let mut uids = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let user = format!("{{kind: User, metadata: {{name: {name}}}, spec: {{type: HUMAN}}}}");
        let user = cluster.create::<User>(&root, &user).await.unwrap();
        uids.push(user.uid().parse::<Uid>().unwrap());
    }
    let [alice, bob, carol] = uids[..] else {
        panic!("three Users")
    };
    for user in [alice, bob] {
        put_second_factors(&cluster, user).await;
    }
    // Carol has none. She can still be deleted.
    for name in ["alice", "carol"] {
        let which = DeleteOptions {
            name: name.to_owned(),
            ..DeleteOptions::default()
        };
        cluster
            .run(&root, Delete::<User>::new(which))
            .await
            .unwrap();
    }
    assert!(!has_second_factors(&cluster, alice).await);
    assert!(has_second_factors(&cluster, bob).await);
    assert!(!has_second_factors(&cluster, carol).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_factors_go_with_their_user_on_sqlite() {
    they_go_with_their_user(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_factors_go_with_their_user_on_postgres() {
    they_go_with_their_user(store::testing::postgres().await).await;
}
