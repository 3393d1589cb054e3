//! Logins at a real provider with a real browser.

use super::{PEOPLE, Scene};
use crate::support::{upstream::Upstream, webdriver::Browser};

const SERVICE: &str = "
---
kind: Policy
metadata: { name: people }
spec: { rules: [{ effect: ALLOW, condition: { match: 'ctx.user.spec.type == \"HUMAN\"' } }] }
---
kind: Service
metadata: { name: pages, displayName: Pages of the team }
spec: { mode: HTTP, isPublic: true, authorization: { policies: [people] }, config: { upstream: { url: 'URL' }, http: { identity: { headers: true } } } }
";
const RULE: &str = "  postAuthenticationRules:
  - { effect: DENY, condition: { match: 'ctx.authenticationInfo.identityProvider.identifier == \"carol\"' } }
  - { effect: ALLOW, condition: { matchAny: true } }";

/// Creates a Cluster with the Service `pages`, whose people log in at the provider. Carol is denied.
async fn company() -> (Scene, Upstream) {
    let scene = tokio::task::spawn_blocking(Scene::start).await.unwrap();
    let upstream = Upstream::start().await;
    let url = format!("http://{}", upstream.address);
    let people = PEOPLE.replace("ISSUER", &scene.provider.issuer);
    let mappings = "  groupMappings:";
    let people = people.replace(mappings, &format!("{RULE}\n{mappings}"));
    let yaml = format!("{people}{}", SERVICE.replace("URL", &url));
    scene
        .root
        .sh_with_input("octeliumctl apply --include-secret -", &yaml)
        .success();
    (scene, upstream)
}

/// Selects the provider on the login page and logs in there.
async fn log_in(browser: &Browser, name: &str) {
    browser.sees("Continue with The company").await;
    browser.click(".choices button").await;
    at_the_provider(browser, name).await;
}

async fn at_the_provider(browser: &Browser, name: &str) {
    browser.sees("Sign-in").await;
    browser.fill("input[name=login]", name).await;
    browser.fill("input[name=password]", "x").await;
    browser.click("button[type=submit]").await;
}

/// Consents that the provider discloses the requested claims.
async fn agree(browser: &Browser) {
    browser.sees("Authorize").await;
    browser.click("button[type=submit]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_at_the_provider_and_returns_to_the_service() {
    let (scene, _upstream) = company().await;
    let browser = Browser::start().await;
    let wanted = format!("https://pages.{}/a/page?with=this", scene.cluster.domain());
    browser.open(&wanted).await;
    browser.sees("to continue to pages.localhost").await;
    browser.is_accessible().await;
    browser.picture("login-with-a-provider").await;
    log_in(&browser, "alice").await;
    agree(&browser).await;
    browser.sees("\"x-octelium-user\":\"alice\"").await;
    assert_eq!(browser.url().await, wanted);

    // Sign out and in again: the provider still has a session and asks nothing.
    browser.open(&scene.audience()).await;
    browser.click(".who button").await;
    browser.sees("You are signed out").await;
    browser.open(&wanted).await;
    browser.sees("Continue with The company").await;
    browser.click(".choices button").await;
    browser.sees("\"x-octelium-user\":\"alice\"").await;
    assert_eq!(browser.url().await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn w45_the_wrong_user_learns_why_and_can_switch() {
    let (scene, _upstream) = company().await;
    let browser = Browser::start().await;
    let wanted = format!("https://pages.{}/", scene.cluster.domain());
    browser.open(&wanted).await;
    log_in(&browser, "mallory").await;
    agree(&browser).await;
    browser.sees("you are not a User of this Cluster").await;
    browser.is_accessible().await;
    browser.picture("wrong-user").await;
    scene.audits("identity_unknown");

    // The provider would select her again, so it is asked to prompt. Her original URL is kept.
    browser.click(".notice a.button").await;
    log_in(&browser, "alice").await;
    agree(&browser).await;
    browser.sees("\"x-octelium-user\":\"alice\"").await;
    assert_eq!(browser.url().await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn w45_a_user_denied_by_a_rule_learns_why_and_gets_no_session() {
    let (scene, _upstream) = company().await;
    let browser = Browser::start().await;
    browser.open(&scene.audience()).await;
    log_in(&browser, "carol").await;
    agree(&browser).await;
    browser.sees("Sign in as someone else").await;
    browser.is_accessible().await;
    browser.picture("denied-by-rule").await;
    scene.audits("provider_rule");
    let sessions = scene.root.sh("octeliumctl get session").success();
    assert!(!sessions.stdout.contains("carol"), "{sessions:#?}");
    browser
        .open(&format!("{}/sessions", scene.audience()))
        .await;
    browser.sees("Continue with The company").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w45_a_cancelled_login_is_explained_and_can_be_retried() {
    let (scene, _upstream) = company().await;
    let browser = Browser::start().await;
    let wanted = format!("https://pages.{}/", scene.cluster.domain());
    browser.open(&wanted).await;
    browser.sees("Continue with The company").await;
    browser.click(".choices button").await;
    browser.sees("Cancel").await;
    browser.click("a[href*=abort]").await;
    browser.sees("was cancelled").await;
    browser.is_accessible().await;
    browser.picture("cancelled").await;
    browser.click(".notice a.button").await;
    log_in(&browser, "alice").await;
    agree(&browser).await;
    browser.sees("\"x-octelium-user\":\"alice\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w55_a_logout_at_the_provider_ends_the_session() {
    let (scene, _upstream) = company().await;
    let browser = Browser::start().await;
    let sessions = || {
        let sessions = scene
            .root
            .sh("octeliumctl get session --user alice -o json");
        let sessions: serde_json::Value = serde_json::from_str(&sessions.success().stdout).unwrap();
        sessions["items"].as_array().unwrap().len()
    };
    browser.open(&scene.audience()).await;
    log_in(&browser, "alice").await;
    agree(&browser).await;
    browser.sees("Pages of the team").await;
    assert_eq!(sessions(), 1);

    // Logout at the provider first, which notifies the Cluster.
    let end = format!("{}/session/end", scene.provider.issuer);
    browser.open(&end).await;
    browser.click("button[name=logout]").await;
    browser.sees("Sign-out Success").await;
    assert_eq!(sessions(), 0);
    browser.open(&scene.audience()).await;
    browser.sees("Continue with The company").await;

    // Logout here first, which offers the provider's logout.
    log_in(&browser, "alice").await;
    agree(&browser).await;
    browser.sees("Pages of the team").await;
    browser.click(".who button").await;
    browser.sees("Sign out of The company too").await;
    browser.is_accessible().await;
    browser.picture("logged-out-of-a-provider").await;
    assert_eq!(sessions(), 0);
    browser.click("section.card a.button").await;
    browser.click("button[name=logout]").await;
    browser.sees("Sign-out Success").await;
}
