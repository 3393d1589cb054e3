//! Secrets are encrypted before they reach a file: the database, its log, and backups.

use std::{fs, path::Path, process::Command};

use crate::support::{
    program::{octeliumd, run},
    scene::Scene,
};

const DOCUMENTS: &str = "
kind: Secret
metadata: {name: text}
spec: {}
data: {value: MARKER-secret-text}
---
kind: Secret
metadata: {name: bytes}
spec: {}
data: {valueBytes: TUFSS0VSLXNlY3JldC1ieXRlcw==}
---
kind: Config
metadata: {name: text}
spec: {}
data: {value: MARKER-config-text}
---
kind: Config
metadata: {name: map}
spec: {}
data: {dataMap: {map: {MARKER-config-key: TUFSS0VSLWNvbmZpZy1tYXA=}}}
---
kind: Config
metadata: {name: attrs}
spec: {}
data: {attrs: {MARKER-config-attribute: MARKER-config-attrs}}
---
kind: IdentityProvider
metadata: {name: hub}
spec: {github: {clientID: client, clientSecret: {fromSecret: text}}}
---
kind: Service
metadata: {name: behind}
spec: {mode: HTTP, config: {upstream: {url: 'http://127.0.0.1:1'}, http: {auth: {bearer: {fromSecret: text}}}}}
";

/// Documents that would show a secret to everyone who may read the resource.
const REFUSED: [&str; 6] = [
    "{kind: Secret, metadata: {name: no}, spec: {data: {value: MARKER-refused}}, data: {value: x}}",
    "{kind: Secret, metadata: {name: no}, spec: {data: {valueBytes: TUFSS0VS}}, data: {value: x}}",
    "{kind: Secret, metadata: {name: text}, spec: {data: {value: MARKER-refused}}, data: {value: x}}",
    "{kind: Service, metadata: {name: no}, spec: {mode: HTTP, config: {upstream: {url: 'http://127.0.0.1:1'}, http: {header: {addRequestHeaders: [{key: Authorization, value: MARKER-refused}]}}}}}",
    "{kind: Service, metadata: {name: no}, spec: {mode: HTTP, config: {upstream: {url: 'http://user:MARKER-refused@127.0.0.1:1'}}}}",
    "{kind: Service, metadata: {name: no}, spec: {mode: HTTP, config: {upstream: {url: 'http://127.0.0.1:1'}, http: {auth: {bearer: {inline: MARKER-refused}}}}}}",
];

/// Returns the names of files in `directory` that contain `marker`.
fn holding(directory: &Path, marker: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        // The first token is delivered in its own file.
        if !entry.file_type().unwrap().is_file() || name == "root-token" {
            continue;
        }
        let bytes = fs::read(entry.path()).unwrap();
        if bytes.windows(marker.len()).any(|window| window == marker) {
            found.push(name);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_the_store_holds_a_secret_in_clear_s11() {
    let mut scene = Scene::start().await;
    scene
        .admin
        .sh_with_input("octeliumctl apply --include-secret -", DOCUMENTS)
        .success();
    for document in REFUSED {
        let refused = scene
            .admin
            .sh_with_input("octeliumctl apply --include-secret -", document);
        assert_ne!(refused.code, 0, "{document}: {refused:#?}");
    }
    let access_token = scene.access_token("access");
    let login_token = scene.authentication_token("login");
    let (_, client_secret) = scene.oauth2_client("client");
    let user = "octeliumctl create user alice --type human";
    scene.admin.sh(user).success();
    let link = scene
        .admin
        .sh("octeliumctl create enrollment --user alice")
        .success();
    let link = link
        .stdout
        .split_whitespace()
        .find_map(|word| word.split_once("/enroll#"))
        .map(|(_, link)| link.to_owned())
        .unwrap();
    for shown in ["secret", "config", "service", "audit"] {
        let command = format!("octeliumctl get {shown} -o yaml");
        let shown = scene.admin.sh(&command).success();
        assert!(!shown.stdout.contains("MARKER"), "{shown:#?}");
    }

    let data_dir = scene.cluster.data_dir();
    let backups = tempfile::tempdir().unwrap();
    let file = backups.path().join("backup");
    let mut backup = Command::new(octeliumd());
    backup
        .arg("backup")
        .arg(&file)
        .arg("--data-dir")
        .arg(&data_dir);
    run(&mut backup).success();
    // The name of a Service proves that the search finds plain text.
    assert!(!holding(&data_dir, b"behind.default").is_empty());
    assert!(!holding(backups.path(), b"behind.default").is_empty());
    let root_token = scene.cluster.root_token();
    let markers: [&[u8]; 6] = [
        b"MARKER",
        access_token.as_bytes(),
        login_token.as_bytes(),
        client_secret.as_bytes(),
        link.as_bytes(),
        root_token.as_bytes(),
    ];
    for directory in [&*data_dir, backups.path()] {
        for marker in markers {
            let found = holding(directory, marker);
            assert!(
                found.is_empty(),
                "{found:?}: {}",
                String::from_utf8_lossy(marker)
            );
        }
    }
    scene.cluster.terminate();
    assert!(holding(&data_dir, b"MARKER").is_empty());
}
