use std::{sync::Arc, time::Duration};

use api::{
    core_v1::{Group, Session},
    meta_v1::DeleteOptions,
    platform_v1::{WatchEvent, WatchRequest, watch_event::Type},
};
use server::{
    Actor, Error, ErrorKind,
    resource::{
        watch::watch,
        write::{Delete, Update},
    },
};
use store::Store;
use tokio::sync::mpsc::Receiver;

use crate::cluster::{Cluster, parse};

type Events = Receiver<Result<WatchEvent, Error>>;

fn begin(cluster: &Cluster, actor: &Actor, kind: &str, after: u64) -> Events {
    let request = WatchRequest {
        kind: kind.to_owned(),
        after_cursor: after,
    };
    watch(cluster.context.clone(), actor.clone(), &request).unwrap()
}

async fn next(events: &mut Events) -> Result<(Type, String, u64), Error> {
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
    let event = event.expect("an event").expect("an open stream")?;
    let name = event
        .resource
        .as_ref()
        .map(|resource| resource.name().to_owned());
    Ok((event.r#type(), name.unwrap_or_default(), event.cursor))
}

async fn expect(events: &mut Events, r#type: Type, name: &str) -> u64 {
    let (got, named, cursor) = next(events).await.unwrap();
    assert_eq!((got, named.as_str()), (r#type, name));
    cursor
}

fn group(name: &str, display_name: &str) -> String {
    format!("{{kind: Group, metadata: {{name: {name}, displayName: {display_name}}}, spec: {{}}}}")
}

async fn changes_are_streamed(store: Arc<dyn Store>) {
    let cluster = Cluster::on(store).await;
    let root = cluster.root().await;
    cluster
        .create::<Group>(&root, &group("one", "one"))
        .await
        .unwrap();

    let mut events = begin(&cluster, &root, "Group", 0);
    expect(&mut events, Type::Added, "one").await;
    expect(&mut events, Type::Synced, "").await;
    cluster
        .create::<Group>(&root, &group("two", "two"))
        .await
        .unwrap();
    let cursor = expect(&mut events, Type::Added, "two").await;
    cluster
        .run(&root, Update(parse::<Group>(&group("two", "zwei"))))
        .await
        .unwrap();
    expect(&mut events, Type::Modified, "two").await;
    let which = DeleteOptions {
        name: "one".to_owned(),
        ..DeleteOptions::default()
    };
    cluster
        .run(&root, Delete::<Group>::new(which))
        .await
        .unwrap();
    expect(&mut events, Type::Deleted, "one").await;

    // Another reader resumes where the first one stopped.
    let mut resumed = begin(&cluster, &root, "Group", cursor);
    expect(&mut resumed, Type::Synced, "").await;
    expect(&mut resumed, Type::Modified, "two").await;
    expect(&mut resumed, Type::Deleted, "one").await;
}

#[tokio::test]
async fn changes_are_streamed_and_resumed_on_sqlite() {
    changes_are_streamed(store::testing::sqlite()).await;
}

#[tokio::test]
async fn changes_are_streamed_and_resumed_on_postgres() {
    changes_are_streamed(store::testing::postgres().await).await;
}

#[tokio::test]
async fn new_sessions_are_reported_to_watches() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let mut events = begin(&cluster, &root, "Session", 0);
    let own = next(&mut events).await.unwrap();
    assert_eq!(own.0, Type::Added);
    expect(&mut events, Type::Synced, "").await;
    let second = cluster.root().await;
    let (r#type, name, _) = loop {
        let event = next(&mut events).await.unwrap();
        // A listed object may be reported again.
        if event.1 != own.1 {
            break event;
        }
    };
    let session = second.principal.session();
    let metadata = session.metadata.as_ref().unwrap();
    assert_eq!((r#type, &name), (Type::Added, &metadata.name));
}

#[tokio::test]
async fn a_stream_ends_with_the_session_that_watches() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    let watching = cluster.root().await;
    let mut events = begin(&cluster, &watching, "Policy", 0);
    while next(&mut events).await.unwrap().0 != Type::Synced {}
    let name = watching.principal.session_name().to_string();
    let which = DeleteOptions {
        name,
        ..DeleteOptions::default()
    };
    cluster
        .run(&root, Delete::<Session>::new(which))
        .await
        .unwrap();
    let ended = next(&mut events).await.unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::Unauthenticated);
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn only_resources_can_be_watched() {
    let cluster = Cluster::on(store::testing::sqlite()).await;
    let root = cluster.root().await;
    for kind in [
        "",
        "SigningKey",
        "Certificate",
        "RevokedToken",
        "Enrollment",
        "group",
    ] {
        let request = WatchRequest {
            kind: kind.to_owned(),
            after_cursor: 0,
        };
        let error = watch(cluster.context.clone(), root.clone(), &request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
