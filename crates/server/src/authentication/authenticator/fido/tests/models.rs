//! Models of authenticators with metadata, at registration and later.

use authn::{mds::testing::Publisher, webauthn::testing::Model};
use serde_json::{Value, json};
use store::testing;

use super::*;
use crate::{
    document::load,
    mds_metadata::{Location, Source},
};

/// The AAGUID of a model in the metadata that a U2F registration claims.
const BETTER: &str = "cb69481e-8ff7-4039-93ec-0a2729a154a8";

struct Models {
    world: World,
    publisher: Publisher,
    folder: tempfile::TempDir,
    number: u64,
}

impl Models {
    /// Creates a Cluster that reads metadata with `entries`.
    async fn new(settings: Settings, entries: &Value) -> Self {
        let mut world = World::on(testing::sqlite(), rules(settings)).await;
        let publisher = Publisher::fido();
        let folder = tempfile::tempdir().unwrap();
        world.ctx = world.ctx.clone().with_metadata(Source {
            location: Some(Location::File(folder.path().join("blob"))),
            anchors: vec![publisher.root.clone()],
            ..Source::default()
        });
        let mut models = Self {
            world,
            publisher,
            folder,
            number: 0,
        };
        models.publish(entries).await;
        models
    }

    async fn publish(&mut self, entries: &Value) {
        self.number += 1;
        let blob = self.publisher.publish(&json!({
            "no": self.number,
            "nextUpdate": "2100-01-01",
            "entries": entries,
        }));
        std::fs::write(self.folder.path().join("blob"), blob).unwrap();
        self.world.clock.advance(Duration::from_hours(24));
        let ctx = &self.world.ctx;
        ctx.metadata.check_for_update(ctx.metadata_ports()).await;
        assert_eq!(ctx.metadata.state(ctx.now()).number, self.number);
    }

    async fn rule(&self, settings: Settings) {
        self.world.set_rules(rules(settings)).await;
    }

    /// Registers the key for a new User, and returns its holder.
    async fn register(&self, name: &str, key: &mut SoftwareAuthenticator) -> Result<Holder, Error> {
        let holder = self.world.person(name).await;
        self.world.register(&holder, key).await?;
        Ok(holder)
    }

    async fn use_key(
        &self,
        holder: &Holder,
        key: &mut SoftwareAuthenticator,
    ) -> Result<Session, Error> {
        let holder = self.world.browser_of(holder.user.uid).await;
        self.world
            .use_key(&holder, key, &Tampering::default())
            .await
    }
}

fn rules(settings: Settings) -> Rules {
    Rules {
        enable_passkey_login: true,
        ..with(settings)
    }
}

fn entry(id: (&str, Value), root: &[u8], status: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut entry = json!({
        "metadataStatement": {
            "description": "Key",
            "keyProtection": ["hardware", "secure_element"],
            "attestationRootCertificates": [STANDARD.encode(root)],
        },
        "statusReports": [{"status": status}],
    });
    entry[id.0] = id.1;
    entry
}

/// Metadata of the key's own model and of a better one by the same maker.
fn two_models(model: &Model, status: &str) -> Value {
    let by_key = json!([model.key_identifier()]);
    json!([
        entry(("aaguid", json!(BETTER)), &model.root, "FIDO_CERTIFIED_L2"),
        entry(
            ("attestationCertificateKeyIdentifiers", by_key),
            &model.root,
            status
        ),
    ])
}

#[tokio::test]
async fn u2f_models_are_identified_by_certificate_not_by_aaguid_s10() {
    let model = Model::u2f(BETTER.parse().unwrap());
    let entries = two_models(&model, "FIDO_CERTIFIED_L1");
    let models = Models::new(Settings::default(), &entries).await;
    let mut key = SoftwareAuthenticator::of_model(&model);
    let holder = models.register("alice", &mut key).await.unwrap();
    let raised = models.use_key(&holder, &mut key).await.unwrap();
    let facts = session_facts(&raised);
    assert!(facts.is_attestation_verified && facts.is_hardware);
    assert_eq!(facts.aaguid, "00000000-0000-0000-0000-000000000000");

    let allowed = Settings {
        allowed_aagui_ds: vec![BETTER.to_owned()],
        ..Settings::default()
    };
    let certified = Settings {
        min_certification_level: 2,
        ..Settings::default()
    };
    for (name, settings) in [("bob", allowed), ("dave", certified)] {
        models.rule(settings).await;
        let refused = models
            .register(name, &mut SoftwareAuthenticator::of_model(&model))
            .await;
        assert_eq!(reason(refused), "authenticator_model");
    }
    // A model that the metadata do not contain proves nothing.
    models.rule(Settings::default()).await;
    let mut unknown = SoftwareAuthenticator::of_model(&Model::u2f(BETTER.parse().unwrap()));
    let holder = models.register("carol", &mut unknown).await.unwrap();
    let facts = session_facts(&models.use_key(&holder, &mut unknown).await.unwrap());
    assert!(!facts.is_attestation_verified && !facts.is_hardware);
}

#[tokio::test]
async fn a_model_of_u2f_that_is_revoked_stops_working_s10() {
    let model = Model::u2f(BETTER.parse().unwrap());
    let entries = two_models(&model, "FIDO_CERTIFIED_L1");
    let mut models = Models::new(Settings::default(), &entries).await;
    let mut key = SoftwareAuthenticator::of_model(&model);
    let holder = models.register("alice", &mut key).await.unwrap();
    models.use_key(&holder, &mut key).await.unwrap();
    models
        .world
        .log_in(&mut key, &Tampering::default())
        .await
        .unwrap();
    models.publish(&two_models(&model, "REVOKED")).await;
    let login = models.world.log_in(&mut key, &Tampering::default()).await;
    assert_eq!(reason(login), "authenticator_model");
    // The key is no longer offered as a second factor.
    let again = models.use_key(&holder, &mut key).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::FailedPrecondition);
    let refused = models
        .register("bob", &mut SoftwareAuthenticator::of_model(&model))
        .await;
    assert_eq!(reason(refused), "authenticator_model");
}

#[tokio::test]
async fn earlier_model_matches_of_u2f_are_ignored_s10() {
    let model = Model::u2f(BETTER.parse().unwrap());
    let entries = two_models(&model, "FIDO_CERTIFIED_L1");
    let models = Models::new(Settings::default(), &entries).await;
    let mut key = SoftwareAuthenticator::of_model(&model);
    let holder = models.world.person("alice").await;
    let registered = models.world.register(&holder, &mut key).await.unwrap();
    // The form in which older versions stored it.
    let ctx = &models.world.ctx;
    let stored = load::by_name::<Authenticator>(&*ctx.store, registered.name(), ctx.now()).await;
    let mut stored = stored.unwrap().unwrap();
    if let Some(Info {
        r#type: Some(info::Type::Fido(fido)),
    }) = &mut stored.message.status_mut().info
    {
        fido.aaguid = BETTER.to_owned();
        fido.certification_level = 2;
        fido.attestation_key_identifier.clear();
    }
    models.world.replace(&stored).await;
    let facts = session_facts(&models.use_key(&holder, &mut key).await.unwrap());
    assert!(!facts.is_attestation_verified && !facts.is_hardware);
    assert_ne!(facts.aaguid, BETTER);
    let kept = models.world.stored(registered.name()).await;
    assert_ne!(fido(&kept).unwrap().aaguid, BETTER);
    models
        .rule(Settings {
            allowed_aagui_ds: vec![BETTER.to_owned()],
            ..Settings::default()
        })
        .await;
    assert_ne!(reason(models.use_key(&holder, &mut key).await), "nothing");
}

#[tokio::test]
async fn tightened_rules_apply_to_registered_authenticators_s10() {
    let model = Model::new(BETTER.parse().unwrap());
    let entries = |status: &str| json!([entry(("aaguid", json!(BETTER)), &model.root, status)]);
    let mut models = Models::new(Settings::default(), &entries("FIDO_CERTIFIED_L2")).await;
    let (mut key, mut plain) = (
        SoftwareAuthenticator::of_model(&model),
        SoftwareAuthenticator::new(),
    );
    let alice = models.register("alice", &mut key).await.unwrap();
    let bob = models.register("bob", &mut plain).await.unwrap();
    let level = |level| Settings {
        min_certification_level: level,
        ..Settings::default()
    };
    let allowed = |model: &str| Settings {
        allowed_aagui_ds: vec![model.to_owned()],
        ..Settings::default()
    };
    let verified = Settings {
        require_verified_attestation: true,
        ..Settings::default()
    };
    for (settings, of_model, of_none) in [
        (Settings::default(), true, true),
        (level(2), true, false),
        (level(3), false, false),
        (allowed(BETTER), true, false),
        (
            allowed("84c6ccb9-ab1d-b374-750b-2367ff6f3a1f"),
            false,
            false,
        ),
        (verified, true, false),
    ] {
        models.rule(settings.clone()).await;
        let used = models.use_key(&alice, &mut key).await;
        assert_eq!(used.is_ok(), of_model, "{settings:?}");
        let used = models.use_key(&bob, &mut plain).await;
        assert_eq!(used.is_ok(), of_none, "{settings:?}");
    }
    // The current level applies.
    models.rule(level(2)).await;
    models.publish(&entries("FIDO_CERTIFIED_L1")).await;
    assert!(models.use_key(&alice, &mut key).await.is_err());
    models.publish(&json!([])).await;
    assert!(models.use_key(&alice, &mut key).await.is_err());
}

#[tokio::test]
async fn an_unproved_aaguid_is_hidden_from_policies_s10() {
    // The key attests its model, but no metadata are available to verify it.
    let model = Model::new(BETTER.parse().unwrap());
    let world = World::new(Rules::default()).await;
    let holder = world.person("alice").await;
    let mut key = SoftwareAuthenticator::of_model(&model);
    world.register(&holder, &mut key).await.unwrap();
    let raised = world
        .use_key(&holder, &mut key, &Tampering::default())
        .await;
    assert_eq!(
        session_facts(&raised.unwrap()).aaguid,
        "00000000-0000-0000-0000-000000000000"
    );
}
