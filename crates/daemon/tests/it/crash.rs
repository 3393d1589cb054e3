//! After kill -9, no acknowledged change is lost.

use crate::support::scene::{Scene, WEB};

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_a_kill() {
    let mut scene = Scene::start().await;
    let kept = scene.access_token("kept");
    let revoked = scene.access_token("revoked");
    let once = scene
        .admin
        .sh("octeliumctl create cred --user microservice1 --one-time once")
        .success()
        .value("Authentication Token:");
    let once = scene.cluster.secret(&once);
    let login = format!("octelium login --auth-token {once}");
    scene.cluster.person().sh(&login).success();
    scene.admin.sh("octeliumctl delete cred revoked").success();

    scene.cluster.kill();
    scene.cluster = scene.cluster.restart();

    assert_eq!(scene.https.get(WEB, "/", &kept).await.status, 200);
    assert_eq!(scene.https.get(WEB, "/", &revoked).await.status, 401);
    assert_ne!(scene.cluster.person().sh(&login).code, 0, "used twice");
    scene
        .admin
        .sh("octeliumctl get user microservice1")
        .success();
}

#[tokio::test(flavor = "multi_thread")]
async fn e02_a_killed_apply_is_atomic() {
    let mut scene = Scene::start().await;
    for round in 0..5_u64 {
        let group = |number| {
            format!("kind: Group\nmetadata:\n  name: group-{round}-{number}\nspec: {{}}\n")
        };
        let documents = (0..200).map(group).collect::<Vec<_>>().join("---\n");
        let admin = &scene.admin;
        let cluster = &mut scene.cluster;
        std::thread::scope(|scope| {
            let applying = scope.spawn(|| admin.sh_with_input("octeliumctl apply -", &documents));
            std::thread::park_timeout(std::time::Duration::from_millis(60 + 40 * round));
            cluster.kill();
            applying.join().unwrap()
        });
        scene.cluster = scene.cluster.restart();
        let groups = scene
            .admin
            .sh("octeliumctl get group -o name --items-per-page 1000")
            .success();
        let made = groups.stdout.matches(&format!("group-{round}-")).count();
        assert!(made == 0 || made == 200, "{made} of 200 in round {round}");
    }
}
