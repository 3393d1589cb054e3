//! TOTP with software apps.
#![allow(
    clippy::large_futures,
    reason = "a test polls each of them once, on a stack of its own"
)]

use std::{collections::BTreeMap, sync::Arc};

use api::core_v1::cluster_config::spec::{
    Authenticator as Rules,
    authenticator::{EnforcementRule, enforcement_rule::Effect},
};
use api::core_v1::{Condition, condition, session::spec::State};
use rstest::rstest;
use store::Store;

use super::*;
use crate::{
    authentication::authenticator::{
        recovery,
        testing::{World, reason},
    },
    document::load,
};

const STEP: std::time::Duration = std::time::Duration::from_secs(30);

/// A registered app.
struct App {
    name: String,
    url: Zeroizing<String>,
}

impl App {
    fn which(&self) -> AuthenticatorSelector<'_> {
        AuthenticatorSelector {
            name: &self.name,
            uid: "",
        }
    }

    fn code(&self, now: UnixMillis) -> String {
        totp::code(&self.url, now).unwrap()
    }

    /// Returns a code that is wrong at any accepted time step.
    fn wrong_code(&self, now: UnixMillis) -> String {
        let near = [-1_i64, 0, 1].map(|steps| self.code(UnixMillis(now.0 + steps * 30_000)));
        let mut all = (0..4).map(|number| format!("{number:06}"));
        all.find(|code| !near.contains(code)).unwrap()
    }
}

impl World {
    async fn begun(&self, holder: &Holder) -> App {
        let caller = Caller::default();
        let made = manage::create(&self.ctx, holder, Type::Totp, "phone", &caller).await;
        let name = made.unwrap().name().to_owned();
        let which = AuthenticatorSelector {
            name: &name,
            uid: "",
        };
        let url = begin_registration(&self.ctx, holder, &which).await.unwrap();
        App { name, url }
    }

    async fn app(&self, holder: &Holder) -> App {
        let app = self.begun(holder).await;
        let code = app.code(self.ctx.now());
        let caller = Caller::default();
        let finished = finish_registration(&self.ctx, holder, &app.which(), &code, &caller).await;
        finished.unwrap();
        self.clock.advance(STEP);
        app
    }

    async fn useapp(&self, holder: &Holder, app: &App, code: &str) -> Result<Session, Error> {
        authenticate(&self.ctx, holder, &app.which(), code, &Caller::default()).await
    }
}

#[tokio::test]
async fn anapp_is_registered_by_a_code_of_its_own_secret() {
    let world = World::new(Rules::default()).await;
    let person = world.person("alice").await;
    let app = world.begun(&person).await;
    let now = world.ctx.now();
    let caller = Caller::default();
    let finish = async |code: String| {
        finish_registration(&world.ctx, &person, &app.which(), &code, &caller).await
    };
    assert_eq!(reason(finish(app.wrong_code(now)).await), "code_wrong");
    assert!(!authenticator::is_registered(
        &world.stored(&app.name).await
    ));
    // A second call creates another secret.
    let again = begin_registration(&world.ctx, &person, &app.which()).await;
    let again = App {
        name: app.name.clone(),
        url: again.unwrap(),
    };
    if again.code(now) != app.code(now) {
        assert_eq!(reason(finish(app.code(now)).await), "code_wrong");
    }
    let registered = finish(again.code(now)).await.unwrap();
    assert!(authenticator::is_usable(&registered));
    // The code that registered the app cannot be used again.
    let used = world.useapp(&person, &again, &again.code(now)).await;
    assert_eq!(reason(used), "code_wrong");
    world.clock.advance(STEP);
    let code = again.code(world.ctx.now());
    world.useapp(&person, &again, &code).await.unwrap();
}

#[rstest]
#[case::sqlite(std::future::ready(store::testing::sqlite()))]
#[case::postgres(store::testing::postgres())]
#[tokio::test(flavor = "multi_thread")]
async fn b01_w5_a_code_is_accepted_once_across_replicas(
    #[future(awt)]
    #[case]
    store: Arc<dyn Store>,
) {
    let world = World::on(store, Rules::default()).await;
    let person = world.person("alice").await;
    let app = Arc::new(world.app(&person).await);
    let replicas = [world.ctx.clone(), world.another().await];
    let code = app.code(world.ctx.now());
    let mut uses = Vec::new();
    for number in 0..16 {
        let ctx = replicas.get(number % 2).unwrap().clone();
        let (person, app, code) = (person.clone(), app.clone(), code.clone());
        uses.push(tokio::spawn(async move {
            let caller = Caller::default();
            authenticate(&ctx, &person, &app.which(), &code, &caller).await
        }));
    }
    let mut accepted = 0;
    for used in uses {
        accepted += usize::from(used.await.unwrap().is_ok());
    }
    assert_eq!(accepted, 1);
    let kept = world.stored(&app.name).await;
    assert_eq!(kept.status.unwrap().successful_authentications, 1);
}

#[rstest]
#[case::sqlite(std::future::ready(store::testing::sqlite()))]
#[case::postgres(store::testing::postgres())]
#[tokio::test(flavor = "multi_thread")]
async fn b02_b03_parallel_guesses_are_limited_like_sequential_ones(
    #[future(awt)]
    #[case]
    store: Arc<dyn Store>,
) {
    const LOOKED_AT: usize = 5;
    let world = World::on(store, Rules::default()).await;
    let person = world.person("alice").await;
    let apps = [
        Arc::new(world.app(&person).await),
        Arc::new(world.app(&person).await),
    ];
    // The limit is per User, across browsers, replicas and Authenticators.
    let holders = [person.clone(), world.client_of(&person).await];
    let replicas = [world.ctx.clone(), world.another().await];
    let now = world.ctx.now();
    let mut guesses = Vec::new();
    for number in 0..24_usize {
        let ctx = replicas.get(number % 2).unwrap().clone();
        let holder = holders.get(number / 2 % 2).unwrap().clone();
        let app = apps.get(number / 4 % 2).unwrap().clone();
        let code = app.wrong_code(now);
        guesses.push(tokio::spawn(async move {
            let caller = Caller::default();
            reason(authenticate(&ctx, &holder, &app.which(), &code, &caller).await)
        }));
    }
    let mut reasons = BTreeMap::new();
    for guess in guesses {
        *reasons.entry(guess.await.unwrap()).or_insert(0_usize) += 1;
    }
    assert_eq!(reasons.get("code_wrong"), Some(&LOOKED_AT), "{reasons:?}");
    assert_eq!(
        reasons.get("authenticator_blocked"),
        Some(&(24 - LOOKED_AT)),
        "{reasons:?}"
    );
    assert_eq!(
        world.refusals("user.factors_blocked").await,
        ["authenticator_blocked"]
    );
    // Even the correct code is refused until the delay is over.
    let app = apps.first().unwrap();
    let used = world.useapp(&person, app, &app.code(now)).await;
    assert_eq!(reason(used), "authenticator_blocked");
    world.clock.advance(std::time::Duration::from_mins(1));
    let code = app.code(world.ctx.now());
    world.useapp(&person, app, &code).await.unwrap();
}

#[tokio::test]
async fn a_recovery_code_stands_in_for_an_authenticator_and_only_once() {
    let world = World::new(enforced()).await;
    let person = world.person("alice").await;
    let caller = Caller::default();
    // A User who must first add an Authenticator cannot use a recovery code instead.
    let none = recovery::renew(&world.ctx, &person, &caller).await;
    assert_eq!(reason(none), "authenticator_missing");
    let app = world.app(&person).await;
    let person = person.reload(&world.ctx).await.unwrap();
    let codes = recovery::renew(&world.ctx, &person, &caller).await.unwrap();
    let [first, second, ..] = codes.as_slice() else {
        panic!("{} codes", codes.len());
    };
    let session = recovery::authenticate(&world.ctx, &person, first, &caller).await;
    let person = world.holder(&session.unwrap()).await;
    let again = recovery::authenticate(&world.ctx, &person, first, &caller).await;
    assert_eq!(reason(again), "code_wrong");
    assert_eq!(
        recovery::remaining(&world.ctx, &person)
            .await
            .unwrap()
            .unwrap()
            .0,
        9
    );
    // If the Authenticator is not usable, the remaining codes replace nothing.
    let mut pending = manage::find(&world.ctx, &person, &app.which())
        .await
        .unwrap();
    pending
        .message
        .spec_mut()
        .set_state(api::core_v1::authenticator::spec::State::Pending);
    let mut transaction = Transaction::at(world.ctx.now());
    transaction.push(Operation::Put(
        codec::encode(
            pending.uid,
            pending.created_at,
            &pending.message,
            SecretWrite::Keep,
        ),
        Expected::Revision(pending.revision),
    ));
    step_up::commit(&world.ctx, transaction).await.unwrap();
    let used = recovery::authenticate(&world.ctx, &person, second, &caller).await;
    assert_eq!(reason(used), "authenticator_missing");
}

fn enforced() -> Rules {
    let always = EnforcementRule {
        condition: Some(Condition {
            r#type: Some(condition::Type::MatchAny(true)),
        }),
        effect: Effect::Enforce.into(),
    };
    Rules {
        registration_enforcement_rules: vec![always],
        ..Rules::default()
    }
}

#[rstest]
#[case::pending(State::Pending, "session_pending")]
#[case::rejected(State::Rejected, "session_rejected")]
#[tokio::test]
async fn a_session_that_is_not_approved_is_not_raised_s08(
    #[case] state: State,
    #[case] expected: &str,
) {
    let world = World::new(Rules::default()).await;
    let caller = Caller::default();
    let person = world.person("alice").await;
    let app = world.app(&person).await;
    let codes = recovery::renew(&world.ctx, &person, &caller).await.unwrap();
    let recovery_code = codes.first().unwrap();
    let set = async |state: State| {
        let stored =
            load::by_uid::<Session>(&*world.ctx.store, person.session.uid, world.ctx.now());
        let stored = stored.await.unwrap().unwrap();
        let mut session = stored.message;
        session.spec_mut().set_state(state);
        let mut transaction = Transaction::at(world.ctx.now());
        transaction.push(Operation::Put(
            codec::encode(stored.uid, stored.created_at, &session, SecretWrite::Keep),
            Expected::Revision(stored.revision),
        ));
        step_up::commit(&world.ctx, transaction).await.unwrap();
    };
    set(state).await;
    let code = app.code(world.ctx.now());
    let holder = match state {
        // The earlier read is no longer valid.
        State::Rejected => Err(()),
        _ => Ok(person.reload(&world.ctx).await.unwrap()),
    };
    if let Ok(holder) = &holder {
        assert_eq!(reason(world.useapp(holder, &app, &code).await), expected);
        let used = recovery::authenticate(&world.ctx, holder, recovery_code, &caller).await;
        assert_eq!(reason(used), expected);
        let made = manage::create(&world.ctx, holder, Type::Totp, "another", &caller).await;
        assert_eq!(reason(made), expected);
    } else {
        assert_eq!(
            reason(person.reload(&world.ctx).await.map(|_| ())),
            expected
        );
    }
    // The refused attempts redeemed nothing.
    set(State::Active).await;
    let holder = person.reload(&world.ctx).await.unwrap();
    world.useapp(&holder, &app, &code).await.unwrap();
}

#[tokio::test]
async fn the_secret_of_an_app_is_in_no_document_in_clear_s11() {
    let world = World::new(Rules::default()).await;
    let person = world.person("alice").await;
    let app = world.app(&person).await;
    let (store, now) = (&*world.ctx.store, world.ctx.now());
    let stored = load::by_name::<Authenticator>(store, &app.name, now).await;
    let stored = stored.unwrap().unwrap();
    let secret = super::secret(&world.ctx, &stored).await.unwrap();
    assert!(secret.len() >= 20);
    let shown = app.url.split("secret=").nth(1).unwrap();
    let shown = shown.split('&').next().unwrap();
    let document = store.get(Kind::Authenticator, stored.uid, now).await;
    let body = document.unwrap().unwrap().body;
    let holds = |what: &[u8]| body.windows(what.len()).any(|window| window == what);
    assert!(holds(app.name.as_bytes()) || holds(b"phone"));
    assert!(!holds(&secret) && !holds(shown.as_bytes()));
}
