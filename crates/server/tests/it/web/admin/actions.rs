//! Actions on objects, each after a confirmation.

use api::{
    auth_v1::{
        RegisterDeviceFinishRequest,
        register_device_begin_request::{Info, info},
    },
    core_v1::{Authenticator, User},
    resource::Object as _,
};
use server::{
    authentication::device,
    document::{codec, load},
};
use store::{Expected, Operation, SecretWrite, Transaction};

use super::{FULL, console};
use crate::{
    replicas::{authenticate, caller, log_in},
    web::{Browser, Shown, enrollment::sessions},
};

/// Opens the confirmation at `place` and confirms.
async fn act(browser: &mut Browser, place: &str) -> Shown {
    let asked = browser.get(place).await;
    assert_eq!(asked.status, 200, "{place}: {asked:#?}");
    asked.says("Cancel");
    // Opening the page changes nothing.
    let token = asked.field("token");
    browser.post(place, &[("token", &token)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a02_a_credential_is_disabled_enabled_and_deleted() {
    let (replicas, mut browser) = console(FULL).await;
    let ctx = replicas.context(0);
    let credential = replicas.credential("AUTH_TOKEN", "robot", "").await;
    let secret = replicas.issue(&credential).await;
    let tokens = log_in(ctx, &secret).await.unwrap();
    let place = format!("/admin/credential/{}", credential.name());

    let done = act(&mut browser, &format!("{place}/disable")).await;
    assert_eq!(done.location(), format!("{place}?done=disable"));
    let shown = browser.get(done.location()).await;
    shown.says("It is disabled.");
    shown.says("isDisabled: true");
    assert!(log_in(ctx, &secret).await.is_err());
    assert!(authenticate(ctx, &tokens.access_token).await.is_err());
    // An action without effect is not offered.
    assert_eq!(browser.get(&format!("{place}/disable")).await.status, 404);

    act(&mut browser, &format!("{place}/enable")).await;
    log_in(ctx, &secret).await.unwrap();
    let gone = act(&mut browser, &format!("{place}/delete")).await;
    assert_eq!(gone.location(), "/admin/credential");
    assert!(log_in(ctx, &secret).await.is_err());
    assert_eq!(browser.get(&place).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_ended_one_or_all() {
    let (replicas, mut browser) = console(FULL).await;
    let mut john = Browser::at(replicas.context(0));
    john.enroll(&replicas, "john").await;
    let mut elsewhere = Browser::at(replicas.context(0));
    elsewhere.enroll(&replicas, "john").await;
    let mut mary = Browser::at(replicas.context(0));
    mary.enroll(&replicas, "mary").await;
    let own = sessions(&replicas, "admin").await;

    let one = sessions(&replicas, "john").await[0].name().to_owned();
    let done = act(&mut browser, &format!("/admin/session/{one}/end")).await;
    assert_eq!(done.location(), "/admin/session");
    assert_eq!(sessions(&replicas, "john").await.len(), 1);

    let done = act(&mut browser, "/admin/user/john/end-sessions").await;
    assert_eq!(done.location(), "/admin/user/john?done=end-sessions");
    assert!(sessions(&replicas, "john").await.is_empty());
    assert_eq!(john.get("/").await.location(), "/login");
    assert_eq!(mary.get("/").await.status, 200);

    // The console refuses to end its own Session; that is what the logout is for.
    let done = act(
        &mut browser,
        &format!("/admin/session/{}/end", own[0].name()),
    )
    .await;
    assert_eq!(done.status, 403);
    done.says("Cannot delete own Session");
    let mut other = Browser::at(replicas.context(0));
    other.enroll(&replicas, "admin").await;
    act(&mut browser, "/admin/user/admin/end-sessions").await;
    assert_eq!(sessions(&replicas, "admin").await.len(), 1);
    assert_eq!(browser.get("/admin").await.status, 200);
    assert_eq!(other.get("/").await.location(), "/login");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_sessions_are_approved_and_rejected() {
    let (replicas, mut browser) = console(FULL).await;
    let ctx = replicas.context(0);
    let credential = replicas.credential("AUTH_TOKEN", "john", "").await;
    let secret = replicas.issue(&credential).await;
    let tokens = log_in(ctx, &secret).await.unwrap();
    let machine = Info {
        os_type: info::OsType::Linux.into(),
        hostname: "laptop".to_owned(),
        id: format!("{:064x}", 1),
        serial_number: "SERIAL-1".to_owned(),
        mac_addresses: Vec::new(),
    };
    let begun = device::begin(ctx, &tokens.refresh_token, Some(&machine), &caller()).await;
    let request = RegisterDeviceFinishRequest {
        uid: begun.unwrap().uid,
        responses: Vec::new(),
    };
    device::finish(ctx, &tokens.refresh_token, &request, &caller())
        .await
        .unwrap();
    let list = browser.get("/admin/device?user=john").await;
    list.says("laptop");
    let place = super::between(&list.body, "<th scope=\"row\"><a href=\"", "\"").to_owned();
    let page = browser.get(&place).await;
    assert!(!page.body.contains("/approve\""), "it is approved");
    let done = act(&mut browser, &format!("{place}/reject")).await;
    browser.get(done.location()).await.says("It is rejected.");
    assert!(authenticate(ctx, &tokens.access_token).await.is_err());
    act(&mut browser, &format!("{place}/approve")).await;
    authenticate(ctx, &tokens.access_token).await.unwrap();

    replicas
        .user("new", "{ type: HUMAN, session: { defaultState: PENDING } }")
        .await;
    let mut new = Browser::at(replicas.context(0));
    new.enroll(&replicas, "new").await;
    assert_eq!(new.get("/").await.status, 403);
    let waiting = sessions(&replicas, "new").await[0].name().to_owned();
    act(&mut browser, &format!("/admin/session/{waiting}/approve")).await;
    assert_eq!(new.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn w02_nothing_is_done_without_the_token_of_the_form() {
    let (replicas, mut browser) = console(FULL).await;
    let mut john = Browser::at(replicas.context(0));
    john.enroll(&replicas, "john").await;
    let foreign = john.get("/").await.field("token");
    let place = "/admin/user/john/end-sessions";
    let token = browser.get(place).await.field("token");
    for bad in ["", "x", &foreign] {
        let shown = browser.post(place, &[("token", bad)]).await;
        assert_eq!(shown.status, 403);
    }
    for from in [&[][..], &[("origin", "https://app.localhost:8443")]] {
        let shown = browser.post_from(place, &[("token", &*token)], from).await;
        assert_eq!(shown.status, 403);
    }
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
    // Unsupported actions do not exist.
    assert_eq!(browser.get("/admin/user/john/rotate").await.status, 404);
    assert_eq!(browser.get("/admin/user/john/nothing").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_given_a_link_that_is_shown_once() {
    let (replicas, mut browser) = console(FULL).await;
    browser
        .get("/admin/user/john")
        .await
        .says("Create a sign-in link");
    // Workloads cannot use links.
    assert_eq!(browser.get("/admin/user/robot/link").await.status, 404);
    let place = "/admin/user/john/link";
    let asked = browser.get(place).await;
    let (token, once) = (asked.field("token"), asked.field("once"));
    let fields = |lifetime: &'static str| {
        [
            ("token", token.clone()),
            ("once", once.clone()),
            ("lifetime", lifetime.to_owned()),
        ]
    };
    for (lifetime, problem) in [("soon", "Valid for:"), ("30days", "at most 7 days")] {
        let fields = fields(lifetime);
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let shown = browser.post(place, &fields).await;
        assert_eq!(shown.status, 400, "{shown:#?}");
        shown.says(problem);
    }
    // The refused form counts as used, so a new one is needed.
    let asked = browser.get(place).await;
    let once = asked.field("once");
    let fields = [("token", &*token), ("once", &*once), ("lifetime", "2days")];
    let shown = browser.post(place, &fields).await;
    assert_eq!(shown.status, 200, "{shown:#?}");
    shown.says("This is shown only once.");
    let link = super::between(&shown.body, "/enroll#", "<").to_owned();
    let again = browser.post(place, &fields).await;
    assert_eq!(again.status, 409, "{again:#?}");

    let mut john = Browser::at(replicas.context(0));
    let let_in = john.post("/enroll", &[("link", &link)]).await;
    assert_eq!(let_in.status, 303, "{let_in:#?}");

    let link = crate::web::link(&replicas, "john").await;
    let done = act(&mut browser, "/admin/user/john/revoke-links").await;
    browser
        .get(done.location())
        .await
        .says("The links no longer work.");
    let refused = john.post_from("/enroll", &[("link", &link)], &[]).await;
    assert_ne!(refused.status, 303);
    let mut other = Browser::at(replicas.context(0));
    let refused = other.post("/enroll", &[("link", &link)]).await;
    assert_eq!(refused.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authenticators_of_a_user_are_reset() {
    let (replicas, mut browser) = console(FULL).await;
    let ctx = replicas.context(0);
    let mut uids = Vec::new();
    for user in ["john", "mary"] {
        let found = load::by_name::<User>(&*ctx.store, user, ctx.now()).await;
        let mut lost = Authenticator::default();
        lost.metadata_mut().name = format!("of-{user}");
        lost.status_mut().user_ref = Some(found.unwrap().unwrap().message.reference());
        let uid = ctx.new_uid();
        let mut transaction = Transaction::at(ctx.now());
        transaction.push(Operation::Put(
            codec::encode(uid, ctx.now(), &lost, SecretWrite::Keep),
            Expected::Absent,
        ));
        ctx.store.commit(transaction).await.unwrap();
        uids.push(uid);
    }
    let done = act(&mut browser, "/admin/user/john/reset-authenticators").await;
    assert!(replicas.get::<Authenticator>(uids[0]).await.is_none());
    // Authenticators of other Users remain.
    assert!(replicas.get::<Authenticator>(uids[1]).await.is_some());
    assert_eq!(
        done.location(),
        "/admin/user/john?done=reset-authenticators"
    );
    browser
        .get(done.location())
        .await
        .says("The Authenticators were deleted.");
    let mut reader = super::administrator(&replicas, "reader", super::READ).await;
    let page = reader.get("/admin/user/john").await;
    assert!(!page.body.contains("reset-authenticators"));
    let place = "/admin/user/john/reset-authenticators";
    assert_eq!(reader.get(place).await.status, 404);
}
