//! Logins at an identity provider, which is a stub on loopback.

mod logout;

use std::{net::IpAddr, sync::Arc, time::Duration};

use api::{
    core_v1::{
        Group, IdentityProvider, Secret, Session, User,
        session::status::authentication::info::{Aal, Details},
    },
    platform_v1::audit_event::Outcome,
    resource::Object as _,
};
use authn::provider::testing::{CLIENT_ID, CLIENT_SECRET, Callback, Stub};
use axum::body::Body;
use http::Request;
use rstest::rstest;
use serde_json::{Value, json};
use server::{
    Peer,
    document::{index, load},
    resource::write::Update,
    return_to,
    web::handover::{redeem_code, state_of},
};

use super::{Browser, SESSION, Shown};
use crate::{
    cluster::parse,
    replicas::{Backend, Replicas},
};

struct Scene {
    replicas: Replicas,
    stub: Arc<Stub>,
}

impl Scene {
    /// Creates the provider `idp`, with `rest` as additional fields.
    async fn new(rest: &str) -> Self {
        Self::on(1, rest).await
    }

    async fn on(count: usize, rest: &str) -> Self {
        let mut replicas = Replicas::start(Backend::Sqlite, count).await;
        let stub = Arc::new(Stub::start(replicas.first().clock.clone()).await);
        for cluster in &mut replicas.all {
            cluster.context = cluster.context.clone().with_outbound(stub.outbound());
        }
        let secret = format!(
            "{{kind: Secret, metadata: {{name: one}}, spec: {{}}, data: {{value: '{CLIENT_SECRET}\n\n'}}}}"
        );
        let root = &replicas.actor;
        replicas
            .first()
            .create::<Secret>(root, &secret)
            .await
            .unwrap();
        for name in ["staff", "dev", "ops"] {
            let group = format!("{{kind: Group, metadata: {{name: {name}}}, spec: {{}}}}");
            replicas
                .first()
                .create::<Group>(root, &group)
                .await
                .unwrap();
        }
        let scene = Self { replicas, stub };
        let yaml = scene.provider(rest);
        let created = scene
            .replicas
            .first()
            .create::<IdentityProvider>(&scene.replicas.actor, &yaml);
        created.await.unwrap();
        scene.replicas.settle().await;
        scene
    }

    fn provider(&self, rest: &str) -> String {
        format!(
            "{{kind: IdentityProvider, metadata: {{name: idp}}, spec: {{displayName: Staff login, oidc: {{issuerURL: '{}', \
             clientID: {CLIENT_ID}, clientSecret: {{fromSecret: one}}}}{rest}}}}}",
            self.stub.issuer()
        )
    }

    async fn update(&self, rest: &str) {
        let update = Update(parse::<IdentityProvider>(&self.provider(rest)));
        let root = &self.replicas.actor;
        self.replicas.first().run(root, update).await.unwrap();
    }

    fn browser(&self) -> Browser {
        Browser::at(self.replicas.context(0))
    }

    fn claims(&self, claims: Value) {
        self.stub.state().claims = claims;
    }

    /// Creates a User with this identifier at the provider.
    async fn person(&self, name: &str, identifier: &str) -> User {
        let identity = format!("{{identityProvider: idp, identifier: '{identifier}'}}");
        let spec = format!("{{type: HUMAN, authentication: {{identities: [{identity}]}}}}");
        self.replicas.user(name, &spec).await
    }

    /// Like [`Self::person`], but with a high Session limit.
    async fn often(&self, name: &str, identifier: &str) -> User {
        let identity = format!("{{identityProvider: idp, identifier: '{identifier}'}}");
        let spec = format!(
            "{{type: HUMAN, session: {{maxPerUser: 2000}}, authentication: {{identities: [{identity}]}}}}"
        );
        self.replicas.user(name, &spec).await
    }

    async fn sessions(&self, user: &User) -> Vec<Session> {
        self.replicas.sessions(user).await
    }

    /// Returns the User with this identifier at the provider.
    async fn found(&self, identifier: &str) -> Option<User> {
        let ctx = self.replicas.context(0);
        let key = index::identity_key("idp", identifier);
        let found = load::by_index::<User>(&*ctx.store, index::IDENTITY, &key, 1, ctx.now()).await;
        found
            .unwrap()
            .0
            .into_iter()
            .next()
            .map(|stored| stored.message)
    }

    async fn reason(&self) -> String {
        let events = self.replicas.audit().await;
        let mut refused = events
            .into_iter()
            .filter(|event| event.outcome() == Outcome::Refused);
        refused.next().unwrap().reason
    }
}

/// Chooses the provider and signs in there.
async fn begin_login(browser: &mut Browser, stub: &Stub) -> Callback {
    let page = browser.get("/login").await;
    page.says("Continue with Staff login");
    let provider = page.field("provider");
    let shown = browser.post("/begin", &[("provider", &provider)]).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    stub.authorize(shown.location())
}

async fn come_back(browser: &mut Browser, callback: &Callback) -> Shown {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("code", &callback.code)
        .append_pair("state", &callback.state)
        .append_pair("iss", &callback.iss)
        .finish();
    browser.get(&format!("/callback?{query}")).await
}

async fn log_in(scene: &Scene) -> (Browser, Shown) {
    let mut browser = scene.browser();
    let callback = begin_login(&mut browser, &scene.stub).await;
    let shown = come_back(&mut browser, &callback).await;
    (browser, shown)
}

#[tokio::test]
async fn a_person_logs_in_at_the_provider_of_the_company() {
    let rules = ", aalRules: [{aal: AAL2, condition: {match: '\"mfa\" in ctx.assertionMap.amr'}}]";
    let scene = Scene::new(rules).await;
    let alice = scene.person("alice", "1234").await;
    scene.claims(json!({"amr": ["pwd", "mfa"], "email": "a@example.com", "email_verified": true}));
    let (mut browser, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    assert!(browser.cookies.contains_key(SESSION));
    assert_eq!(browser.get("/").await.status, 200);

    let session = scene.sessions(&alice).await.remove(0);
    let status = session.status.unwrap();
    assert!(status.is_browser);
    let info = status.initial_authentication.unwrap().info.unwrap();
    assert_eq!(info.aal(), Aal::Aal2);
    let Some(Details::IdentityProvider(by)) = info.details else {
        panic!("{:?}", info.details);
    };
    assert_eq!(
        (by.identifier.as_str(), by.email.as_str()),
        ("1234", "a@example.com")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_logins_at_once_all_begin_and_ask_the_provider_once() {
    const CROWD: usize = 1000;
    let scene = Arc::new(Scene::on(2, "").await);
    let alice = scene.often("alice", "1234").await;
    let mut logins = tokio::task::JoinSet::new();
    for number in 0..CROWD {
        let scene = scene.clone();
        logins.spawn(async move {
            let mut browser = Browser::at(scene.replicas.context(number));
            let callback = begin_login(&mut browser, &scene.stub).await;
            // The callback reaches any replica.
            let mut other = Browser::at(scene.replicas.context(number + 1));
            other.cookies = browser.cookies;
            come_back(&mut other, &callback).await.status
        });
    }
    let statuses = logins.join_all().await;
    assert!(statuses.iter().all(|status| *status == 303), "{statuses:?}");
    assert_eq!(scene.sessions(&alice).await.len(), CROWD);
    let state = scene.stub.state();
    // Once per replica.
    assert_eq!(state.asked["/.well-known/openid-configuration"], 2);
    assert_eq!(state.asked["/jwks"], 2);
    assert_eq!(state.asked["/token"], CROWD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_provider_does_not_delay_other_logins() {
    const WAITING: usize = 64;
    let scene = Arc::new(Scene::new("").await);
    let alice = scene.often("alice", "1234").await;
    scene.replicas.user("john", "{type: HUMAN}").await;
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..WAITING {
        let mut browser = scene.browser();
        let callback = begin_login(&mut browser, &scene.stub).await;
        scene.stub.state().is_slow = true;
        logins.spawn(async move { come_back(&mut browser, &callback).await.status });
    }
    // The waiting logins outnumber the threads. Another person can still sign in and open pages.
    let mut john = scene.browser();
    john.enroll(&scene.replicas, "john").await;
    assert_eq!(john.get("/").await.status, 200);
    assert!(scene.sessions(&alice).await.is_empty());

    scene.stub.state().is_slow = false;
    let statuses = logins.join_all().await;
    assert!(statuses.iter().all(|status| *status == 303), "{statuses:?}");
    assert_eq!(scene.sessions(&alice).await.len(), WAITING);
}

/// Lets a login fail at the provider, for a client at this address. Returns the status.
async fn fail_from(scene: &Scene, address: &str) -> u16 {
    let mut browser = scene.browser();
    let callback = begin_login(&mut browser, &scene.stub).await;
    let path = format!("/callback?error=access_denied&state={}", callback.state);
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    let address: IpAddr = address.parse().unwrap();
    request.extensions_mut().insert(Peer(address));
    browser.send(request).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_of_others_do_not_block_a_login_s06() {
    let scene = Scene::new("").await;
    scene.person("alice", "1234").await;
    for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
        for _ in 0..60 {
            assert_ne!(fail_from(&scene, address).await, 429);
        }
        assert_eq!(fail_from(&scene, address).await, 429);
    }
    assert_ne!(fail_from(&scene, "192.0.2.3").await, 429);
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_stores_no_record_s06() {
    let scene = Scene::new("").await;
    scene.person("alice", "1234").await;
    let mut browser = scene.browser();
    let callback = begin_login(&mut browser, &scene.stub).await;
    let cookies = browser.cookies.clone();
    let denied = format!("/callback?error=access_denied&state={}", callback.state);
    assert_eq!(browser.get(&denied).await.status, 401);
    let ctx = scene.replicas.context(0);
    let key = callback.state.as_bytes();
    let is_used = async || {
        ctx.store
            .has_record("login-used", key, ctx.now())
            .await
            .unwrap()
    };
    assert!(!is_used().await);
    browser.cookies = cookies;
    assert_eq!(come_back(&mut browser, &callback).await.status, 303);
    assert!(is_used().await);
}

#[tokio::test]
async fn w51_similar_identifiers_are_different_people() {
    let scene = Scene::new("").await;
    let identifiers = ["a.b", "a-b", "A.B", "a.b "];
    let mut people = Vec::new();
    for (number, identifier) in identifiers.iter().enumerate() {
        let name = format!("person-{number}");
        people.push(scene.person(&name, identifier).await);
    }
    for (number, identifier) in identifiers.iter().enumerate() {
        scene.claims(json!({"sub": identifier}));
        let (_, shown) = log_in(&scene).await;
        assert_eq!(shown.status, 303, "{identifier:?} {shown:#?}");
        for (other, person) in people.iter().enumerate() {
            let expected = usize::from(other <= number);
            assert_eq!(scene.sessions(person).await.len(), expected, "{other}");
        }
    }
    scene.claims(json!({"sub": "a_b"}));
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
}

#[tokio::test]
async fn w44_a_long_place_to_return_to_outlives_the_login() {
    let scene = Scene::new("").await;
    scene.person("alice", "1234").await;
    let mut browser = scene.browser();
    let place = format!("https://web.localhost:8443/a?deep={}", "x".repeat(1200));
    let state = state_of("nonce-of-this-browser");
    let place = return_to::sign(scene.replicas.context(0), &place, &state).unwrap();
    let page = browser
        .get(&format!("/login?return={}", place.unwrap()))
        .await;
    page.says("web.localhost");
    let (provider, place) = (page.field("provider"), page.field("return"));
    let fields = [("provider", &*provider), ("return", &*place)];
    let begun = browser.post("/begin", &fields).await;
    let callback = scene.stub.authorize(begun.location());
    let returned = come_back(&mut browser, &callback).await;
    let shown = browser.get(returned.location()).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    let service = "https://web.localhost:8443/.well-known/octelium/callback?code=";
    let code = shown.location().strip_prefix(service).unwrap();
    let ctx = scene.replicas.context(0);
    let arrived = redeem_code(ctx, "web.localhost", code, "nonce-of-this-browser").await;
    assert!(arrived.ok().unwrap().target.ends_with(&"x".repeat(1200)));
}

#[tokio::test]
async fn a_login_can_be_finished_at_another_replica() {
    let scene = Scene::on(2, "").await;
    let alice = scene.person("alice", "1234").await;
    let mut browser = scene.browser();
    let callback = begin_login(&mut browser, &scene.stub).await;
    browser.turn_to(scene.replicas.context(1));
    assert_eq!(come_back(&mut browser, &callback).await.status, 303);
    assert_eq!(scene.sessions(&alice).await.len(), 1);
}

#[tokio::test]
async fn w02_w04_a_login_comes_back_once_and_to_its_own_browser() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    let mut attacker = scene.browser();
    let callback = begin_login(&mut attacker, &scene.stub).await;
    // Login CSRF: the victim is sent to the callback of the attacker's login.
    let mut victim = scene.browser();
    assert_eq!(come_back(&mut victim, &callback).await.status, 400);
    begin_login(&mut victim, &scene.stub).await;
    assert_eq!(come_back(&mut victim, &callback).await.status, 400);
    assert!(!victim.cookies.contains_key(SESSION));
    // The callback is accepted once, even with the original cookie.
    let before = attacker.clone();
    assert_eq!(come_back(&mut attacker, &callback).await.status, 303);
    let mut again = before;
    assert_eq!(come_back(&mut again, &callback).await.status, 400);
    assert_eq!(scene.sessions(&alice).await.len(), 1);
    // Mix-up: the answer is from another issuer.
    let mut browser = scene.browser();
    let mut callback = begin_login(&mut browser, &scene.stub).await;
    callback.iss = "https://other.example".to_owned();
    assert_eq!(come_back(&mut browser, &callback).await.status, 401);
    assert_eq!(scene.reason().await, "provider_answer");
}

#[tokio::test]
async fn w45_an_unknown_person_learns_why_the_login_failed() {
    let scene = Scene::new("").await;
    scene.claims(json!({"email": "root@example.com", "email_verified": true}));
    scene
        .replicas
        .user("mail", "{type: HUMAN, email: root@example.com}")
        .await;
    let (browser, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    shown.says("you are not a User of this Cluster");
    assert!(!browser.cookies.contains_key(SESSION));
    assert_eq!(scene.reason().await, "identity_unknown");
}

#[rstest]
#[case::verified(json!({"email": "Mail@example.com", "email_verified": true}), ", enableEmailAsIdentity: true", true)]
#[case::not_verified(json!({"email": "mail@example.com", "email_verified": false}), ", enableEmailAsIdentity: true", false)]
#[case::not_said(json!({"email": "mail@example.com"}), ", enableEmailAsIdentity: true", false)]
#[case::not_enabled(json!({"email": "mail@example.com", "email_verified": true}), "", false)]
#[case::disabled(
    json!({"email": "mail@example.com", "email_verified": true}),
    ", enableEmailAsIdentity: true, disableEmailAsIdentity: true",
    false
)]
#[tokio::test]
async fn w50_only_a_verified_address_finds_a_user_if_the_provider_allows_it(
    #[case] claims: Value,
    #[case] rest: &str,
    #[case] is_found: bool,
) {
    let scene = Scene::new(rest).await;
    let user = scene
        .replicas
        .user("mail", "{type: HUMAN, email: mail@example.com}")
        .await;
    scene.claims(claims);
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status.as_u16(), if is_found { 303 } else { 403 });
    assert_eq!(scene.sessions(&user).await.len(), usize::from(is_found));
}

#[tokio::test]
async fn w05_an_address_does_not_find_who_has_an_identity_there() {
    let scene = Scene::new(", enableEmailAsIdentity: true").await;
    let spec = "{type: HUMAN, email: mail@example.com, authentication: {identities: \
                [{identityProvider: idp, identifier: first}]}}";
    let user = scene.replicas.user("mail", spec).await;
    // Another person got the address meanwhile.
    scene.claims(json!({"sub": "second", "email": "mail@example.com", "email_verified": true}));
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    assert!(scene.sessions(&user).await.is_empty());
}

#[tokio::test]
async fn w05_a_disabled_provider_is_neither_offered_nor_taken() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    let mut browser = scene.browser();
    let callback = begin_login(&mut browser, &scene.stub).await;
    scene.update(", isDisabled: true").await;
    let shown = come_back(&mut browser, &callback).await;
    assert_eq!(shown.status, 400);
    shown.says("no longer exists");
    assert!(!browser.get("/login").await.body.contains("Staff login"));
    assert!(scene.sessions(&alice).await.is_empty());
}

#[tokio::test]
async fn people_who_cannot_log_in_learn_why() {
    let scene = Scene::new("").await;
    let robot = "{type: WORKLOAD, authentication: {identities: [{identityProvider: idp, identifier: '1234'}]}}";
    scene.replicas.user("robot", robot).await;
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    shown.says("Only people can sign in here");

    scene.claims(json!({"sub": "5"}));
    let alice = scene.person("alice", "5").await;
    let disable = |user: &mut User| user.spec.get_or_insert_default().is_disabled = true;
    scene.replicas.edit(&alice, disable).await;
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    shown.says("disabled");
}

#[rstest]
#[case("{effect: DENY, condition: {match: 'ctx.authenticationInfo.aal != \"AAL3\"'}}")]
#[case("{effect: DENY, condition: {match: 'ctx.user.spec.groups[0] == \"x\"'}}")]
#[tokio::test]
async fn w36_rules_of_the_provider_deny(#[case] rule: &str) {
    let scene = Scene::new(&format!(", postAuthenticationRules: [{rule}]")).await;
    let alice = scene.person("alice", "1234").await;
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    shown.says("do not allow you to sign in with this identity provider");
    assert_eq!(scene.reason().await, "provider_rule");
    assert!(scene.sessions(&alice).await.is_empty());
}

const CREATION: &str = ", userCreation: {condition: {match: 'ctx.email.endsWith(\"@example.com\")'}, groups: [staff]}, \
                        groupMappings: [{eval: 'ctx.assertionMap.groups', groups: [dev, ops]}]";

#[tokio::test]
async fn a_user_is_made_where_the_rule_says_so_and_groups_follow_the_provider() {
    let scene = Scene::new(CREATION).await;
    scene.claims(json!({
        "email": "Ann@example.com", "email_verified": true, "preferred_username": "root",
        "name": "Ann O.", "groups": ["dev", "admins"],
    }));
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    let user = scene.found("1234").await.unwrap();
    assert!(
        user.name().starts_with("root-") && user.name().len() == 11,
        "{}",
        user.name()
    );
    assert_eq!(user.metadata().unwrap().display_name, "Ann O.");
    let spec = user.spec.clone().unwrap();
    assert_eq!(spec.email, "ann@example.com");
    assert_eq!(spec.groups, ["dev", "staff"]);
    assert_eq!(scene.sessions(&user).await.len(), 1);

    // Groups outside the mappings do not change.
    scene.claims(json!({"email": "ann@example.com", "email_verified": true, "groups": "ops"}));
    log_in(&scene).await;
    assert_eq!(
        scene.found("1234").await.unwrap().spec.unwrap().groups,
        ["ops", "staff"]
    );
    scene.claims(json!({"email": "ann@example.com", "email_verified": true}));
    log_in(&scene).await;
    assert_eq!(
        scene.found("1234").await.unwrap().spec.unwrap().groups,
        ["staff"]
    );
    // An unreadable claim does not mean that the person has no Groups.
    scene.claims(json!({"email": "ann@example.com", "email_verified": true, "groups": [7]}));
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    assert_eq!(scene.reason().await, "provider_groups");
}

#[rstest]
#[case(json!({"email": "ann@evil.example", "email_verified": true}), "identity_unknown")]
#[case(json!({"email": "ann@example.com", "email_verified": false}), "identity_unknown")]
#[case(json!({"email": "a@evil@example.com", "email_verified": true}), "identity_unknown")]
#[case(json!({"email": "ann@sub.example.com.evil.example", "email_verified": true}), "identity_unknown")]
#[case(json!({"email": "taken@example.com", "email_verified": true}), "email_taken")]
#[tokio::test]
async fn c12_a_user_is_created_only_if_the_rule_matches(
    #[case] claims: Value,
    #[case] reason: &str,
) {
    let scene = Scene::new(CREATION).await;
    scene
        .replicas
        .user("other", "{type: HUMAN, email: taken@example.com}")
        .await;
    scene.claims(claims);
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    assert_eq!(scene.reason().await, reason);
    assert!(scene.found("1234").await.is_none());
}

#[tokio::test]
async fn w36_a_user_denied_by_the_rules_is_not_created() {
    let rule = "{effect: DENY, condition: {match: '\"staff\" in ctx.user.spec.groups'}}";
    let scene = Scene::new(&format!("{CREATION}, postAuthenticationRules: [{rule}]")).await;
    scene.claims(json!({"email": "ann@example.com", "email_verified": true}));
    let (_, shown) = log_in(&scene).await;
    assert_eq!(shown.status, 403);
    assert_eq!(scene.reason().await, "provider_rule");
    assert!(scene.found("1234").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_first_logins_at_once_make_one_user() {
    let scene = Scene::new(CREATION).await;
    scene.claims(json!({"email": "ann@example.com", "email_verified": true}));
    let mut browsers = Vec::new();
    for _ in 0..8 {
        let mut browser = scene.browser();
        let callback = begin_login(&mut browser, &scene.stub).await;
        browsers.push((browser, callback));
    }
    let logins = browsers.into_iter().map(|(mut browser, callback)| {
        tokio::spawn(async move { come_back(&mut browser, &callback).await.status })
    });
    for login in logins.collect::<Vec<_>>() {
        assert_eq!(login.await.unwrap(), 303);
    }
    let user = scene.found("1234").await.unwrap();
    assert_eq!(scene.sessions(&user).await.len(), 8);
}

#[tokio::test]
async fn a_provider_outage_is_reported_and_ends_no_session() {
    let scene = Scene::new("").await;
    scene.person("alice", "1234").await;
    let (mut known, _) = log_in(&scene).await;
    let mut browser = scene.browser();
    let callback = begin_login(&mut browser, &scene.stub).await;
    scene.stub.state().is_down = true;
    let shown = come_back(&mut browser, &callback).await;
    assert!(shown.status.is_client_error() || shown.status.is_server_error());
    assert!(!browser.cookies.contains_key(SESSION));
    assert_eq!(known.get("/").await.status, 200);
    // Logins work again when the provider is back.
    scene.stub.state().is_down = false;
    scene.replicas.advance(Duration::from_mins(1));
    assert_eq!(log_in(&scene).await.1.status, 303);
}

#[tokio::test]
async fn w39_a_repeated_login_requires_reauthentication_at_the_provider() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    let (mut browser, _) = log_in(&scene).await;
    let page = browser.get("/login?again=proof").await;
    page.says("Sign in again");
    let fields = [
        ("provider", &*page.field("provider")),
        ("token", &*page.field("token")),
    ];
    let begun = browser.post("/begin", &fields).await;
    assert!(
        begun.location().contains("prompt=login") && begun.location().contains("max_age=0"),
        "{begun:#?}"
    );
    // The provider uses its existing session.
    let now = scene.replicas.context(0).now().seconds();
    scene.claims(json!({"auth_time": now - 3600}));
    let callback = scene.stub.authorize(begun.location());
    let shown = come_back(&mut browser, &callback).await;
    assert_eq!(shown.status, 401, "{shown:#?}");
    shown.says("did not ask you for one");
    // The provider authenticates the person again.
    scene.claims(json!({"auth_time": now}));
    let begun = browser.post("/begin", &fields).await;
    let callback = scene.stub.authorize(begun.location());
    assert_eq!(come_back(&mut browser, &callback).await.status, 303);
    assert_eq!(scene.sessions(&alice).await.len(), 1);
}

/// Returns the authentication time of each Session for Policies, and whether reauthentication was requested.
fn proved(sessions: &[Session]) -> Vec<(Option<i64>, bool)> {
    let mut found: Vec<_> = sessions
        .iter()
        .map(|session| {
            let shown = domain::session::as_proved(session);
            let present = domain::session::current(&shown).unwrap();
            let Some(Details::IdentityProvider(by)) = &present.info.as_ref().unwrap().details
            else {
                panic!("not by a provider: {present:?}");
            };
            let at = present.set_at.as_ref().map(|at| at.seconds);
            assert_eq!(at, by.authenticated_at.as_ref().map(|at| at.seconds));
            (at, by.reauthentication_requested)
        })
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn a_login_is_as_old_for_policies_as_the_provider_says_r5() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    let now = scene.replicas.context(0).now().seconds();
    // An existing session at the provider, a missing claim, and a claim in milliseconds.
    for claims in [
        json!({"auth_time": now - 55}),
        json!({}),
        json!({"auth_time": now * 1000}),
    ] {
        scene.claims(claims);
        assert_eq!(log_in(&scene).await.1.status, 303);
    }
    let found = proved(&scene.sessions(&alice).await);
    assert_eq!(
        found,
        [(None, false), (None, false), (Some(now - 55), false)]
    );
}

#[tokio::test]
async fn a_provider_that_does_not_say_when_makes_no_fresh_proof_r5() {
    let scene = Scene::new("").await;
    let alice = scene.person("alice", "1234").await;
    let (mut browser, _) = log_in(&scene).await;
    let page = browser.get("/login?again=proof").await;
    let fields = [
        ("provider", &*page.field("provider")),
        ("token", &*page.field("token")),
    ];
    let now = scene.replicas.context(0).now().seconds();
    for (claims, status) in [
        (json!({"auth_time": now - 55}), 401),
        (json!({"auth_time": now * 1000}), 401),
        (json!({"auth_time": now + 3600}), 401),
        (json!({}), 303),
    ] {
        let begun = browser.post("/begin", &fields).await;
        scene.claims(claims);
        let callback = scene.stub.authorize(begun.location());
        assert_eq!(come_back(&mut browser, &callback).await.status, status);
    }
    assert_eq!(proved(&scene.sessions(&alice).await), [(None, true)]);
}
