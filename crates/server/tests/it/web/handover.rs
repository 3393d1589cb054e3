//! The handover of a login to a Service.

use std::time::Duration;

use api::core_v1::User;
use api::resource::Object as _;
use domain::kind::Kind;
use rstest::rstest;
use server::{
    Unauthenticated, return_to,
    web::handover::{RedeemedHandover, Refused, authenticate, redeem_code, renew, state_of},
};

use super::{Browser, SESSION, enrollment::sessions, people};
use crate::replicas::{Replicas, is_cancelled};

pub(crate) const HOST: &str = "web.localhost";
const PLACE: &str = "https://web.localhost:8443/a?b=c";
const NONCE: &str = "nonce-of-this-browser";

/// Returns the code that a signed-in browser gets.
async fn code(replicas: &Replicas, browser: &mut Browser) -> String {
    let place = return_to::sign(replicas.context(0), PLACE, &state_of(NONCE)).unwrap();
    let shown = browser
        .get(&format!("/login?return={}", place.unwrap()))
        .await;
    assert_eq!(shown.status, 303, "{shown:#?}");
    let prefix = "https://web.localhost:8443/.well-known/octelium/callback?code=";
    shown.location().strip_prefix(prefix).unwrap().to_owned()
}

async fn handed_over(replicas: &Replicas, browser: &mut Browser) -> RedeemedHandover {
    let code = code(replicas, browser).await;
    let handed_over = redeem_code(replicas.context(0), HOST, &code, NONCE).await;
    handed_over.unwrap_or_else(|refused| panic!("{refused:?}"))
}

/// Returns the cookie that the browser gets at [`HOST`].
pub(crate) async fn service_cookie(replicas: &Replicas, browser: &mut Browser) -> String {
    handed_over(replicas, browser).await.cookie
}

async fn john(replicas: &Replicas) -> Browser {
    let mut browser = Browser::at(replicas.context(0));
    browser.enroll(replicas, "john").await;
    browser
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_works_once_in_the_whole_cluster() {
    let replicas = people(2).await;
    let mut browser = john(&replicas).await;
    let code = code(&replicas, &mut browser).await;
    let handed_over = redeem_code(replicas.context(1), HOST, &code, NONCE).await;
    let handed_over = handed_over.unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(handed_over.target, "/a?b=c");
    assert_eq!(handed_over.lifetime, Duration::from_hours(4));
    for replica in 0..2 {
        let again = redeem_code(replicas.context(replica), HOST, &code, NONCE).await;
        assert_eq!(again.err(), Some(Refused::Used));
    }
    let ctx = replicas.context(0);
    let principal = authenticate(ctx, &handed_over.cookie, HOST).await.unwrap();
    assert_eq!(&**principal.user_name(), "john");
    assert!(principal.session().status().unwrap().is_browser);
}

#[rstest]
#[case::another_host("other.localhost", NONCE, 0)]
#[case::the_cluster_itself("localhost", NONCE, 0)]
#[case::another_browser(HOST, "nonce-of-the-attacker", 0)]
#[case::no_browser(HOST, "", 0)]
#[case::too_late(HOST, NONCE, 30)]
#[tokio::test(flavor = "multi_thread")]
async fn w02_a_code_is_for_one_host_and_one_browser_and_is_used_up_elsewhere_s11(
    #[case] host: &str,
    #[case] nonce: &str,
    #[case] seconds: u64,
) {
    let replicas = people(1).await;
    let mut browser = john(&replicas).await;
    let code = code(&replicas, &mut browser).await;
    replicas.advance(Duration::from_secs(seconds));
    let refused = redeem_code(replicas.context(0), host, &code, nonce).await;
    assert_eq!(refused.err(), Some(Refused::Invalid));
    // The failed attempt used up the code.
    if seconds == 0 {
        let handed_over = redeem_code(replicas.context(0), HOST, &code, NONCE).await;
        assert_eq!(handed_over.err(), Some(Refused::Used));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w07_sealed_values_work_only_at_their_host() {
    let replicas = people(1).await;
    let ctx = replicas.context(0);
    let mut browser = john(&replicas).await;
    let handed_over = handed_over(&replicas, &mut browser).await;
    let invalid = |reason| Some(Unauthenticated::Refused { reason });
    for host in ["other.localhost", "localhost", "", "WEB.localhost"] {
        let outcome = authenticate(ctx, &handed_over.cookie, host).await;
        assert_eq!(outcome.err(), invalid("cookie_host"), "{host}");
    }
    // The cookie works neither at the API nor on the pages, and their credentials do not work here. This also holds
    // while the cookie is cached.
    authenticate(ctx, &handed_over.cookie, HOST).await.unwrap();
    for text in [
        handed_over.cookie.clone(),
        format!("{HOST} {}", handed_over.cookie),
        format!("{HOST}\t{}", handed_over.cookie),
        format!("{HOST}{}", handed_over.cookie),
    ] {
        let outcome = ctx.directory.authenticate(&text).await;
        assert_eq!(outcome.err(), invalid("token_malformed"), "{text}");
    }
    let own = browser.cookies[SESSION].clone();
    let outcome = authenticate(ctx, &own, HOST).await;
    assert_eq!(outcome.err(), invalid("cookie_invalid"));
    browser
        .cookies
        .insert(SESSION.to_owned(), handed_over.cookie.clone());
    assert_eq!(browser.get("/").await.location(), "/login");
    // Almost valid cookies are refused.
    let mut cut = handed_over.cookie.clone();
    cut.pop();
    for text in [&*cut, "", "AA", &format!("{}A", handed_over.cookie)] {
        let outcome = authenticate(ctx, text, HOST).await;
        assert_eq!(outcome.err(), invalid("cookie_invalid"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_ending_the_session_ends_its_service_cookies_everywhere() {
    let replicas = people(2).await;
    let mut browser = john(&replicas).await;
    let handed_over = handed_over(&replicas, &mut browser).await;
    let mut principals = Vec::new();
    for replica in 0..2 {
        let ctx = replicas.context(replica);
        principals.push(authenticate(ctx, &handed_over.cookie, HOST).await.unwrap());
    }
    let token = browser.get("/").await.field("token");
    browser.post("/logout", &[("token", &token)]).await;
    for principal in &principals {
        assert!(is_cancelled(principal).await);
    }
    replicas.settle().await;
    for replica in 0..2 {
        let outcome = authenticate(replicas.context(replica), &handed_over.cookie, HOST).await;
        assert!(outcome.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_reaches_nothing_and_a_refreshed_page_costs_nothing() {
    let replicas = people(1).await;
    let ctx = replicas.context(0);
    let mut browser = john(&replicas).await;
    let handed_over = handed_over(&replicas, &mut browser).await;
    // The login cookie is replaced, and the Service cookie stays valid.
    replicas.advance(Duration::from_hours(3));
    let before = browser.cookies[SESSION].clone();
    browser.get("/").await;
    assert_ne!(browser.cookies[SESSION], before);
    replicas.advance(Duration::from_mins(5));
    assert!(authenticate(ctx, &handed_over.cookie, HOST).await.is_ok());
    // Until its own expiry.
    replicas.advance(Duration::from_mins(55));
    let outcome = authenticate(ctx, &handed_over.cookie, HOST).await;
    let reason = "cookie_expired";
    assert_eq!(outcome.err(), Some(Unauthenticated::Refused { reason }));

    let again = self::handed_over(&replicas, &mut browser).await;
    let session = &sessions(&replicas, "john").await[0];
    let user = session.status().unwrap().user_ref.clone().unwrap();
    let user = replicas
        .get::<User>(user.uid.parse().unwrap())
        .await
        .unwrap();
    let disable = |user: &mut User| user.spec_mut().is_disabled = true;
    replicas.edit(&user.message, disable).await;
    replicas.settle().await;
    assert!(authenticate(ctx, &again.cookie, HOST).await.is_err());
    replicas.delete(Kind::User, user.message.uid()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_page_shows_the_destination() {
    let replicas = people(1).await;
    let place = return_to::sign(replicas.context(0), PLACE, &state_of(NONCE)).unwrap();
    let mut browser = Browser::at(replicas.context(0));
    let shown = browser
        .get(&format!("/login?return={}", place.unwrap()))
        .await;
    assert_eq!(shown.status, 200);
    shown.says("web.localhost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_that_is_renewed_lives_on_and_not_beyond_the_session() {
    let replicas = people(1).await;
    let ctx = replicas.context(0);
    let mut browser = john(&replicas).await;
    let handed_over = handed_over(&replicas, &mut browser).await;
    replicas.advance(Duration::from_hours(3));
    let principal = authenticate(ctx, &handed_over.cookie, HOST).await.unwrap();
    let (renewed, lifetime) = renew(ctx, &principal, HOST).unwrap();
    assert_eq!(lifetime, Duration::from_hours(4));
    replicas.advance(Duration::from_hours(2));
    assert!(authenticate(ctx, &handed_over.cookie, HOST).await.is_err());
    let mut principal = authenticate(ctx, &renewed, HOST).await.unwrap();
    assert!(
        authenticate(ctx, &renewed, "other.localhost")
            .await
            .is_err()
    );
    // The lifetime of a Session is 21 hours.
    for _ in 0..5 {
        let Some((cookie, lifetime)) = renew(ctx, &principal, HOST) else {
            break;
        };
        assert!(lifetime <= Duration::from_hours(4));
        replicas.advance(Duration::from_mins(190));
        let Ok(next) = authenticate(ctx, &cookie, HOST).await else {
            break;
        };
        principal = next;
    }
    replicas.advance(Duration::from_hours(4));
    assert!(renew(ctx, &principal, HOST).is_none());
}
