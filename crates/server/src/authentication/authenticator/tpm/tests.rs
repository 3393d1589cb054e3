//! Tests of TPM Authenticators, with software TPMs.
#![allow(
    clippy::large_futures,
    reason = "a test polls each of them once, on a stack of its own"
)]

use api::auth_v1::register_authenticator_begin_request::pre_challenge::Tpm as Sent;
use api::{
    auth_v1::challenge_response::tpm::Quote as SentQuote,
    core_v1::authenticator::status::info::tpm::endorsement_key::Trust as TrustState,
    core_v1::cluster_config::spec::Authenticator as Rules,
};
use authn::tpm::testing::{Behaviour, Maker, Parts, SoftwareTpm};
use domain::session;

use super::*;
use crate::authentication::authenticator::testing::{World, reason};

impl World {
    async fn made(&self, holder: &Holder) -> Authenticator {
        let caller = Caller::default();
        let made = manage::create(&self.ctx, holder, Type::Tpm, "laptop", &caller).await;
        made.unwrap()
    }

    async fn register_tpm(
        &self,
        holder: &Holder,
        tpm: &SoftwareTpm,
        parts: &Parts,
        quotes: bool,
    ) -> Result<Authenticator, Error> {
        let made = self.made(holder).await;
        let which = AuthenticatorSelector {
            name: made.name(),
            uid: "",
        };
        let sent = sent(parts);
        let challenge = begin_registration(&self.ctx, holder, &which, Some(&sent)).await?;
        let answer = answered(tpm, &challenge, quotes);
        finish_registration(&self.ctx, holder, &which, &answer, &Caller::default()).await
    }

    async fn use_tpm(
        &self,
        holder: &Holder,
        name: &str,
        tpm: &SoftwareTpm,
        quotes: bool,
    ) -> Result<Session, Error> {
        let which = AuthenticatorSelector { name, uid: "" };
        let challenge = begin(&self.ctx, holder, &which).await?;
        let answer = answered(tpm, &challenge, quotes);
        authenticate(&self.ctx, holder, &which, &answer, &Caller::default()).await
    }
}

fn sent(parts: &Parts) -> PreChallenge {
    let endorsement = parts.endorsement.clone();
    PreChallenge {
        r#type: Some(pre_challenge::Type::Tpm(Sent {
            ak_bytes: parts.ak_bytes.clone(),
            attestation_parameters: Some(SentParameters {
                public: parts.public.clone(),
                create_data: parts.create_data.clone(),
                create_attestation: parts.create_attestation.clone(),
                create_signature: parts.create_signature.clone(),
            }),
            ek_type: Some(if parts.is_certified {
                EkType::EkCertificateDer(endorsement)
            } else {
                EkType::EkPublicKey(endorsement)
            }),
        })),
    }
}

/// Returns the response of `tpm`. A secret that it cannot recover is replaced by a guess.
fn answered(tpm: &SoftwareTpm, challenge: &Challenge, quotes: bool) -> Answered {
    let (attestation, signature) = tpm.quote(&challenge.quote);
    Answered {
        response: tpm
            .activate(&challenge.encrypted)
            .unwrap_or_else(|| vec![7; 32]),
        quote: quotes.then_some(SentQuote {
            attestation,
            signature,
        }),
    }
}

fn with(settings: Settings) -> Rules {
    Rules {
        tpm: Some(settings),
        ..Rules::default()
    }
}

fn tpm() -> SoftwareTpm {
    SoftwareTpm::new(Behaviour::default())
}

#[tokio::test]
async fn a_tpm_is_registered_and_pins_the_session_that_it_raises() {
    let world = World::new(Rules::default()).await;
    let person = world.person("alice").await;
    let client = world.client_of(&person).await;
    let tpm = tpm();
    let registered = world
        .register_tpm(&client, &tpm, &tpm.parts(), true)
        .await
        .unwrap();
    let kept = facts(&registered).unwrap();
    assert!(kept.is_quoted && kept.last_quote.is_some());
    assert_eq!(
        kept.endorsement_key.as_ref().unwrap().trust(),
        TrustState::Uncertified
    );
    let name = registered.name();
    let raised = world.use_tpm(&client, name, &tpm, true).await.unwrap();
    let pinned = authenticator::required(&raised).unwrap();
    assert_eq!(pinned.name, name);
    // A refresh alone is no longer enough.
    let token_id = crate::authentication::browser::present(&raised).unwrap();
    assert_eq!(
        session::refresh(&raised, token_id, world.ctx.now()),
        Err(domain::credential::Refusal::AuthenticatorRequired)
    );
    let client = world.of_client(&raised).await;
    world.use_tpm(&client, name, &tpm, true).await.unwrap();
    // A browser has no TPM.
    let refused = world.use_tpm(&person, name, &tpm, true).await;
    assert_eq!(reason(refused), "authenticator_type");
}

#[tokio::test]
async fn b17_a_client_that_does_not_quote_is_served_until_it_has_quoted_or_must() {
    let world = World::new(Rules::default()).await;
    let client = world.client_of(&world.person("alice").await).await;
    let (one, two) = (tpm(), tpm());
    let plain = world.register_tpm(&client, &one, &one.parts(), false).await;
    let plain = plain.unwrap();
    let raised = world.use_tpm(&client, plain.name(), &one, false).await;
    raised.unwrap();
    let other = world.client_of(&client).await;
    let quoted = world.register_tpm(&other, &two, &two.parts(), true).await;
    let quoted = quoted.unwrap();
    let refused = world.use_tpm(&other, quoted.name(), &two, false).await;
    assert_eq!(reason(refused), "tpm_refused");
    assert_eq!(world.refusals("authenticator.used").await, ["tpm_refused"]);

    let strict = with(Settings {
        require_quote: true,
        ..Settings::default()
    });
    let world = World::new(strict).await;
    let client = world.client_of(&world.person("alice").await).await;
    let refused = world.register_tpm(&client, &one, &one.parts(), false).await;
    assert_eq!(reason(refused), "tpm_refused");
    world
        .register_tpm(&client, &one, &one.parts(), true)
        .await
        .unwrap();
}

#[tokio::test]
async fn b17_an_answer_is_good_once_in_time_and_where_it_was_asked_for() {
    let world = World::new(Rules::default()).await;
    let client = world.client_of(&world.person("alice").await).await;
    let tpm = tpm();
    let registered = world.register_tpm(&client, &tpm, &tpm.parts(), true).await;
    let registered = registered.unwrap();
    let which = AuthenticatorSelector {
        name: registered.name(),
        uid: "",
    };
    let caller = Caller::default();
    let other = world.client_of(&client).await;
    let challenge = begin(&world.ctx, &client, &which).await.unwrap();
    let answer = answered(&tpm, &challenge, true);
    // Another Session of the same User cannot use the response, and the attempt redeems the challenge.
    let refused = authenticate(&world.ctx, &other, &which, &answer, &caller).await;
    assert_eq!(reason(refused), "tpm_refused");
    let refused = authenticate(&world.ctx, &client, &which, &answer, &caller).await;
    assert_eq!(reason(refused), "tpm_refused");
    // The quote of one challenge does not answer another.
    let (one, two) = (
        begin(&world.ctx, &client, &which).await.unwrap(),
        begin(&world.ctx, &client, &which).await.unwrap(),
    );
    let mixed = Answered {
        quote: answered(&tpm, &one, true).quote,
        ..answered(&tpm, &two, true)
    };
    let refused = authenticate(&world.ctx, &client, &which, &mixed, &caller).await;
    assert_eq!(reason(refused), "tpm_refused");
    let late = begin(&world.ctx, &client, &which).await.unwrap();
    world.clock.advance(LIFETIME);
    let answer = answered(&tpm, &late, true);
    let refused = authenticate(&world.ctx, &client, &which, &answer, &caller).await;
    assert_eq!(reason(refused), "tpm_refused");
    world
        .use_tpm(&client, which.name, &tpm, true)
        .await
        .unwrap();
}

#[tokio::test]
async fn b17_another_tpm_a_cleared_one_and_one_that_is_taken_are_refused() {
    let world = World::new(Rules::default()).await;
    let client = world.client_of(&world.person("alice").await).await;
    let (tpm, another) = (tpm(), tpm());
    let registered = world.register_tpm(&client, &tpm, &tpm.parts(), true).await;
    let registered = registered.unwrap();
    let name = registered.name();
    let refused = world.use_tpm(&client, name, &another, true).await;
    assert_eq!(reason(refused), "tpm_refused");
    // The same endorsement key with another attestation key.
    let cleared = tpm.with_another_key(Behaviour::default());
    let refused = world.use_tpm(&client, name, &cleared, true).await;
    assert_eq!(reason(refused), "tpm_refused");
    // A TPM can be registered only once, also for another User.
    let other = world.client_of(&world.person("bob").await).await;
    let taken = world
        .register_tpm(&other, &cleared, &cleared.parts(), true)
        .await;
    assert_eq!(reason(taken), "authenticator_taken");
}

#[tokio::test]
async fn w39b_where_authorities_are_named_a_tpm_must_be_certified_by_one() {
    let maker = Maker::new();
    let rules = with(Settings {
        ek_ca_certificates: vec![maker.pem()],
        require_certified_ek: true,
        ..Settings::default()
    });
    let world = World::new(rules).await;
    let client = world.client_of(&world.person("alice").await).await;
    let tpm = tpm();
    let refused = world.register_tpm(&client, &tpm, &tpm.parts(), true).await;
    assert_eq!(reason(refused), "tpm_refused");
    let foreign = tpm.certified_parts(&Maker::new(), EK_USAGE);
    let refused = world.register_tpm(&client, &tpm, &foreign, true).await;
    assert_eq!(reason(refused), "tpm_refused");
    let certified = tpm.certified_parts(&maker, EK_USAGE);
    let registered = world.register_tpm(&client, &tpm, &certified, true).await;
    let registered = registered.unwrap();
    let kept = facts(&registered).unwrap();
    let key = kept.endorsement_key.as_ref().unwrap();
    assert_eq!(key.trust(), TrustState::Certified);
}

#[tokio::test]
async fn a_tpm_is_refused_after_certification_becomes_required_s10() {
    let maker = Maker::new();
    let settings = |require_certified_ek| Settings {
        ek_ca_certificates: vec![maker.pem()],
        require_certified_ek,
        ..Settings::default()
    };
    let world = World::new(with(settings(false))).await;
    let client = world.client_of(&world.person("alice").await).await;
    let tpm = tpm();
    let registered = world.register_tpm(&client, &tpm, &tpm.parts(), true).await;
    let registered = registered.unwrap();
    let which = AuthenticatorSelector {
        name: registered.name(),
        uid: "",
    };
    let client = world.client_of(&client).await;
    assert!(begin(&world.ctx, &client, &which).await.is_ok());
    world.set_rules(with(settings(true))).await;
    let refused = begin(&world.ctx, &client, &which).await;
    assert_eq!(reason(refused), "tpm_refused");
}

/// tcg-kp-EKCertificate
const EK_USAGE: Option<&[u64]> = Some(&[2, 23, 133, 8, 1]);
