use std::{sync::Arc, time::Duration};

use domain::{
    clock::{Clock as _, ManualClock, UnixMillis},
    rng::SystemRng,
};
use rstest::rstest;
use serde_json::{Value, json};

use super::{
    github,
    oidc::{Registration, RelyingParty},
    testing::{CLIENT_ID, CLIENT_SECRET, Callback, Stub},
    *,
};

const REDIRECT: &str = "https://cluster.example/callback";

struct Scene {
    stub: Stub,
    relying_party: RelyingParty,
    clock: Arc<ManualClock>,
    uses_user_info: bool,
    identifier_claim: &'static str,
    allows_unverified_email: bool,
    force_authentication: bool,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(UnixMillis(1_795_305_600_000)));
        let stub = Stub::start(clock.clone()).await;
        let relying_party = RelyingParty::new(&stub.issuer(), stub.outbound(), clock.clone());
        Self {
            stub,
            relying_party,
            clock,
            uses_user_info: false,
            identifier_claim: "",
            allows_unverified_email: false,
            force_authentication: false,
        }
    }

    fn registration(&self) -> Registration<'_> {
        Registration {
            client_id: CLIENT_ID,
            client_secret: CLIENT_SECRET,
            redirect_url: REDIRECT,
            scopes: &[],
            identifier_claim: self.identifier_claim,
            uses_user_info: self.uses_user_info,
            allows_unverified_email: self.allows_unverified_email,
        }
    }

    async fn begin(&self) -> (AuthorizationRequest, Callback) {
        let authorization_request = self
            .relying_party
            .begin(
                &self.registration(),
                "the state",
                self.force_authentication,
                &SystemRng,
            )
            .await;
        let authorization_request = authorization_request.unwrap();
        let callback = self.stub.authorize(&authorization_request.url);
        assert_eq!(callback.state, "the state");
        (authorization_request, callback)
    }

    async fn finish(
        &self,
        authorization_request: &AuthorizationRequest,
        callback: &Callback,
    ) -> Result<ExternalIdentity, LoginError> {
        let authorization_response = AuthorizationResponse {
            code: Some(&callback.code),
            issuer: Some(&callback.iss),
            error: None,
        };
        self.relying_party
            .finish(
                &self.registration(),
                &authorization_request.login_state,
                authorization_response,
            )
            .await
    }

    async fn log_in(&self) -> Result<ExternalIdentity, LoginError> {
        let (authorization_request, callback) = self.begin().await;
        self.finish(&authorization_request, &callback).await
    }

    fn claims(&self, claims: Value) {
        self.stub.state().claims = claims;
    }
}

#[tokio::test]
async fn a_login_returns_the_identity() {
    let scene = Scene::new().await;
    scene.claims(json!({
        "email": "Alice@Example.com", "email_verified": true, "name": "Alice A.",
        "picture": "https://idp.example/a.png", "groups": ["dev"],
    }));
    let (authorization_request, callback) = scene.begin().await;
    for part in [
        "scope=openid+profile+email",
        "response_type=code",
        "nonce=",
        "code_challenge=",
    ] {
        assert!(
            authorization_request.url.contains(part),
            "{part} in {}",
            authorization_request.url
        );
    }
    let identity = scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap();
    assert_eq!(identity.identifier, "1234");
    assert_eq!(identity.email.as_deref(), Some("alice@example.com"));
    assert_eq!(identity.name.as_deref(), Some("Alice A."));
    assert_eq!(
        identity.picture.as_deref(),
        Some("https://idp.example/a.png")
    );
    assert_eq!(identity.claims["groups"], json!(["dev"]));
}

#[tokio::test]
async fn w04_a_code_works_once() {
    let scene = Scene::new().await;
    let (authorization_request, callback) = scene.begin().await;
    scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap();
    let error = scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap_err();
    assert!(matches!(error, LoginError::Refused(code) if code == "invalid_grant"));
}

#[tokio::test]
async fn w03_a_code_of_another_login_is_refused() {
    let scene = Scene::new().await;
    let (victim, _) = scene.begin().await;
    let (_, attacker) = scene.begin().await;
    // Victim's verifier with the attacker's code.
    let error = scene.finish(&victim, &attacker).await.unwrap_err();
    assert!(matches!(error, LoginError::Refused(code) if code == "invalid_grant"));
}

#[rstest]
#[case(json!({"nonce": "another"}))]
#[case(json!({"nonce": null}))]
#[case(json!({"iss": "https://other.example"}))]
#[case(json!({"aud": "another"}))]
#[case(json!({"aud": ["octelium", "another"]}))]
#[case(json!({"aud": []}))]
#[case(json!({"azp": "another"}))]
#[case(json!({"exp": 1_795_305_540}))]
#[case(json!({"exp": null}))]
#[case(json!({"iat": 1_795_305_661}))]
#[case(json!({"nbf": 1_795_305_661}))]
#[case(json!({"nbf": "now"}))]
#[case(json!({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}))]
#[case(json!({"sub": null}))]
#[case(json!({"sub": ""}))]
#[tokio::test]
async fn w02_w55_claims_of_an_id_token_are_checked(#[case] claims: Value) {
    let scene = Scene::new().await;
    scene.claims(claims);
    let error = scene.log_in().await.unwrap_err();
    assert!(matches!(error, LoginError::Invalid(_)), "{error}");
}

#[rstest]
#[case(json!({"alg": "none"}))]
#[case(json!({"alg": "HS256"}))]
#[case(json!({"alg": "RS256"}))]
#[case(json!({"alg": "ES256", "kid": "../../etc"}))]
#[case(json!({"alg": "ES256", "crit": ["x"]}))]
#[case(json!({"alg": "ES256", "typ": "logout+jwt"}))]
#[tokio::test]
async fn a08_an_id_token_is_signed_by_a_key_of_its_issuer(#[case] header: Value) {
    let scene = Scene::new().await;
    scene.stub.state().header = Some(header);
    scene.log_in().await.unwrap_err();
}

#[tokio::test]
async fn w02_a_response_from_another_issuer_is_refused() {
    let scene = Scene::new().await;
    let (authorization_request, mut callback) = scene.begin().await;
    callback.iss = "https://other.example".to_owned();
    scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap_err();
    assert_eq!(
        scene.stub.state().asked.get("/token"),
        None,
        "the code went to the wrong issuer"
    );
    // A callback without `iss` is rejected if the metadata announce it.
    let scene = Scene::new().await;
    scene.stub.state().promises_issuer = true;
    let (authorization_request, callback) = scene.begin().await;
    let authorization_response = AuthorizationResponse {
        code: Some(&callback.code),
        ..AuthorizationResponse::default()
    };
    let outcome = scene
        .relying_party
        .finish(
            &scene.registration(),
            &authorization_request.login_state,
            authorization_response,
        )
        .await;
    outcome.unwrap_err();
    assert_eq!(scene.stub.state().asked.get("/token"), None);
}

#[rstest]
#[case(json!({"email": "a@example.com"}), false, None)]
#[case(json!({"email": "a@example.com"}), true, Some("a@example.com"))]
#[case(json!({"email": "a@example.com", "email_verified": false}), true, None)]
#[case(json!({"email": "a@example.com", "email_verified": "true"}), false, Some("a@example.com"))]
#[case(json!({"email": "a@example.com", "email_verified": "false"}), true, None)]
#[case(json!({"email": "a@evil@example.com", "email_verified": true}), true, None)]
#[tokio::test]
async fn w50_c12_only_a_verified_address_counts(
    #[case] claims: Value,
    #[case] allows_unverified_email: bool,
    #[case] expected: Option<&str>,
) {
    let mut scene = Scene::new().await;
    scene.allows_unverified_email = allows_unverified_email;
    scene.claims(claims);
    assert_eq!(scene.log_in().await.unwrap().email.as_deref(), expected);
    // The same rule applies if the email address is the identifier.
    scene.identifier_claim = "email";
    let identifier = scene
        .log_in()
        .await
        .ok()
        .map(|identity| identity.identifier);
    assert_eq!(identifier.as_deref(), expected);
}

#[tokio::test]
async fn w50_a_malformed_email_verified_claim_is_refused() {
    for verified in [json!("yes"), json!(1), json!([true])] {
        let scene = Scene::new().await;
        scene.claims(json!({"email": "a@example.com", "email_verified": verified}));
        scene.log_in().await.unwrap_err();
    }
}

#[tokio::test]
async fn user_info_is_used_only_for_the_same_subject() {
    let mut scene = Scene::new().await;
    scene.uses_user_info = true;
    let info = json!({"sub": "1234", "groups": ["ops"], "iss": "https://evil.example", "aud": "x"});
    scene.stub.state().user_info = info;
    let identity = scene.log_in().await.unwrap();
    assert_eq!(identity.claims["groups"], json!(["ops"]));
    assert_eq!(identity.claims["iss"], json!(scene.stub.issuer()));
    for other in [
        json!({"sub": "1235"}),
        json!({}),
        json!({"sub": null}),
        json!([]),
    ] {
        scene.stub.state().user_info = other;
        scene.log_in().await.unwrap_err();
    }
}

#[tokio::test]
async fn keys_that_roll_over_are_found_at_once() {
    let scene = Scene::new().await;
    scene.log_in().await.unwrap();
    scene.clock.advance(Duration::from_secs(11));
    scene.stub.roll_key();
    scene.log_in().await.unwrap();
    scene.log_in().await.unwrap();
    assert_eq!(scene.stub.state().asked["/jwks"], 2);
}

#[tokio::test]
async fn w54_a_provider_is_asked_once_and_not_at_each_login() {
    let scene = Scene::new().await;
    for _ in 0..5 {
        scene.log_in().await.unwrap();
    }
    let asked = scene.stub.state().asked.clone();
    assert_eq!(asked["/.well-known/openid-configuration"], 1);
    assert_eq!(asked["/jwks"], 1);
    // A provider that is down does not prevent the start of a login that uses cached metadata.
    scene.stub.state().is_down = true;
    scene.clock.advance(Duration::from_hours(2));
    let (authorization_request, callback) = scene.begin().await;
    let error = scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap_err();
    assert!(!matches!(error, LoginError::Invalid("")), "{error}");
    scene.stub.state().is_down = false;
    scene.log_in().await.unwrap();
}

#[tokio::test]
async fn a_requested_reauthentication_must_be_newer_than_the_request_r5() {
    let mut scene = Scene::new().await;
    let now = scene.clock.now().seconds();
    let long_ago = json!({"auth_time": now - 3600});
    scene.claims(long_ago.clone());
    let (authorization_request, callback) = scene.begin().await;
    assert!(
        !authorization_request.url.contains("prompt="),
        "{}",
        authorization_request.url
    );
    let times = |identity: ExternalIdentity| {
        let at = identity.authenticated.at.map(UnixMillis::seconds);
        (at, identity.authenticated.was_requested)
    };
    let identity = scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap();
    assert_eq!(times(identity), (Some(now - 3600), false));
    // Invalid times are ignored.
    for claim in [json!(now + 6), json!(now * 1000), json!(-1)] {
        scene.claims(json!({"auth_time": claim}));
        assert_eq!(times(scene.log_in().await.unwrap()), (None, false));
    }
    scene.claims(long_ago.clone());

    scene.force_authentication = true;
    let (authorization_request, callback) = scene.begin().await;
    for part in ["prompt=login", "max_age=0"] {
        assert!(
            authorization_request.url.contains(part),
            "{part} in {}",
            authorization_request.url
        );
    }
    let refused = scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("auth_time"), "{refused}");
    for (claims, at) in [
        (json!({"auth_time": now}), Some(now)),
        (json!({"auth_time": now - 5}), Some(now - 5)),
        (json!({"auth_time": now + 5}), Some(now)),
        (json!({}), None),
        (json!({"auth_time": null}), None),
    ] {
        scene.claims(claims);
        assert_eq!(times(scene.log_in().await.unwrap()), (at, true));
    }
    for claim in [
        json!(now - 6),
        json!(now - 55),
        json!(now + 6),
        json!(now * 1000),
        json!(0),
    ] {
        scene.claims(json!({"auth_time": claim}));
        let refused = scene.log_in().await.unwrap_err();
        assert!(
            matches!(refused, LoginError::NotFresh),
            "{claim}: {refused}"
        );
    }
    // The library rejects a token whose `auth_time` is not a number.
    scene.claims(json!({"auth_time": "yesterday"}));
    scene.log_in().await.unwrap_err();
    // The time of the request counts, not the time of the callback.
    scene.claims(json!({"auth_time": now + 1}));
    let (authorization_request, callback) = scene.begin().await;
    scene.clock.advance(Duration::from_mins(2));
    let identity = scene
        .finish(&authorization_request, &callback)
        .await
        .unwrap();
    assert_eq!(times(identity), (Some(now + 1), true));
}

#[tokio::test]
async fn an_unreachable_or_different_provider_is_reported() {
    let scene = Scene::new().await;
    scene.stub.state().is_down = true;
    let error = scene
        .relying_party
        .begin(&scene.registration(), "s", false, &SystemRng)
        .await
        .unwrap_err();
    assert!(matches!(error, LoginError::Unavailable(_)), "{error}");
    let scene = Scene::new().await;
    scene.stub.state().issuer = Some("https://accounts.example".to_owned());
    let error = scene
        .relying_party
        .begin(&scene.registration(), "s", false, &SystemRng)
        .await
        .unwrap_err();
    assert!(matches!(error, LoginError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn w53_an_issuer_with_a_slash_is_found() {
    let scene = Scene::new().await;
    let issuer = format!("{}/", scene.stub.issuer());
    let relying_party = RelyingParty::new(&issuer, scene.stub.outbound(), scene.clock.clone());
    relying_party
        .begin(&scene.registration(), "s", false, &SystemRng)
        .await
        .unwrap();
}

#[tokio::test]
async fn refusals_of_the_provider_are_reported() {
    let scene = Scene::new().await;
    let (authorization_request, _) = scene.begin().await;
    let authorization_response = AuthorizationResponse {
        error: Some("access_denied"),
        code: Some("code-0"),
        ..AuthorizationResponse::default()
    };
    let outcome = scene
        .relying_party
        .finish(
            &scene.registration(),
            &authorization_request.login_state,
            authorization_response,
        )
        .await;
    assert!(matches!(outcome, Err(LoginError::Refused(code)) if code == "access_denied"));
}

#[test]
fn a_github_enterprise_server_is_supported() {
    let of = |base_url| {
        let endpoints = github::Endpoints::enterprise(base_url);
        (endpoints.web, endpoints.api)
    };
    let pair = |web: &str, api: &str| (web.to_owned(), api.to_owned());
    assert_eq!(
        of("https://github.example.com/"),
        pair(
            "https://github.example.com",
            "https://github.example.com/api/v3"
        )
    );
    assert_eq!(
        of("https://acme.ghe.com"),
        pair("https://acme.ghe.com", "https://api.acme.ghe.com")
    );
}

#[rstest]
#[case(false)]
#[case(true)]
#[tokio::test]
async fn w49_github_returns_the_account_id(#[case] of_an_enterprise: bool) {
    let scene = Scene::new().await;
    let endpoints = if of_an_enterprise {
        github::Endpoints::enterprise(&scene.stub.issuer())
    } else {
        scene.stub.github()
    };
    let registration = github::Registration {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_url: REDIRECT,
    };
    scene.stub.state().account = (
        json!({"id": 42, "login": "alice"}),
        json!([{"email": "a@example.com", "verified": true, "primary": true}]),
    );
    let authorization_request = github::begin(&endpoints, &registration, "the state", &SystemRng);
    let callback = scene.stub.authorize(&authorization_request.url);
    let authorization_response = AuthorizationResponse {
        code: Some(&callback.code),
        ..AuthorizationResponse::default()
    };
    let outbound = scene.stub.outbound();
    let finish = || {
        github::finish(
            &endpoints,
            &registration,
            &authorization_request.login_state,
            authorization_response,
            &outbound,
        )
    };
    let identity = finish().await.unwrap();
    assert_eq!(identity.identifier, "42");
    assert_eq!(identity.email.as_deref(), Some("a@example.com"));
    let error = finish().await.unwrap_err();
    assert!(matches!(error, LoginError::Refused(code) if code == "bad_verification_code"));
}

#[tokio::test]
async fn a_logout_token_names_the_ended_sessions() {
    let scene = Scene::new().await;
    let token = scene.stub.state().logout_token(&json!({"sid": "s1"}));
    let read = scene
        .relying_party
        .read_logout(CLIENT_ID, &token)
        .await
        .unwrap();
    assert_eq!(read.subject.as_deref(), Some("1234"));
    assert_eq!(read.session.as_deref(), Some("s1"));
    assert!(read.ends_at > scene.clock.now());
    // Providers that implement drafts of the specification send `typ: JWT` and no `exp`.
    let header = json!({"alg": "ES256", "typ": "JWT"});
    scene.stub.state().header = Some(header);
    let token = scene
        .stub
        .state()
        .logout_token(&json!({"exp": null, "sub": null, "sid": "s1"}));
    scene
        .relying_party
        .read_logout(CLIENT_ID, &token)
        .await
        .unwrap();

    // The provider signs with a new key.
    scene.stub.roll_key();
    scene.stub.state().header = None;
    scene.clock.advance(Duration::from_mins(1));
    let token = scene.stub.state().logout_token(&json!({}));
    scene
        .relying_party
        .read_logout(CLIENT_ID, &token)
        .await
        .unwrap();
    let url = scene.relying_party.end_session_url("a&b").await.unwrap();
    assert!(url.ends_with("/end?client_id=a%26b"), "{url}");
}

#[rstest]
#[case(json!({"iss": "https://other.example"}))]
#[case(json!({"aud": "another"}))]
#[case(json!({"aud": ["another"]}))]
#[case(json!({"iat": null}))]
#[case(json!({"iat": 1_795_305_600 - 700, "exp": null}))]
#[case(json!({"iat": 1_795_305_600 + 100}))]
#[case(json!({"exp": 1_795_305_600 - 100}))]
#[case(json!({"exp": "never"}))]
#[case(json!({"sub": null}))]
#[case(json!({"sub": 7}))]
#[case(json!({"events": null}))]
#[case(json!({"events": {}}))]
#[case(json!({"events": {"http://schemas.openid.net/event/backchannel-logout": null}}))]
#[case(json!({"events": ["http://schemas.openid.net/event/backchannel-logout"]}))]
#[case(json!({"nonce": "n"}))]
#[case(json!({"jti": null}))]
#[tokio::test]
async fn w55_invalid_logout_tokens_end_no_session(#[case] claims: Value) {
    let scene = Scene::new().await;
    let token = scene.stub.state().logout_token(&claims);
    let outcome = scene.relying_party.read_logout(CLIENT_ID, &token).await;
    assert!(
        matches!(outcome, Err(LoginError::Invalid(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn w55_tokens_for_another_purpose_are_refused() {
    let mut scene = Scene::new().await;
    let good = scene.stub.state().logout_token(&json!({}));
    for text in ["", "x", &good[..good.len() - 2], &good.replace('.', "..")] {
        let outcome = scene.relying_party.read_logout(CLIENT_ID, text).await;
        assert!(
            matches!(outcome, Err(LoginError::Invalid(_))),
            "{outcome:?}"
        );
    }
    let header = json!({"alg": "ES256", "typ": "at+jwt"});
    scene.stub.state().header = Some(header);
    let of_access = scene.stub.state().logout_token(&json!({}));
    let outcome = scene.relying_party.read_logout(CLIENT_ID, &of_access).await;
    assert!(
        matches!(outcome, Err(LoginError::Invalid(_))),
        "{outcome:?}"
    );
    // Another provider's signature is rejected.
    scene.stub.state().header = None;
    let other = Stub::start(scene.clock.clone()).await;
    let issuer = scene.stub.issuer();
    let foreign = other.state().logout_token(&json!({"iss": issuer}));
    let outcome = scene.relying_party.read_logout(CLIENT_ID, &foreign).await;
    assert!(
        matches!(outcome, Err(LoginError::Invalid(_))),
        "{outcome:?}"
    );

    // A logout token with all claims of an ID token is not accepted as one.
    scene.force_authentication = false;
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    scene.stub.state().header = Some(json!({"alg": "ES256", "typ": "logout+jwt"}));
    scene.stub.state().claims = json!({"events": events});
    let outcome = scene.log_in().await;
    assert!(
        matches!(outcome, Err(LoginError::Invalid(_))),
        "{outcome:?}"
    );
}

#[rstest]
#[case(json!("http://idp.example/end"))]
#[case(json!("javascript:alert(1)"))]
#[case(json!(7))]
#[case(json!(null))]
#[tokio::test]
async fn an_invalid_logout_endpoint_does_not_prevent_login(#[case] end: Value) {
    let scene = Scene::new().await;
    scene.stub.state().end = Some(end);
    scene.log_in().await.unwrap();
    assert_eq!(scene.relying_party.end_session_url(CLIENT_ID).await, None);
}
