//! Only tokens authenticate, regardless of the cache contents.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
    time::Duration,
};

use api::{
    core_v1::{Credential, Session},
    meta_v1::GetOptions,
    resource::Object as _,
    user_v1::{GetStatusRequest, main_service_client::MainServiceClient as UserClient},
};
use domain::{credential::Rotation, id::Uid, token};
use http::HeaderValue;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use server::{
    Unauthenticated, authentication::issue, document::load, resource::read, web::handover,
};
use tonic::Code;

use super::api::{router, with};
use crate::{
    oauth2::{basic, post},
    replicas::{Backend, Replicas, authenticate, log_in, refresh, secret},
    web::{
        Browser, SESSION,
        handover::{HOST, service_cookie},
    },
};

const CASES: usize = 600;

/// A Cluster whose caches contain an administrator, authenticated by the portal, a Service cookie and tokens.
struct Warm {
    replicas: Replicas,
    /// Texts that an attacker could partly know.
    pieces: Vec<String>,
    cookies: Vec<String>,
}

async fn warm() -> Warm {
    let replicas = Replicas::start(Backend::Sqlite, 1).await;
    let spec = "{ type: HUMAN, authorization: { policies: [allow-all] } }";
    let user = replicas.user("alice", spec).await;
    let ctx = replicas.context(0);
    let mut browser = Browser::at(ctx);
    browser.enroll(&replicas, "alice").await;
    assert_eq!(browser.get("/").await.status, 200);
    assert_eq!(browser.get("/admin").await.status, 200);
    let cookie = service_cookie(&replicas, &mut browser).await;
    handover::authenticate(ctx, &cookie, HOST).await.unwrap();
    let credential = replicas.credential("AUTH_TOKEN", "alice", "").await;
    let secret = replicas.issue(&credential).await;
    log_in(ctx, &secret).await.unwrap();

    let mut pieces = vec![cookie.clone(), browser.cookies[SESSION].clone(), secret];
    for session in replicas.sessions(&user).await {
        let uid: Uid = session.uid().parse().unwrap();
        let stored = load::with_token_ids::<Session>(&*ctx.store, uid, ctx.now()).await;
        let session = stored.unwrap().unwrap().message;
        let authentication = session.status.unwrap().authentication.unwrap();
        assert!(!authentication.token_id.is_empty());
        pieces.push(format!("{uid}"));
        pieces.push(authentication.token_id.clone());
        pieces.push(format!("pages {uid} {}", authentication.token_id));
        pieces.push(format!("{uid} {}", authentication.token_id));
    }
    pieces.push(format!("\0{HOST}\0{cookie}"));
    pieces.push(format!("{HOST} {cookie}"));
    let cookies = vec![cookie, browser.cookies[SESSION].clone()];
    Warm {
        replicas,
        pieces,
        cookies,
    }
}

/// Returns known pieces, alone and joined, and random text.
fn texts(pieces: &[String]) -> Vec<String> {
    let piece = prop_oneof![
        4 => proptest::sample::select(pieces.to_vec()),
        1 => proptest::sample::select(vec![" ", "\0", "pages", HOST, "Bearer ", "AQo", "=", "/"])
            .prop_map(str::to_owned),
        1 => "[ -~]{0,200}",
        1 => "[A-Za-z0-9_-]{150,220}",
    ];
    let text = proptest::collection::vec(piece, 1..4).prop_map(|parts| parts.concat());
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let random = (0..CASES).map(|_| text.new_tree(&mut runner).unwrap().current());
    pieces.iter().cloned().chain(random).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_are_not_tokens_never_authenticate_s01() {
    let warm = warm().await;
    let ctx = warm.replicas.context(0);
    let mut api = UserClient::new(router(ctx).await);
    let mut refused = BTreeMap::new();
    for text in texts(&warm.pieces) {
        if token::decode(&text).is_ok() {
            continue;
        }
        let outcome = ctx.directory.authenticate(&text).await;
        assert!(
            matches!(outcome, Err(Unauthenticated::Refused { .. })),
            "the Directory knows {text:?}"
        );
        if let Ok(value) = HeaderValue::from_str(&text)
            && value.to_str().is_ok()
        {
            *refused.entry("header").or_insert(0) += 1;
            for (name, value) in [
                ("x-octelium-auth", text.clone()),
                ("authorization", format!("Bearer {text}")),
            ] {
                let call = with(GetStatusRequest {}, name, &value);
                let status = api.get_status(call).await.unwrap_err();
                assert_eq!(status.code(), Code::Unauthenticated, "{name}: {text:?}");
            }
        }
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "any"),
            ("client_secret", &text),
        ];
        let reply = post(ctx, "/oauth2/token", None, &form).await;
        assert!(matches!(reply.status.as_u16(), 400 | 401), "{text:?}");
        let authorization = basic("any", &text);
        let form = [("token", text.as_str())];
        let reply = post(ctx, "/oauth2/introspect", Some(&authorization), &form).await;
        assert_eq!(reply.status, 401, "{text:?}");
        *refused.entry("oauth2").or_insert(0) += 1;

        if warm.cookies.contains(&text) {
            continue;
        }
        let outcome = handover::authenticate(ctx, &text, HOST).await;
        assert!(outcome.is_err(), "a Service takes {text:?}");
        let is_value = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b'"' | b',' | b'\\'))
        };
        if is_value(&text) {
            *refused.entry("cookie").or_insert(0) += 1;
            let mut browser = Browser::at(ctx);
            browser.cookies.insert(SESSION.to_owned(), text.clone());
            let shown = browser.get("/").await;
            assert_eq!(shown.status, 303, "the portal takes {text:?}");
            assert!(shown.location().contains("/login"), "{shown:?}");
        }
    }
    assert!(refused.values().all(|count| *count > 50), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_refused_in_place_of_each_other_s01() {
    let warm = warm().await;
    let ctx = warm.replicas.context(0);
    let [service, portal] = &warm.cookies[..] else {
        panic!("two cookies");
    };
    assert!(handover::authenticate(ctx, portal, HOST).await.is_err());
    assert!(
        handover::authenticate(ctx, service, "other.localhost")
            .await
            .is_err()
    );
    let mut browser = Browser::at(ctx);
    browser.cookies.insert(SESSION.to_owned(), service.clone());
    assert_eq!(browser.get("/").await.status, 303);
}

/// Returns the token ids of these tokens.
fn token_ids<'a>(tokens: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    let ids = tokens
        .into_iter()
        .map(|token| token::inspect(token).unwrap().token_id.to_string());
    ids.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn token_ids_are_neither_stored_in_clear_nor_shown_s01() {
    let directory = tempfile::tempdir().unwrap();
    let store = store::testing::sqlite_in(directory.path());
    let replicas = Replicas::on(vec![Arc::new(store)]).await;
    let ctx = replicas.context(0);
    let user = replicas.workload("robot").await;
    let credential = replicas.credential("AUTH_TOKEN", "robot", "").await;
    let first = replicas.issue(&credential).await;
    let session = log_in(ctx, &first).await.unwrap();
    let overlap = Rotation::Overlap(Duration::from_hours(2));
    let reference = credential.reference();
    let second = issue::rotate(ctx, &replicas.actor, &reference, overlap).await;
    let second = secret(second.unwrap());
    replicas.advance(Duration::from_hours(1));
    let refreshed = refresh(ctx, &session.refresh_token).await.unwrap();
    let tokens = [
        first,
        second,
        session.access_token,
        refreshed.access_token.clone(),
    ];
    let ids = token_ids(&tokens);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4, "{ids:?}");

    let which = |uid: &str| GetOptions {
        uid: uid.to_owned(),
        ..GetOptions::default()
    };
    let shown = read::get::<Credential>(ctx, &which(credential.uid())).await;
    let mut shown = format!("{:?}", shown.unwrap());
    for session in replicas.sessions(&user).await {
        let session = read::get::<Session>(ctx, &which(session.uid())).await;
        write!(shown, "{:?}", session.unwrap()).unwrap();
    }
    let principal = authenticate(ctx, &refreshed.access_token).await.unwrap();
    write!(shown, "{:?}", principal.subject().session().unwrap()).unwrap();
    let mut stored = Vec::new();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        stored.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    let marker = user.uid().as_bytes();
    let holds = |text: &[u8]| stored.windows(text.len()).any(|window| window == text);
    assert!(holds(marker), "the files of the database were read");
    for id in ids {
        assert!(!shown.contains(&id), "{shown}");
        assert!(!holds(id.as_bytes()));
        assert!(!holds(id.parse::<Uid>().unwrap().as_bytes()));
    }
}
