//! The admin console in a real browser.

use serde_json::Value;

use crate::{
    browser::enroll,
    support::{
        https::get,
        scene::{Scene, WEB},
        webdriver::Browser,
    },
};

/// Creates a Cluster with an administrator and their browser.
async fn console() -> (Scene, Browser, String) {
    let scene = Scene::start().await;
    let create = "octeliumctl create user --type human --policy octelium-api-full-access alice";
    scene.admin.sh(create).success();
    let browser = Browser::start().await;
    enroll(&browser, &scene, "alice").await;
    let domain = format!("https://{}", scene.cluster.domain());
    (scene, browser, domain)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_browses_the_console_and_creates_a_credential() {
    let (scene, browser, domain) = console().await;
    browser.click("nav a[href='/admin']").await;
    browser
        .sees("The resources that the Policies allow you to see.")
        .await;
    for (path, name) in [
        ("/admin", "overview"),
        ("/admin/user", "users"),
        ("/admin/user/alice", "user"),
        ("/admin/user/alice/end-sessions", "question"),
        ("/admin/create/credential", "create"),
        ("/admin/audit", "audit"),
    ] {
        browser.open(&format!("{domain}{path}")).await;
        browser.sees("Overview").await;
        browser.is_accessible().await;
        browser.picture(&format!("admin-{name}")).await;
    }

    browser
        .open(&format!("{domain}/admin/create/credential"))
        .await;
    browser.fill("#user", "alice").await;
    browser.fill("#name", "laptop").await;
    browser.fill("#max", "3").await;
    browser.click("form.ask button").await;
    browser.sees("This is shown only once.").await;
    let secret = browser
        .run("return document.querySelector('.secret code').textContent")
        .await;
    let secret = scene.cluster.secret(secret.as_str().unwrap());
    browser.is_accessible().await;
    // The script shows a button to copy the secret.
    let is_hidden = browser
        .run("return document.querySelector('[data-copy]').hidden")
        .await;
    assert_eq!(is_hidden, Value::from(false));
    let terminal = scene.cluster.person();
    let login = "octelium login --auth-token -";
    terminal.sh_with_input(login, &secret).success();

    // Reloading the response does not create a second one.
    browser
        .open(&format!("{domain}/admin/credential/laptop"))
        .await;
    browser.sees("maxAuthentications: 3").await;
    assert!(!browser.text().await.contains(&secret));
    browser.is_accessible().await;
    browser.picture("admin-credential").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_services_are_seen_as_they_are_made() {
    let (scene, browser, domain) = console().await;
    let token = scene.access_token("cred01");
    scene
        .https
        .get(WEB, "/first?secret=of-the-query", &token)
        .await;
    let mut watching = scene
        .admin
        .begin("octeliumctl get access --user microservice1 --watch -o jsonl");
    let first: Value = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!(first["decision"], "ALLOWED", "{first:#}");
    assert_eq!(first["path"], "/first");
    assert_eq!(first["userRef"]["name"], "microservice1");
    assert_eq!(first["serviceRef"]["name"], "web.default");
    assert_eq!(first["credential"], "cred01");

    browser.open(&format!("{domain}/admin/access")).await;
    browser.sees("GET web.localhost/first").await;
    browser.is_accessible().await;
    let mut change = get("/change", &token);
    *change.method_mut() = http::Method::POST;
    let answer = scene.https.send(WEB, change).await;
    assert_eq!(answer.status, 403);
    browser.sees("POST web.localhost/change").await;
    browser.sees("no rule matched").await;
    browser.is_accessible().await;
    browser.picture("admin-access").await;
    let denied: Value = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!(denied["decision"], "DENIED", "{denied:#}");
    assert_eq!(denied["requestID"], answer.header("x-request-id"));
    watching.kill();

    // An anonymous request is listed too.
    scene.https.get(WEB, "/", "none").await;
    let begun = std::time::Instant::now();
    let table = loop {
        let refused = "octeliumctl get access --decision refused --service web -o wide";
        let table = scene.admin.sh(refused).success().stdout;
        if table.contains("REFUSED") {
            break table;
        }
        assert!(begun.elapsed().as_secs() < 10, "{table}");
    };
    assert!(
        table.contains("401") && table.contains("127.0.0.1"),
        "{table}"
    );
    let all = scene.admin.sh("octeliumctl get access -o yaml").success();
    assert!(!all.stdout.contains("of-the-query"), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_events_are_seen_as_they_happen() {
    let (scene, browser, domain) = console().await;
    browser
        .open(&format!("{domain}/admin/audit?type=user.created"))
        .await;
    browser.sees("user.created").await;
    scene
        .admin
        .sh("octeliumctl create user --type human newcomer")
        .success();
    browser.sees("User newcomer").await;
    browser.sees("1 new,").await;

    browser.click("#live-switch").await;
    browser.sees("Paused.").await;
    scene
        .admin
        .sh("octeliumctl create user --type human later")
        .success();
    browser.click("#live-switch").await;
    browser.sees("User later").await;

    // Without the permission, the list is no longer updated.
    scene
        .admin
        .sh("octeliumctl delete session $(octeliumctl get session --user alice -o field=metadata.name)")
        .success();
    browser.sees("This list is no longer updated").await;
}
