use std::sync::Arc;

use api::{
    core_v1::{Group, Policy, Secret, User},
    meta_v1::GetOptions,
    platform_v1::{ApplyRequest, ApplyResponse, apply_response::Action},
    resource::{Listed, Object},
};
use domain::kind::Kind;
use server::{
    Actor,
    resource::{
        apply::Apply,
        read::{self, Readable},
    },
};
use store::{AuditQuery, Store};
use tonic::Code;

use crate::cluster::Cluster;

/// Deliberately out of order: each resource refers to a later one.
const TEAM: &str = "
kind: Credential
metadata: {name: alice-token}
spec: {type: AUTH_TOKEN, user: alice, authorization: {policies: [readers.staff]}}
---
kind: Service
metadata: {name: web.shop}
spec:
  mode: HTTP
  isPublic: true
  config: {upstream: {url: 'http://127.0.0.1:8080'}, http: {auth: {bearer: {fromSecret: upstream}}}}
---
kind: User
metadata: {name: alice}
spec: {type: HUMAN, email: alice@example.com, groups: [team], authorization: {policies: [staff]}}
---
kind: Group
metadata: {name: team}
spec: {}
---
kind: Namespace
metadata: {name: shop}
spec: {}
---
kind: Policy
metadata: {name: readers.staff}
spec: {rules: [{effect: ALLOW, condition: {matchAny: true}}]}
---
kind: Policy
metadata: {name: staff}
spec: {rules: [{effect: ALLOW, condition: {matchAny: true}}]}
---
kind: Secret
metadata: {name: upstream}
spec: {}
data: {value: hush-hush}
";

fn request(yaml: &str) -> ApplyRequest {
    let documents = api::document::parse("test", yaml.as_bytes()).unwrap();
    ApplyRequest {
        resources: documents
            .into_iter()
            .map(|(_, resource)| resource)
            .collect(),
        ..ApplyRequest::default()
    }
}

async fn apply(cluster: &Cluster, actor: &Actor, request: ApplyRequest) -> ApplyResponse {
    cluster.run(actor, Apply(request)).await.unwrap()
}

fn actions(response: &ApplyResponse) -> Vec<(Action, &str)> {
    let mut actions: Vec<_> = response
        .results
        .iter()
        .map(|result| (result.action(), result.name.as_str()))
        .collect();
    actions.sort_by_key(|(action, name)| (*action as i32, name.to_owned()));
    actions
}

fn changed(response: &ApplyResponse) -> Vec<(Action, &str)> {
    let mut actions = actions(response);
    actions.retain(|(action, _)| *action != Action::Unchanged);
    actions
}

async fn names<T: Readable + Listed>(cluster: &Cluster) -> Vec<String> {
    let list = read::list::<T>(&cluster.context, None, None).await.unwrap();
    let (items, _) = T::items(list);
    let mut names: Vec<String> = items.iter().map(|item| item.name().to_owned()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_whole_team_is_applied_in_whatever_order_and_then_unchanged() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;

    let mut dry = request(TEAM);
    dry.dry_run = true;
    let planned = apply(&cluster, &root, dry).await;
    assert_eq!(planned.problems, []);
    assert_eq!(planned.results.len(), 8);
    assert!(names::<Group>(&cluster).await.is_empty());

    let response = apply(&cluster, &root, request(TEAM)).await;
    assert_eq!(response.problems, []);
    assert!(
        response
            .results
            .iter()
            .all(|result| result.action() == Action::Created)
    );
    // In the order of the request.
    assert_eq!(response.results[0].name, "alice-token");
    assert_eq!(response.results[7].name, "upstream");

    let again = apply(&cluster, &root, request(TEAM)).await;
    assert_eq!(again.problems, []);
    assert_eq!(changed(&again), []);
}

#[tokio::test]
async fn sealed_data_is_updated_where_it_differs() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let team = |secret: &str, config: &str, label: &str| {
        format!(
            "{{kind: Secret, metadata: {{name: key, labels: {{stage: {label}}}}}, spec: {{}}, data: {{value: {secret}}}}}\n\
             ---\n\
             {{kind: Config, metadata: {{name: settings}}, spec: {{}}, data: {{dataMap: {{map: {config}}}}}}}\n"
        )
    };
    let (one, other) = ("{a: eA==, b: eQ==}", "{a: eA==, b: eg==}");
    let apply = async |secret, config, label| {
        let response = apply(&cluster, &root, request(&team(secret, config, label))).await;
        assert_eq!(response.problems, []);
        changed(&response)
            .into_iter()
            .map(|(action, name)| (action, name.to_owned()))
            .collect::<Vec<_>>()
    };
    apply("one", one, "test").await;
    assert_eq!(apply("one", one, "test").await, []);
    let key = (Action::Updated, "key".to_owned());
    assert_eq!(
        apply("other", one, "test").await,
        std::slice::from_ref(&key)
    );
    let settings = (Action::Updated, "settings".to_owned());
    assert_eq!(apply("other", other, "test").await, [settings]);
    // A change of a label keeps the data.
    assert_eq!(apply("other", other, "live").await, [key]);
    assert_eq!(apply("other", other, "live").await, []);
}

#[tokio::test]
async fn a20_neither_apply_nor_reading_nor_audit_shows_secret_data() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let first = apply(&cluster, &root, request(TEAM)).await;
    let second = apply(&cluster, &root, request(TEAM)).await;
    let which = GetOptions {
        name: "upstream".to_owned(),
        ..GetOptions::default()
    };
    let secret: Secret = read::get(&cluster.context, &which).await.unwrap();
    assert!(secret.data.is_none());
    let query = AuditQuery {
        limit: 1000,
        ..AuditQuery::default()
    };
    let (events, _) = cluster.context.store.audit(query).await.unwrap();
    assert!(events.iter().any(|event| event.r#type == "secret.created"));
    let shown = format!("{first:?}{second:?}{secret:?}{events:?}");
    assert!(!shown.contains("hush"));
    let uid = secret.uid().parse().unwrap();
    let sealed = cluster
        .context
        .store
        .secret(Kind::Secret, uid)
        .await
        .unwrap()
        .unwrap();
    assert!(sealed.windows(9).any(|window| window == b"hush-hush"));
}

async fn e02_apply_is_atomic(store: Arc<dyn Store>) {
    let cluster = Cluster::on(store).await;
    let root = cluster.root().await;
    let broken = format!(
        "{TEAM}---\nkind: User\nmetadata: {{name: bob}}\nspec: {{type: HUMAN, groups: [nobody]}}\n\
         ---\nkind: Service\nmetadata: {{name: db}}\nspec: {{mode: POSTGRES}}\n\
         ---\nkind: Session\nmetadata: {{name: some}}\nspec: {{}}\n"
    );
    let before = cluster.context.store.feed().borrow().cursor;
    let response = apply(&cluster, &root, request(&broken)).await;
    // All problems are reported, each with its position.
    let problems: Vec<_> = response
        .problems
        .iter()
        .map(|problem| (problem.index, problem.code, problem.message.as_str()))
        .collect();
    let invalid = Code::InvalidArgument as u32;
    assert_eq!(
        problems,
        [
            (Some(8), invalid, "The Group nobody does not exist"),
            (
                Some(9),
                invalid,
                "spec.mode POSTGRES is not supported yet: use HTTP, GRPC or WEB"
            ),
            (Some(10), invalid, "A Session cannot be applied"),
        ]
    );
    assert!(response.results.is_empty());
    assert!(names::<Group>(&cluster).await.is_empty());
    assert_eq!(names::<User>(&cluster).await, ["octelium", "root"]);
    let changes = cluster.context.store.changes(before, 100).await.unwrap();
    assert!(
        matches!(&changes, store::Changes::Next(changes)
            if changes.iter().all(|change| change.kind == Kind::Session || change.kind == Kind::Credential)),
        "{changes:?}"
    );
}

#[tokio::test]
async fn e02_apply_with_a_problem_leaves_nothing_behind_on_sqlite() {
    e02_apply_is_atomic(store::testing::sqlite()).await;
}

#[tokio::test]
async fn e02_apply_with_a_problem_leaves_nothing_behind_on_postgres() {
    e02_apply_is_atomic(store::testing::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_applies_that_race_leave_the_whole_of_one_on_sqlite() {
    e02_racing_applies(store::testing::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_applies_that_race_leave_the_whole_of_one_on_postgres() {
    e02_racing_applies(store::testing::postgres().await).await;
}

async fn e02_racing_applies(store: Arc<dyn Store>) {
    let cluster = Arc::new(Cluster::on(store).await);
    let root = cluster.root().await;
    let appliers = (0..8).map(|applier| {
        let (cluster, root) = (cluster.clone(), root.clone());
        tokio::spawn(async move {
            let yaml: String = ["one", "two", "three"]
                .map(|name| format!("---\nkind: Group\nmetadata: {{name: {name}, description: by {applier}}}\nspec: {{}}\n"))
                .concat();
            apply(&cluster, &root, request(&yaml)).await
        })
    });
    for applier in appliers.collect::<Vec<_>>() {
        assert_eq!(applier.await.unwrap().problems, []);
    }
    let list = read::list::<Group>(&cluster.context, None, None)
        .await
        .unwrap();
    let mut authors: Vec<String> = list
        .items
        .iter()
        .map(|group| group.metadata().unwrap().description.clone())
        .collect();
    authors.dedup();
    assert_eq!((list.items.len(), authors.len()), (3, 1), "{authors:?}");
}

#[tokio::test]
async fn e03_pruning_spares_what_is_built_in_and_never_empties_a_kind_unasked() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let all = [
        "Policy",
        "Namespace",
        "Group",
        "User",
        "Service",
        "Credential",
        "Secret",
    ];
    apply(&cluster, &root, request(TEAM)).await;

    // An empty request, as from the wrong file.
    let mut empty = ApplyRequest {
        prune_kinds: all.map(str::to_owned).into(),
        ..ApplyRequest::default()
    };
    let refused = apply(&cluster, &root, empty.clone()).await;
    assert_eq!(refused.problems.len(), all.len(), "{:?}", refused.problems);
    assert!(refused.results.is_empty());
    assert!(
        refused
            .problems
            .iter()
            .all(|problem| problem.code == Code::FailedPrecondition as u32)
    );
    assert_eq!(names::<Group>(&cluster).await, ["team"]);

    // A dry run shows the plan anyway.
    empty.dry_run = true;
    let planned = apply(&cluster, &root, empty.clone()).await;
    assert_eq!(planned.results.len(), 8);
    assert!(
        planned
            .results
            .iter()
            .all(|result| result.action() == Action::Deleted)
    );
    assert_eq!(names::<Group>(&cluster).await, ["team"]);

    empty.dry_run = false;
    empty.allow_prune_all = true;
    let pruned = apply(&cluster, &root, empty).await;
    assert_eq!(pruned.problems, []);
    assert_eq!(pruned.results.len(), 8);
    assert!(names::<Group>(&cluster).await.is_empty());
    assert_eq!(names::<User>(&cluster).await, ["octelium", "root"]);
    assert_eq!(names::<Policy>(&cluster).await.len(), 5);
    // The Session that applied it is still valid.
    apply(&cluster, &root, request(TEAM)).await;
}

#[tokio::test]
async fn e03_pruning_does_not_take_away_what_is_named() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    apply(&cluster, &root, request(TEAM)).await;
    let keep = "
kind: Credential
metadata: {name: alice-token}
spec: {type: AUTH_TOKEN, user: alice, authorization: {policies: [readers.staff]}}
---
kind: User
metadata: {name: bob}
spec: {type: HUMAN}
";
    let mut keep = request(keep);
    keep.prune_kinds = vec!["User".to_owned()];
    keep.allow_prune_all = true;
    let response = apply(&cluster, &root, keep).await;
    let named: Vec<_> = response
        .problems
        .iter()
        .map(|problem| problem.name.as_str())
        .collect();
    assert_eq!(named, ["alice-token"]);
    assert!(names::<User>(&cluster).await.contains(&"alice".to_owned()));
}

#[tokio::test]
async fn thousands_of_resources_are_applied_in_one_go() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let groups = (0..10)
        .map(|group| format!("---\nkind: Group\nmetadata: {{name: group-{group}}}\nspec: {{}}\n"));
    let users = (0..2000).map(|user| {
        let group = user % 10;
        format!("---\nkind: User\nmetadata: {{name: user-{user}}}\nspec: {{type: HUMAN, email: user-{user}@example.com, groups: [group-{group}]}}\n")
    });
    let yaml: String = users.chain(groups).collect();
    let started = std::time::Instant::now();
    let response = apply(&cluster, &root, request(&yaml)).await;
    assert_eq!((response.problems.len(), response.results.len()), (0, 2010));
    println!(
        "{} resources in {:?}",
        response.results.len(),
        started.elapsed()
    );
    let again = apply(&cluster, &root, request(&yaml)).await;
    assert!(
        again
            .results
            .iter()
            .all(|result| result.action() == Action::Unchanged)
    );
}
