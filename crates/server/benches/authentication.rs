//! Benchmarks: verification and granting of access tokens, and the memory use of one hundred thousand Sessions.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

use std::{sync::Arc, time::Duration};

use api::{
    core_v1::{self as core, Credential, Session, User},
    meta_v1::Metadata,
    resource::Object as _,
};
use axum::body::Body;
use criterion::{Criterion, criterion_group, criterion_main};
use domain::{
    clock::{Clock as _, SystemClock},
    credential::{self, Rotation},
    id::Uid,
    rng::SystemRng,
    session::{self, NewSession},
    token::{Claims, TokenType},
};
use http::{Request, header};
use http_body_util::BodyExt as _;
use server::{Context, directory::Limits, document::codec, oauth2_router};
use store::{Expected, Operation, SecretWrite, Transaction};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

const SESSIONS: usize = 100_000;
const USERS: usize = 1_000;

struct Fixture {
    ctx: Context,
    client: (String, String),
    signing: domain::token::SigningKey,
    credential: Credential,
    users: Vec<User>,
}

async fn fixture() -> Fixture {
    let store = store::testing::sqlite();
    let domain = "localhost:8443".parse().unwrap();
    let limits = Limits {
        sessions: SESSIONS,
        tokens: 2 * SESSIONS,
        ..Limits::default()
    };
    let ctx = Context::open(
        store,
        Arc::new(SystemClock),
        Arc::new(SystemRng),
        domain,
        limits,
    );
    let ctx = ctx.await.unwrap();
    tokio::spawn(ctx.directory.clone().run(CancellationToken::new()));

    let key = ctx
        .store
        .scan(domain::kind::Kind::SigningKey, None, 1, ctx.now())
        .await
        .unwrap();
    let secret = ctx
        .store
        .secret(domain::kind::Kind::SigningKey, key[0].uid)
        .await
        .unwrap();
    let signing = domain::token::SigningKey::from_pkcs8(key[0].uid, &secret.unwrap()).unwrap();

    let mut users = Vec::new();
    for number in 0..USERS {
        let mut user = User {
            metadata: Some(metadata(&format!("user-{number}"))),
            ..User::default()
        };
        user.spec_mut().set_type(core::user::spec::Type::Workload);
        put(&ctx, [&user]).await;
        users.push(user);
    }
    let mut credential = Credential {
        metadata: Some(metadata("client")),
        ..Credential::default()
    };
    credential
        .spec_mut()
        .set_type(core::credential::spec::Type::Oauth2);
    "user-0".clone_into(&mut credential.spec_mut().user);
    "aaaa-bbbb".clone_into(&mut credential.status_mut().id);
    credential.status_mut().user_ref = Some(users[0].reference());
    let token_id = ctx.new_uid();
    credential::rotate(&mut credential, Rotation::EndSessions, token_id, ctx.now()).unwrap();
    put(&ctx, [&credential]).await;
    let claims = Claims {
        token_type: TokenType::Credential,
        key_id: signing.id(),
        subject: credential.uid().parse().unwrap(),
        token_id,
        expires_at: None,
        credential_version: 1,
        audience: ctx.cluster_uid,
    };
    let secret = signing.sign(&claims).expose().to_owned();
    Fixture {
        ctx,
        client: ("aaaa-bbbb".to_owned(), secret),
        signing,
        credential,
        users,
    }
}

fn metadata(name: &str) -> Metadata {
    Metadata {
        uid: Uid::random(&SystemRng).to_string(),
        name: name.to_owned(),
        created_at: Some(SystemClock.now().to_proto()),
        ..Metadata::default()
    }
}

async fn put<'a, T: codec::Resource>(ctx: &Context, objects: impl IntoIterator<Item = &'a T>) {
    let now = ctx.now();
    let mut transaction = Transaction::at(now);
    for object in objects {
        let uid = object.uid().parse().unwrap();
        let document = codec::encode(uid, now, object, SecretWrite::Keep);
        transaction.push(Operation::Put(document, Expected::Absent));
    }
    ctx.store.commit(transaction).await.unwrap();
}

/// Creates Sessions from an authentication token and returns an access token of each.
async fn sessions(fixture: &Fixture) -> Vec<String> {
    let ctx = &fixture.ctx;
    let mut by = fixture.credential.clone();
    by.metadata = Some(metadata("login"));
    by.spec_mut()
        .set_type(core::credential::spec::Type::AuthToken);
    "cccc-dddd".clone_into(&mut by.status_mut().id);
    put(ctx, [&by]).await;
    let mut tokens = Vec::with_capacity(SESSIONS);
    let config = core::ClusterConfig::default();
    for batch in 0..SESSIONS / 500 {
        let mut made: Vec<Session> = Vec::new();
        for number in 0..500 {
            let user = &fixture.users[(batch * 500 + number) % USERS];
            let session_type = core::session::status::Type::Client;
            let session = session::new_session(NewSession {
                uid: ctx.new_uid(),
                name: format!("s-{batch}-{number}"),
                user,
                credential: Some((&by, 1)),
                session_type,
                is_browser: false,
                scopes: Vec::new(),
                token_id: ctx.new_uid(),
                info: session::credential_info(&by, session::downstream(None, "cli")),
                lifetimes: session::lifetimes(user, &config, session_type),
                state: core::session::spec::State::Active,
                now: ctx.now(),
            });
            let authentication = session
                .status
                .as_ref()
                .unwrap()
                .authentication
                .as_ref()
                .unwrap();
            let claims = Claims {
                token_type: TokenType::Access,
                key_id: fixture.signing.id(),
                subject: session.uid().parse().unwrap(),
                token_id: authentication.token_id.parse().unwrap(),
                expires_at: Some(ctx.now().saturating_add(Duration::from_hours(4))),
                credential_version: 1,
                audience: ctx.cluster_uid,
            };
            tokens.push(fixture.signing.sign(&claims).expose().to_owned());
            made.push(session);
        }
        put(ctx, &made).await;
    }
    tokens
}

fn resident_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

fn authentication(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let fixture = runtime.block_on(fixture());
    let ctx = &fixture.ctx;

    let tokens = runtime.block_on(sessions(&fixture));
    let before = resident_megabytes();
    let begun = std::time::Instant::now();
    runtime.block_on(async {
        for token in &tokens {
            ctx.directory.authenticate(token).await.unwrap();
        }
    });
    println!(
        "{SESSIONS} sessions known: {:.0} MB more resident ({before:.0} MB before), {:.1} us each from the store; {:?}",
        resident_megabytes() - before,
        begun.elapsed().as_secs_f64() * 1e6 / SESSIONS as f64,
        ctx.directory.size(),
    );

    criterion.bench_function("authenticate, same token", |bencher| {
        bencher.iter(|| {
            runtime
                .block_on(ctx.directory.authenticate(&tokens[0]))
                .unwrap()
        });
    });
    let mut next = 0;
    criterion.bench_function("authenticate, any of 100,000 tokens", |bencher| {
        bencher.iter(|| {
            next = (next + 7919) % tokens.len();
            runtime
                .block_on(ctx.directory.authenticate(&tokens[next]))
                .unwrap()
        });
    });

    let router = oauth2_router(ctx.clone());
    let (id, secret) = &fixture.client;
    let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    criterion.bench_function("grant through the router", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let request = Request::post("/oauth2/token")
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(Body::from(body.clone()))
                    .unwrap();
                let response = router.clone().oneshot(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap()
            })
        });
    });
}

criterion_group!(benches, authentication);
criterion_main!(benches);
