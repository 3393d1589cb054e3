//! Creating and changing Credentials.

use http::header;
use rstest::rstest;

use super::{FULL, between, console};
use crate::{
    replicas::{Replicas, log_in},
    web::{Browser, Shown},
};

const CREATE: &str = "/admin/create/credential";

/// Submits the form with these additional fields.
async fn create(browser: &mut Browser, fields: &[(&str, &str)]) -> Shown {
    let form = browser.get(CREATE).await;
    let (token, once) = (form.field("token"), form.field("once"));
    let mut all = vec![("token", &*token), ("once", &*once)];
    all.extend_from_slice(fields);
    browser.post(CREATE, &all).await
}

fn secret(shown: &Shown) -> String {
    between(&shown.body, "<code>", "</code>").to_owned()
}

async fn names(replicas: &Replicas) -> Vec<String> {
    let ctx = replicas.context(0);
    let query = store::Query {
        kind: domain::kind::Kind::Credential,
        index: None,
        order: store::Order::Name,
        offset: 0,
        limit: 100,
        now: ctx.now(),
    };
    let page = ctx.store.list(query).await.unwrap();
    page.documents
        .into_iter()
        .map(|document| document.name)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_a_secret_is_shown_once_and_kept_nowhere() {
    let (replicas, mut browser) = console(FULL).await;
    let form = browser.get(CREATE).await;
    let fields = [
        ("token", &*form.field("token")),
        ("once", &*form.field("once")),
        ("user", "robot"),
        ("type", "auth-token"),
        ("session", "client"),
        ("expiry", "2days"),
        ("max", "3"),
        ("name", "cred01"),
    ];
    let shown = browser.post(CREATE, &fields).await;
    assert_eq!(shown.status, 200, "{shown:#?}");
    assert_eq!(shown.headers[header::CACHE_CONTROL], "no-store");
    let secret = secret(&shown);
    shown.says(&format!("data-copy=\"{secret}\""));
    log_in(replicas.context(0), &secret).await.unwrap();

    // A reload submits the form again.
    let again = browser.post(CREATE, &fields).await;
    assert_eq!(again.status, 409);
    again.says("This form was already submitted");
    assert!(!again.body.contains(&secret));
    assert_eq!(
        names(&replicas)
            .await
            .iter()
            .filter(|name| *name == "cred01")
            .count(),
        1
    );

    for path in [
        "/admin/credential",
        "/admin/credential/cred01",
        "/admin/audit",
    ] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, 200);
        assert!(!shown.body.contains(&secret), "{path}");
    }
    browser
        .get("/admin/credential/cred01")
        .await
        .says("maxAuthentications: 3");
    let events = replicas.audit().await;
    assert!(!format!("{events:?}").contains(&secret));
    for event in ["credential.created", "credential.issued"] {
        let found = events.iter().find(|found| found.r#type == event);
        let by = found.unwrap().user_ref.as_ref();
        let of = events.iter().any(|found| {
            found.r#type == event
                && found
                    .user_ref
                    .as_ref()
                    .is_some_and(|user| user.name == "admin")
        });
        assert!(of, "{event} by {by:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_shows_what_it_is_used_by() {
    let (_replicas, mut browser) = console(FULL).await;
    let shown = create(&mut browser, &[("user", "robot"), ("type", "oauth2")]).await;
    shown.says("Client ID");
    shown.says("Client secret");
    shown.says("The secret of robot-oauth2-");
    let shown = create(&mut browser, &[("user", "robot"), ("type", "access-token")]).await;
    shown.says("Access token");
}

#[rstest]
#[case(&[("type", "auth-token")], "Enter the name of the User")]
#[case(&[("user", "robot")], "Choose a type")]
#[case(&[("user", "nobody"), ("type", "auth-token")], "The User nobody does not exist")]
#[case(&[("user", "john"), ("type", "oauth2")], "WORKLOAD")]
#[case(&[("user", "robot"), ("type", "auth-token"), ("expiry", "soon")], "Expires in:")]
#[case(&[("user", "robot"), ("type", "auth-token"), ("max", "-1")], "Maximum authentications:")]
#[case(&[("user", "robot"), ("type", "auth-token"), ("name", "No Name")], "No Name")]
#[tokio::test(flavor = "multi_thread")]
async fn form_errors_are_shown_with_the_entered_values(
    #[case] fields: &[(&str, &str)],
    #[case] text: &str,
) {
    let (replicas, mut browser) = console(FULL).await;
    let before = names(&replicas).await;
    let shown = create(&mut browser, fields).await;
    assert_eq!(shown.status, 400, "{shown:#?}");
    shown.says("role=\"alert\"");
    shown.says(text);
    if let Some((_, user)) = fields.iter().find(|(name, _)| *name == "user") {
        assert_eq!(shown.field("user"), *user);
    }
    assert_eq!(names(&replicas).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn w02_a_form_of_another_user_creates_no_credential() {
    let (replicas, mut browser) = console(FULL).await;
    let mut other = Browser::at(replicas.context(0));
    other.enroll(&replicas, "john").await;
    let foreign = other.get("/").await.field("token");
    let form = browser.get(CREATE).await;
    let (token, once) = (form.field("token"), form.field("once"));
    let fields = |token| {
        [
            ("token", token),
            ("once", &*once),
            ("user", "robot"),
            ("type", "auth-token"),
        ]
    };
    let before = names(&replicas).await;
    for bad in ["", "x", &foreign] {
        assert_eq!(browser.post(CREATE, &fields(bad)).await.status, 403);
    }
    for from in [
        &[][..],
        &[("origin", "https://app.localhost:8443")],
        &[("origin", "null")],
    ] {
        let shown = browser.post_from(CREATE, &fields(&token), from).await;
        assert_eq!(shown.status, 403);
    }
    assert_eq!(names(&replicas).await, before);
    assert_eq!(browser.post(CREATE, &fields(&token)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_as_was_chosen() {
    let (replicas, mut browser) = console(FULL).await;
    let ctx = replicas.context(0);
    let credential = replicas.credential("AUTH_TOKEN", "robot", "").await;
    let place = format!(
        "/admin/credential/{}/rotate",
        credential.metadata.as_ref().unwrap().name
    );
    let mut former = replicas.issue(&credential).await;
    for (choice, still_works) in [("overlap", true), ("keep", false), ("end", false)] {
        let tokens = log_in(ctx, &former).await.unwrap();
        let form = browser.get(&place).await;
        form.says("Rotate the secret?");
        let fields = [
            ("token", &*form.field("token")),
            ("once", &*form.field("once")),
            ("former", choice),
            ("overlap", "1hour"),
        ];
        let shown = browser.post(&place, &fields).await;
        assert_eq!(shown.status, 200, "{shown:#?}");
        let new = secret(&shown);
        assert_ne!(new, former);
        assert_eq!(log_in(ctx, &former).await.is_ok(), still_works, "{choice}");
        let session = ctx.directory.authenticate(&tokens.access_token).await;
        assert_eq!(session.is_ok(), choice != "end", "{choice}");
        assert_eq!(browser.post(&place, &fields).await.status, 409);
        log_in(ctx, &new).await.unwrap();
        former = new;
    }
    let form = browser.get(&place).await;
    let fields = [
        ("token", &*form.field("token")),
        ("once", &*form.field("once")),
        ("former", "overlap"),
        ("overlap", "a while"),
    ];
    let shown = browser.post(&place, &fields).await;
    assert_eq!(shown.status, 400);
    shown.says("For how long:");
    log_in(ctx, &former).await.unwrap();
}
