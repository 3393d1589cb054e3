//! Devices and people that race for a code at several replicas.

use std::time::Duration;

use futures_util::future::join_all;
use rstest::rstest;
use serde_json::Value;
use server::Context;

use super::{Browser, enrollment::sessions};
use crate::{
    oauth2,
    replicas::{Backend, Replicas},
};

const RACERS: usize = 8;

async fn ask(ctx: &Context) -> Value {
    let form = [("client_id", "octelium-cli")];
    let reply = oauth2::post(ctx, "/oauth2/device_authorization", None, &form).await;
    reply.json()
}

async fn collect(ctx: &Context, asked: &Value) -> Value {
    let form = [
        ("client_id", "octelium-cli"),
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", asked["device_code"].as_str().unwrap()),
    ];
    oauth2::post(ctx, "/oauth2/token", None, &form).await.json()
}

async fn person(replicas: &Replicas, name: &str) -> Browser {
    replicas.user(name, "{ type: HUMAN }").await;
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(replicas, name).await;
    browser
}

#[rstest]
#[case(Backend::Sqlite)]
#[case(Backend::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn w30_a_code_is_good_for_one_person_one_answer_and_one_session(#[case] backend: Backend) {
    let replicas = Replicas::start(backend, 2).await;
    let john = person(&replicas, "john").await;
    let mary = person(&replicas, "mary").await;
    let asked = ask(replicas.context(0)).await;
    let code = asked["user_code"].as_str().unwrap();

    // Several tabs of two people.
    let typing = (0..RACERS).map(|racer| {
        let mut browser = if racer % 2 == 0 { &john } else { &mary }.clone();
        browser.turn_to(replicas.context(racer / 2));
        async move {
            let token = browser.get("/device").await.field("token");
            let shown = browser
                .post("/device", &[("token", &token), ("code", code)])
                .await;
            (browser, shown)
        }
    });
    let (mut shown, refused): (Vec<_>, Vec<_>) = join_all(typing)
        .await
        .into_iter()
        .partition(|(_, shown)| shown.status == 200);
    assert_eq!((shown.len(), refused.len()), (1, RACERS - 1));
    let (browser, shown) = shown.remove(0);

    // The same answer, repeatedly.
    let (token, request) = (shown.field("token"), shown.field("request"));
    let answering = (0..RACERS).map(|racer| {
        let mut browser = browser.clone();
        browser.turn_to(replicas.context(racer));
        let (token, request) = (&token, &request);
        async move {
            let answer = if racer % 2 == 0 { "approve" } else { "reject" };
            let fields = [
                ("token", &**token),
                ("request", request),
                ("answer", answer),
            ];
            let done = browser.post("/device/answer", &fields).await;
            (done.status == 200).then_some(answer)
        }
    });
    let answers = join_all(answering).await;
    let answers: Vec<&str> = answers.into_iter().flatten().collect();
    let [answer] = answers[..] else {
        panic!("{answers:?}");
    };

    let polling = (0..RACERS).map(|racer| collect(replicas.context(racer), &asked));
    let replies = join_all(polling).await;
    let granted = replies
        .iter()
        .filter(|reply| reply["access_token"].is_string());
    let denied = replies
        .iter()
        .filter(|reply| reply["error"] == "access_denied");
    let counts = (granted.count(), denied.count());
    let expected = if answer == "approve" { (1, 0) } else { (0, 1) };
    assert_eq!(counts, expected, "{answer}: {replies:?}");

    // It is not accepted later either.
    replicas.advance(Duration::from_secs(5));
    let late = collect(replicas.context(1), &asked).await;
    assert_eq!(late["error"], "invalid_grant", "{late}");
    let all = [
        sessions(&replicas, "john").await,
        sessions(&replicas, "mary").await,
    ];
    let count = all.iter().map(Vec::len).sum::<usize>();
    assert_eq!(count, 2 + expected.0);
}
