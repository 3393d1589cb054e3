//! The first way in: a link.

use std::{sync::Arc, time::Duration};

use api::{
    core_v1::{Session, User},
    resource::Object as _,
};
use server::{ErrorKind, authentication::enrollment::create, resource::load};

use super::{Browser, SESSION, link, people, request};
use crate::{failing::Failing, replicas::Replicas};

#[tokio::test(flavor = "multi_thread")]
async fn a_link_logs_in_once_and_to_look_at_it_is_no_use() {
    let replicas = people(2).await;
    let link = link(&replicas, "john").await;
    let mut browser = Browser::at(replicas.context(0));
    // Scanners of mail look at links.
    let page = browser.get("/enroll").await;
    assert_eq!(page.status, 200);
    page.says("The link that you were given");
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);

    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.status, 303);
    // A passkey is offered, and can be left.
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

    // Another replica knows that it was used.
    let mut other = Browser::at(replicas.context(1));
    let again = other.post("/enroll", &[("link", &link)]).await;
    assert_eq!(again.status, 401);
    again.says("This has been used already");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_link_is_refused_and_says_so() {
    let replicas = people(1).await;
    let good = link(&replicas, "john").await;
    let other_name = good.replacen("john", "mary", 1);
    let (_, code) = good.split_once('.').unwrap();
    let cut = &good[..good.len() - 1];
    let mut browser = Browser::at(replicas.context(0));
    for text in [&*other_name, code, cut, "", "john.", "x.y"] {
        let shown = browser.post("/enroll", &[("link", text)]).await;
        assert_eq!(shown.status, 401, "{text}");
        shown.says("not a link that this Cluster has made");
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

    // The cookie of before is of no use, and is taken away.
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
