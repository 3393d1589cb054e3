//! Logins of workloads with an assertion, on both stores and several replicas.

use std::time::Duration;

use api::{
    core_v1::{
        IdentityProvider, Session, User,
        session::status::{
            Type,
            authentication::info::{Aal, Details},
        },
    },
    meta_v1::ObjectReference,
    platform_v1::audit_event::Outcome,
    resource::Object as _,
};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::kind::Kind;
use rstest::rstest;
use serde_json::{Value, json};
use server::{
    Context, Error, ErrorKind,
    authentication::{AssertionLogin, with_assertion},
    resource::write::Update,
};
use tokio::task::JoinSet;

use crate::{
    cluster::parse,
    oauth2::{Reply, post},
    replicas::{Backend, Replicas, authenticate, caller},
};

const PARALLEL: usize = 64;
const AUDIENCE: &str = "https://localhost:8443";

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A platform that issues tokens to its workloads.
struct Platform {
    key: Ed25519KeyPair,
    issuer: &'static str,
}

impl Platform {
    fn new(issuer: &'static str) -> Self {
        Self {
            key: Ed25519KeyPair::generate().unwrap(),
            issuer,
        }
    }

    /// Returns the spec of its `IdentityProvider`. `rest` contains further fields.
    fn spec(&self, token: &str, rest: &str) -> String {
        let jwks = json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": encode(self.key.public_key()),
        }]});
        format!(
            "{{oidcIdentityToken: {{jwksContent: '{jwks}', issuer: '{}'{token}}}{rest}}}",
            self.issuer
        )
    }

    fn sign(&self, claims: &Value) -> String {
        let header = r#"{"alg":"EdDSA","kid":"one","typ":"JWT"}"#;
        let signed = format!("{}.{}", encode(header), encode(claims.to_string()));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    fn claims(&self, ctx: &Context, subject: &str, id: &str) -> Value {
        let now = ctx.now().seconds();
        json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": subject, "jti": id,
            "iat": now, "exp": now + 300,
        })
    }

    fn token(&self, ctx: &Context, subject: &str, id: &str) -> String {
        self.sign(&self.claims(ctx, subject, id))
    }
}

/// A Cluster with the User `ci`, which is `repo:a/b` at the platform.
struct Scene {
    replicas: Replicas,
    platform: Platform,
    user: User,
}

impl Scene {
    async fn on(backend: Backend, nodes: usize, token: &str, rest: &str) -> Self {
        let replicas = Replicas::start(backend, nodes).await;
        let platform = Platform::new("https://ci.example/");
        let spec = platform.spec(token, rest);
        provider(&replicas, "ci", &spec).await;
        let user = workload(&replicas, "ci", "ci", "repo:a/b").await;
        replicas.settle().await;
        Self {
            replicas,
            platform,
            user,
        }
    }

    async fn new() -> Self {
        Self::on(Backend::Sqlite, 1, "", "").await
    }

    fn ctx(&self) -> &Context {
        self.replicas.context(0)
    }

    fn token(&self, id: &str) -> String {
        self.platform.token(self.ctx(), "repo:a/b", id)
    }

    async fn sessions(&self) -> Vec<Session> {
        self.replicas.sessions(&self.user).await
    }

    /// Returns the reason of the last refusal in the audit log.
    async fn reason(&self) -> String {
        let events = self.replicas.audit().await;
        let refused = events
            .into_iter()
            .find(|event| event.outcome() == Outcome::Refused);
        refused.unwrap().reason
    }
}

async fn provider(replicas: &Replicas, name: &str, spec: &str) -> IdentityProvider {
    let yaml = format!("{{kind: IdentityProvider, metadata: {{name: {name}}}, spec: {spec}}}");
    let created = replicas.first().create(&replicas.actor, &yaml).await;
    created.unwrap()
}

async fn workload(replicas: &Replicas, name: &str, provider: &str, identifier: &str) -> User {
    let identity = format!("{{identityProvider: {provider}, identifier: '{identifier}'}}");
    let spec = format!("{{type: WORKLOAD, authentication: {{identities: [{identity}]}}}}");
    replicas.user(name, &spec).await
}

async fn log_in(ctx: &Context, assertion: &str) -> Result<String, Error> {
    log_in_at(ctx, assertion, None).await
}

async fn log_in_at(
    ctx: &Context,
    assertion: &str,
    provider: Option<&ObjectReference>,
) -> Result<String, Error> {
    let login = AssertionLogin {
        assertion,
        provider,
        scopes: &[],
    };
    let tokens = with_assertion(ctx, login, &caller()).await?;
    Ok(tokens.access_token)
}

async fn grant(ctx: &Context, assertion: &str, more: &[(&str, &str)]) -> Reply {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion),
    ];
    form.extend(more);
    post(ctx, "/oauth2/token", None, &form).await
}

#[tokio::test]
async fn a_session_records_its_identity() {
    let rules = ", aalRules: [{aal: AAL3, condition: {match: 'ctx.assertionMap.environment == \"x\"'}}, \
                {aal: AAL2, condition: {match: 'ctx.assertionMap.environment == \"prod\"'}}]";
    let scene = Scene::on(Backend::Sqlite, 1, "", rules).await;
    let mut claims = scene.platform.claims(scene.ctx(), "repo:a/b", "1");
    claims["environment"] = json!("prod");
    let token = log_in(scene.ctx(), &scene.platform.sign(&claims))
        .await
        .unwrap();
    authenticate(scene.ctx(), &token).await.unwrap();

    let session = scene.sessions().await.remove(0);
    let status = session.status.unwrap();
    assert_eq!(status.r#type(), Type::Client);
    assert!(!status.is_browser);
    let info = status.initial_authentication.unwrap().info.unwrap();
    assert_eq!(info.aal(), Aal::Aal2);
    let Some(Details::IdentityProvider(by)) = info.details else {
        panic!("{:?}", info.details);
    };
    assert_eq!(by.identifier, "repo:a/b");
    assert_eq!(by.identity_provider_ref.unwrap().name, "ci");
}

#[rstest]
#[case::sqlite_1(Backend::Sqlite, 1)]
#[case::sqlite_3(Backend::Sqlite, 3)]
#[case::postgres_3(Backend::Postgres, 3)]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a11_an_assertion_is_used_once_in_the_whole_cluster(
    #[case] backend: Backend,
    #[case] nodes: usize,
) {
    let scene = Scene::on(backend, nodes, "", "").await;
    let token = scene.token("only-once");
    let mut logins = JoinSet::new();
    for replica in 0..PARALLEL {
        let ctx = scene.replicas.context(replica).clone();
        let token = token.clone();
        logins.spawn(async move {
            if replica % 2 == 0 {
                log_in(&ctx, &token).await.is_ok()
            } else {
                grant(&ctx, &token, &[]).await.status == 200
            }
        });
    }
    let outcomes = logins.join_all().await;
    assert_eq!(outcomes.iter().filter(|succeeded| **succeeded).count(), 1);
    assert_eq!(
        scene.sessions().await.len(),
        1,
        "nothing is left by the losers"
    );
    log_in(scene.ctx(), &token).await.unwrap_err();
    assert_eq!(scene.reason().await, "assertion_replayed");
    // Another assertion of the same workload is accepted.
    log_in(scene.ctx(), &scene.token("another")).await.unwrap();
    // The first one is refused even after its record was collected.
    scene.replicas.advance(Duration::from_secs(361));
    scene.ctx().store.collect(scene.ctx().now()).await.unwrap();
    log_in(scene.ctx(), &token).await.unwrap_err();
}

#[tokio::test]
async fn a11_a_restarted_replica_remembers_what_was_used() {
    let scene = Scene::new().await;
    let token = scene.token("1");
    log_in(scene.ctx(), &token).await.unwrap();
    let restarted = crate::cluster::Cluster::on(scene.ctx().store.clone()).await;
    log_in(&restarted.context, &token).await.unwrap_err();
}

#[tokio::test]
async fn reuse_of_platform_tokens_can_be_allowed() {
    let scene = Scene::on(Backend::Sqlite, 1, ", allowReuse: true", "").await;
    let token = scene.token("1");
    log_in(scene.ctx(), &token).await.unwrap();
    log_in(scene.ctx(), &token).await.unwrap();
}

#[tokio::test]
async fn an_assertion_without_an_id_is_refused_unless_reuse_is_allowed_s11() {
    let scene = Scene::new().await;
    let ctx = scene.ctx();
    let mut claims = scene.platform.claims(ctx, "repo:a/b", "");
    claims.as_object_mut().unwrap().remove("jti");
    // Azure has `uti` instead of `jti`. It issues one token per day, so it needs `allowReuse` anyway.
    claims["uti"] = json!("AbCdEfGhIjKlMnOpQrStUv");
    let token = scene.platform.sign(&claims);
    let error = log_in(ctx, &token).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert!(error.public().contains("allowReuse"), "{error}");
    assert_eq!(scene.reason().await, "assertion_without_id");
    let reply = grant(ctx, &token, &[]).await;
    assert_ne!(reply.status, 200);
    assert!(scene.sessions().await.is_empty());

    let scene = Scene::on(Backend::Sqlite, 1, ", allowReuse: true", "").await;
    let mut claims = scene.platform.claims(scene.ctx(), "repo:a/b", "");
    claims.as_object_mut().unwrap().remove("jti");
    let token = scene.platform.sign(&claims);
    log_in(scene.ctx(), &token).await.unwrap();
    log_in(scene.ctx(), &token).await.unwrap();
    grant(scene.ctx(), &token, &[]).await.access_token();
}

#[tokio::test]
async fn a08_a09_a10_invalid_assertions_are_refused_with_one_message_and_audited() {
    let scene = Scene::new().await;
    let ctx = scene.ctx();
    let good = scene.platform.claims(ctx, "repo:a/b", "1");
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        scene.platform.sign(&claims)
    };
    let stranger = Platform::new("https://ci.example/");
    for (token, reason) in [
        ("x".to_owned(), "assertion_malformed"),
        (stranger.token(ctx, "repo:a/b", "1"), "assertion_signature"),
        (
            with("aud", json!("https://other.example")),
            "assertion_audience",
        ),
        (with("aud", json!("")), "assertion_audience"),
        (
            with("exp", json!(ctx.now().seconds() - 60)),
            "assertion_expired",
        ),
        (with("exp", json!("soon")), "assertion_claims"),
        (
            with("iat", json!(ctx.now().seconds() + 61)),
            "assertion_not_yet_valid",
        ),
        (
            with("iss", json!("https://nobody.example")),
            "provider_unknown",
        ),
        (with("iss", json!("https://ci.example")), "assertion_issuer"),
        (with("sub", json!("repo:a/B")), "identity_unknown"),
        (with("sub", json!("repo-a-b")), "identity_unknown"),
    ] {
        // Audit events are sorted by time, so the last refusal must be the newest.
        scene.replicas.advance(Duration::from_millis(1));
        let error = log_in(ctx, &token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{reason}");
        assert_eq!(error.public(), "Unauthenticated User", "{reason}");
        assert_eq!(scene.reason().await, reason);
        let reply = grant(ctx, &token, &[]).await;
        assert_eq!(
            (reply.status.as_u16(), reply.error().as_str()),
            (401, "invalid_client")
        );
        assert_eq!(
            reply.json()["error_description"],
            "client authentication failed"
        );
    }
    assert!(scene.sessions().await.is_empty());
}

#[tokio::test]
async fn w05_the_same_identifier_at_another_provider_is_another_identity() {
    let scene = Scene::new().await;
    let other = Platform::new("https://other.example");
    provider(&scene.replicas, "other", &other.spec("", "")).await;
    let theirs = workload(&scene.replicas, "theirs", "other", "repo:a/b").await;
    scene.replicas.settle().await;
    let ctx = scene.ctx();
    log_in(ctx, &other.token(ctx, "repo:a/b", "1"))
        .await
        .unwrap();
    assert_eq!(scene.replicas.sessions(&theirs).await.len(), 1);
    assert!(scene.sessions().await.is_empty());
    // Naming the provider does not help the holder of another provider's token.
    let reference = ObjectReference {
        name: "ci".to_owned(),
        ..ObjectReference::default()
    };
    let token = other.token(ctx, "repo:a/b", "2");
    log_in_at(ctx, &token, Some(&reference)).await.unwrap_err();
    let own = scene.token("3");
    log_in_at(ctx, &own, Some(&reference)).await.unwrap();
}

#[tokio::test]
async fn w25_a_provider_is_named_by_name_and_by_uid() {
    let scene = Scene::new().await;
    let ctx = scene.ctx();
    let page = ctx
        .store
        .get_by_name(Kind::IdentityProvider, "ci", ctx.now())
        .await;
    let uid = page.unwrap().unwrap().uid.to_string();
    let reference = |name: &str, uid: &str| ObjectReference {
        name: name.to_owned(),
        uid: uid.to_owned(),
        ..ObjectReference::default()
    };
    for (index, good) in [
        reference("ci", ""),
        reference("", &uid),
        reference("ci", &uid),
    ]
    .iter()
    .enumerate()
    {
        let token = scene.token(&format!("good{index}"));
        log_in_at(ctx, &token, Some(good)).await.unwrap();
    }
    let token = scene.token("bad");
    for bad in [reference("other", &uid), reference("ci", scene.user.uid())] {
        scene.replicas.advance(Duration::from_millis(1));
        log_in_at(ctx, &token, Some(&bad)).await.unwrap_err();
        assert_eq!(scene.reason().await, "provider_unknown");
    }
}

#[tokio::test]
async fn w05_a_disabled_provider_refuses_logins() {
    let scene = Scene::on(Backend::Sqlite, 2, "", "").await;
    let spec = scene.platform.spec("", ", isDisabled: true");
    let yaml = format!("{{kind: IdentityProvider, metadata: {{name: ci}}, spec: {spec}}}");
    let update = Update(parse::<IdentityProvider>(&yaml));
    scene
        .replicas
        .first()
        .run(&scene.replicas.actor, update)
        .await
        .unwrap();
    // The other replica might not have applied the change yet. The transaction detects it.
    for replica in 0..2 {
        scene.replicas.advance(Duration::from_millis(1));
        let ctx = scene.replicas.context(replica);
        log_in(ctx, &scene.token("1")).await.unwrap_err();
        assert_eq!(scene.reason().await, "provider_disabled");
    }
    assert!(scene.sessions().await.is_empty());
}

#[tokio::test]
async fn users_that_cannot_log_in_learn_why() {
    let scene = Scene::new().await;
    let identity = "{identityProvider: ci, identifier: alice}";
    let spec = format!("{{type: HUMAN, authentication: {{identities: [{identity}]}}}}");
    scene.replicas.user("alice", &spec).await;
    let ctx = scene.ctx();
    let error = log_in(ctx, &scene.platform.token(ctx, "alice", "1"))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), Some("user_type"));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);

    scene
        .replicas
        .edit(&scene.user, |user: &mut User| {
            user.spec.get_or_insert_default().is_disabled = true;
        })
        .await;
    let error = log_in(ctx, &scene.token("1")).await.unwrap_err();
    assert_eq!(error.reason(), Some("user_disabled"));
    let reply = grant(ctx, &scene.token("1"), &[]).await;
    assert_eq!(reply.error(), "unauthorized_client");
}

#[rstest]
#[case(
    "{effect: DENY, condition: {match: 'ctx.authenticationInfo.identityProvider.identifier == \"repo:a/b\"'}}",
    false
)]
#[case(
    "{effect: ALLOW, condition: {matchAny: true}}, {effect: DENY, condition: {matchAny: true}}",
    true
)]
#[case(
    "{effect: DENY, condition: {match: 'ctx.user.spec.groups[9] == \"x\"'}}",
    false
)]
#[case(
    "{effect: ALLOW, condition: {match: 'ctx.user.spec.groups[9] == \"x\"'}}, {effect: DENY, condition: {matchAny: true}}",
    false
)]
#[case(
    "{effect: DENY, condition: {match: 'ctx.identityProvider.metadata.name != \"ci\"'}}",
    true
)]
#[tokio::test]
async fn w36_rules_of_a_provider_fail_closed(#[case] rules: &str, #[case] is_let_in: bool) {
    let rules = format!(", postAuthenticationRules: [{rules}]");
    let scene = Scene::on(Backend::Sqlite, 1, "", &rules).await;
    let outcome = log_in(scene.ctx(), &scene.token("1")).await;
    assert_eq!(outcome.is_ok(), is_let_in);
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(scene.reason().await, "provider_rule");
        // Nothing was redeemed.
        let reply = grant(scene.ctx(), &scene.token("1"), &[]).await;
        assert_eq!(reply.error(), "unauthorized_client");
    }
}

#[tokio::test]
async fn w14_a_workload_that_logs_in_every_hour_is_never_locked_out() {
    let scene = Scene::new().await;
    let mut first = None;
    for hour in 0..140 {
        let token = log_in(scene.ctx(), &scene.token(&format!("{hour}")))
            .await
            .unwrap();
        first.get_or_insert(token);
        scene.replicas.advance(Duration::from_mins(1));
    }
    assert_eq!(scene.sessions().await.len(), 128);
    scene.replicas.settle().await;
    assert!(authenticate(scene.ctx(), &first.unwrap()).await.is_err());
}

#[tokio::test]
async fn a_client_gets_an_access_token_for_an_assertion() {
    let scene = Scene::new().await;
    let ctx = scene.ctx();
    let reply = grant(ctx, &scene.token("1"), &[("scope", "service:*")]).await;
    let token = reply.access_token();
    assert_eq!(reply.json()["token_type"], "Bearer");
    assert_eq!(reply.json()["scope"], "service:*");
    assert!(reply.json()["refresh_token"].is_null());
    authenticate(ctx, &token).await.unwrap();
    let session = scene.sessions().await.remove(0);
    let lasts = session.spec.unwrap().expires_at.unwrap().seconds - ctx.now().seconds();
    assert_eq!(lasts, reply.json()["expires_in"].as_i64().unwrap());

    for client_id in ["repo:a/b", "ci"] {
        let token = scene.token(client_id);
        grant(ctx, &token, &[("client_id", client_id)])
            .await
            .access_token();
    }
    let reply = grant(ctx, &scene.token("2"), &[("client_id", "somebody")]).await;
    assert_eq!(reply.error(), "invalid_client");
    let reply = grant(ctx, &scene.token("2"), &[("client_secret", "x")]).await;
    assert_eq!(reply.error(), "invalid_request");
    let reply = grant(ctx, &scene.token("2"), &[("scope", "nonsense")]).await;
    assert_eq!(reply.error(), "invalid_scope");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion", "x"),
        ("client_assertion_type", "other"),
    ];
    let reply = post(ctx, "/oauth2/token", None, &form).await;
    assert_eq!(reply.error(), "invalid_request");
}
