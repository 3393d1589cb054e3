use std::sync::Arc;

use api::{
    core_v1::{Credential, Group, Policy, Secret, Service, User},
    meta_v1::{DeleteOptions, GetOptions},
    resource::Object as _,
};
use server::{
    ErrorKind,
    resource::{
        read,
        write::{Create, Delete, Update},
    },
};
use store::Store;

use crate::cluster::{Cluster, parse};

const GROUP: &str = "{kind: Group, metadata: {name: team}, spec: {}}";

fn named(name: &str) -> GetOptions {
    GetOptions {
        name: name.to_owned(),
        ..GetOptions::default()
    }
}

fn delete(name: &str) -> DeleteOptions {
    DeleteOptions {
        name: name.to_owned(),
        ..DeleteOptions::default()
    }
}

/// Every writer reads the object and writes it back with one more entry. If updates are compare-and-set, all successful
/// entries are present in the end, and all versions differ.
async fn e01_concurrent_updates(store: Arc<dyn Store>) {
    let cluster = Arc::new(Cluster::on(store).await);
    let root = cluster.root().await;
    cluster.create::<Group>(&root, GROUP).await.unwrap();

    let writers = (0..16).map(|writer| {
        let (cluster, root) = (cluster.clone(), root.clone());
        tokio::spawn(async move {
            let mut versions = Vec::new();
            while versions.len() < 4 {
                let mut group: Group = read::get(&cluster.context, &named("team")).await.unwrap();
                let labels = &mut group.metadata_mut().labels;
                labels.insert(format!("w{writer}-{}", versions.len()), "done".to_owned());
                match cluster.run(&root, Update(group)).await {
                    Ok(group) => versions.push(group.metadata().unwrap().resource_version.clone()),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
            versions
        })
    });
    let mut versions = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        versions.extend(writer.await.unwrap());
    }
    versions.sort_unstable();
    versions.dedup();
    assert_eq!(versions.len(), 64);
    let group: Group = read::get(&cluster.context, &named("team")).await.unwrap();
    assert_eq!(group.metadata().unwrap().labels.len(), 64);
    assert_eq!(group.metadata().unwrap().resource_version, "65");
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_w01_of_concurrent_updates_none_is_lost_on_sqlite() {
    e01_concurrent_updates(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e01_w01_of_concurrent_updates_none_is_lost_on_postgres() {
    e01_concurrent_updates(store::testing::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_version_the_last_writer_wins() {
    let cluster = Arc::new(Cluster::on(store::testing::sqlite()).await);
    let root = cluster.root().await;
    cluster.create::<Group>(&root, GROUP).await.unwrap();
    let writers = (0..32).map(|writer| {
        let (cluster, root) = (cluster.clone(), root.clone());
        tokio::spawn(async move {
            let mut group: Group = parse(GROUP);
            group.metadata_mut().display_name = format!("writer {writer}");
            cluster.run(&root, Update(group)).await.unwrap()
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let group: Group = read::get(&cluster.context, &named("team")).await.unwrap();
    assert_eq!(group.metadata().unwrap().resource_version, "33");
}

#[tokio::test]
async fn a_stale_version_is_a_conflict_and_an_equal_object_no_new_version() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let first = cluster.create::<Group>(&root, GROUP).await.unwrap();
    let metadata = first.metadata().unwrap();
    assert_eq!(metadata.actor_ref.as_ref().unwrap().kind, "Session");
    assert_eq!(metadata.actor_operation, "/test");
    assert!(metadata.updated_at.is_none());

    let same = cluster
        .run(&root, Update(parse::<Group>(GROUP)))
        .await
        .unwrap();
    assert_eq!(same, first);
    let mut changed = first.clone();
    changed.metadata_mut().description = "of two".to_owned();
    let second = cluster.run(&root, Update(changed.clone())).await.unwrap();
    let metadata = second.metadata().unwrap();
    assert_eq!(
        (
            &*metadata.resource_version,
            &*metadata.last_resource_version
        ),
        ("2", "1")
    );
    assert!(metadata.updated_at.is_some());
    changed.metadata_mut().description = "of three".to_owned();
    let stale = cluster.run(&root, Update(changed)).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    assert_eq!(
        stale.public(),
        "Cannot Update. core.v1.Group team has already changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn w06_an_update_that_races_a_deletion_does_not_bring_the_object_back_on_sqlite() {
    w06_racing_deletions(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w06_an_update_that_races_a_deletion_does_not_bring_the_object_back_on_postgres() {
    w06_racing_deletions(store::testing::postgres().await).await;
}

async fn w06_racing_deletions(store: Arc<dyn Store>) {
    let cluster = Arc::new(Cluster::on(store).await);
    let root = cluster.root().await;
    for round in 0..20 {
        let first = cluster.create::<Group>(&root, GROUP).await.unwrap();
        let mut changed = first.clone();
        changed.metadata_mut().resource_version.clear();
        changed.metadata_mut().display_name = format!("round {round}");
        let updating = {
            let (cluster, root) = (cluster.clone(), root.clone());
            tokio::spawn(async move { cluster.run(&root, Update(changed)).await })
        };
        cluster
            .run(&root, Delete::<Group>::new(delete("team")))
            .await
            .unwrap();
        if let Err(error) = updating.await.unwrap() {
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        let gone = read::get::<Group>(&cluster.context, &named("team")).await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_not_deleted_while_a_user_joins_it_on_sqlite() {
    racing_joins(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_not_deleted_while_a_user_joins_it_on_postgres() {
    racing_joins(store::testing::postgres().await).await;
}

async fn racing_joins(store: Arc<dyn Store>) {
    let cluster = Arc::new(Cluster::on(store).await);
    let root = cluster.root().await;
    for round in 0..20 {
        cluster.create::<Group>(&root, GROUP).await.unwrap();
        let user = format!(
            "{{kind: User, metadata: {{name: user-{round}}}, spec: {{type: HUMAN, groups: [team]}}}}"
        );
        let joining = {
            let (cluster, root) = (cluster.clone(), root.clone());
            tokio::spawn(async move { cluster.create::<User>(&root, &user).await })
        };
        let deleted = cluster
            .run(&root, Delete::<Group>::new(delete("team")))
            .await;
        let joined = joining.await.unwrap();
        assert!(joined.is_ok() ^ deleted.is_ok(), "{joined:?} {deleted:?}");
        if joined.is_ok() {
            let user = format!("user-{round}");
            cluster
                .run(&root, Delete::<User>::new(delete(&user)))
                .await
                .unwrap();
            cluster
                .run(&root, Delete::<Group>::new(delete("team")))
                .await
                .unwrap();
        }
    }
}

/// An attached Policy or a Secret in use may be deleted. This must not prevent anyone from disabling its users.
#[tokio::test]
async fn a_deleted_reference_does_not_prevent_disabling() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let policy = "{kind: Policy, metadata: {name: staff}, spec: {rules: [{effect: ALLOW, condition: {matchAny: true}}]}}";
    cluster.create::<Policy>(&root, policy).await.unwrap();
    let secret = "{kind: Secret, metadata: {name: key}, spec: {}, data: {value: x}}";
    cluster.create::<Secret>(&root, secret).await.unwrap();
    let user = |is_disabled: bool, policies: &str| {
        parse::<User>(&format!(
            "{{kind: User, metadata: {{name: ci}}, spec: {{type: WORKLOAD, isDisabled: {is_disabled}, authorization: {{policies: [{policies}]}}}}}}"
        ))
    };
    let credential = |is_disabled: bool| {
        parse::<Credential>(&format!(
            "{{kind: Credential, metadata: {{name: ci-token}}, spec: {{type: AUTH_TOKEN, user: ci, isDisabled: {is_disabled}, \
             expiresAt: 2026-11-22T00:01:00Z, authorization: {{policies: [staff]}}}}}}"
        ))
    };
    let service = |is_disabled: bool| {
        parse::<Service>(&format!(
            "{{kind: Service, metadata: {{name: web}}, spec: {{mode: HTTP, isPublic: true, isDisabled: {is_disabled}, \
             config: {{upstream: {{url: 'http://127.0.0.1:1'}}, http: {{auth: {{bearer: {{fromSecret: key}}}}}}}}}}}}"
        ))
    };
    cluster
        .run(&root, Create(user(false, "staff")))
        .await
        .unwrap();
    cluster.run(&root, Create(credential(false))).await.unwrap();
    cluster.run(&root, Create(service(false))).await.unwrap();
    cluster
        .run(&root, Delete::<Policy>::new(delete("staff")))
        .await
        .unwrap();
    cluster
        .run(&root, Delete::<Secret>::new(delete("key")))
        .await
        .unwrap();
    cluster.clock.advance(std::time::Duration::from_secs(120));

    cluster
        .run(&root, Update(user(true, "staff")))
        .await
        .unwrap();
    cluster.run(&root, Update(credential(true))).await.unwrap();
    cluster.run(&root, Update(service(true))).await.unwrap();
    // New references must exist.
    let added = cluster.run(&root, Update(user(true, "staff, more"))).await;
    assert_eq!(
        added.unwrap_err().public(),
        "The Policy more does not exist"
    );
}
