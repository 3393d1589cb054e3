//! The access log.

use api::{
    core_v1::User,
    platform_v1::{AccessEvent, access_event::Decision},
    resource::Object as _,
};
use server::{Context, access_log::Asker, document::load};

use super::{READ, administrator, between, console};

fn rows(body: &str) -> usize {
    body.matches("data-event=").count()
}

async fn note(ctx: &Context, decision: Decision, user: &str, path: &str) {
    let found = load::by_name::<User>(&*ctx.store, user, ctx.now()).await;
    let user_ref = found.unwrap().unwrap().message.reference();
    ctx.access
        .add(Asker::Authenticated, decision, ctx.now(), || AccessEvent {
            request_id: path.to_owned(),
            at: Some(ctx.now().to_proto()),
            user_ref: Some(user_ref),
            method: "GET".to_owned(),
            host: "web.localhost".to_owned(),
            path: path.to_owned(),
            status: 200,
            reason: "Policy p, rule r".to_owned(),
            ..AccessEvent::default()
        });
    ctx.flush().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_filtered_and_go_on() {
    let (replicas, mut browser) = console(READ).await;
    let ctx = replicas.context(0);
    browser
        .get("/admin/access")
        .await
        .says("No requests match the filters");
    note(ctx, Decision::Allowed, "john", "/a").await;
    note(ctx, Decision::Denied, "mary", "/b<i>").await;
    let page = browser.get("/admin/access").await;
    assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
    assert_eq!(rows(&page.body), 2);
    page.says("2 events");
    page.says("GET web.localhost/b&lt;i&gt;");
    page.says("Policy p, rule r");
    page.says("href=\"/admin/user/john\"");
    // The newest event is first.
    assert!(page.body.find("/b&lt;i").unwrap() < page.body.find("localhost/a").unwrap());

    let denied = browser.get("/admin/access?decision=denied").await;
    assert_eq!(rows(&denied.body), 1);
    denied.says("<option value=\"denied\" selected>");
    let link = between(&denied.body, "data-live=\"", "\"").replace("&amp;", "&");
    assert_eq!(rows(&browser.get(&link).await.body), 1);
    note(ctx, Decision::Denied, "john", "/c").await;
    assert_eq!(rows(&browser.get(&link).await.body), 2);
    let johns = browser.get("/admin/access?user=john").await;
    assert_eq!(rows(&johns.body), 2);
    browser
        .get("/admin/user/john")
        .await
        .says("href=\"/admin/access?user=john\"");

    for (query, text) in [
        ("user=nobody", "nobody does not exist"),
        ("service=nothing", "nothing.default does not exist"),
        ("decision=maybe", "unknown value"),
        ("until=tomorrow", "Until: enter date and time"),
    ] {
        let shown = browser.get(&format!("/admin/access?{query}")).await;
        assert_eq!(shown.status, 200);
        shown.says(text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_shown_only_to_users_who_can_list_them() {
    let (replicas, _) = console(READ).await;
    let policy = "kind: Policy
metadata: { name: helpdesk }
spec: { rules: [{ effect: ALLOW, condition: { match: 'ctx.request.grpc.method == \"ListUser\"' } }] }
";
    replicas
        .first()
        .create::<api::core_v1::Policy>(&replicas.actor, policy)
        .await
        .unwrap();
    let mut helper = administrator(&replicas, "helper", "helpdesk").await;
    let overview = helper.get("/admin").await;
    assert_eq!(overview.status, 200);
    assert!(!overview.body.contains("/admin/access"));
    let refused = helper.get("/admin/access").await;
    assert_eq!(refused.status, 403);
}
