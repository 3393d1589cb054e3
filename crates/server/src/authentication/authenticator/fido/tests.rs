//! Ceremonies with a software authenticator.
#![allow(
    clippy::large_futures,
    reason = "a test polls each of them once, on a stack of its own"
)]

mod client;
mod models;
mod reset;

use api::core_v1::{
    Condition,
    cluster_config::spec::{
        Authenticator as Rules,
        authenticator::{Rule, rule::Effect},
    },
    condition,
    session::status::authentication::info::Details,
};
use domain::session;
use rstest::rstest;

use super::*;
use crate::authentication::{
    authenticator::{
        manage, recovery,
        testing::{START, World, reason},
    },
    browser::NewBrowserSession,
};
use authn::webauthn::testing::{SoftwareAuthenticator, Tampering};

impl World {
    async fn register(
        &self,
        holder: &Holder,
        key: &mut SoftwareAuthenticator,
    ) -> Result<Authenticator, Error> {
        self.register_twisted(holder, key, &Tampering::default())
            .await
    }

    async fn register_twisted(
        &self,
        holder: &Holder,
        key: &mut SoftwareAuthenticator,
        twist: &Tampering,
    ) -> Result<Authenticator, Error> {
        let caller = Caller::default();
        let made = manage::create(&self.ctx, holder, Type::Fido, "my key", &caller).await?;
        let which = AuthenticatorSelector {
            name: made.name(),
            uid: "",
        };
        let challenge = begin_registration(&self.ctx, holder, &which).await?;
        let response = key.create(&challenge.options, twist);
        finish_registration(&self.ctx, holder, &challenge.state, &response, &caller).await
    }

    async fn use_key(
        &self,
        holder: &Holder,
        key: &mut SoftwareAuthenticator,
        twist: &Tampering,
    ) -> Result<Session, Error> {
        let challenge = begin_authentication(&self.ctx, holder, None).await?;
        let response = key.get(&challenge.options, twist);
        let caller = Caller::default();
        authenticate(&self.ctx, holder, &challenge.state, &response, &caller).await
    }

    async fn log_in(
        &self,
        key: &mut SoftwareAuthenticator,
        twist: &Tampering,
    ) -> Result<NewBrowserSession, Error> {
        let challenge = begin_login(&self.ctx)?;
        let response = key.get(&challenge.options, twist);
        let caller = Caller::default();
        login(&self.ctx, None, &challenge.state, &response, &caller).await
    }
}

fn passkeys() -> Rules {
    Rules {
        enable_passkey_login: true,
        ..Rules::default()
    }
}

fn with(settings: Settings) -> Rules {
    Rules {
        fido: Some(settings),
        ..Rules::default()
    }
}

fn deny(condition: &str) -> Rule {
    Rule {
        condition: Some(Condition {
            r#type: Some(condition::Type::Match(condition.to_owned())),
        }),
        effect: Effect::Deny.into(),
        ..Rule::default()
    }
}

fn session_facts(session: &Session) -> Facts {
    use api::core_v1::session::status::authentication::info::authenticator::info::Type as Of;
    let status = session.status.as_ref().unwrap();
    let info = status
        .authentication
        .as_ref()
        .unwrap()
        .info
        .as_ref()
        .unwrap();
    let Some(Details::Authenticator(by)) = &info.details else {
        panic!("not by an Authenticator: {info:?}");
    };
    let Some(Of::Fido(facts)) = by.info.as_ref().and_then(|info| info.r#type.as_ref()) else {
        panic!("not by FIDO");
    };
    facts.clone()
}

#[tokio::test]
async fn a_key_is_registered_and_raises_the_session_that_it_is_used_in() {
    let world = World::new(Rules::default()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    let registered = world.register(&holder, &mut key).await.unwrap();
    let raised = world
        .use_key(&holder, &mut key, &Tampering::default())
        .await;
    let raised = raised.unwrap();
    let facts = session_facts(&raised);
    assert!(facts.user_present && facts.user_verified && facts.is_passkey);
    assert!(!facts.is_attestation_verified && !facts.is_hardware);
    assert_eq!(facts.aaguid, "00000000-0000-0000-0000-000000000000");
    let status = raised.status.as_ref().unwrap();
    let pinned = status.required_authenticator_ref.as_ref().unwrap();
    assert_eq!(pinned.uid, registered.uid());
    let kept = world.stored(registered.name()).await;
    assert_eq!(kept.status.unwrap().successful_authentications, 1);
    // The previous token is no longer valid (B08).
    assert_eq!(
        reason(
            world
                .use_key(&holder, &mut key, &Tampering::default())
                .await
        ),
        "token_superseded"
    );
}

#[rstest]
#[case::b09_nobody_was_there(Tampering { absent: true, ..Tampering::default() })]
#[case::b10_another_challenge(Tampering { challenge: Some(b"another"), ..Tampering::default() })]
#[case::b10_another_ceremony(Tampering { ceremony: Some("webauthn.get"), ..Tampering::default() })]
#[case::b10_another_rp(Tampering { rp_id: Some("example.com"), ..Tampering::default() })]
#[case::b11_another_origin(Tampering { origin: Some("https://evil.example"), ..Tampering::default() })]
#[case::b11_a_service(Tampering { origin: Some("https://svc.localhost:8443"), ..Tampering::default() })]
#[case::b11_no_tls(Tampering { origin: Some("http://localhost:8443"), ..Tampering::default() })]
#[case::b11_another_port(Tampering { origin: Some("https://localhost"), ..Tampering::default() })]
#[case::b11_a_homograph(Tampering { origin: Some("https://l\u{043e}calhost:8443"), ..Tampering::default() })]
#[case::b11_in_a_frame(Tampering { crossed: true, ..Tampering::default() })]
#[tokio::test]
async fn a_registration_is_refused_where(#[case] twist: Tampering) {
    let world = World::new(Rules::default()).await;
    let holder = world.person("alice").await;
    let refused = world
        .register_twisted(&holder, &mut SoftwareAuthenticator::new(), &twist)
        .await;
    assert_eq!(reason(refused), "webauthn_refused");
    let all = holder.authenticators(&world.ctx, START).await.unwrap();
    assert!(
        all.iter()
            .all(|one| !authenticator::is_registered(&one.message))
    );
}

#[rstest]
#[case::b09_nobody_was_there(Tampering { absent: true, ..Tampering::default() })]
#[case::b10_another_challenge(Tampering { challenge: Some(b"another"), ..Tampering::default() })]
#[case::b10_another_ceremony(Tampering { ceremony: Some("webauthn.create"), ..Tampering::default() })]
#[case::b10_another_rp(Tampering { rp_id: Some("example.com"), ..Tampering::default() })]
#[case::b11_another_origin(Tampering { origin: Some("https://evil.example"), ..Tampering::default() })]
#[case::b11_in_a_frame(Tampering { crossed: true, ..Tampering::default() })]
#[case::b11_in_a_frame_of_somebody(Tampering { top: Some("https://evil.example"), ..Tampering::default() })]
#[case::another_signature(Tampering { bad_signature: true, ..Tampering::default() })]
#[case::b22_another_eligibility(Tampering { backup: Some((true, true)), ..Tampering::default() })]
#[case::b22_copied_though_it_cannot_be(Tampering { backup: Some((false, true)), ..Tampering::default() })]
#[tokio::test]
async fn an_answer_is_refused_where(#[case] twist: Tampering) {
    let world = World::new(passkeys()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&holder, &mut key).await.unwrap();
    let refused = world.use_key(&holder, &mut key, &twist).await;
    assert_eq!(reason(refused), "webauthn_refused");
    assert_eq!(
        world.refusals("authenticator.used").await,
        ["webauthn_refused"]
    );
    assert_eq!(
        reason(world.log_in(&mut key, &twist).await),
        "webauthn_refused"
    );
    // None of the refused responses prevents an honest one.
    world
        .use_key(&holder, &mut key, &Tampering::default())
        .await
        .unwrap();
    world.log_in(&mut key, &Tampering::default()).await.unwrap();
}

#[tokio::test]
async fn b09_required_user_verification_is_enforced_at_login() {
    let unverified = Tampering {
        unverified: true,
        ..Tampering::default()
    };
    let world = World::new(passkeys()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&holder, &mut key).await.unwrap();
    // Verification is only preferred for a second factor.
    let raised = world.use_key(&holder, &mut key, &unverified).await.unwrap();
    assert!(!session_facts(&raised).user_verified);
    // A login with the key alone always requires verification.
    assert_eq!(
        reason(world.log_in(&mut key, &unverified).await),
        "webauthn_refused"
    );

    let strict = with(Settings {
        user_verification: UserVerification::Required.into(),
        ..Settings::default()
    });
    let world = World::new(strict).await;
    let holder = world.person("alice").await;
    let refused = world
        .register_twisted(&holder, &mut SoftwareAuthenticator::new(), &unverified)
        .await;
    assert_eq!(reason(refused), "webauthn_refused");
    world.register(&holder, &mut key).await.unwrap();
    let refused = world.use_key(&holder, &mut key, &unverified).await;
    assert_eq!(reason(refused), "webauthn_refused");
}

#[tokio::test]
async fn b10_a_ceremony_is_finished_once_in_time_by_the_same_session() {
    let world = World::new(Rules::default()).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut key = SoftwareAuthenticator::new();
    world.register(&alice, &mut key).await.unwrap();
    let mut other = SoftwareAuthenticator::new();
    world.register(&bob, &mut other).await.unwrap();
    let caller = Caller::default();
    let ctx = &world.ctx;

    // Two tabs: each finishes its own ceremony once.
    let (one, two) = (
        begin_authentication(ctx, &alice, None).await.unwrap(),
        begin_authentication(ctx, &alice, None).await.unwrap(),
    );
    let answer = key.get(&two.options, &Tampering::default());
    let crossed = authenticate(ctx, &alice, &one.state, &answer, &caller).await;
    assert_eq!(reason(crossed), "webauthn_refused");
    // A wrong response redeems the challenge too.
    let late = key.get(&one.options, &Tampering::default());
    let again = authenticate(ctx, &alice, &one.state, &late, &caller).await;
    assert_eq!(reason(again), "used_already");
    // The challenge belongs to another Session.
    let theirs = authenticate(ctx, &bob, &two.state, &answer, &caller).await;
    assert_eq!(reason(theirs), "webauthn_refused");
    let raised = authenticate(ctx, &alice, &two.state, &answer, &caller).await;
    let alice = world.holder(&raised.unwrap()).await;
    let again = authenticate(ctx, &alice, &two.state, &answer, &caller).await;
    assert_eq!(reason(again), "used_already");

    // The state of one purpose is refused for another.
    let login = begin_authentication(ctx, &alice, None).await.unwrap();
    let answer = key.get(&login.options, &Tampering::default());
    let registered = finish_registration(ctx, &alice, &login.state, &answer, &caller).await;
    assert_eq!(reason(registered), "webauthn_refused");

    let begun = begin_authentication(ctx, &alice, None).await.unwrap();
    let answer = key.get(&begun.options, &Tampering::default());
    world.clock.advance(LIFETIME);
    let late = authenticate(ctx, &alice, &begun.state, &answer, &caller).await;
    assert_eq!(reason(late), "webauthn_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn b10_an_answer_that_is_sent_many_times_at_once_counts_once() {
    let world = World::new(Rules::default()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    let name = world.register(&holder, &mut key).await.unwrap();
    let begun = begin_authentication(&world.ctx, &holder, None)
        .await
        .unwrap();
    let answer = key.get(&begun.options, &Tampering::default());
    let sent: Vec<_> = (0..8)
        .map(|_| {
            let (ctx, holder) = (world.ctx.clone(), holder.clone());
            let (state, answer) = (begun.state.clone(), answer.clone());
            tokio::spawn(async move {
                authenticate(&ctx, &holder, &state, &answer, &Caller::default())
                    .await
                    .is_ok()
            })
        })
        .collect();
    let mut accepted = 0;
    for one in sent {
        accepted += u32::from(one.await.unwrap());
    }
    assert_eq!(accepted, 1);
    let kept = world.stored(name.name()).await.status.unwrap();
    assert_eq!(kept.successful_authentications, 1);
}

#[tokio::test]
async fn b12_a_credential_of_another_user_is_refused() {
    let world = World::new(passkeys()).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut key = SoftwareAuthenticator::new();
    world.register(&alice, &mut key).await.unwrap();
    let mut other = SoftwareAuthenticator::new();
    world.register(&bob, &mut other).await.unwrap();
    // Bob's key in Alice's Session.
    let refused = world
        .use_key(&alice, &mut other, &Tampering::default())
        .await;
    assert_eq!(reason(refused), "webauthn_unknown");
    // Neither User can register a known credential again.
    for holder in [&alice, &bob] {
        let twist = Tampering {
            ignores_exclusion: true,
            keeps_credential: true,
            ..Tampering::default()
        };
        let refused = world.register_twisted(holder, &mut key, &twist).await;
        assert_eq!(reason(refused), "authenticator_taken");
    }
    // Alice's key claims Bob's user handle.
    let handle = other.user_handle.clone();
    let twist = Tampering {
        user_handle: Some(handle),
        ..Tampering::default()
    };
    assert_eq!(
        reason(world.log_in(&mut key, &twist).await),
        "webauthn_unknown"
    );
    let without_user_handle = Tampering {
        user_handle: Some(Vec::new()),
        ..Tampering::default()
    };
    assert_eq!(
        reason(world.log_in(&mut key, &without_user_handle).await),
        "webauthn_unknown"
    );
    assert_eq!(
        reason(
            world
                .log_in(&mut SoftwareAuthenticator::new(), &Tampering::default())
                .await
        ),
        "webauthn_unknown"
    );
}

#[tokio::test]
async fn w39d_an_authenticator_that_has_a_credential_is_not_asked_for_another() {
    let world = World::new(Rules::default()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&holder, &mut key).await.unwrap();
    let caller = Caller::default();
    let made = manage::create(&world.ctx, &holder, Type::Fido, "again", &caller).await;
    let made = made.unwrap();
    let which = AuthenticatorSelector {
        name: made.name(),
        uid: "",
    };
    // The key was just used, so the authentication is fresh enough to add another one.
    let begun = begin_registration(&world.ctx, &holder, &which).await;
    let options: serde_json::Value = serde_json::from_str(&begun.unwrap().options).unwrap();
    assert_eq!(options["excludeCredentials"][0]["id"], key.id_text());
    assert_eq!(options["rp"]["id"], "localhost");
    assert_eq!(options["attestation"], "direct");
    assert_eq!(
        options["authenticatorSelection"]["residentKey"],
        "preferred"
    );
}

#[tokio::test]
async fn b13_a_decreasing_counter_blocks_the_authenticator() {
    let world = World::new(passkeys()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::counting();
    let made = world.register(&holder, &mut key).await.unwrap();
    let mut copy = key.clone();
    let raised = world
        .use_key(&holder, &mut key, &Tampering::default())
        .await;
    let holder = world.holder(&raised.unwrap()).await;
    let refused = world
        .use_key(&holder, &mut copy, &Tampering::default())
        .await;
    assert_eq!(reason(refused), "authenticator_cloned");
    let kept = world.stored(made.name()).await;
    assert_eq!(kept.spec.clone().unwrap().state(), State::Pending);
    assert!(kept.status.unwrap().cloned_at.is_some());
    assert_eq!(
        world.refusals("authenticator.cloned").await,
        ["authenticator_cloned"]
    );
    // From now on, neither the original nor the copy can be used.
    assert!(
        begin_authentication(&world.ctx, &holder, None)
            .await
            .is_err()
    );
    assert_eq!(
        reason(world.log_in(&mut key, &Tampering::default()).await),
        "authenticator_inactive"
    );
}

#[tokio::test]
async fn b13_a_counter_that_is_always_0_is_ignored() {
    let world = World::new(Rules::default()).await;
    let mut holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&holder, &mut key).await.unwrap();
    for _ in 0..3 {
        let raised = world
            .use_key(&holder, &mut key, &Tampering::default())
            .await;
        holder = world.holder(&raised.unwrap()).await;
    }
}

#[tokio::test]
async fn a_passkey_alone_logs_in_if_enabled() {
    let world = World::new(passkeys()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    let made = world.register(&holder, &mut key).await.unwrap();
    let begun = world.log_in(&mut key, &Tampering::default()).await.unwrap();
    let facts = session_facts(&begun.session);
    assert!(facts.user_verified && facts.is_passkey);
    let status = begun.session.status.as_ref().unwrap();
    assert!(status.is_browser);
    assert_eq!(status.user_ref.as_ref().unwrap().name, "alice");
    assert_eq!(
        status.required_authenticator_ref.as_ref().unwrap().name,
        made.name()
    );
    assert_eq!(
        session::mode(&begun.session),
        session::mode(&Session::default())
    );

    let world = World::new(Rules::default()).await;
    let holder = world.person("alice").await;
    world.register(&holder, &mut key).await.unwrap();
    assert_eq!(
        reason(world.log_in(&mut key, &Tampering::default()).await),
        "passkey_login_disabled"
    );
}

#[tokio::test]
async fn w35_a_denied_response_is_consumed() {
    let mut rules = passkeys();
    rules.post_authentication_rules = vec![deny(
        "!ctx.authenticator.status.info.fido.isAttestationVerified",
    )];
    let world = World::new(rules).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::counting();
    let made = world.register(&holder, &mut key).await.unwrap();
    let begun = begin_authentication(&world.ctx, &holder, None)
        .await
        .unwrap();
    let answer = key.get(&begun.options, &Tampering::default());
    let caller = Caller::default();
    let denied = authenticate(&world.ctx, &holder, &begun.state, &answer, &caller).await;
    assert_eq!(reason(denied), "post_authentication_rule");
    let again = authenticate(&world.ctx, &holder, &begun.state, &answer, &caller).await;
    assert_eq!(reason(again), "used_already");
    let kept = world.stored(made.name()).await.status.unwrap();
    assert_eq!(kept.failed_authentications, 1);
    assert_eq!(kept.successful_authentications, 0);
}

#[tokio::test]
async fn b21_w36_a_rule_that_cannot_be_evaluated_denies() {
    let mut rules = passkeys();
    rules.post_authentication_rules = vec![deny(
        "1 / (ctx.authenticator.status.info.fido.signCount - ctx.authenticator.status.info.fido.signCount) == 1",
    )];
    let world = World::new(rules).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&holder, &mut key).await.unwrap();
    let denied = world
        .use_key(&holder, &mut key, &Tampering::default())
        .await;
    assert_eq!(reason(denied), "post_authentication_rule");
    assert_eq!(
        reason(world.log_in(&mut key, &Tampering::default()).await),
        "post_authentication_rule"
    );
}

#[rstest]
#[case(Settings { require_verified_attestation: true, ..Settings::default() }, false)]
#[case(Settings { min_certification_level: 1, ..Settings::default() }, false)]
#[case(Settings { allowed_aagui_ds: vec!["00000000-0000-0000-0000-000000000000".to_owned()], ..Settings::default() }, false)]
#[case(Settings { denied_aagui_ds: vec!["00000000-0000-0000-0000-000000000000".to_owned()], ..Settings::default() }, false)]
#[case(Settings { denied_aagui_ds: vec!["cb69481e-8ff7-4039-93ec-0a2729a154a8".to_owned()], ..Settings::default() }, true)]
#[case(Settings { require_device_bound: true, ..Settings::default() }, true)]
#[tokio::test]
async fn b14_an_unproved_model_is_not_accepted_as_required(
    #[case] settings: Settings,
    #[case] accepted: bool,
) {
    let world = World::new(with(settings)).await;
    let holder = world.person("alice").await;
    let registered = world
        .register(&holder, &mut SoftwareAuthenticator::new())
        .await;
    let expected = if accepted {
        "nothing"
    } else {
        "authenticator_model"
    };
    assert_eq!(reason(registered), expected);
}

#[tokio::test]
async fn b22_synced_credentials_are_refused_if_device_binding_is_required() {
    let rules = with(Settings {
        require_device_bound: true,
        ..Settings::default()
    });
    let world = World::new(rules).await;
    let holder = world.person("alice").await;
    let synced = Tampering {
        backup: Some((true, false)),
        ..Tampering::default()
    };
    let refused = world
        .register_twisted(&holder, &mut SoftwareAuthenticator::new(), &synced)
        .await;
    assert_eq!(reason(refused), "authenticator_model");
}

#[tokio::test]
async fn b04_wrong_codes_do_not_lock_the_owner_out() {
    let world = World::new(Rules::default()).await;
    let alice = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&alice, &mut key).await.unwrap();
    let caller = Caller::default();
    let mut reasons = Vec::new();
    for _ in 0..7 {
        let guess = recovery::authenticate(&world.ctx, &alice, "0000-0000", &caller).await;
        reasons.push(reason(guess));
    }
    assert_eq!(reasons[..5], ["code_wrong"; 5]);
    assert_eq!(reasons[5..], ["authenticator_blocked"; 2]);
    world
        .use_key(&alice, &mut key, &Tampering::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn w34_w39e_each_authentication_counts_also_among_many_parallel_ones() {
    let world = World::new(Rules::default()).await;
    let mut alice = world.person("alice").await;
    let mut key = SoftwareAuthenticator::new();
    world.register(&alice, &mut key).await.unwrap();
    let other = world.browser_of(alice.user.uid).await;
    let ctx = &world.ctx;
    for _ in 0..12 {
        let begun = begin_authentication(ctx, &alice, None).await.unwrap();
        // Another Session of Alice also begins ceremonies.
        for _ in 0..2 {
            begin_authentication(ctx, &other, None).await.unwrap();
        }
        let response = key.get(&begun.options, &Tampering::default());
        let caller = Caller::default();
        let raised = authenticate(ctx, &alice, &begun.state, &response, &caller).await;
        alice = world.holder(&raised.unwrap()).await;
    }
}
