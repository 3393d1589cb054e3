//! Lists and single objects.

use std::time::Duration;

use api::core_v1::{Group, Secret, User};

use super::{FULL, READ, console};

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_listed_searched_narrowed_and_paged() {
    let (replicas, mut browser) = console(READ).await;
    for index in 0..120 {
        replicas.advance(Duration::from_millis(10));
        let yaml = format!(
            "kind: Group\nmetadata: {{ name: group{index:03}, displayName: 'Number <{index}>' }}\nspec: {{}}"
        );
        let made = replicas
            .first()
            .create::<Group>(&replicas.actor, &yaml)
            .await;
        made.unwrap();
    }
    let page = browser.get("/admin/group").await;
    assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
    page.says("120 Groups");
    page.says("Page 1 of 3");
    page.says("href=\"/admin/group/group000\"");
    assert!(!page.body.contains("group050"));
    page.says("page=2\" rel=\"next\"");
    browser.get("/admin/group?page=3").await.says("group119");
    let past = browser.get("/admin/group?page=9").await;
    assert_eq!(past.status, 404);
    browser
        .get("/admin/group?order=newest")
        .await
        .says("group119");

    let found = browser.get("/admin/group?q=NUMBER+%3C7%3E").await;
    found.says("1 Group with “NUMBER &lt;7&gt;”");
    found.says("group007");
    let found = browser.get("/admin/group?q=group1&page=1").await;
    found.says("20 Groups with");
    let uid = replicas
        .user("zoe", "{ type: HUMAN }")
        .await
        .metadata
        .unwrap()
        .uid;
    browser
        .get(&format!("/admin/user?q={uid}"))
        .await
        .says("/admin/user/zoe");
    let found = browser.get("/admin/user?q=%22%3E%3Cscript%3E").await;
    found.says("&quot;&gt;&lt;script&gt;");
    found.says("Nothing to show.");

    replicas.credential("AUTH_TOKEN", "john", "").await;
    replicas.credential("AUTH_TOKEN", "mary", "").await;
    let narrowed = browser.get("/admin/credential?user=john").await;
    narrowed.says("1 Credential of the User john");
    assert!(!narrowed.body.contains("<td>mary</td>"));
    let unknown = browser.get("/admin/credential?user=nobody").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_shown_as_the_command_line_shows_it() {
    let (replicas, mut browser) = console(READ).await;
    let spec = "{ type: HUMAN, email: 'zoe@example.com' }";
    let user: User = replicas.user("zoe", spec).await;
    let yaml = api::document::to_yaml(&api::reflect::dynamic(&user).unwrap());
    let page = browser.get("/admin/user/zoe").await;
    page.says("User zoe");
    page.says(&yaml.trim_end().replace('"', "&quot;"));
    page.says("href=\"/admin/session?user=zoe\"");
    page.says("href=\"/admin/audit?resource=user/zoe\"");
    let gone = browser.get("/admin/user/nobody").await;
    assert_eq!(gone.status, 404);
    browser
        .get("/admin/clusterconfig")
        .await
        .says("domain: localhost");
    let service = browser.get("/admin/service").await;
    service.says("href=\"/admin/service/default.octelium-api\"");
    browser
        .get("/admin/service/default.octelium-api")
        .await
        .says("kind: Service");
    assert_eq!(
        browser.get("/admin/clusterconfig/default").await.status,
        404
    );
    for kind in ["region", "gateway", "authenticator", "device", "config"] {
        let shown = browser.get(&format!("/admin/{kind}")).await;
        assert_eq!(shown.status, 200, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w28_secret_data_is_on_no_page() {
    let (replicas, mut browser) = console(FULL).await;
    let yaml =
        "kind: Secret\nmetadata: { name: database }\nspec: {}\ndata: { value: hunter2-hunter2 }";
    let made = replicas
        .first()
        .create::<Secret>(&replicas.actor, yaml)
        .await;
    made.unwrap();
    for path in [
        "/admin/secret",
        "/admin/secret/database",
        "/admin/secret?q=hunter2-hunter2",
        "/admin/audit",
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 200);
        let page = shown
            .body
            .replace("value=\"hunter2-hunter2\"", "")
            .replace("“hunter2-hunter2”", "");
        assert!(!page.contains("hunter2"), "{path}");
    }
    browser
        .get("/admin/secret?q=hunter2-hunter2")
        .await
        .says("Nothing to show.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_object_stays_a_small_page() {
    let (replicas, mut browser) = console(READ).await;
    let rules: Vec<String> = (0..95)
        .map(|index| {
            let text = format!("ctx.user.metadata.name == \"{}{index}\"", "n".repeat(900));
            format!("{{ effect: ALLOW, condition: {{ match: '{text}' }} }}")
        })
        .collect();
    let yaml = format!(
        "kind: Policy\nmetadata: {{ name: long }}\nspec: {{ rules: [{}] }}",
        rules.join(", ")
    );
    let made = replicas
        .first()
        .create::<api::core_v1::Policy>(&replicas.actor, &yaml)
        .await;
    made.unwrap();
    let page = browser.get("/admin/policy/long").await;
    assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
    page.says("The object is too long");
}
