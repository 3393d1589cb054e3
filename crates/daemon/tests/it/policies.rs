//! Explanations of Policy decisions, tests before Policies are applied, and shadow Policies.

use serde_json::Value;

use crate::support::{
    https::get,
    scene::{Scene, WEB},
};

#[tokio::test(flavor = "multi_thread")]
async fn why_agrees_with_the_gateway() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    for (path, method) in [("/", "GET"), ("/a/b", "GET"), ("/", "POST")] {
        let command = format!(
            "octeliumctl policy why --user microservice1 --service web --method {method} --path {path} -o json"
        );
        let decision: Value =
            serde_json::from_str(&scene.admin.sh(&command).success().stdout).unwrap();
        let mut request = get(path, &token);
        *request.method_mut() = method.parse().unwrap();
        let answer = scene.https.connect(WEB).await.unwrap().send(request).await;
        let allowed = decision["allowed"] == true;
        assert_eq!(
            answer.status.as_u16(),
            if allowed { 200 } else { 403 },
            "{decision:#}"
        );
        assert_eq!(decision["attachments"][0]["owner"], "Service web.default");
    }
    let denied = scene
        .admin
        .sh("octeliumctl policy why --user microservice2 --service web")
        .success();
    assert!(
        denied.stdout.starts_with("denied: no rule matched\n"),
        "{}",
        denied.stdout
    );
    // The Session that the token belongs to.
    let sessions = scene.admin.sh("octeliumctl get session -o json").success();
    let sessions: Value = serde_json::from_str(&sessions.stdout).unwrap();
    let session = sessions["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|session| session["status"]["userRef"]["name"] == "microservice1")
        .unwrap();
    let session = session["metadata"]["name"].as_str().unwrap();
    let command = format!(
        "octeliumctl policy why --user microservice1 --service web --session {session} -o json"
    );
    let decision: Value = serde_json::from_str(&scene.admin.sh(&command).success().stdout).unwrap();
    assert_eq!(decision["allowed"], true, "{decision:#}");
    assert_eq!(decision["rule"], "rules[0]");
    let command =
        format!("octeliumctl policy why --user microservice2 --service web --session {session}");
    assert_eq!(scene.admin.sh(&command).code, 1);
    // Only administrators get explanations.
    let other = scene.cluster.person();
    let token = scene.authentication_token("cred02");
    other
        .sh_with_input("octelium login --auth-token -", &token)
        .success();
    let refused = other.sh("octeliumctl policy why --user microservice1 --service web");
    assert_eq!(refused.code, 5, "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_policy_changes_nothing_and_reports_its_decision() {
    let scene = Scene::start().await;
    let token = scene.access_token("cred01");
    let documents = "kind: Policy\nmetadata: {name: trial}\nspec:\n  isShadow: true\n  rules:\n    \
                     - {effect: DENY, priority: -4, condition: {match: 'ctx.request.http.path == \"/trial\"'}}\n\
                     ---\nkind: Service\nmetadata: {name: web}\nspec:\n  mode: HTTP\n  isPublic: true\n  \
                     authorization: {policies: [read-only, trial]}\n  config: {upstream: {url: 'http://UPSTREAM'}}\n"
        .replace("UPSTREAM", &scene.upstream.address.to_string());
    scene
        .admin
        .sh_with_input("octeliumctl apply -", &documents)
        .success();
    let mut connection = scene.https.connect(WEB).await.unwrap();
    for path in ["/trial", "/other"] {
        let answer = connection.send(get(path, &token)).await;
        assert_eq!(answer.status, 200);
    }
    let log = scene.cluster.log_with("\"path\":\"/other\"");
    let shadowed: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("denied by rule rules[0] of Policy trial"))
        .collect();
    assert_eq!(shadowed.len(), 1, "{shadowed:#?}");
    assert!(shadowed[0].contains("\"path\":\"/trial\""), "{shadowed:#?}");
}
