//! People with a real browser.

use serde_json::Value;

use crate::support::{
    cluster::{Cluster, Person},
    scene::Scene,
    webdriver::Browser,
};

/// Creates a Cluster with two people who may use the Service `web`.
pub(crate) async fn people() -> Scene {
    let scene = Scene::start().await;
    for user in ["john", "mary"] {
        let create = format!("octeliumctl create user --type human {user}");
        scene.admin.sh(&create).success();
    }
    let policy = "kind: Policy\nmetadata: { name: people }\nspec: { rules: [{ effect: ALLOW, condition: { match: 'ctx.user.spec.type == \"HUMAN\"' } }] }\n---\nkind: Service\nmetadata: { name: pages, displayName: Pages of the team, description: What everybody may read }\nspec: { mode: HTTP, isPublic: true, authorization: { policies: [people] }, config: { upstream: { url: 'URL' }, http: { identity: { headers: true } } } }\n";
    let url = format!("http://{}", scene.upstream.address);
    let policy = policy.replace("URL", &url);
    scene
        .admin
        .sh_with_input("octeliumctl apply -", &policy)
        .success();
    scene
}

pub(crate) fn link(admin: &Person, cluster: &Cluster, user: &str) -> String {
    let made = format!("octeliumctl create enrollment --user {user}");
    let made = admin.sh(&made).success();
    cluster.secret(made.stdout.trim())
}

pub(crate) async fn enroll(browser: &Browser, scene: &Scene, user: &str) {
    let link = link(&scene.admin, &scene.cluster, user);
    let (_, secret) = link.split_once('.').unwrap();
    scene.cluster.secret(secret);
    browser.open(&link).await;
    browser
        .sees(&format!("You will be signed in as {user}."))
        .await;
    browser.click("button[type=submit].wide").await;
    // A person without a passkey is offered one, and can skip it.
    browser.sees("Services").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_enrollment_link_shows_the_field_and_leaves_the_address_bar() {
    let scene = people().await;
    let browser = Browser::start().await;
    let domain = format!("https://{}", scene.cluster.domain());
    browser
        .open(&format!("{domain}/enroll#john.%E0%A4%A"))
        .await;
    browser.sees("The link that you were given").await;
    assert_eq!(browser.url().await, format!("{domain}/enroll"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_with_a_link_and_opens_every_page() {
    let scene = people().await;
    let browser = Browser::start().await;
    let domain = format!("https://{}", scene.cluster.domain());
    browser.open(&domain).await;
    assert_eq!(browser.url().await, format!("{domain}/login"));
    browser.sees("octeliumctl create enrollment").await;
    browser.is_accessible().await;
    browser.picture("login").await;

    let link = link(&scene.admin, &scene.cluster, "john");
    browser.open(&link).await;
    browser.sees("You will be signed in as john.").await;
    // The token is neither in the address bar nor in the history.
    assert_eq!(browser.url().await, format!("{domain}/enroll"));
    browser.is_accessible().await;
    browser.picture("enroll").await;
    browser.click("button[type=submit].wide").await;
    browser.sees("Add a passkey or security key").await;
    browser.is_accessible().await;
    browser.picture("offer").await;
    browser.click("p.fine a").await;
    browser.sees("Pages of the team").await;
    assert_eq!(browser.url().await, format!("{domain}/"));
    // Scripts cannot read the cookie.
    assert_eq!(browser.run("return document.cookie").await, Value::from(""));
    for (path, text) in [
        ("/", "What everybody may read"),
        ("/sessions", "This browser"),
        ("/devices", "No Devices yet"),
        ("/profile", "john"),
        ("/nothing", "Page not found"),
    ] {
        browser.open(&format!("{domain}{path}")).await;
        browser.sees(text).await;
        browser.is_accessible().await;
        let name = path.trim_start_matches('/');
        browser
            .picture(if name.is_empty() { "services" } else { name })
            .await;
    }

    browser.open(&domain).await;
    browser.fill("#q", "nothing like that\u{e007}").await;
    browser.sees("No Service matches your search").await;

    // The link is used a second time.
    browser.open(&link).await;
    browser.click("button[type=submit].wide").await;
    browser.sees("This link was already used").await;
    browser.is_accessible().await;
    browser.picture("used").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_returns_to_the_service_and_logs_out_of_it() {
    let scene = people().await;
    let browser = Browser::start().await;
    let service = format!("https://pages.{}", scene.cluster.domain());
    let wanted = format!("{service}/a/page?with=this");

    browser.open(&wanted).await;
    browser.sees("to continue to pages.localhost").await;
    browser.picture("login-for-a-service").await;
    enroll(&browser, &scene, "john").await;
    browser.open(&wanted).await;
    assert_eq!(browser.url().await, wanted);
    let seen = browser.text().await;
    let seen: Value = serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"));
    assert_eq!(seen["headers"]["x-octelium-user"], "john");
    assert_eq!(seen["headers"]["cookie"], Value::Null, "{seen}");
    assert_eq!(
        browser.cookies().await.len(),
        2,
        "those of this host alone: {:?}",
        browser.cookies().await
    );

    // Another Service recognizes the person without a login.
    browser
        .open(&format!("https://web.{}/", scene.cluster.domain()))
        .await;
    browser.sees("Access was denied").await;

    browser
        .open(&format!("https://{}/", scene.cluster.domain()))
        .await;
    browser.click(".who button").await;
    browser.sees("You are signed out").await;
    browser.is_accessible().await;
    browser.picture("logged-out").await;
    browser.open(&wanted).await;
    browser.sees("Sign in").await;
    assert!(browser.url().await.contains("/login?return="));
}

#[tokio::test(flavor = "multi_thread")]
async fn w46_two_people_use_one_browser_one_after_the_other() {
    let scene = people().await;
    let browser = Browser::start().await;
    let service = format!("https://pages.{}/", scene.cluster.domain());
    enroll(&browser, &scene, "john").await;
    browser.open(&service).await;
    browser.sees("\"john\"").await;

    enroll(&browser, &scene, "mary").await;
    browser.sees("mary").await;
    // No state of John is left, not even at the Service.
    browser.open(&service).await;
    browser.sees("\"mary\"").await;
    let sessions = scene
        .admin
        .sh("octeliumctl get session --user john -o json")
        .success();
    let sessions: Value = serde_json::from_str(&sessions.stdout).unwrap();
    assert_eq!(sessions["items"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn w02_w09_a_service_cannot_act_in_the_portal_for_its_visitor() {
    let scene = people().await;
    let browser = Browser::start().await;
    let domain = format!("https://{}", scene.cluster.domain());
    enroll(&browser, &scene, "john").await;
    let evil = format!("https://pages.{}/", scene.cluster.domain());
    browser.open(&evil).await;
    browser.sees("\"john\"").await;
    // A script there can send any request, but cannot read the responses.
    let script = format!(
        "const done = arguments[arguments.length - 1];
         const send = (url, options) => fetch(url, {{ credentials: 'include', mode: 'no-cors', ...options }});
         Promise.all([
             send('{domain}/logout', {{ method: 'POST', body: new URLSearchParams({{ token: 'x' }}) }}),
             send('{domain}/sessions/end-all', {{ method: 'POST', body: new URLSearchParams() }}),
         ]).then(() => done('sent'), error => done(String(error)));"
    );
    assert_eq!(browser.run_async(&script).await, Value::from("sent"));
    let read = format!(
        "const done = arguments[arguments.length - 1];
         fetch('{domain}/', {{ credentials: 'include' }}).then(() => done('read'), () => done('refused'));"
    );
    assert_eq!(browser.run_async(&read).await, Value::from("refused"));
    browser.open(&domain).await;
    browser.sees("Pages of the team").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_a_command_line_login() {
    let scene = people().await;
    let browser = Browser::start().await;
    enroll(&browser, &scene, "john").await;
    let terminal = scene.cluster.person();
    let mut login = terminal.begin("octelium login --no-browser");
    let url = login.line();
    browser.open(&url).await;
    browser.sees("Approve this sign-in?").await;
    browser.is_accessible().await;
    browser.picture("approval").await;
    browser.click("button[value=approve]").await;
    assert!(login.ends().success());
    // The client has redirected the browser.
    browser.sees("Pages of the team").await;
    let status = terminal.sh("octelium status -o json").success();
    assert!(status.stdout.contains("john"), "{status:#?}");
    terminal.sh("octelium get service").success();

    // Another client is rejected.
    let other = scene.cluster.person();
    let mut login = other.begin("octelium login --no-browser");
    browser.open(&login.line()).await;
    browser.click("button[value=reject]").await;
    browser.sees("The sign-in was denied").await;
    browser.is_accessible().await;
    login.kill();
    assert_eq!(other.sh("octelium status").code, 4);

    browser
        .open(&format!("https://{}/sessions", scene.cluster.domain()))
        .await;
    browser.sees("Command line").await;
    browser.picture("sessions-of-two").await;
}

/// Location databases that contain the address of this machine.
fn geoip_database(file: &str) -> String {
    format!("{}/../server/tests/data/{file}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_show_their_location_and_policies_can_use_it() {
    let (cities, networks) = (
        geoip_database("cities.mmdb"),
        geoip_database("networks.mmdb"),
    );
    let cluster = Cluster::start_with(&[
        "--geoip-database",
        &cities,
        "--geoip-asn-database",
        &networks,
    ]);
    let scene = Scene::on(cluster).await;
    let there = |country: &str| {
        let info = "ctx.session.status.authentication.info.geoip";
        format!(
            "kind: Policy\nmetadata: {{ name: there }}\nspec: {{ rules: [{{ effect: ALLOW, condition: {{ match: '{info}.country.code == \"{country}\" && {info}.network.asn == 64496' }} }}] }}\n"
        )
    };
    let url = format!("http://{}", scene.upstream.address);
    let service = format!(
        "---\nkind: User\nmetadata: {{ name: john }}\nspec: {{ type: HUMAN }}\n---\nkind: Service\nmetadata: {{ name: pages }}\nspec: {{ mode: HTTP, isPublic: true, authorization: {{ policies: [there] }}, config: {{ upstream: {{ url: '{url}' }} }} }}\n"
    );
    let apply = |policy: &str| {
        let yaml = format!("{policy}{service}");
        scene
            .admin
            .sh_with_input("octeliumctl apply -", &yaml)
            .success();
    };
    apply(&there("DE"));
    let browser = Browser::start().await;
    enroll(&browser, &scene, "john").await;
    browser
        .open(&format!("https://{}/sessions", scene.cluster.domain()))
        .await;
    browser.sees("Berlin, Germany").await;
    browser.is_accessible().await;
    browser.picture("sessions-with-places").await;
    let page = format!("https://pages.{}/", scene.cluster.domain());
    browser.open(&page).await;
    browser.sees("\"headers\"").await;
    apply(&there("FR"));
    browser.open(&page).await;
    browser.sees("Access was denied").await;
    let session = scene
        .admin
        .sh("octeliumctl get session --user john -o json")
        .success();
    assert!(session.stdout.contains("Example Networks"), "{session:#?}");

    let terminal = scene.cluster.person();
    let mut login = terminal.begin("octelium login --device");
    let (place, code) = (login.line(), login.line());
    browser.open(&place).await;
    browser
        .fill("#code", code.strip_prefix("Code: ").unwrap())
        .await;
    browser.click("button.wide").await;
    browser.sees("Location").await;
    login.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_logs_in_a_machine_without_a_browser() {
    let scene = people().await;
    let browser = Browser::start().await;
    let terminal = scene.cluster.person();
    let mut login = terminal.begin("octelium login --device");
    let (place, code) = (login.line(), login.line());
    let code = code.strip_prefix("Code: ").unwrap();
    enroll(&browser, &scene, "mary").await;
    browser.open(&place).await;
    browser.sees("Sign in a device").await;
    browser.is_accessible().await;
    browser.picture("device").await;
    browser.fill("#code", code).await;
    browser.click("button.wide").await;
    browser.sees("Approve this sign-in?").await;
    browser.sees(code).await;
    browser.is_accessible().await;
    browser.picture("device-question").await;
    browser.click("button[value=approve]").await;
    browser.sees("The device is signed in").await;
    assert!(login.ends().success());
    let status = terminal.sh("octelium status -o json").success();
    assert!(status.stdout.contains("mary"), "{status:#?}");
}
