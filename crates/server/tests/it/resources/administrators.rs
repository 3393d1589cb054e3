use api::{
    core_v1::{Credential, Policy, User},
    meta_v1::DeleteOptions,
};
use server::{
    ErrorKind,
    resource::write::{Delete, Update},
};

use crate::cluster::{Cluster, parse};

const BOB: &str = "
kind: User
metadata: {name: bob}
spec:
  type: WORKLOAD
  authorization: {policies: [octelium-api-full-access]}
";
const BOB_TOKEN: &str = "
kind: Credential
metadata: {name: bob-token}
spec: {type: AUTH_TOKEN, user: bob}
";

fn named(name: &str) -> DeleteOptions {
    DeleteOptions {
        name: name.to_owned(),
        ..DeleteOptions::default()
    }
}

async fn e08_the_last_administrator(store: std::sync::Arc<dyn store::Store>) {
    let cluster = Cluster::on(store).await;
    let root = cluster.root().await;

    // As the only administrator, root cannot delete its own Credential.
    let last = cluster
        .run(&root, Delete::<Credential>::new(named("root-init")))
        .await;
    assert_eq!(last.unwrap_err().kind(), ErrorKind::FailedPrecondition);

    // A User without a token or without permission is not an administrator.
    cluster.create::<User>(&root, BOB).await.unwrap();
    let alone = cluster
        .run(&root, Delete::<Credential>::new(named("root-init")))
        .await;
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::FailedPrecondition);

    let (_, token) = cluster.issue(&root, BOB_TOKEN).await;
    cluster
        .run(&root, Delete::<Credential>::new(named("root-init")))
        .await
        .unwrap();

    // Bob is now the last administrator. None of the objects that grant his access can be removed.
    let bob = cluster.log_in(&token).await.unwrap();
    let locked_out = |yaml: &'static str| {
        let cluster = &cluster;
        let bob = &bob;
        async move { cluster.run(bob, Update(parse::<User>(yaml))).await }
    };
    let stripped = locked_out("{kind: User, metadata: {name: bob}, spec: {type: WORKLOAD}}").await;
    assert_eq!(stripped.unwrap_err().kind(), ErrorKind::FailedPrecondition);
    let denied = locked_out(
        "{kind: User, metadata: {name: bob}, spec: {type: WORKLOAD, authorization: {policies: [octelium-api-full-access, deny-all]}}}",
    );
    assert_eq!(
        denied.await.unwrap_err().kind(),
        ErrorKind::FailedPrecondition
    );
    let disabled = "
kind: Credential
metadata: {name: bob-token}
spec: {type: AUTH_TOKEN, user: bob, isDisabled: true}
";
    let disabled = cluster
        .run(&bob, Update(parse::<Credential>(disabled)))
        .await;
    assert_eq!(disabled.unwrap_err().kind(), ErrorKind::FailedPrecondition);
    let gone = cluster.run(&bob, Delete::<User>::new(named("bob"))).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::PermissionDenied);

    // Changes that take nothing away are allowed.
    locked_out(
        "{kind: User, metadata: {name: bob, displayName: Bob}, spec: {type: WORKLOAD, authorization: {policies: [octelium-api-full-access]}}}",
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_the_last_administrator_is_neither_removed_nor_locked_out_on_sqlite() {
    e08_the_last_administrator(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_the_last_administrator_is_neither_removed_nor_locked_out_on_postgres() {
    e08_the_last_administrator(store::testing::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_a_shared_policy_is_not_turned_against_the_last_administrator() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let admins = "
kind: Policy
metadata: {name: admins}
spec: {rules: [{effect: ALLOW, condition: {matchAny: true}}]}
";
    cluster.create::<Policy>(&root, admins).await.unwrap();
    let user = "{kind: User, metadata: {name: bob}, spec: {type: WORKLOAD, authorization: {policies: [admins]}}}";
    cluster.create::<User>(&root, user).await.unwrap();
    let (_, token) = cluster.issue(&root, BOB_TOKEN).await;
    cluster
        .run(&root, Delete::<Credential>::new(named("root-init")))
        .await
        .unwrap();

    let bob = cluster.log_in(&token).await.unwrap();
    let closed = "
kind: Policy
metadata: {name: admins}
spec: {rules: [{effect: ALLOW, condition: {match: 'ctx.user.metadata.name == \"nobody\"'}}]}
";
    let closed = cluster.run(&bob, Update(parse::<Policy>(closed))).await;
    assert_eq!(closed.unwrap_err().kind(), ErrorKind::FailedPrecondition);
    let deleted = cluster
        .run(&bob, Delete::<Policy>::new(named("admins")))
        .await;
    assert_eq!(deleted.unwrap_err().kind(), ErrorKind::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_two_administrators_who_remove_each_other_do_not_both_succeed_on_sqlite() {
    e08_mutual_removal(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_two_administrators_who_remove_each_other_do_not_both_succeed_on_postgres() {
    e08_mutual_removal(store::testing::postgres().await).await;
}

async fn e08_mutual_removal(store: std::sync::Arc<dyn store::Store>) {
    let cluster = Cluster::on(store).await;
    let root = cluster.root().await;
    let mut actors = Vec::new();
    for name in ["bob", "eve"] {
        let user = BOB.replace("bob", name);
        cluster.create::<User>(&root, &user).await.unwrap();
        let (_, token) = cluster.issue(&root, &BOB_TOKEN.replace("bob", name)).await;
        actors.push(cluster.log_in(&token).await.unwrap());
    }
    cluster
        .run(&root, Delete::<Credential>::new(named("root-init")))
        .await
        .unwrap();
    let (one, two) = tokio::join!(
        cluster.run(&actors[0], Delete::<User>::new(named("eve"))),
        cluster.run(&actors[1], Delete::<User>::new(named("bob"))),
    );
    assert!(one.is_ok() ^ two.is_ok(), "{one:?} {two:?}");
}
