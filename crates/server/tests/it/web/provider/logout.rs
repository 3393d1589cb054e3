//! Sessions ended by their provider (`OpenID` Connect Back-Channel Logout 1.0).

use std::time::Duration;

use api::resource::Object as _;
use serde_json::{Value, json};

use super::{Scene, log_in};
use crate::web::{Browser, Shown};

const PLACE: &str = "/oidc/backchannel-logout";

/// Sends a logout token as the provider does, directly and without a browser.
async fn send_logout_token(scene: &Scene, replica: usize, token: &str) -> Shown {
    let mut provider = Browser::at(scene.replicas.context(replica));
    provider
        .post_from(PLACE, &[("logout_token", token)], &[])
        .await
}

fn token(scene: &Scene, claims: &Value) -> String {
    scene.stub.state().logout_token(claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn w55_the_sessions_that_a_logout_token_names_end_everywhere() {
    let scene = Scene::on(2, "").await;
    let alice = scene.person("alice", "1234").await;
    let bob = scene.person("bob", "5678").await;
    scene.claims(json!({"sid": "laptop"}));
    let (mut laptop, _) = log_in(&scene).await;
    scene.claims(json!({"sid": "phone"}));
    let (mut phone, _) = log_in(&scene).await;
    scene.claims(json!({"sub": "5678", "sid": "bob's"}));
    log_in(&scene).await;
    assert_eq!(scene.sessions(&alice).await.len(), 2);

    // Another session of Alice, and her session with another subject. No Session ends, which is not an error.
    for claims in [
        json!({"sid": "tablet"}),
        json!({"sid": "phone", "sub": "5678"}),
    ] {
        let outcome = send_logout_token(&scene, 0, &token(&scene, &claims)).await;
        assert_eq!(outcome.status, 200, "{outcome:#?}");
        assert_eq!(scene.sessions(&alice).await.len(), 2);
    }
    let ended = token(&scene, &json!({"sid": "laptop"}));
    let outcome = send_logout_token(&scene, 1, &ended).await;
    assert_eq!(outcome.status, 200, "{outcome:#?}");
    assert_eq!(outcome.headers["cache-control"], "no-store");
    assert_eq!(scene.sessions(&alice).await.len(), 1);
    scene.replicas.settle().await;
    assert_eq!(laptop.get("/").await.location(), "/login");
    assert_eq!(phone.get("/").await.status, 200);

    // A logout token is accepted once.
    let again = send_logout_token(&scene, 0, &ended).await;
    assert_eq!(again.status, 400, "{again:#?}");
    assert!(again.body.contains("invalid_request"), "{again:#?}");

    // Ends all Sessions of a person.
    let all = json!({"sub": "1234", "jti": "all"});
    assert_eq!(
        send_logout_token(&scene, 0, &token(&scene, &all))
            .await
            .status,
        200
    );
    assert!(scene.sessions(&alice).await.is_empty());
    assert_eq!(scene.sessions(&bob).await.len(), 1);
    let ended = scene.replicas.audit().await;
    let ended = ended.iter().filter(|event| {
        event.r#type == "session.ended" && event.attrs.contains_key("identityProvider")
    });
    assert_eq!(ended.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_more_than_a_thousand_sessions_w55() {
    let scene = Scene::on(2, "").await;
    let alice = scene.person("alice", "1234").await;
    log_in(&scene).await;
    let session = scene.sessions(&alice).await.remove(0);
    scene.replicas.copy_session(&session, 2500).await;
    assert_eq!(scene.sessions(&alice).await.len(), 2501);

    let all = token(&scene, &json!({"sub": "1234"}));
    assert_eq!(send_logout_token(&scene, 0, &all).await.status, 200);
    assert!(scene.sessions(&alice).await.is_empty());
    assert_eq!(send_logout_token(&scene, 1, &all).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn w55_invalid_logout_tokens_end_no_sessions() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    log_in(&scene).await;
    let foreign = token(&scene, &json!({"iss": "https://other.example"}));
    let for_another = token(&scene, &json!({"aud": "another"}));
    for text in ["", "x", &foreign, &for_another] {
        let outcome = send_logout_token(&scene, 0, text).await;
        assert_eq!(outcome.status, 400, "{outcome:#?}");
    }
    assert_eq!(scene.sessions(&alice).await.len(), 1);
    let audited = scene.replicas.audit().await;
    let refused = audited.iter().filter(|event| {
        event.r#type == "session.ended"
            && ["logout_token", "provider_unknown"].contains(&event.reason.as_str())
    });
    assert!(refused.count() >= 2);

    // A new key cannot be fetched while the provider is down, but known keys still verify.
    let later = token(&scene, &json!({}));
    scene.stub.state().is_down = true;
    scene.stub.roll_key();
    // Keys are fetched again at intervals, not for each unknown key.
    scene.replicas.advance(Duration::from_secs(11));
    let unknown = token(&scene, &json!({"jti": "by a new key"}));
    let outcome = send_logout_token(&scene, 0, &unknown).await;
    assert_eq!(outcome.status, 400, "{outcome:#?}");
    assert_eq!(send_logout_token(&scene, 0, &later).await.status, 200);
    assert!(scene.sessions(&alice).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_a_logout_token_is_accepted_once() {
    let scene = std::sync::Arc::new(Scene::on(2, "").await);
    let alice = scene.person("alice", "1234").await;
    log_in(&scene).await;
    let token = token(&scene, &json!({}));
    let mut outcome = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (scene, token) = (scene.clone(), token.clone());
        outcome.spawn(async move { send_logout_token(&scene, number, &token).await.status });
    }
    let outcome = outcome.join_all().await;
    let heard = outcome.iter().filter(|status| **status == 200).count();
    assert_eq!(heard, 1, "{outcome:?}");
    assert!(scene.sessions(&alice).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logout_page_offers_a_logout_at_the_provider() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    let (mut browser, _) = log_in(&scene).await;
    let token = browser.get("/profile").await.field("token");
    let out = browser.post("/logout", &[("token", &token)]).await;
    out.says("Sign out of Staff login too");
    out.says(&format!(
        "href=\"{}/end?client_id=octelium\"",
        scene.stub.issuer()
    ));
    assert!(scene.sessions(&alice).await.is_empty());

    // A provider that is down does not prevent the logout.
    let (mut browser, _) = log_in(&scene).await;
    let session = scene.sessions(&alice).await.remove(0);
    assert!(!session.uid().is_empty());
    scene.stub.state().is_down = true;
    let token = browser.get("/profile").await.field("token");
    let out = browser.post("/logout", &[("token", &token)]).await;
    out.says("You are signed out");
    assert!(scene.sessions(&alice).await.is_empty());
}
