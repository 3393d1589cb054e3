//! Backup, restore and recovery.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{
    cluster::Cluster,
    https::{Https, form},
    program::{self, Outcome, octeliumd, run},
    scene::{Scene, WEB},
};

fn octeliumd_with(data_dir: &Path, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(octeliumd());
    command.args(arguments).arg("--data-dir").arg(data_dir);
    run(&mut command)
}

/// Makes a backup of a running Cluster.
fn back_up(cluster: &Cluster, directory: &Path) -> PathBuf {
    let file = directory.join("backup");
    octeliumd_with(&cluster.data_dir(), &["backup", file.to_str().unwrap()]).success();
    file
}

async fn status(https: &Https, token: &str) -> u16 {
    https.get(WEB, "/", token).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_a_restore_over_a_cluster_brings_back_nothing_that_was_revoked_since() {
    let mut scene = Scene::start().await;
    let directory = tempfile::tempdir().unwrap();
    let kept = scene.access_token("kept");
    let deleted = scene.access_token("deleted");
    let rotated = scene.access_token("rotated");
    let disabled = scene.access_token("disabled");
    let client = scene.oauth2_client("client");
    let basic = Some((client.0.as_str(), client.1.as_str()));
    let grant = || form("/oauth2/token", basic, "grant_type=client_credentials");
    let reply = scene.https.send("localhost", grant()).await.json();
    let revoked = scene
        .cluster
        .secret(reply["access_token"].as_str().unwrap());
    let person = scene.cluster.person();
    let login = scene.authentication_token("login");
    person
        .sh(&format!("octelium login --auth-token {login}"))
        .success();

    let file = back_up(&scene.cluster, directory.path());
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
    person.sh("octelium logout").success();
    scene
        .admin
        .sh("octeliumctl create group made-after-the-backup")
        .success();

    let data_dir = scene.cluster.data_dir();
    let refused = octeliumd_with(&data_dir, &["restore", file.to_str().unwrap()]);
    assert_ne!(refused.code, 0, "it is being served: {refused:#?}");
    assert!(scene.cluster.terminate().success());
    octeliumd_with(&data_dir, &["restore", file.to_str().unwrap()]).success();
    scene.cluster = scene.cluster.restart();

    let https = &scene.https;
    assert_eq!(status(https, &kept).await, 200);
    assert_eq!(status(https, &new).await, 200);
    for (what, token) in [
        ("deleted", &deleted),
        ("rotated", &rotated),
        ("disabled", &disabled),
        ("revoked", &revoked),
    ] {
        assert_eq!(status(https, token).await, 401, "{what}");
    }
    let sessions = scene
        .admin
        .sh("octeliumctl get session --user microservice1 -o json")
        .success();
    assert!(
        !sessions.stdout.contains("\"login\""),
        "{}",
        sessions.stdout
    );
    // The content is that of the backup, and later events are still in the audit trail.
    assert_eq!(
        scene
            .admin
            .sh("octeliumctl get group made-after-the-backup")
            .code,
        6
    );
    let audit = scene
        .admin
        .sh("octeliumctl get audit -o json --items-per-page 1000")
        .success();
    assert!(
        audit.stdout.contains("credential.rotated"),
        "{}",
        audit.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn e05_if_revocations_are_unknown_credentials_must_be_rotated() {
    let scene = Scene::start().await;
    let directory = tempfile::tempdir().unwrap();
    let session = scene.access_token("session");
    let login = scene.authentication_token("login");
    let file = back_up(&scene.cluster, directory.path());
    let key = fs::read(scene.cluster.data_dir().join("master-key")).unwrap();

    let elsewhere = Cluster::prepare(|data_dir| {
        let refused = octeliumd_with(data_dir, &["restore", file.to_str().unwrap()]);
        assert!(refused.stderr.contains("master key"), "{refused:#?}");
        write_key(data_dir, &key);
        octeliumd_with(data_dir, &["restore", file.to_str().unwrap()]).success();
    });
    let clients = Https::new(&elsewhere);
    assert_eq!(status(&clients, &session).await, 401);
    let person = elsewhere.person();
    let old_login = format!("octelium login --auth-token {login}");
    assert_eq!(person.sh(&old_login).code, 4);

    octeliumd_with(&elsewhere.data_dir(), &["recover"]).success();
    let token = elsewhere.data_dir().join("recovery-token");
    person
        .sh(&format!(
            "octeliumctl login --auth-token-file '{}'",
            token.display()
        ))
        .success();
    let rotated = person
        .sh("octeliumctl create cred --rotate login")
        .success();
    let rotated = elsewhere.secret(&rotated.value("Authentication Token:"));
    elsewhere
        .person()
        .sh(&format!("octelium login --auth-token {rotated}"))
        .success();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_can_trust_credentials_of_a_backup() {
    let scene = Scene::start().await;
    let directory = tempfile::tempdir().unwrap();
    let session = scene.access_token("session");
    let login = scene.authentication_token("login");
    let file = back_up(&scene.cluster, directory.path());
    let key = fs::read(scene.cluster.data_dir().join("master-key")).unwrap();
    let elsewhere = Cluster::prepare(|data_dir| {
        write_key(data_dir, &key);
        let arguments = ["restore", "--trust-credentials", file.to_str().unwrap()];
        octeliumd_with(data_dir, &arguments).success();
    });
    assert_eq!(
        status(&Https::new(&elsewhere), &session).await,
        401,
        "Sessions end"
    );
    elsewhere
        .person()
        .sh(&format!("octelium login --auth-token {login}"))
        .success();
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_not_trusted_over_a_store_whose_revocations_are_known_e05() {
    let mut scene = Scene::start().await;
    let directory = tempfile::tempdir().unwrap();
    let kept = scene.access_token("kept");
    let file = back_up(&scene.cluster, directory.path());
    assert!(scene.cluster.terminate().success());
    let arguments = ["restore", "--trust-credentials", file.to_str().unwrap()];
    let refused = octeliumd_with(&scene.cluster.data_dir(), &arguments);
    assert_ne!(refused.code, 0, "{refused:#?}");
    assert!(refused.stderr.contains("omit the flag"), "{refused:#?}");
    scene.cluster = scene.cluster.restart();
    assert_eq!(status(&scene.https, &kept).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_changes_nothing() {
    let mut scene = Scene::start().await;
    let directory = tempfile::tempdir().unwrap();
    let kept = scene.access_token("kept");
    let file = back_up(&scene.cluster, directory.path());
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(scene.cluster.terminate().success());
    let data_dir = scene.cluster.data_dir();
    let refused = octeliumd_with(&data_dir, &["restore", file.to_str().unwrap()]);
    assert_ne!(refused.code, 0, "{refused:#?}");
    scene.cluster = scene.cluster.restart();
    assert_eq!(status(&scene.https, &kept).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn e08_the_owner_of_the_store_can_recover_access_for_a_while() {
    let cluster = Cluster::start();
    octeliumd_with(&cluster.data_dir(), &["recover"]).success();
    let token = fs::read_to_string(cluster.data_dir().join("recovery-token")).unwrap();
    let token = cluster.secret(token.trim());
    let person = cluster.person();
    let log_in = format!("octeliumctl login --auth-token {token}");
    person.sh(&log_in).success();
    person
        .sh("octeliumctl create user --type workload somebody")
        .success();
    assert_eq!(cluster.person().sh(&log_in).code, 4, "it is for one login");
    let session = person
        .sh("octeliumctl get session --user root -o json")
        .success();
    let session: serde_json::Value = serde_json::from_str(&session.stdout).unwrap();
    assert_eq!(session["items"].as_array().unwrap().len(), 1, "{session}");
    let audit = person.sh("octeliumctl get audit -o json").success();
    assert!(audit.stdout.contains("recovery-"), "{}", audit.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_accepts_a_healthy_cluster_and_finds_problems_of_others() {
    let mut cluster = Cluster::start();
    let data_dir = cluster.data_dir();
    let healthy = octeliumd_with(&data_dir, &["doctor"]).success();
    assert!(!healthy.stdout.contains("problem"), "{healthy:#?}");
    assert!(cluster.terminate().success());
    octeliumd_with(&data_dir, &["migrate"]).success();
    fs::remove_file(data_dir.join("master-key")).unwrap();
    let ill = octeliumd_with(&data_dir, &["doctor"]);
    assert_eq!(ill.code, 1, "{ill:#?}");
    assert!(ill.stdout.contains("master key"), "{ill:#?}");
}

fn write_key(data_dir: &Path, key: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = data_dir.join("master-key");
    fs::write(&path, key).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_mistyped_data_directory_is_not_made_into_a_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = directory.path().join("elsewhere");
    let backup = directory.path().join("backup");
    for arguments in [vec!["backup", backup.to_str().unwrap()], vec!["recover"]] {
        let refused = octeliumd_with(&elsewhere, &arguments);
        assert_eq!(refused.code, 1, "{refused:#?}");
        assert!(refused.stderr.contains("does not exist"), "{refused:#?}");
    }
    assert!(!elsewhere.exists() && !backup.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_policy_denies_requests_and_the_doctor_reports_it() {
    let mut scene = Scene::start().await;
    let plain = scene.access_token("plain");
    let command =
        "octeliumctl create cred --type access-token --user microservice1 --policy policy1 careful";
    let careful = scene.admin.sh(command).success().value("Access Token:");
    let careful = scene.cluster.secret(&careful);
    assert_eq!(status(&scene.https, &careful).await, 200);

    scene.cluster.terminate();
    let database = scene.cluster.data_dir().join("octelium.db");
    let damage = "import sqlite3, sys\n\
        store = sqlite3.connect(sys.argv[1])\n\
        changed = store.execute(\"UPDATE documents SET body = x'ffff' WHERE kind = 'Policy' AND name = 'policy1'\")\n\
        assert changed.rowcount == 1\n\
        store.commit()\n";
    let mut python = Command::new(program::python());
    run(python.arg("-c").arg(damage).arg(&database)).success();
    let ill = octeliumd_with(&scene.cluster.data_dir(), &["doctor"]);
    assert_eq!(ill.code, 1, "{ill:#?}");
    assert!(ill.stdout.contains("Policy policy1"), "{ill:#?}");

    let cluster = scene.cluster.restart();
    assert_eq!(status(&scene.https, &careful).await, 403);
    assert_eq!(status(&scene.https, &plain).await, 200);
    let log = cluster.log_with("Policy policy1");
    assert!(log.contains("Policy policy1"), "{log}");
}
