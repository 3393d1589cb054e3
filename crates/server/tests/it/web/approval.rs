//! Approval of command-line clients in a browser.

use std::time::Duration;

use api::auth_v1::{ClientLoginRequest, ClientLoginResponse, client_login_request::ApiVersion};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::credential::code_challenge;
use prost::Message as _;

use super::{Browser, enrollment::sessions, people};
use crate::replicas::{Replicas, log_in_with};

const VERIFIER: [u8; 32] = [7; 32];

pub(super) fn request(port: u32, challenge: &[u8]) -> String {
    request_of(port, challenge, true)
}

fn request_of(port: u32, challenge: &[u8], shows_code: bool) -> String {
    let request = ClientLoginRequest {
        api_version: ApiVersion::V1.into(),
        callback_port: port,
        callback_suffix: "aB3dE6gH".to_owned(),
        code_challenge: challenge.to_vec(),
        shows_code,
    };
    URL_SAFE_NO_PAD.encode(request.encode_to_vec())
}

/// Returns the answer that the client at `port` receives.
pub(super) fn answer(location: &str, port: u32) -> ClientLoginResponse {
    let prefix = format!("http://localhost:{port}/callback/success/aB3dE6gH?octelium_response=");
    let text = location
        .strip_prefix(&prefix)
        .unwrap_or_else(|| panic!("{location}"));
    ClientLoginResponse::decode(&*URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

async fn john() -> (Replicas, Browser) {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "john").await;
    (replicas, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn w08_the_credential_of_a_client_works_once_and_only_for_it() {
    let (replicas, mut browser) = john().await;
    let ctx = replicas.context(0);
    let challenge = code_challenge(&VERIFIER);
    let request = request(34567, &challenge);
    let page = browser.get(&format!("/login?octelium_req={request}")).await;
    assert_eq!(page.status, 200);
    page.says("localhost:34567");
    let [a, b, c, d, ..] = challenge;
    page.says(&format!("{a:02X}{b:02X}-{c:02X}{d:02X}"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.ends_with("form-action 'self' http://localhost:34567"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'"));

    let (token, shown) = (page.field("token"), page.field("request"));
    let fields = [
        ("token", &*token),
        ("request", &shown),
        ("answer", "approve"),
    ];
    let approved = browser.post("/login/answer", &fields).await;
    assert_eq!(approved.status, 303, "{approved:#?}");
    let answer = answer(approved.location(), 34567);
    assert_eq!(answer.code_challenge, challenge);

    // Another program on the machine saw the answer.
    let token = &answer.authentication_token;
    for verifier in [&[][..], &[8; 32]] {
        assert!(log_in_with(ctx, token, &[], verifier).await.is_err());
    }
    assert!(log_in_with(ctx, token, &[], &VERIFIER).await.is_ok());
    assert!(log_in_with(ctx, token, &[], &VERIFIER).await.is_err());
    let sessions = sessions(&replicas, "john").await;
    assert_eq!(sessions.len(), 2);

    // The same request again.
    let again = browser.post("/login/answer", &fields).await;
    assert_eq!(again.status, 400);
    again.says("already answered");
    let events = replicas.audit().await;
    let approvals = events
        .iter()
        .filter(|event| event.r#type == "client_login.approved");
    assert_eq!(approvals.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_to_be_compared_only_if_the_client_shows_one_g4() {
    let (_replicas, mut browser) = john().await;
    let challenge = code_challenge(&VERIFIER);
    let [a, b, c, d, ..] = challenge;
    let code = format!("{a:02X}{b:02X}-{c:02X}{d:02X}");
    for shows_code in [true, false] {
        let request = request_of(34567, &challenge, shows_code);
        let page = browser.get(&format!("/login?octelium_req={request}")).await;
        page.says("Approve this only if you have just started");
        for text in [code.as_str(), "it shows the same code"] {
            assert_eq!(page.body.contains(text), shows_code, "{text}: {page:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclaimed_approval_expires_after_a_minute() {
    let (replicas, mut browser) = john().await;
    let request = request(34567, &code_challenge(&VERIFIER));
    let token = browser.get("/").await.field("token");
    let fields = [
        ("token", &*token),
        ("request", &request),
        ("answer", "approve"),
    ];
    let approved = browser.post("/login/answer", &fields).await;
    let answer = answer(approved.location(), 34567);
    replicas.advance(Duration::from_mins(1));
    let ctx = replicas.context(0);
    let late = log_in_with(ctx, &answer.authentication_token, &[], &VERIFIER).await;
    assert!(late.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn w22_a_person_approves_the_request_that_they_were_shown() {
    let (replicas, mut browser) = john().await;
    let ctx = replicas.context(0);
    let own = request(34567, &code_challenge(&VERIFIER));
    let foreign = request(45678, &code_challenge(&[9; 32]));
    let page = browser.get(&format!("/login?octelium_req={own}")).await;
    // Meanwhile an attacker opens another request in the browser.
    browser.get(&format!("/login?octelium_req={foreign}")).await;
    let (token, shown) = (page.field("token"), page.field("request"));
    let fields = [
        ("token", &*token),
        ("request", &shown),
        ("answer", "approve"),
    ];
    let approved = browser.post("/login/answer", &fields).await;
    let answer = answer(approved.location(), 34567);
    let token = &answer.authentication_token;
    assert!(log_in_with(ctx, token, &[], &[9; 32]).await.is_err());
    assert!(log_in_with(ctx, token, &[], &VERIFIER).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn w21_a_request_without_a_challenge_is_explained_and_refused() {
    let (_replicas, mut browser) = john().await;
    let token = browser.get("/").await.field("token");
    for (request, text) in [
        (request(34567, &[]), "too old for a safe sign-in"),
        (request(80, &[1; 32]), "damaged"),
        ("AAAA".to_owned(), "damaged"),
    ] {
        let shown = browser.get(&format!("/login?octelium_req={request}")).await;
        assert_eq!(shown.status, 400);
        shown.says(text);
        let fields = [
            ("token", &*token),
            ("request", &request),
            ("answer", "approve"),
        ];
        let refused = browser.post("/login/answer", &fields).await;
        assert_eq!(refused.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w20_a_pending_session_cannot_approve_a_login() {
    let replicas = people(1).await;
    let user = "{ type: HUMAN, session: { defaultState: PENDING } }";
    replicas.user("new", user).await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(&replicas, "new").await;
    let request = request(34567, &code_challenge(&VERIFIER));
    let waiting = browser.get(&format!("/login?octelium_req={request}")).await;
    assert_eq!(waiting.status, 403);
    waiting.says("Waiting for approval");
    let token = waiting.field("token");
    let fields = [
        ("token", &*token),
        ("request", &request),
        ("answer", "approve"),
    ];
    let refused = browser.post("/login/answer", &fields).await;
    assert_eq!(refused.status, 403);
    assert!(!refused.headers.contains_key("location"));
    assert_eq!(sessions(&replicas, "new").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_login_request_creates_nothing() {
    let (replicas, mut browser) = john().await;
    let request = request(34567, &code_challenge(&VERIFIER));
    let token = browser.get("/").await.field("token");
    let no = [
        ("token", &*token),
        ("request", &request),
        ("answer", "reject"),
    ];
    let rejected = browser.post("/login/answer", &no).await;
    assert_eq!(rejected.status, 200);
    rejected.says("The sign-in was denied");
    let yes = [
        ("token", &*token),
        ("request", &request),
        ("answer", "approve"),
    ];
    assert_eq!(browser.post("/login/answer", &yes).await.status, 400);
    // A form of another origin is refused, too.
    let evil = [("origin", "https://evil.example")];
    let foreign = browser.post_from("/login/answer", &yes, &evil).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(sessions(&replicas, "john").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_out_person_continues_after_the_login() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    let request = request(34567, &code_challenge(&VERIFIER));
    let shown = browser.get(&format!("/login?octelium_req={request}")).await;
    assert_eq!(shown.status, 200);
    shown.says("program in your terminal");
}
