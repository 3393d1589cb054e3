//! Backup and restore of a Cluster on PostgreSQL.

use std::{path::Path, process::Command};

use crate::support::{
    cluster::Cluster,
    https::{Https, form},
    program::{Outcome, octeliumd, run},
    scene::{Scene, WEB},
};

/// Runs `octeliumd` on a database, with its URL and the master key passed as an operator would.
fn octeliumd_on(database: &str, cluster: &Cluster, arguments: &[&str]) -> Outcome {
    let key = cluster.data_dir().with_file_name("master-key");
    let mut command = Command::new(octeliumd());
    command
        .args(arguments)
        .arg("--master-key-file")
        .arg(key)
        .args(["--database-url", database])
        .arg("--data-dir")
        .arg(cluster.data_dir());
    run(&mut command)
}

async fn status(https: &Https, token: &str) -> u16 {
    https.get(WEB, "/", token).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_a_restore_into_another_database_brings_back_nothing_that_was_revoked_since() {
    let former = store::testing::postgres_database().await;
    let empty = store::testing::postgres_database().await;
    let mut scene = Scene::on(Cluster::start_on(former.expose(), &[])).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let file = path(&file);
    let kept = scene.access_token("kept");
    let deleted = scene.access_token("deleted");
    let rotated = scene.access_token("rotated");
    let disabled = scene.access_token("disabled");
    let client = scene.oauth2_client("client");
    let basic = Some((client.0.as_str(), client.1.as_str()));
    let grant = form("/oauth2/token", basic, "grant_type=client_credentials");
    let reply = scene.https.send("localhost", grant).await.json();
    let revoked = scene
        .cluster
        .secret(reply["access_token"].as_str().unwrap());
    let once = scene
        .admin
        .sh("octeliumctl create cred --user microservice1 --one-time once")
        .success();
    let once = scene.cluster.secret(&once.value("Authentication Token:"));

    octeliumd_on(former.expose(), &scene.cluster, &["backup", file]).success();
    scene.admin.sh("octeliumctl delete cred deleted").success();
    let new = scene
        .admin
        .sh("octeliumctl create cred --rotate rotated")
        .success();
    let new = scene.cluster.secret(&new.value("Access Token:"));
    let document = "kind: Credential\nmetadata:\n  name: disabled\nspec:\n  type: ACCESS_TOKEN\n  \
                    user: microservice1\n  sessionType: CLIENT\n  isDisabled: true\n";
    scene
        .admin
        .sh_with_input("octeliumctl apply -", document)
        .success();
    let body = format!("token={revoked}");
    let revoke = form("/oauth2/revoke", basic, &body);
    assert_eq!(scene.https.send("localhost", revoke).await.status, 200);
    let login = format!("octelium login --auth-token {once}");
    scene.cluster.person().sh(&login).success();

    let restore = ["restore", "--former-database-url", former.expose(), file];
    assert!(scene.cluster.terminate().success());
    let refused = octeliumd_on(former.expose(), &scene.cluster, &["restore", file]);
    assert_ne!(refused.code, 0, "the database is not empty: {refused:#?}");
    octeliumd_on(empty.expose(), &scene.cluster, &restore).success();

    let domain = scene.cluster.domain();
    let restored = Cluster::start_on(empty.expose(), &["--domain", &domain]);
    let https = Https::new(&restored);
    assert_eq!(status(&https, &kept).await, 200);
    assert_eq!(status(&https, &new).await, 200);
    for (what, token) in [
        ("deleted", &deleted),
        ("rotated", &rotated),
        ("disabled", &disabled),
        ("revoked", &revoked),
    ] {
        assert_eq!(status(&https, token).await, 401, "{what}");
    }
    assert_ne!(restored.person().sh(&login).code, 0, "used twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_did_not_finish_is_not_served_and_can_be_repeated_e05() {
    let former = store::testing::postgres_database().await;
    let other = store::testing::postgres_database().await;
    let empty = store::testing::postgres_database().await;
    let mut cluster = Cluster::start_on(former.expose(), &[]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let file = path(&file);
    octeliumd_on(former.expose(), &cluster, &["backup", file]).success();
    assert!(cluster.terminate().success());
    octeliumd_on(other.expose(), &cluster, &["migrate"]).success();

    let wrong = ["restore", "--former-database-url", other.expose(), file];
    let refused = octeliumd_on(empty.expose(), &cluster, &wrong);
    assert!(refused.stderr.contains("is of Cluster"), "{refused:#?}");
    let restore = ["restore", "--former-database-url", former.expose(), file];
    octeliumd_on(empty.expose(), &cluster, &restore).success();

    // The state after a crash between the import and the end of the restore.
    let client = store::testing::postgres_client(&empty).await;
    let mark = "INSERT INTO meta (name, value) VALUES ('restoring', '')";
    client.batch_execute(mark).await.unwrap();
    let migrate = ["migrate"];
    let recover = ["recover"];
    let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let serve = [&["serve"][..], &ports[..]].concat();
    for arguments in [&migrate[..], &recover[..], &serve[..]] {
        let refused = octeliumd_on(empty.expose(), &cluster, arguments);
        assert_ne!(refused.code, 0, "{refused:#?}");
        assert!(
            refused.stderr.contains("repeat the restore"),
            "{refused:#?}"
        );
    }
    octeliumd_on(empty.expose(), &cluster, &restore).success();
    let domain = cluster.domain();
    drop(Cluster::start_on(empty.expose(), &["--domain", &domain]));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
