//! Tests of `get --watch`.

use crate::program::World;

#[test]
fn events_are_json_lines_with_a_cursor() {
    let world = World::logged_in();
    world
        .cluster
        .put("{kind: User, metadata: {name: alice}, spec: {type: HUMAN}}");
    // The fake Cluster ends each stream. The client resumes after the last cursor and gives up in the end.
    let ended = world.ctl("get user --watch -o json");
    assert_eq!(ended.code, 8);
    let events: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let shown: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["type"].as_str().unwrap(),
                event["cursor"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [("ADDED", "0"), ("SYNCED", "41"), ("MODIFIED", "42")]
    );
    assert_eq!(events[2]["object"]["metadata"]["name"], "alice");
    let request: api::platform_v1::WatchRequest =
        world.cluster.request("platform.v1.MainService/Watch");
    assert_eq!((request.kind.as_str(), request.after_cursor), ("User", 42));
}

#[test]
fn events_of_one_object_are_rows() {
    let world = World::logged_in();
    world.cluster.put("{kind: Group, metadata: {name: dev}}");
    world.cluster.put("{kind: Group, metadata: {name: ops}}");
    let ended = world.ctl("get group ops -w");
    insta::assert_snapshot!(ended.stdout);
    world.ctl("get group --after-cursor 3").failed(2);
}
