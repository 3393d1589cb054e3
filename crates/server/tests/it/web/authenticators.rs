//! Authenticators in the browser: adding and removing them, and the rules of the Cluster that require them.

use std::time::Duration;

use api::{
    core_v1::{
        Authenticator, ClusterConfig, User, authenticator::spec::State as AuthenticatorState,
        session::status::AuthenticatorAction,
    },
    platform_v1::audit_event::Outcome,
    resource::Object as _,
};
use aws_lc_rs::hmac;
use domain::{credential::code_challenge, kind::Kind};
use rstest::rstest;
use server::{
    document::{index, load},
    resource::cluster_config::UpdateClusterConfig,
    return_to,
    web::handover::{authenticate, redeem_code, state_of},
};

use super::{
    Browser, SESSION, Shown,
    approval::{answer, request},
    enrollment::sessions,
    people,
};
use crate::{
    cluster::parse,
    replicas::{Replicas, log_in_with},
};

const PLACE: &str = "https://web.localhost:8443/a?b=c";
const HOST: &str = "web.localhost";
const NONCE: &str = "nonce-of-this-browser";
const ENFORCE_USE: &str =
    "authenticationEnforcementRules: [{condition: {matchAny: true}, effect: ENFORCE}]";
const ENFORCE_BOTH: &str = "authenticationEnforcementRules: [{condition: {matchAny: true}, effect: ENFORCE}], \
     registrationEnforcementRules: [{condition: {matchAny: true}, effect: ENFORCE}]";
const RECOMMEND_BOTH: &str = "authenticationEnforcementRules: [{condition: {matchAny: true}, effect: RECOMMEND}], \
     registrationEnforcementRules: [{condition: {matchAny: true}, effect: RECOMMEND}]";

struct App {
    secret: Vec<u8>,
}

impl App {
    /// Reads the secret from the page.
    fn scan(page: &Shown) -> Self {
        page.says("role=\"img\" aria-label=\"QR code for an authenticator app\"");
        let mark = "data-copy=\"";
        let start = page.body.find(mark).unwrap() + mark.len();
        let text = page.body[start..].split('"').next().unwrap();
        let mut secret = Vec::new();
        let (mut bits, mut held) = (0_u32, 0_u32);
        for letter in text.bytes() {
            let digit = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'2'..=b'7' => letter - b'2' + 26,
                _ => panic!("{text}"),
            };
            bits = (bits << 5 | u32::from(digit)) & 0xfff;
            held += 5;
            if held >= 8 {
                held -= 8;
                secret.push(u8::try_from(bits >> held & 0xff).unwrap());
            }
        }
        assert_eq!(secret.len(), 20);
        Self { secret }
    }

    /// RFC 6238 §4, RFC 4226 §5.3.
    fn code(&self, replicas: &Replicas) -> String {
        let seconds = replicas.context(0).now().0 / 1000;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.secret);
        let digest = hmac::sign(&key, &(seconds / 30).to_be_bytes());
        let digest = digest.as_ref();
        let offset = usize::from(digest[19] & 15);
        let value = u32::from_be_bytes(digest[offset..offset + 4].try_into().unwrap());
        format!("{:06}", (value & 0x7fff_ffff) % 1_000_000)
    }
}

async fn configure(replicas: &Replicas, authenticator: &str) {
    let yaml = format!(
        "{{kind: ClusterConfig, metadata: {{name: any}}, spec: {{authenticator: {{{authenticator}}}}}}}"
    );
    let config = parse::<ClusterConfig>(&yaml);
    let update = UpdateClusterConfig(config);
    replicas.first().run(&replicas.actor, update).await.unwrap();
    replicas.settle().await;
}

/// Adds an app from a page that offers it.
async fn add_app(replicas: &Replicas, browser: &mut Browser, page: &Shown) -> (App, Shown) {
    let token = page.field("token");
    let mut fields = vec![("token", token)];
    for name in ["page", "return", "octelium_req", "device"] {
        if page.body.contains(&format!("name=\"{name}\"")) {
            fields.push((name, page.field(name)));
        }
    }
    let shown = post(browser, "/authenticators/totp", &fields).await;
    assert_eq!(shown.status, 200, "{shown:#?}");
    let app = App::scan(&shown);
    fields.push(("authenticator", shown.field("authenticator")));
    fields.push(("code", app.code(replicas)));
    let done = post(browser, "/authenticators/totp/finish", &fields).await;
    // A code is accepted only once.
    replicas.advance(Duration::from_secs(60));
    (app, done)
}

/// Submits the code form of the page with `code`.
async fn use_code(browser: &mut Browser, page: &Shown, code: &str) -> Shown {
    let mut fields = vec![
        ("token", page.field("token")),
        ("authenticator", page.field("authenticator")),
        ("code", code.to_owned()),
    ];
    for name in ["page", "return", "octelium_req", "device"] {
        if page.body.contains(&format!("name=\"{name}\"")) {
            fields.push((name, page.field(name)));
        }
    }
    post(browser, "/authenticators/authenticate/code", &fields).await
}

async fn post(browser: &mut Browser, path: &str, fields: &[(&'static str, String)]) -> Shown {
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    browser.post(path, &fields).await
}

/// Follows redirects within the pages.
async fn follow(browser: &mut Browser, mut place: String) -> Shown {
    for _ in 0..5 {
        let shown = browser.get(&place).await;
        if shown.status != 303 || !shown.location().starts_with('/') {
            return shown;
        }
        shown.location().clone_into(&mut place);
    }
    panic!("{place} leads in a circle");
}

/// Signs John in and adds an app.
async fn john_with_app(replicas: &Replicas) -> (Browser, App) {
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(replicas, "john").await;
    let page = browser.get("/authenticators").await;
    page.says("You have none yet");
    let (app, done) = add_app(replicas, &mut browser, &page).await;
    assert_eq!(done.location(), "/login?page=%2Fauthenticators");
    let page = follow(&mut browser, done.location().to_owned()).await;
    page.says("Authenticator app");
    (browser, app)
}

/// Signs John in with another browser.
async fn again(replicas: &Replicas) -> Browser {
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(replicas, "john").await;
    browser
}

fn place(replicas: &Replicas) -> String {
    let signed = return_to::sign(replicas.context(0), PLACE, &state_of(NONCE)).unwrap();
    format!("/login?return={}", signed.unwrap())
}

async fn action(replicas: &Replicas) -> Vec<AuthenticatorAction> {
    let all = sessions(replicas, "john").await;
    let actions = all
        .iter()
        .map(|one| one.status().unwrap().authenticator_action());
    actions.collect()
}

async fn authenticators(replicas: &Replicas) -> Vec<Authenticator> {
    let ctx = replicas.context(0);
    let john = load::by_name::<User>(&*ctx.store, "john", ctx.now()).await;
    let uid = john.unwrap().unwrap().uid.to_string();
    let found = load::by_index::<Authenticator>(&*ctx.store, index::USER, &uid, 32, ctx.now());
    let (found, _) = found.await.unwrap();
    found.into_iter().map(|stored| stored.message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn w32_w33_b05_a_session_that_needs_a_code_goes_on_to_its_service_afterwards() {
    let replicas = people(1).await;
    let (_, app) = john_with_app(&replicas).await;
    configure(&replicas, ENFORCE_USE).await;
    let mut browser = again(&replicas).await;
    let before = browser.cookies[SESSION].clone();

    // No page is exempt.
    for path in [
        "/",
        "/sessions",
        "/devices",
        "/profile",
        "/authenticators",
        "/device",
        "/login",
    ] {
        let shown = browser.get(path).await;
        let place = shown.location().to_owned();
        assert!(
            place.starts_with("/authenticators/authenticate"),
            "{path}: {place}"
        );
    }
    let there = place(&replicas);
    let page = follow(&mut browser, there).await;
    page.says("Verify it's you");
    // Browsers apply this to redirects after a form, too.
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https:"), "{policy}");
    let done = use_code(&mut browser, &page, &app.code(&replicas)).await;
    assert_eq!(done.status, 303, "{done:#?}");
    assert_ne!(browser.cookies[SESSION], before);

    let left = follow(&mut browser, done.location().to_owned()).await;
    let prefix = "https://web.localhost:8443/.well-known/octelium/callback?code=";
    let code = left.location().strip_prefix(prefix).unwrap();
    let arrived = redeem_code(replicas.context(0), HOST, code, NONCE).await;
    let arrived = arrived.unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(arrived.target, "/a?b=c");
    let principal = authenticate(replicas.context(0), &arrived.cookie, HOST).await;
    assert_eq!(&**principal.unwrap().user_name(), "john");

    // The previous cookie is invalid, and does not end the new Session.
    let mut old = browser.clone();
    old.cookies.insert(SESSION.to_owned(), before);
    assert_ne!(old.get("/").await.status, 200);
    assert_eq!(browser.get("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn w32_a_login_of_a_program_and_a_device_code_go_on_after_the_code() {
    let replicas = people(1).await;
    let (_, app) = john_with_app(&replicas).await;
    configure(&replicas, ENFORCE_USE).await;

    let mut browser = again(&replicas).await;
    let challenge = code_challenge(&[7; 32]);
    let request = request(34567, &challenge);
    let page = follow(&mut browser, format!("/login?octelium_req={request}")).await;
    let done = use_code(&mut browser, &page, &app.code(&replicas)).await;
    let page = follow(&mut browser, done.location().to_owned()).await;
    page.says("localhost:34567");
    let (token, shown) = (page.field("token"), page.field("request"));
    let fields = [
        ("token", &*token),
        ("request", &shown),
        ("answer", "approve"),
    ];
    let approved = browser.post("/login/answer", &fields).await;
    let answer = answer(approved.location(), 34567);
    let ctx = replicas.context(0);
    let session = log_in_with(ctx, &answer.authentication_token, &[], &[7; 32]).await;
    assert!(session.is_ok());

    replicas.advance(Duration::from_secs(60));
    let mut browser = again(&replicas).await;
    let page = follow(&mut browser, "/device?user_code=BCDF-GHJK".to_owned()).await;
    let done = use_code(&mut browser, &page, &app.code(&replicas)).await;
    let page = follow(&mut browser, done.location().to_owned()).await;
    page.says("value=\"BCDF-GHJK\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn w33_the_destination_survives_a_required_registration() {
    let replicas = people(1).await;
    configure(&replicas, ENFORCE_BOTH).await;
    let mut browser = again(&replicas).await;
    assert_eq!(
        action(&replicas).await,
        [AuthenticatorAction::RegistrationRequired]
    );
    let page = follow(&mut browser, "/sessions".to_owned()).await;
    page.says("The rules of this Cluster require one");
    assert!(!page.body.contains("Not now"));
    let (_, done) = add_app(&replicas, &mut browser, &page).await;
    let page = follow(&mut browser, done.location().to_owned()).await;
    assert_eq!(page.status, 200);
    page.says("Sign out everywhere");
    assert_eq!(action(&replicas).await, [AuthenticatorAction::Unset]);
}

#[tokio::test(flavor = "multi_thread")]
async fn w33_a_recommended_registration_is_offered_once_and_can_be_skipped() {
    let replicas = people(1).await;
    configure(&replicas, RECOMMEND_BOTH).await;
    let mut browser = Browser::at(replicas.context(0));
    let link = super::link(&replicas, "john").await;
    let shown = browser.post("/enroll", &[("link", &link)]).await;
    assert_eq!(shown.location(), "/login");
    let there = place(&replicas);
    let page = follow(&mut browser, there.clone()).await;
    page.says("Not now");
    let fields = [
        ("token", page.field("token")),
        ("return", page.field("return")),
    ];
    let later = post(&mut browser, "/authenticators/later", &fields).await;
    let left = follow(&mut browser, later.location().to_owned()).await;
    assert!(left.location().starts_with("https://web.localhost:8443/"));
    assert_eq!(action(&replicas).await, [AuthenticatorAction::Unset]);
    let declined = replicas.audit().await.into_iter().find_map(|event| {
        let is_declined = event.r#type == "session.authenticator_declined";
        is_declined.then(|| event.attrs["declined"].clone())
    });
    assert_eq!(declined.as_deref(), Some("REGISTRATION_RECOMMENDED"));
    let left = follow(&mut browser, there).await;
    assert!(left.location().starts_with("https://web.localhost:8443/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn b05_a_required_registration_cannot_be_skipped() {
    let replicas = people(1).await;
    let (_, _) = john_with_app(&replicas).await;
    configure(&replicas, ENFORCE_BOTH).await;
    let mut browser = again(&replicas).await;
    let page = follow(&mut browser, "/".to_owned()).await;
    assert!(!page.body.contains("Not now"));
    let fields = [("token", page.field("token"))];
    post(&mut browser, "/authenticators/later", &fields).await;
    let page = follow(&mut browser, "/".to_owned()).await;
    page.says("Verify it's you");
    // Adding another Authenticator or removing the required one does not help either.
    let uid = authenticators(&replicas).await[0].uid().to_owned();
    for path in ["/authenticators/totp", "/authenticators/fido"] {
        let shown = post(&mut browser, path, &fields).await;
        assert_eq!(shown.status, 403, "{path}: {shown:#?}");
    }
    let fields = [("token", page.field("token")), ("authenticator", uid)];
    let shown = post(&mut browser, "/authenticators/remove", &fields).await;
    assert!(shown.location().starts_with("/authenticators/authenticate"));
    assert_eq!(authenticators(&replicas).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn w37_a_pending_authenticator_is_shown_and_ignored() {
    let replicas = people(1).await;
    configure(&replicas, &format!("{ENFORCE_BOTH}, defaultState: PENDING")).await;
    let mut browser = again(&replicas).await;
    let page = follow(&mut browser, "/".to_owned()).await;
    let (app, done) = add_app(&replicas, &mut browser, &page).await;
    let page = follow(&mut browser, done.location().to_owned()).await;
    page.says("must be approved by an administrator");
    // A new login also ends here, instead of requesting an Authenticator that would be refused.
    let mut other = again(&replicas).await;
    follow(&mut other, "/".to_owned())
        .await
        .says("Waiting for approval");

    // After the approval it is requested.
    let approve = |one: &mut Authenticator| one.spec_mut().set_state(AuthenticatorState::Active);
    replicas
        .edit(&authenticators(&replicas).await[0], approve)
        .await;
    let page = follow(&mut browser, "/".to_owned()).await;
    let done = use_code(&mut browser, &page, &app.code(&replicas)).await;
    let page = follow(&mut browser, done.location().to_owned()).await;
    assert_eq!(page.status, 200);
    page.says("john");
}

#[rstest]
#[case::nothing_is_wanted(ENFORCE_USE, AuthenticatorAction::Unset)]
#[case::a_new_one_is_wanted(ENFORCE_BOTH, AuthenticatorAction::RegistrationRequired)]
#[tokio::test(flavor = "multi_thread")]
async fn w38_rules_are_evaluated_again_if_the_required_authenticator_is_gone(
    #[case] rules: &str,
    #[case] after: AuthenticatorAction,
) {
    let replicas = people(1).await;
    let (mut first, _) = john_with_app(&replicas).await;
    let token = first.get("/").await.field("token");
    first.post("/logout", &[("token", &token)]).await;
    configure(&replicas, rules).await;
    let mut browser = again(&replicas).await;
    assert_eq!(
        action(&replicas).await,
        [AuthenticatorAction::AuthenticationRequired]
    );
    let uid = authenticators(&replicas).await[0].uid().to_owned();
    replicas.delete(Kind::Authenticator, &uid).await;
    replicas.settle().await;
    let page = follow(&mut browser, "/sessions".to_owned()).await;
    assert_eq!(page.status, 200);
    page.says(match after {
        AuthenticatorAction::Unset => "Sign out everywhere",
        _ => "The rules of this Cluster require one",
    });
    assert_eq!(action(&replicas).await, [after]);
}

#[tokio::test(flavor = "multi_thread")]
async fn w39_adding_and_removing_need_a_fresh_proof() {
    let replicas = people(1).await;
    let (mut browser, app) = john_with_app(&replicas).await;
    replicas.advance(Duration::from_mins(11));
    let page = browser.get("/authenticators").await;
    let token = ("token", page.field("token"));
    let back = ("page", "/authenticators".to_owned());
    let uid = authenticators(&replicas).await[0].uid().to_owned();
    let there = "/authenticators/authenticate?page=%2Fauthenticators";
    for path in [
        "/authenticators/totp",
        "/authenticators/fido",
        "/authenticators/recovery",
    ] {
        let shown = post(&mut browser, path, &[token.clone(), back.clone()]).await;
        assert_eq!(shown.location(), there, "{path}");
    }
    let removal = [token.clone(), ("authenticator", uid)];
    let shown = post(&mut browser, "/authenticators/remove", &removal).await;
    assert_eq!(shown.location(), there);
    assert_eq!(authenticators(&replicas).await.len(), 1);

    let page = browser.get(there).await;
    let done = use_code(&mut browser, &page, &app.code(&replicas)).await;
    let page = follow(&mut browser, done.location().to_owned()).await;
    page.says("Add another");
    let ask = format!("/authenticators/remove?authenticator={}", removal[1].1);
    browser.get(&ask).await.says("are bound to it, end");
    let shown = post(&mut browser, "/authenticators/remove", &removal).await;
    assert_eq!(shown.location(), "/authenticators");
    assert!(authenticators(&replicas).await.is_empty());

    // Without an Authenticator, the fresh authentication is a login.
    replicas.advance(Duration::from_mins(11));
    let shown = post(&mut browser, "/authenticators/totp", &[token, back]).await;
    let page = browser.get(shown.location()).await;
    page.says("Sign in again");
}

#[tokio::test(flavor = "multi_thread")]
async fn b07_b08_codes_are_refused_once_used_and_held_up_after_many_guesses() {
    let replicas = people(1).await;
    let (mut browser, app) = john_with_app(&replicas).await;
    let page = browser.get("/authenticators/authenticate").await;
    let good = app.code(&replicas);
    let done = use_code(&mut browser, &page, &good).await;
    assert_eq!(done.status, 303);
    let page = browser.get("/authenticators/authenticate").await;
    let used = use_code(&mut browser, &page, &good).await;
    assert_eq!(used.status, 403);
    used.says("role=\"alert\"");
    used.says("was used before");

    let mut last = used;
    for _ in 0..20 {
        last = use_code(&mut browser, &page, "000000").await;
        if last.status == 429 {
            break;
        }
    }
    assert_eq!(last.status, 429);
    last.says("Too many codes were wrong. Try again in");
    last.says("a passkey, a security key");
    // Even the right code is refused, and the page reports this at once.
    replicas.advance(Duration::from_secs(30));
    let right = use_code(&mut browser, &page, &app.code(&replicas)).await;
    assert_eq!(right.status, 429);
    let shown = browser.get("/authenticators/authenticate").await;
    assert_eq!(shown.status, 429);
    let blocked = replicas.audit().await;
    assert!(blocked.iter().any(|event| {
        event.r#type == "user.factors_blocked" && event.outcome() == Outcome::Refused
    }));
}

/// Returns the recovery codes of the page.
fn codes(page: &Shown) -> Vec<String> {
    let mark = "id=\"recovery-codes\">";
    let start = page.body.find(mark).unwrap() + mark.len();
    let text = page.body[start..].split('<').next().unwrap();
    text.lines().map(str::to_owned).collect()
}

async fn renew(browser: &mut Browser) -> Vec<String> {
    let token = browser.get("/authenticators").await.field("token");
    let shown = browser
        .post("/authenticators/recovery", &[("token", &token)])
        .await;
    let codes = codes(&shown);
    assert_eq!(codes.len(), 10, "{shown:#?}");
    codes
}

async fn recover(browser: &mut Browser, code: &str) -> Shown {
    let page = browser.get("/authenticators/authenticate").await;
    let fields = [
        ("token", page.field("token")),
        ("recovery", code.to_owned()),
    ];
    post(browser, "/authenticators/authenticate/recovery", &fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_w39f_a_recovery_code_works_once_and_not_after_a_renewal() {
    let replicas = people(1).await;
    let (mut owner, _) = john_with_app(&replicas).await;
    let old = renew(&mut owner).await;
    let new = renew(&mut owner).await;
    owner.get("/authenticators").await.says("10 left");
    configure(&replicas, ENFORCE_USE).await;
    let mut browser = again(&replicas).await;
    let refused = recover(&mut browser, &old[0]).await;
    assert_eq!(refused.status, 403);
    refused.says("not one of your recovery codes");
    let done = recover(&mut browser, &new[0].to_uppercase().replace('-', " ")).await;
    assert_eq!(done.status, 303, "{done:#?}");
    assert_eq!(browser.get("/").await.status, 200);
    browser.get("/authenticators").await.says("9 left");

    let mut other = again(&replicas).await;
    assert_eq!(recover(&mut other, &new[0]).await.status, 403);
    assert_eq!(recover(&mut other, &new[1]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_of_many_who_use_a_recovery_code_at_once_one_gets_in() {
    let replicas = people(2).await;
    let (mut owner, _) = john_with_app(&replicas).await;
    let codes = renew(&mut owner).await;
    configure(&replicas, ENFORCE_USE).await;
    let mut waiting = Vec::new();
    for index in 0..4 {
        let mut browser = Browser::at(replicas.context(index % 2));
        browser.enroll(&replicas, "john").await;
        waiting.push(browser);
    }
    let mut attempts = tokio::task::JoinSet::new();
    for mut browser in waiting {
        let code = codes[0].clone();
        attempts.spawn(async move { recover(&mut browser, &code).await.status.as_u16() });
    }
    let statuses = attempts.join_all().await;
    let let_in = statuses.iter().filter(|status| **status == 303).count();
    assert_eq!(let_in, 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b20_recovery_codes_are_held_up_with_the_guesses() {
    let replicas = people(1).await;
    let (mut owner, _) = john_with_app(&replicas).await;
    let codes = renew(&mut owner).await;
    let page = owner.get("/authenticators/authenticate").await;
    let token = page.field("token");
    let attempt = async |browser: &mut Browser, code: &str| {
        let fields = [("token", token.clone()), ("recovery", code.to_owned())];
        post(browser, "/authenticators/authenticate/recovery", &fields)
            .await
            .status
    };
    let mut last = attempt(&mut owner, "0000-0000-0000-0000").await;
    for _ in 0..20 {
        if last == 429 {
            break;
        }
        last = attempt(&mut owner, "0000-0000-0000-0000").await;
    }
    assert_eq!(attempt(&mut owner, &codes[0]).await, 429);
    replicas.advance(Duration::from_hours(24));
    let mut later = again(&replicas).await;
    assert_eq!(recover(&mut later, &codes[0]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn b18_forms_of_other_pages_and_of_other_people_do_nothing() {
    let replicas = people(1).await;
    let (mut browser, _) = john_with_app(&replicas).await;
    let mut mary = Browser::at(replicas.context(0));
    mary.enroll(&replicas, "mary").await;
    let theirs = mary.get("/authenticators").await.field("token");
    let own = browser.get("/authenticators").await.field("token");
    let uid = authenticators(&replicas).await[0].uid().to_owned();
    for path in [
        "/authenticators/rename",
        "/authenticators/remove",
        "/authenticators/recovery",
        "/authenticators/totp",
        "/authenticators/totp/finish",
        "/authenticators/fido",
        "/authenticators/fido/finish",
        "/authenticators/authenticate/code",
        "/authenticators/authenticate/key",
        "/authenticators/authenticate/recovery",
        "/authenticators/later",
    ] {
        let fields = [("token", theirs.as_str()), ("authenticator", &uid)];
        assert_eq!(browser.post(path, &fields).await.status, 403, "{path}");
        assert_eq!(browser.post(path, &fields[1..]).await.status, 403, "{path}");
        let fields = [("token", own.as_str()), ("authenticator", &uid)];
        let from = [("origin", "https://web.localhost:8443")];
        let shown = browser.post_from(path, &fields, &from).await;
        assert_eq!(shown.status, 403, "{path}");
    }
    // Authenticators of other Users do not exist for Mary.
    for path in ["/authenticators/rename", "/authenticators/remove"] {
        let fields = [("token", theirs.as_str()), ("authenticator", &uid)];
        assert_eq!(mary.post(path, &fields).await.status, 404, "{path}");
    }
    let left = authenticators(&replicas).await;
    assert_eq!(left.len(), 1);
    assert!(left[0].spec().unwrap().display_name.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn b19_a_name_is_shown_as_text() {
    let replicas = people(1).await;
    let (mut browser, _) = john_with_app(&replicas).await;
    let page = browser.get("/authenticators").await;
    let fields = [
        ("token", page.field("token")),
        ("authenticator", page.field("authenticator")),
        ("name", "<img src=x onerror=alert(1)>".to_owned()),
    ];
    let renamed = post(&mut browser, "/authenticators/rename", &fields).await;
    assert_eq!(renamed.location(), "/authenticators");
    let page = browser.get("/authenticators").await;
    page.says("&lt;img src=x onerror=alert(1)&gt;");
    assert!(!page.body.contains("<img src=x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_first_code_can_be_typed_again_and_no_secret_is_shown_twice() {
    let replicas = people(1).await;
    let mut browser = again(&replicas).await;
    let token = browser.get("/authenticators").await.field("token");
    let fields = [
        ("token", token.clone()),
        ("page", "/authenticators".to_owned()),
    ];
    let page = post(&mut browser, "/authenticators/totp", &fields).await;
    let app = App::scan(&page);
    let uid = page.field("authenticator");
    let with = |code: String| {
        let mut fields = fields.to_vec();
        fields.push(("authenticator", uid.clone()));
        fields.push(("code", code));
        fields
    };
    let wrong = post(
        &mut browser,
        "/authenticators/totp/finish",
        &with("000000".to_owned()),
    )
    .await;
    assert_eq!(wrong.status, 403);
    wrong.says("The code is wrong");
    assert!(!wrong.body.contains("data-copy"));
    let right = post(
        &mut browser,
        "/authenticators/totp/finish",
        &with(app.code(&replicas)),
    )
    .await;
    assert_eq!(right.status, 303, "{right:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passkeys_log_in_only_where_the_cluster_says_so() {
    let replicas = people(1).await;
    let mut browser = Browser::at(replicas.context(0));
    assert!(!browser.get("/login").await.body.contains("passkey"));
    let fields = [("state", "x"), ("response", "{}")];
    assert_eq!(browser.post("/login/passkey", &fields).await.status, 403);
    configure(&replicas, "enablePasskeyLogin: true").await;
    let page = browser.get("/login").await;
    page.says("Sign in with a passkey");
    page.says("autocomplete=\"username webauthn\"");
    page.says("&quot;userVerification&quot;:&quot;required&quot;");
    let state = page.field("state");
    let fields = [("state", state.as_str()), ("response", "{}")];
    let refused = browser.post("/login/passkey", &fields).await;
    assert_eq!(refused.status, 403);
    assert!(!browser.cookies.contains_key(SESSION));
}
