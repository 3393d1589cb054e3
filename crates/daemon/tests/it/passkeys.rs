//! Passkeys and security keys in a real browser.

use crate::{
    browser::{enroll, people},
    support::{
        program::target,
        qr,
        scene::Scene,
        webdriver::{Authenticator, Browser},
    },
};

fn configure(scene: &Scene, authenticator: &str) {
    let config = format!(
        "kind: ClusterConfig\nmetadata: {{ name: default }}\nspec: {{ authenticator: {{ {authenticator} }} }}\n"
    );
    scene
        .admin
        .sh_with_input("octeliumctl apply -", &config)
        .success();
}

async fn log_out(browser: &Browser, domain: &str) {
    browser.open(domain).await;
    browser.click(".who button").await;
    browser.sees("You are signed out").await;
}

async fn looks_well(browser: &Browser, name: &str) {
    browser.is_accessible().await;
    browser.picture(name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w32_a_passkey_is_added_raises_a_session_and_creates_one() {
    let scene = people().await;
    let browser = Browser::start().await;
    browser.authenticator(Authenticator::Platform).await;
    let domain = format!("https://{}", scene.cluster.domain());
    let page = format!("{domain}/authenticators");
    enroll(&browser, &scene, "john").await;

    browser.open(&page).await;
    browser.sees("You have none yet").await;
    looks_well(&browser, "authenticators-none").await;
    browser.fill("#name", "Laptop").await;
    browser.click("[formaction='/authenticators/fido']").await;
    browser.sees("Your browser asks where to save it").await;
    looks_well(&browser, "authenticators-key").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("Laptop").await;
    assert_eq!(browser.url().await, page);
    browser.sees("Passkey").await;

    // The same key cannot be added twice.
    browser.click("[formaction='/authenticators/fido']").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("This is already registered").await;
    looks_well(&browser, "authenticators-key-again").await;

    browser.open(&page).await;
    browser
        .click("form[action='/authenticators/recovery'] button")
        .await;
    browser.sees("They are not shown again").await;
    looks_well(&browser, "recovery-codes").await;
    browser.open(&page).await;
    browser.sees("10 left").await;
    looks_well(&browser, "authenticators").await;
    browser.click(".row a").await;
    browser.sees("Remove Laptop?").await;
    looks_well(&browser, "authenticator-remove").await;

    configure(
        &scene,
        "enablePasskeyLogin: true, authenticationEnforcementRules: [{ condition: { matchAny: true }, effect: ENFORCE }]",
    );
    // As a second factor, on the way to a Service.
    log_out(&browser, &domain).await;
    enroll(&browser, &scene, "john").await;
    let wanted = format!("https://pages.{}/a/page?with=this", scene.cluster.domain());
    browser.open(&wanted).await;
    browser.sees("Verify it's you").await;
    looks_well(&browser, "authenticate").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("\"john\"").await;
    assert_eq!(browser.url().await, wanted);

    // As the only factor: an authenticator without user presence answers as soon as the field of the login page asks.
    log_out(&browser, &domain).await;
    browser.open(&wanted).await;
    browser.sees("\"john\"").await;
    assert_eq!(browser.url().await, wanted);

    // With the button, in a browser that does not offer passkeys in fields.
    log_out(&browser, &domain).await;
    browser
        .before_pages("delete PublicKeyCredential.isConditionalMediationAvailable;")
        .await;
    browser.open(&wanted).await;
    browser.sees("Sign in with a passkey").await;
    looks_well(&browser, "login-with-a-passkey").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("\"john\"").await;
    assert_eq!(browser.url().await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn w33_a_security_key_is_added_if_the_rules_require_one() {
    let scene = people().await;
    configure(
        &scene,
        "registrationEnforcementRules: [{ condition: { matchAny: true }, effect: ENFORCE }]",
    );
    let browser = Browser::start().await;
    browser.authenticator(Authenticator::U2f).await;
    let domain = format!("https://{}", scene.cluster.domain());
    enroll(&browser, &scene, "mary").await;
    browser.open(&format!("{domain}/profile")).await;
    browser.sees("The rules of this Cluster require one").await;
    looks_well(&browser, "register").await;
    browser
        .click("form[action='/authenticators/totp'] button")
        .await;
    browser.sees("Scan this with an authenticator app").await;
    browser.click("summary").await;
    looks_well(&browser, "authenticators-app").await;
    for shape in ["wide-light", "wide-dark", "narrow-light", "narrow-dark"] {
        let picture = format!("test-tools/pictures/authenticators-app-{shape}.png");
        let url = qr::in_picture(&target().join(picture));
        assert!(url.starts_with("otpauth://totp/"), "{shape}: {url}");
    }
    browser.fill("#code", "000000\u{e007}").await;
    browser.sees("The code is wrong").await;
    looks_well(&browser, "authenticators-app-wrong").await;
    browser.click("p.fine a").await;
    browser
        .click("form[action='/authenticators/fido'] button")
        .await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("On the command line").await;
    assert_eq!(browser.url().await, format!("{domain}/profile"));
    browser.open(&format!("{domain}/authenticators")).await;
    browser.sees("Security key").await;
    browser.sees("On one device only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b10_a_key_raises_a_command_line_session_through_the_browser() {
    let scene = people().await;
    let browser = Browser::start().await;
    browser.authenticator(Authenticator::Platform).await;
    let domain = format!("https://{}", scene.cluster.domain());
    enroll(&browser, &scene, "john").await;
    browser.open(&format!("{domain}/authenticators")).await;
    browser.click("[formaction='/authenticators/fido']").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("Passkey").await;

    let made = scene
        .admin
        .sh("octeliumctl create credential --user john cred01")
        .success();
    let token = scene.cluster.secret(&made.value("Authentication Token:"));
    let john = scene.cluster.person();
    john.sh(&format!("octelium login --auth-token {token}"))
        .success();
    // The person at the browser need not be signed in there.
    log_out(&browser, &domain).await;
    let mut proof = john.begin("octelium auth authenticator --no-browser");
    browser.open(&proof.line()).await;
    browser.sees("that is signed in as john").await;
    browser.sees("octelium auth authenticator").await;
    looks_well(&browser, "authenticate-for-a-program").await;
    browser.click("form[data-webauthn] button").await;
    assert!(proof.ends().success());
    let session = scene
        .admin
        .sh("octeliumctl get session --user john -o json")
        .success();
    assert!(
        session.stdout.contains("\"AUTHENTICATOR\"") && session.stdout.contains("\"FIDO\""),
        "{session:#?}"
    );
    john.sh("octelium status").success();
}

#[tokio::test(flavor = "multi_thread")]
async fn b13_a_copied_key_is_detected_and_missing_user_verification_is_reported() {
    let scene = people().await;
    let browser = Browser::start().await;
    let key = browser.authenticator(Authenticator::Unverifying).await;
    let domain = format!("https://{}", scene.cluster.domain());
    enroll(&browser, &scene, "mary").await;
    browser.open(&format!("{domain}/authenticators")).await;
    browser.click("[formaction='/authenticators/fido']").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("Security key").await;
    let copy = browser.credentials(&key).await;
    assert_eq!(copy.len(), 1, "{copy:?}");

    let prove = async || {
        browser
            .open(&format!("{domain}/authenticators/authenticate"))
            .await;
        browser.click("form[data-webauthn] button").await;
    };
    for _ in 0..2 {
        prove().await;
        browser.sees("Pages of the team").await;
    }
    let session = scene
        .admin
        .sh("octeliumctl get session --user mary -o json")
        .success();
    assert!(
        session.stdout.contains("\"userPresent\": true")
            && !session.stdout.contains("\"userVerified\": true"),
        "{session:#?}"
    );

    // A cloned key is used.
    browser.replace_credentials(&key, &copy).await;
    prove().await;
    browser.sees("there may be a copy of it").await;
    looks_well(&browser, "authenticator-cloned").await;
    let state = scene
        .admin
        .sh("octeliumctl get authn --user mary -o field=spec.state")
        .success();
    assert_eq!(state.stdout.trim(), "PENDING");
}
