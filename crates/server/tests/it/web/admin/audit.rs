//! The audit log.

use super::{READ, between, console};
use crate::web::Browser;

fn rows(body: &str) -> usize {
    body.matches("data-event=").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_and_go_on() {
    let (replicas, mut browser) = console(READ).await;
    let mut john = Browser::at(replicas.context(0));
    john.enroll(&replicas, "john").await;
    let page = browser.get("/admin/audit").await;
    assert!(page.body.len() < 100_000, "{} bytes", page.body.len());
    page.says("user.created");
    page.says("<a href=\"/admin/user/john\">User john</a>");
    page.says("data-live=\"/admin/audit?rows=1\"");
    page.says("href=\"/admin/audit?\"");

    let logins = browser
        .get("/admin/audit?type=session.created&user=john")
        .await;
    assert_eq!(rows(&logins.body), 1);
    logins.says("1 event");
    let link = between(&logins.body, "data-live=\"", "\"").replace("&amp;", "&");
    let before = browser.get(&link).await;
    assert_eq!((before.status.as_u16(), rows(&before.body)), (200, 1));
    assert!(
        before.body.starts_with("<tr data-event="),
        "{}",
        before.body
    );
    john.enroll(&replicas, "john").await;
    let after = browser.get(&link).await;
    assert_eq!(rows(&after.body), 2);

    let object = browser.get("/admin/audit?resource=user/mary").await;
    assert_eq!(rows(&object.body), 1);
    let none = browser.get("/admin/audit?until=2020-01-01T00:00").await;
    assert_eq!(rows(&none.body), 0);
    none.says("No events match the filters");
    assert!(!none.body.contains("data-live"));
    let since = browser.get("/admin/audit?since=2026-11-22T00:00:00").await;
    assert!(rows(&since.body) > 5);
    browser
        .get("/admin/audit?since=2026-11-22T00:00&user=%3Cb%3E")
        .await
        .says("&lt;b&gt;");

    for (query, text) in [
        ("user=nobody", "nobody does not exist"),
        ("resource=john", "enter kind/name"),
        ("resource=thing/john", "unknown kind"),
        ("since=yesterday", "From: enter date and time"),
    ] {
        let shown = browser.get(&format!("/admin/audit?{query}")).await;
        assert_eq!(shown.status, 200);
        shown.says(text);
        let fragment = browser.get(&format!("/admin/audit?{query}&rows=1")).await;
        assert_eq!(fragment.status, 400, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w08_the_pages_of_the_console_run_nothing_foreign() {
    let (_replicas, mut browser) = console(super::FULL).await;
    for path in [
        "/admin",
        "/admin/user",
        "/admin/user/john",
        "/admin/user/john/end-sessions",
        "/admin/create/credential",
        "/admin/audit",
        "/admin/access",
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 200, "{path}");
        let policy = shown.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(
            policy.contains("connect-src 'self';"),
            matches!(path, "/admin/audit" | "/admin/access"),
            "{path}"
        );
        assert_eq!(shown.headers["cache-control"], "no-store");
        for inline in ["<style", "style=\"", "onclick", "<script>"] {
            assert!(!shown.body.contains(inline), "{path}: {inline}");
        }
    }
    let fragment = browser.get("/admin/audit?rows=1").await;
    assert_eq!(
        fragment.headers["content-security-policy"],
        "default-src 'none'; frame-ancestors 'none'"
    );
    assert_eq!(fragment.headers["cache-control"], "no-store");
}
