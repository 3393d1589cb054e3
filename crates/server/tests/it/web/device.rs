//! Devices without a browser.

use std::{net::IpAddr, time::Duration};

use axum::body::Body;
use http::{Request, header};
use serde_json::Value;
use server::{Context, Peer};

use super::{Browser, enrollment::sessions, people};
use crate::{oauth2, replicas::Replicas};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A device that waits for approval.
pub(super) struct Machine {
    ctx: Context,
    device_code: String,
    pub(super) user_code: String,
}

impl Machine {
    pub(super) async fn ask(ctx: &Context, scope: &str) -> Self {
        let form = [("client_id", "octelium-cli"), ("scope", scope)];
        let reply = oauth2::post(ctx, "/oauth2/device_authorization", None, &form).await;
        assert_eq!(reply.status, 200, "{:?}", reply.json());
        Self::of(ctx, &reply)
    }

    fn of(ctx: &Context, reply: &oauth2::Reply) -> Self {
        let asked = reply.json();
        assert_eq!(asked["expires_in"], 600);
        assert_eq!(asked["interval"], 5);
        let text = |name: &str| asked[name].as_str().unwrap().to_owned();
        let complete = format!(
            "https://localhost:8443/device?user_code={}",
            text("user_code")
        );
        assert_eq!(asked["verification_uri_complete"], complete);
        Self {
            ctx: ctx.clone(),
            device_code: text("device_code"),
            user_code: text("user_code"),
        }
    }

    pub(super) async fn collect(&self) -> Value {
        let form = [
            ("client_id", "octelium-cli"),
            ("grant_type", GRANT),
            ("device_code", &self.device_code),
        ];
        oauth2::post(&self.ctx, "/oauth2/token", None, &form)
            .await
            .json()
    }
}

async fn john() -> (Replicas, Browser) {
    let replicas = people(2).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    (replicas, browser)
}

/// Enters the code and answers.
pub(super) async fn answer(browser: &mut Browser, code: &str, answer: &str) {
    let token = browser.get("/device").await.field("token");
    let fields = [("token", &*token), ("code", code)];
    let shown = browser.post("/device", &fields).await;
    assert_eq!(shown.status, 200, "{shown:#?}");
    let (token, request) = (shown.field("token"), shown.field("request"));
    let fields = [
        ("token", &*token),
        ("request", &request),
        ("answer", answer),
    ];
    let done = browser.post("/device/answer", &fields).await;
    assert_eq!(done.status, 200, "{done:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w30_a_device_code_logs_a_machine_in() {
    let (replicas, mut browser) = john().await;
    let machine = Machine::ask(replicas.context(1), "service:*").await;
    assert_eq!(machine.collect().await["error"], "authorization_pending");
    assert_eq!(machine.collect().await["error"], "slow_down");

    // As people type it.
    let typed = machine.user_code.to_lowercase().replace('-', " ");
    let token = browser.get("/device").await.field("token");
    let shown = browser
        .post("/device", &[("token", &token), ("code", &typed)])
        .await;
    shown.says(&machine.user_code);
    shown.says("service:*");
    shown.says("as <strong>john</strong>");
    let (token, request) = (shown.field("token"), shown.field("request"));
    let fields = [
        ("token", &*token),
        ("request", &request),
        ("answer", "approve"),
    ];
    browser
        .post("/device/answer", &fields)
        .await
        .says("is signed in");
    // The answer is accepted once.
    let again = browser.post("/device/answer", &fields).await;
    assert_eq!(again.status, 400);

    replicas.advance(Duration::from_secs(5));
    let tokens = machine.collect().await;
    assert_eq!(tokens["token_type"], "Bearer", "{tokens}");
    assert_eq!(tokens["scope"], "service:*");
    let access_token = tokens["access_token"].as_str().unwrap();
    let principal = replicas
        .context(0)
        .directory
        .authenticate(access_token)
        .await;
    let principal = principal.unwrap();
    assert_eq!(&**principal.user_name(), "john");
    assert_eq!(principal.scopes().len(), 1);
    assert!(!principal.session().status.unwrap().is_browser);
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let refreshed = crate::replicas::refresh(replicas.context(0), refresh_token).await;
    assert!(refreshed.is_ok());

    replicas.advance(Duration::from_secs(5));
    assert_eq!(machine.collect().await["access_token"], Value::Null);
    assert_eq!(sessions(&replicas, "john").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_learns_that_its_request_was_denied() {
    let (replicas, mut browser) = john().await;
    let machine = Machine::ask(replicas.context(0), "").await;
    answer(&mut browser, &machine.user_code, "reject").await;
    assert_eq!(machine.collect().await["error"], "access_denied");
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_shown_to_one_person_who_alone_answers_it() {
    let (replicas, mut browser) = john().await;
    let mut other = Browser::at(replicas.context(0));
    other.enroll(&replicas, "mary").await;
    let machine = Machine::ask(replicas.context(0), "").await;
    let token = browser.get("/device").await.field("token");
    let fields = [("token", &*token), ("code", &machine.user_code)];
    let shown = browser.post("/device", &fields).await;
    // Another person can use neither the code nor the request that was shown.
    let theirs = other.get("/device").await.field("token");
    let typed = [("token", &*theirs), ("code", &machine.user_code)];
    assert_eq!(other.post("/device", &typed).await.status, 400);
    let request = shown.field("request");
    let fields = [
        ("token", &*theirs),
        ("request", &request),
        ("answer", "approve"),
    ];
    assert_eq!(other.post("/device/answer", &fields).await.status, 400);
    assert_eq!(machine.collect().await["error"], "authorization_pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_end_and_are_not_guessed() {
    let (replicas, mut browser) = john().await;
    let machine = Machine::ask(replicas.context(0), "").await;
    let token = browser.get("/device").await.field("token");
    for _ in 0..10 {
        let fields = [("token", &*token), ("code", "BBBB-BBBB")];
        assert_eq!(browser.post("/device", &fields).await.status, 400);
    }
    let fields = [("token", &*token), ("code", &machine.user_code)];
    assert_eq!(browser.post("/device", &fields).await.status, 429);
    replicas.advance(Duration::from_mins(10));
    assert_eq!(machine.collect().await["error"], "expired_token");
    let shown = browser.post("/device", &fields).await;
    assert_eq!(shown.status, 400);
    shown.says("No device is waiting with this code");
}

#[tokio::test(flavor = "multi_thread")]
async fn a04_a_disabled_person_cannot_approve_a_device() {
    let (replicas, mut browser) = john().await;
    let machine = Machine::ask(replicas.context(0), "").await;
    answer(&mut browser, &machine.user_code, "approve").await;
    let token = browser.get("/").await.field("token");
    browser
        .post("/sessions/end-all", &[("token", &token)])
        .await;
    assert_eq!(machine.collect().await["error"], "access_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_and_unknown_codes_are_refused() {
    let (replicas, mut browser) = john().await;
    let ctx = replicas.context(0);
    let path = "/oauth2/device_authorization";
    let reply = oauth2::post(ctx, path, None, &[("client_id", "else")]).await;
    assert_eq!(
        (reply.status.as_u16(), &*reply.error()),
        (401, "invalid_client")
    );
    let form = [("client_id", "octelium-cli"), ("scope", "everything")];
    let reply = oauth2::post(ctx, path, None, &form).await;
    assert_eq!(reply.error(), "invalid_scope");
    let machine = Machine::ask(ctx, "").await;
    let forged = Machine {
        device_code: format!("{}A", machine.device_code),
        ..Machine::ask(ctx, "").await
    };
    assert_eq!(forged.collect().await["error"], "invalid_grant");
    // A visitor without a Session returns to the code after the login.
    let mut stranger = Browser::at(ctx);
    let shown = stranger
        .get(&format!("/device?user_code={}", machine.user_code))
        .await;
    assert_eq!(
        shown.location(),
        format!("/login?device={}", machine.user_code)
    );
    let place = format!("/login?device={}", machine.user_code);
    let shown = browser.get(&place).await;
    assert_eq!(
        shown.location(),
        format!("/device?user_code={}", machine.user_code)
    );
    let page = browser.get("/device?user_code=%22%3E%3Cscript%3E").await;
    assert!(!page.body.contains("<script>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a13_a_code_is_refused_for_another_client() {
    let (replicas, mut browser) = john().await;
    let machine = Machine::ask(replicas.context(0), "").await;
    answer(&mut browser, &machine.user_code, "approve").await;
    for client in ["another", "", "octelium-cli2"] {
        let form = [
            ("client_id", client),
            ("grant_type", GRANT),
            ("device_code", machine.device_code.as_str()),
        ];
        let refused = oauth2::post(&machine.ctx, "/oauth2/token", None, &form).await;
        assert!(refused.status.is_client_error(), "{client:?}");
        let reply = refused.json();
        assert_eq!(reply["access_token"], Value::Null, "{client:?} {reply}");
    }
    // A code of another device, and an invalid code.
    let other = Machine::ask(replicas.context(0), "").await;
    assert_eq!(other.collect().await["error"], "authorization_pending");
    let tokens = machine.collect().await;
    assert!(tokens["access_token"].is_string(), "{tokens}");
}

/// Requests a code from an address.
async fn ask_at(ctx: &Context, address: &str) -> oauth2::Reply {
    let mut request = Request::post("/oauth2/device_authorization")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from("client_id=octelium-cli"))
        .unwrap();
    let address: IpAddr = address.parse().unwrap();
    request.extensions_mut().insert(Peer(address));
    oauth2::send(ctx, request).await
}

/// Requests a code from an address and returns the status.
async fn ask_from(ctx: &Context, address: &str) -> u16 {
    ask_at(ctx, address).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn device_codes_are_limited_by_address_prefix_s02() {
    let replicas = people(1).await;
    let ctx = replicas.context(0);
    for host in 1..=30 {
        assert_eq!(ask_from(ctx, &format!("2001:db8::{host:x}")).await, 200);
    }
    // One host owns every address of a /64.
    assert_eq!(ask_from(ctx, "2001:db8::ffff:1").await, 429);
    assert_eq!(ask_from(ctx, "2001:db8:0:1::1").await, 200);
    for form in ["192.0.2.1", "::ffff:192.0.2.1"].repeat(15) {
        assert_eq!(ask_from(ctx, form).await, 200);
    }
    assert_eq!(ask_from(ctx, "192.0.2.1").await, 429);
    assert_eq!(ask_from(ctx, "192.0.2.2").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_logins_of_many_addresses_keep_no_other_out_s02() {
    let (replicas, mut browser) = john().await;
    let ctx = replicas.context(0);
    let first = Machine::of(ctx, &ask_at(ctx, "198.18.0.0").await);
    for number in 1..1000 {
        let address = format!("198.18.0.{}", number / 30);
        assert_eq!(ask_from(ctx, &address).await, 200, "{number}");
    }
    let other = Machine::of(ctx, &ask_at(ctx, "192.0.2.1").await);

    // The oldest login of an address with most of them made room, and its machine and its person learn of it.
    assert_eq!(first.collect().await["error"], "expired_token");
    let token = browser.get("/device").await.field("token");
    let fields = [("token", &*token), ("code", &first.user_code)];
    let shown = browser.post("/device", &fields).await;
    assert_eq!(shown.status, 400);
    shown.says("No device is waiting with this code");

    answer(&mut browser, &other.user_code, "approve").await;
    let tokens = other.collect().await;
    assert!(tokens["access_token"].is_string(), "{tokens}");
}
