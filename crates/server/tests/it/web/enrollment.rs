//! The first login, with an enrollment link.

use std::{sync::Arc, time::Duration};

use api::{
    core_v1::{Session, User},
    meta_v1::DeleteOptions,
    platform_v1::{Enrollment, ListEnrollmentOptions, RevokeEnrollmentRequest},
    resource::Object as _,
};
use domain::kind::Kind;
use server::{
    ErrorKind,
    authentication::enrollment::{create, list, revoke},
    document::load,
    resource::write::Delete,
};

use super::{Browser, SESSION, link, people, request};
use crate::{
    failing::Failing,
    replicas::{Backend, Replicas},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_in_once_and_viewing_it_does_not_use_it() {
    let replicas = people(2).await;
    let link = link(&replicas, "john").await;
    let mut browser = Browser::at(replicas.context(0));
    // Mail scanners open links.
    let page = browser.get("/enroll").await;
    assert_eq!(page.status, 200);
    page.says("The link that you were given");
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);

    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.status, 303);
    // A passkey is offered and can be skipped.
    let offer = browser.get(shown.location()).await;
    offer.says("Add a passkey or security key");
    offer.says("href=\"/login\">Not now");
    assert_eq!(browser.get("/login").await.location(), "/");
    let portal = browser.get("/").await;
    assert_eq!(portal.status, 200);
    portal.says("john");

    let sessions = sessions(&replicas, "john").await;
    assert_eq!(sessions.len(), 1);
    let status = sessions[0].status().unwrap();
    assert!(status.is_browser);
    assert_eq!(
        status.r#type(),
        api::core_v1::session::status::Type::Clientless
    );

    // Another replica knows that the link was redeemed.
    let mut other = Browser::at(replicas.context(1));
    let again = other.post("/enroll", &[("link", &link)]).await;
    assert_eq!(again.status, 401);
    again.says("This link was already used");
    assert!(!other.cookies.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_of_many_who_use_a_link_at_once_one_gets_in() {
    let replicas = people(2).await;
    let link = link(&replicas, "john").await;
    let mut attempts = tokio::task::JoinSet::new();
    for index in 0..32 {
        let mut browser = Browser::at(replicas.context(index % 2));
        let link = link.clone();
        attempts.spawn(async move {
            let shown = browser.post("/enroll", &[("link", &link)]).await;
            shown.status.as_u16()
        });
    }
    let statuses = attempts.join_all().await;
    let let_in = statuses.iter().filter(|status| **status == 303).count();
    assert_eq!(let_in, 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 303 | 401)));
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
}

async fn listed(replicas: &Replicas, user: Option<&str>) -> Vec<Enrollment> {
    let options = ListEnrollmentOptions {
        common: None,
        user_ref: user.and_then(|user| request(user).user_ref),
    };
    list(replicas.context(0), &options).await.unwrap().items
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_listed_and_revoked() {
    let replicas = people(2).await;
    let (ctx, actor) = (replicas.context(0), &replicas.actor);
    let (johns, marys) = (link(&replicas, "john").await, link(&replicas, "mary").await);
    replicas.advance(Duration::from_secs(1));
    link(&replicas, "john").await;
    let all = listed(&replicas, None).await;
    assert_eq!(all.len(), 3);
    // The list does not contain the secrets of the links.
    assert!(
        all.iter()
            .all(|item| item.url.is_empty() && !item.uid.is_empty())
    );
    let first = listed(&replicas, Some("john")).await.swap_remove(0);
    assert_eq!(first.user_ref.unwrap().name, "john");
    assert_eq!(
        first.created_by_ref.unwrap().name,
        actor.principal.user().name()
    );

    let by_uid = |uid: &str| RevokeEnrollmentRequest {
        uid: uid.to_owned(),
        user_ref: None,
    };
    let revoked = revoke(ctx, actor, &by_uid(&first.uid)).await.unwrap();
    assert_eq!(revoked.revoked, 1);
    let again = revoke(ctx, actor, &by_uid(&first.uid)).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    // Also at the other replica.
    let mut browser = Browser::at(replicas.context(1));
    let refused = browser.post("/enroll", &[("link", &johns)]).await;
    assert_eq!(refused.status, 401);
    refused.says("was revoked");

    let of_john = RevokeEnrollmentRequest {
        uid: String::new(),
        user_ref: request("john").user_ref,
    };
    assert_eq!(revoke(ctx, actor, &of_john).await.unwrap().revoked, 1);
    assert_eq!(revoke(ctx, actor, &of_john).await.unwrap().revoked, 0);
    for unclear in [
        RevokeEnrollmentRequest::default(),
        RevokeEnrollmentRequest {
            uid: first.uid.clone(),
            ..of_john.clone()
        },
    ] {
        let error = revoke(ctx, actor, &unclear).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    // Mary's link still works, and is listed until it is redeemed.
    assert_eq!(listed(&replicas, None).await.len(), 1);
    let shown = browser.post("/enroll", &[("link", &marys)]).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    assert!(listed(&replicas, None).await.is_empty());
    assert_eq!(audited(&replicas, "enrollment.created").await, 3);
    assert_eq!(audited(&replicas, "enrollment.revoked").await, 2);
}

async fn audited(replicas: &Replicas, event_type: &str) -> usize {
    let query = store::AuditQuery {
        event_type: Some(event_type.to_owned()),
        limit: 100,
        ..store::AuditQuery::default()
    };
    let (events, _) = replicas.context(0).store.audit(query).await.unwrap();
    assert!(events.iter().all(|event| event.resource_ref.is_some()));
    events.len()
}

#[rstest::rstest]
#[case(Backend::Sqlite)]
#[case(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a01_a_link_is_either_used_or_revoked(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    replicas.user("john", "{ type: HUMAN }").await;
    for round in 0..20 {
        let link = link(&replicas, "john").await;
        let uid = listed(&replicas, None).await.swap_remove(0).uid;
        let (ctx, actor) = (replicas.context(round % 2).clone(), replicas.actor.clone());
        let revoking = tokio::spawn(async move {
            let user_ref = None;
            revoke(&ctx, &actor, &RevokeEnrollmentRequest { uid, user_ref }).await
        });
        let mut browser = Browser::at(replicas.context((round + 1) % 2));
        let shown = browser.post("/enroll", &[("link", &link)]).await;
        let revoked = revoking.await.unwrap();
        let is_in = shown.status == 303;
        assert_ne!(is_in, revoked.is_ok(), "{revoked:?} {shown:#?}");
        assert_eq!(sessions(&replicas, "john").await.len(), usize::from(is_in));
        for session in sessions(&replicas, "john").await {
            replicas.delete(Kind::Session, session.uid()).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_go_with_their_user() {
    let replicas = people(1).await;
    let link = link(&replicas, "john").await;
    let john = DeleteOptions {
        name: "john".to_owned(),
        ..DeleteOptions::default()
    };
    let deletion = Delete::<User>::new(john);
    replicas
        .first()
        .run(&replicas.actor, deletion)
        .await
        .unwrap();
    assert!(listed(&replicas, None).await.is_empty());
    replicas.user("john", "{ type: HUMAN }").await;
    let mut browser = Browser::at(replicas.context(0));
    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_links_are_refused_with_a_message() {
    let replicas = people(1).await;
    let good = link(&replicas, "john").await;
    let other_name = good.replacen("john", "mary", 1);
    let (_, code) = good.split_once('.').unwrap();
    let cut = &good[..good.len() - 1];
    let mut browser = Browser::at(replicas.context(0));
    for text in [&*other_name, code, cut, "", "john.", "x.y"] {
        let shown = browser.post("/enroll", &[("link", text)]).await;
        assert_eq!(shown.status, 401, "{text}");
        shown.says("not a link of this Cluster");
    }
    replicas.advance(Duration::from_hours(1));
    let late = browser.post("/enroll", &[("link", &good)]).await;
    late.says("has expired");
    assert!(sessions(&replicas, "john").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_for_people_who_may_log_in() {
    let replicas = people(1).await;
    let ctx = replicas.context(0);
    let refused = create(ctx, &replicas.actor, &request("robot")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let unknown = create(ctx, &replicas.actor, &request("nobody")).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::NotFound);
    let mut long = request("john");
    long.expires_in = Some(domain::duration::to_proto(Duration::from_hours(7 * 24 + 1)));
    let long = create(ctx, &replicas.actor, &long).await;
    assert_eq!(long.unwrap_err().kind(), ErrorKind::InvalidArgument);

    let link = link(&replicas, "john").await;
    let john = user(&replicas, "john").await;
    let disable = |user: &mut User| user.spec_mut().is_disabled = true;
    replicas.edit(&john, disable).await;
    let disabled = create(ctx, &replicas.actor, &request("john")).await;
    assert_eq!(disabled.unwrap_err().kind(), ErrorKind::FailedPrecondition);
    let mut browser = Browser::at(ctx);
    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.status, 403);
    shown.says("This User is disabled");
}

#[tokio::test(flavor = "multi_thread")]
async fn w46_the_session_of_another_user_on_this_browser_ends() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    let before = browser.cookies[SESSION].clone();
    browser.enroll(&replicas, "mary").await;
    assert!(sessions(&replicas, "john").await.is_empty());
    assert_eq!(sessions(&replicas, "mary").await.len(), 1);
    browser.get("/").await.says("mary");

    // The previous cookie is invalid and deleted.
    browser.cookies.insert(SESSION.to_owned(), before);
    let shown = browser.get("/").await;
    assert_eq!(shown.location(), "/login");
    assert!(!browser.cookies.contains_key(SESSION));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_survives_a_login_that_fails() {
    let store = Arc::new(Failing::over(store::testing::sqlite()));
    let replicas = Replicas::on(vec![store.clone()]).await;
    replicas.user("john", "{ type: HUMAN }").await;
    let link = link(&replicas, "john").await;
    let mut browser = Browser::at(replicas.context(0));
    store.fail(true);
    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.status, 503);
    store.fail(false);
    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
}

pub(super) async fn sessions(replicas: &Replicas, name: &str) -> Vec<Session> {
    replicas.sessions(&user(replicas, name).await).await
}

async fn user(replicas: &Replicas, name: &str) -> User {
    let ctx = replicas.context(0);
    let found = load::by_name::<User>(&*ctx.store, name, ctx.now()).await;
    found.unwrap().unwrap().message
}
