//! Pages of a signed-in person.

use std::time::Duration;

use api::core_v1::{Policy, Service};

use super::{Browser, SESSION, enrollment::sessions, people};

#[tokio::test(flavor = "multi_thread")]
async fn services_are_listed_searched_and_paged() {
    let replicas = people(1).await;
    let cluster = &replicas.all[0];
    let policy = "kind: Policy\nmetadata: { name: johns }\nspec: { rules: [{ effect: ALLOW, condition: { match: 'ctx.user.metadata.name == \"john\"' } }] }";
    cluster
        .create::<Policy>(&replicas.actor, policy)
        .await
        .unwrap();
    for index in 0..60 {
        let policies = if index < 55 { "policies: [johns]" } else { "" };
        let yaml = format!(
            "kind: Service\nmetadata: {{ name: web{index:02}, description: 'Number <{index}>' }}\nspec: {{ mode: HTTP, isPublic: true, authorization: {{ {policies} }}, config: {{ upstream: {{ url: 'http://127.0.0.1:1' }} }} }}"
        );
        cluster
            .create::<Service>(&replicas.actor, &yaml)
            .await
            .unwrap();
    }
    replicas.settle().await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let page = browser.get("/").await;
    assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
    page.says("60 Services");
    page.says("Page 1 of 2");
    page.says("https://web00.localhost:8443/");
    page.says("Number &lt;0&gt;");
    assert!(!page.body.contains("web50.localhost"));
    let second = browser.get("/?page=2").await;
    second.says("https://web50.localhost:8443/");
    second.says("No access");
    assert!(
        !second
            .body
            .contains("href=\"https://web59.localhost:8443/\"")
    );
    let found = browser.get("/?q=NUMBER+%3C7%3E").await;
    found.says("1 found for");
    found.says("https://web07.localhost:8443/");
    browser
        .get("/?q=%22%3E%3Cscript%3E")
        .await
        .says("&quot;&gt;&lt;script&gt;");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_shown_with_details_and_ended() {
    let replicas = people(1).await;
    let mut here = Browser::at(replicas.context(0));
    let mut there = Browser::at(replicas.context(0));
    here.enroll(&replicas, "john").await;
    there.enroll(&replicas, "john").await;
    let mut stranger = Browser::at(replicas.context(0));
    stranger.enroll(&replicas, "mary").await;

    let page = here.get("/sessions").await;
    page.says("This browser");
    assert_eq!(page.body.matches("class=\"row\"").count(), 2);
    let token = page.field("token");
    let own = page.field("session");

    // Another person cannot end the Session.
    let theirs = stranger.get("/sessions").await;
    let fields = [("token", &*theirs.field("token")), ("session", &*own)];
    let refused = stranger.post("/sessions/end", &fields).await;
    assert_eq!(refused.status, 404);
    assert_eq!(sessions(&replicas, "john").await.len(), 2);

    let ended = here
        .post("/sessions/end-others", &[("token", &token)])
        .await;
    assert_eq!(ended.location(), "/sessions");
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
    assert_eq!(there.get("/").await.location(), "/login");
    assert_eq!(here.get("/").await.status, 200);

    let out = here.post("/sessions/end-all", &[("token", &token)]).await;
    out.says("All your Sessions have ended");
    assert!(!here.cookies.contains_key(SESSION));
    assert!(sessions(&replicas, "john").await.is_empty());
    assert_eq!(sessions(&replicas, "mary").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn w07_logging_out_ends_the_session_and_takes_the_cookie_away() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let copy = browser.clone();
    let token = browser.get("/profile").await.field("token");
    let shown = browser.post("/logout", &[("token", &token)]).await;
    shown.says("You are signed out");
    assert!(browser.cookies.is_empty());
    let mut copy = copy;
    let shown = copy.get("/").await;
    assert_eq!(shown.location(), "/login");
    assert!(copy.cookies.is_empty(), "{:?}", copy.cookies);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_while_pages_are_looked_at() {
    let replicas = people(2).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let first = browser.cookies[SESSION].clone();
    replicas.advance(Duration::from_hours(1));
    browser.get("/").await;
    assert_eq!(browser.cookies[SESSION], first);
    replicas.advance(Duration::from_hours(1));
    // Another tab sends a request at the same time, to another replica.
    let mut tab = browser.clone();
    tab.turn_to(replicas.context(1));
    assert_eq!(browser.get("/").await.status, 200);
    assert_ne!(browser.cookies[SESSION], first);
    assert_eq!(tab.get("/sessions").await.status, 200);
    assert_ne!(tab.cookies[SESSION], first);

    // A later request with the old cookie is from a copy.
    replicas.advance(Duration::from_secs(31));
    assert_eq!(browser.get("/").await.status, 200);
    let mut thief = browser.clone();
    thief.cookies.insert(SESSION.to_owned(), first);
    assert_eq!(thief.get("/").await.location(), "/login");
    let shown = browser.get("/login").await;
    shown.says("Your Session was ended.");
}

#[tokio::test(flavor = "multi_thread")]
async fn w20_a_session_that_waits_for_approval_shows_nothing() {
    let replicas = people(1).await;
    replicas
        .user("new", "{ type: HUMAN, session: { defaultState: PENDING } }")
        .await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "new").await;
    for path in ["/", "/sessions", "/devices", "/profile", "/login"] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 403, "{path}");
        shown.says("Waiting for approval");
    }
    // Logging out is always possible.
    let token = browser.get("/").await.field("token");
    let out = browser.post("/logout", &[("token", &token)]).await;
    assert_eq!(out.status, 200);
    assert!(sessions(&replicas, "new").await.is_empty());
}
