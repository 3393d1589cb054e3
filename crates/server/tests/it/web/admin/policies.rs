//! Pages leave out what Policies deny.

use api::reflect;

use super::{FULL, READ, administrator, console};
use crate::web::{Browser, people};

/// Returns every kind that the API serves.
fn kinds() -> Vec<String> {
    let service = reflect::pool()
        .get_service_by_name("octelium.api.main.core.v1.MainService")
        .unwrap();
    let methods = service.methods();
    let kinds = methods.filter_map(|method| method.name().strip_prefix("Get").map(str::to_owned));
    kinds.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_without_permissions_sees_nothing() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    assert_eq!(
        browser.get("/admin").await.location(),
        "/login?page=%2Fadmin"
    );
    browser.enroll(&replicas, "john").await;
    assert!(!browser.get("/").await.body.contains("/admin"));
    for path in [
        "/admin",
        "/admin/user",
        "/admin/user/john",
        "/admin/user/john/end-sessions",
        "/admin/audit",
        "/admin/audit?rows=1",
        "/admin/create/credential",
        "/admin/nothing",
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 404, "{path}");
        assert!(!shown.body.contains("mary"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_is_decided_as_the_call_that_lists_it() {
    let replicas = people(1).await;
    let kinds = kinds();
    assert_eq!(kinds.len(), 15);
    for kind in &kinds {
        let verb = if kind == "ClusterConfig" {
            "Get"
        } else {
            "List"
        };
        let name = format!("{}-only", kind.to_lowercase());
        let condition = format!("ctx.request.grpc.method == \"{verb}{kind}\"");
        let spec = format!(
            "{{ type: HUMAN, authorization: {{ inlinePolicies: [{{ name: one, spec: {{ rules: [{{ effect: ALLOW, condition: {{ match: '{condition}' }} }}] }} }}] }} }}"
        );
        replicas.user(&name, &spec).await;
        let mut browser = Browser::at(replicas.context(0));
        browser.enroll(&replicas, &name).await;
        browser.get("/").await.says("href=\"/admin\"");
        let overview = browser.get("/admin").await;
        assert_eq!(overview.status, 200, "{kind}");
        for other in &kinds {
            let place = format!("/admin/{}", other.to_lowercase());
            let link = format!("href=\"{place}\"");
            assert_eq!(
                overview.body.contains(&link),
                other == kind,
                "{kind}: {other}"
            );
            let shown = browser.get(&place).await;
            let expected = if other == kind { 200 } else { 403 };
            assert_eq!(shown.status, expected, "{kind}: {other}");
        }
        assert!(!overview.body.contains("/admin/audit"), "{kind}");
        // The permission to list does not include the permission to inspect.
        let list = browser
            .get(&format!("/admin/{}", kind.to_lowercase()))
            .await;
        if kind == "User" {
            list.says("john");
            assert!(!list.body.contains("href=\"/admin/user/john\""));
            assert_eq!(browser.get("/admin/user/john").await.status, 403);
        }
    }
    let refused = replicas.audit().await;
    let refused = refused.iter().find(|event| {
        event.r#type == "api.called"
            && event
                .user_ref
                .as_ref()
                .is_some_and(|user| user.name == "user-only")
            && event.attrs.get("method").map(String::as_str)
                == Some("/octelium.api.main.core.v1.MainService/ListSecret")
    });
    assert_eq!(refused.unwrap().reason, "policy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_read_access_is_not_offered_changes() {
    let (replicas, mut browser) = console(READ).await;
    let credential = replicas.credential("AUTH_TOKEN", "john", "").await;
    let name = credential.metadata.unwrap().name;
    let place = format!("/admin/credential/{name}");
    let page = browser.get(&place).await;
    page.says("type: AUTH_TOKEN");
    for word in ["rotate", "disable", "delete"] {
        assert!(!page.body.contains(&format!("{place}/{word}")), "{word}");
        let asked = browser.get(&format!("{place}/{word}")).await;
        assert_eq!(asked.status, 404, "{word}");
        let fields = [("token", &*page.field("token")), ("former", "end")];
        let done = browser.post(&format!("{place}/{word}"), &fields).await;
        assert_eq!(done.status, 404, "{word}");
    }
    let list = browser.get("/admin/credential").await;
    assert!(!list.body.contains("/admin/create/credential"));
    assert_eq!(browser.get("/admin/create/credential").await.status, 404);
    let fields = [("token", &*list.field("token")), ("user", "john")];
    let made = browser.post("/admin/create/credential", &fields).await;
    assert_eq!(made.status, 404);
    let asked = browser.get("/admin/user/john/end-sessions").await;
    assert_eq!(asked.status, 404);
    let events = replicas.audit().await;
    let issued = events
        .iter()
        .filter(|event| event.r#type == "credential.issued");
    assert_eq!(issued.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn w20_revoked_permissions_apply_to_the_next_page() {
    let replicas = people(1).await;
    let mut browser = administrator(&replicas, "admin", FULL).await;
    assert_eq!(browser.get("/admin/user").await.status, 200);
    let user: api::core_v1::User = replicas
        .first()
        .run(
            &replicas.actor,
            server::resource::write::Update(crate::cluster::parse::<api::core_v1::User>(
                "kind: User\nmetadata: { name: admin }\nspec: { type: HUMAN }",
            )),
        )
        .await
        .unwrap();
    assert!(user.spec.unwrap().authorization.is_none());
    assert_eq!(browser.get("/admin/user").await.status, 404);
    assert!(!browser.get("/").await.body.contains("/admin"));
}
