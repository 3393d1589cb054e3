//! Services that require a fresh or a stronger authentication (RFC 9470).

use std::fs;

use prost::Message as _;

use crate::{
    authenticators::{add_totp, names, next_code},
    browser::{enroll, people},
    support::{
        cluster::{Cluster, Person},
        scene::Scene,
        webdriver::{Authenticator, Browser},
    },
};

/// One Service requires a recently used Authenticator, the other a security key or a passkey.
const SERVICES: &str = r#"
kind: Policy
metadata: { name: recent-second-factor }
spec:
  rules:
    - effect: ALLOW
      condition:
        all:
          of:
            - match: ctx.session.status.authentication.info.type == "AUTHENTICATOR"
            - match: now() - ctx.session.status.authentication.setAt < duration("10m")
---
kind: Policy
metadata: { name: key }
spec:
  rules:
    - effect: ALLOW
      condition:
        match: ctx.session.status.authentication.info.authenticator.userPresent
---
kind: Service
metadata: { name: payroll }
spec: { mode: HTTP, isPublic: true, authorization: { policies: [recent-second-factor] }, config: { upstream: { url: 'URL' } } }
---
kind: Service
metadata: { name: vault }
spec: { mode: HTTP, isPublic: true, authorization: { policies: [key] }, config: { upstream: { url: 'URL' } } }
"#;

fn serve(scene: &Scene) {
    let services = SERVICES.replace("URL", &format!("http://{}", scene.upstream.address));
    let applied = scene.admin.sh_with_input("octeliumctl apply -", &services);
    applied.success();
}

/// Returns the access token that the command-line client of `person` stored.
fn access_token(cluster: &Cluster, person: &Person) -> String {
    let kept = fs::read(person.home().join("octelium/octelium.db")).unwrap();
    let kept = api::config_v1::State::decode(kept.as_slice()).unwrap();
    let tokens = kept
        .domain_map
        .into_values()
        .filter_map(|domain| domain.session_token);
    let tokens: Vec<String> = tokens.map(|tokens| tokens.access_token).collect();
    let [token] = tokens.as_slice() else {
        panic!("{} logins", tokens.len());
    };
    cluster.secret(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn b07_a_step_up_challenge_offers_no_weaker_factor() {
    let scene = people().await;
    serve(&scene);
    let cluster = &scene.cluster;
    let made = scene
        .admin
        .sh("octeliumctl create credential --user john cred01");
    let token = cluster.secret(&made.success().value("Authentication Token:"));
    let john = cluster.person();
    john.sh(&format!("octelium login --auth-token {token}"))
        .success();

    // A person without an Authenticator learns which kinds they could add.
    let get = async |service: &str| {
        let token = access_token(cluster, &john);
        let host = format!("{service}.localhost");
        scene.https.get(&host, "/", &token).await
    };
    let none = get("payroll").await;
    assert_eq!(none.status, 401);
    let challenge = none.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_user_authentication\"")
            && challenge.contains("you have none of these yet"),
        "{challenge}"
    );

    let secret = add_totp(cluster, &john);
    let name = names(&john).remove(0);
    let wanted = get("payroll").await;
    assert_eq!(wanted.status, 401);
    let challenge = wanted.header("www-authenticate");
    assert!(
        ["599", "600"]
            .iter()
            .any(|age| challenge.ends_with(&format!(
                "acr_values=\"urn:octelium:acr:totp\", max_age=\"{age}\""
            ))),
        "{challenge}"
    );
    // The explanation for administrators.
    let session = scene
        .admin
        .sh("octeliumctl get session --user john -o field=metadata.name")
        .success();
    let session = session.stdout.trim().to_owned();
    let why = format!("octeliumctl policy why --user john --session {session} --service payroll");
    let why = scene.admin.sh(&why).success();
    assert!(
        why.stdout
            .contains("It would be allowed if the User verified their identity")
            && why
                .stdout
                .contains(&format!("Authenticators of the User: {name}")),
        "{why:#?}"
    );

    let code = next_code(&john, &secret);
    john.sh(&format!("echo {code} | octelium auth authenticator {name}"))
        .success();
    assert_eq!(get("payroll").await.status, 200);
    // A code does not replace a key, however recent it is.
    let vault = get("vault").await;
    assert_eq!(vault.status, 401, "{vault:?}");
    let challenge = vault.header("www-authenticate");
    assert!(challenge.ends_with("acr_values=\"phr\""), "{challenge}");
    let log = cluster.log_with("step_up");
    assert!(log.contains("a code from your authenticator app"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_how_to_step_up() {
    let scene = people().await;
    let cluster = &scene.cluster;
    let policy = r#"
kind: Policy
metadata: { name: proved }
spec:
  rules:
    - effect: DENY
      priority: -1
      condition:
        all:
          of:
            - match: ctx.request.grpc.method == "GetStatus"
            - not: ctx.session.status.authentication.info.type == "AUTHENTICATOR"
---
kind: User
metadata: { name: john }
spec: { type: HUMAN, authorization: { policies: [proved] } }
"#;
    scene
        .admin
        .sh_with_input("octeliumctl apply -", policy)
        .success();
    let made = scene
        .admin
        .sh("octeliumctl create credential --user john cred01");
    let token = cluster.secret(&made.success().value("Authentication Token:"));
    let john = cluster.person();
    john.sh(&format!("octelium login --auth-token {token}"))
        .success();
    let secret = add_totp(cluster, &john);
    let denied = john.sh("octelium status");
    assert_eq!(denied.code, 5, "{denied:#?}");
    assert!(
        denied
            .stderr
            .contains("with a code from your authenticator app")
            && denied.stderr.contains("octelium auth authenticator NAME"),
        "{denied:#?}"
    );
    let code = next_code(&john, &secret);
    let name = names(&john).remove(0);
    john.sh(&format!("echo {code} | octelium auth authenticator {name}"))
        .success();
    john.sh("octelium status").success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_redirected_to_the_step_up_and_back() {
    let scene = people().await;
    serve(&scene);
    let browser = Browser::start().await;
    browser.authenticator(Authenticator::Platform).await;
    let domain = scene.cluster.domain();
    enroll(&browser, &scene, "john").await;

    browser.open(&format!("https://{domain}/")).await;
    browser.sees("Asks you to verify it's you").await;
    browser.is_accessible().await;
    browser.picture("services-after-proof").await;

    // Without an Authenticator, a suitable one is added on the way.
    let wanted = format!("https://vault.{domain}/a/page?with=this");
    browser.open(&wanted).await;
    browser
        .sees("You have no Authenticator yet that is accepted here")
        .await;
    browser
        .sees("vault.localhost requires more than your sign-in")
        .await;
    browser.is_accessible().await;
    browser.picture("step-up-nothing-yet").await;
    browser
        .click("form[action='/authenticators/fido'] button")
        .await;
    browser.click("form[data-webauthn] button").await;
    // The key was added, but not used yet.
    browser.sees("Use a passkey or security key").await;
    browser.is_accessible().await;
    browser.picture("step-up").await;
    browser.click("form[data-webauthn] button").await;
    browser.sees("\"/a/page\"").await;
    assert_eq!(browser.url().await, wanted);

    // The same authentication is recent enough for the other Service.
    let payroll = format!("https://payroll.{domain}/");
    browser.open(&payroll).await;
    browser.sees("\"headers\"").await;
    assert_eq!(browser.url().await, payroll);
    // If no authentication would suffice, access stays denied, without a redirect loop.
    browser.open(&format!("https://web.{domain}/")).await;
    browser.sees("Access was denied").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_asks_for_the_system_of_the_machine() {
    let scene = people().await;
    let cluster = &scene.cluster;
    let of = |name: &str, systems: &str| {
        let url = format!("http://{}", scene.upstream.address);
        format!(
            "---\nkind: Policy\nmetadata: {{ name: {name} }}\nspec: {{ rules: [{{ effect: ALLOW, condition: {{ match: 'ctx.device.status.osType in {systems}' }} }}] }}\n\
             ---\nkind: Service\nmetadata: {{ name: {name} }}\nspec: {{ mode: HTTP, isPublic: true, authorization: {{ policies: [{name}] }}, config: {{ upstream: {{ url: '{url}' }} }} }}\n"
        )
    };
    let services = of("unix", r#"["LINUX", "MAC"]"#) + &of("windows", r#"["WINDOWS"]"#);
    let applied = scene.admin.sh_with_input("octeliumctl apply -", &services);
    applied.success();
    let made = scene
        .admin
        .sh("octeliumctl create credential --user john cred01");
    let token = cluster.secret(&made.success().value("Authentication Token:"));
    let john = cluster.person();
    john.sh(&format!(
        "OCTELIUM_REGISTER_DEVICE=false octelium login --auth-token {token}"
    ))
    .success();
    let get = async |service: &str| {
        let token = access_token(cluster, &john);
        let host = format!("{service}.localhost");
        scene.https.get(&host, "/", &token).await.status
    };
    assert_eq!((get("unix").await, get("windows").await), DENIED);
    john.sh("octelium auth device").success();
    assert_eq!(get("unix").await, 200);
    assert_eq!(get("windows").await, 403);
    // A Device that an administrator rejected loses access.
    let device = scene
        .admin
        .sh("octeliumctl get device -o field=metadata.name");
    let device = device.success().stdout.trim().to_owned();
    let reject = format!("octeliumctl update device --reject {device}");
    scene.admin.sh(&reject).success();
    assert_ne!(get("unix").await, 200);
}

const DENIED: (http::StatusCode, http::StatusCode) =
    (http::StatusCode::FORBIDDEN, http::StatusCode::FORBIDDEN);
