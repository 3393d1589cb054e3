//! Operations that a browser's Session loses as soon as it is no longer active, however it reached the page.

use std::time::Duration;

use api::{
    core_v1::{
        Device, IdentityProvider, Secret, Session, User, device,
        identity_provider::spec::Type as ProviderType,
        session::{
            spec::State,
            status::{
                AuthenticatorAction,
                authentication::{
                    Info,
                    info::{self, Details},
                },
            },
        },
    },
    meta_v1::Metadata,
    resource::Object as _,
};
use domain::{credential::code_challenge, id::Uid, kind::Kind, rng::SystemRng};
use rstest::rstest;
use server::{
    document::codec,
    return_to,
    web::handover::{Refused, redeem_code, state_of},
};
use store::{Expected, Operation, SecretWrite, Transaction};

use super::{
    Browser, approval,
    device::{Machine, answer},
    enrollment::sessions,
    people,
};
use crate::replicas::Replicas;

const HOST: &str = "web.localhost";
const PLACE: &str = "https://web.localhost:8443/a";
const NONCE: &str = "nonce-of-this-browser";

/// Reason why a Session is not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    Pending,
    AuthenticationRequired,
    RegistrationRequired,
    DevicePending,
    DeviceGone,
    ProviderDisabled,
    ProviderGone,
    GroupGone,
    UserDisabled,
}

/// John in a browser, on a Device and with an `IdentityProvider`. His Session is active.
struct Scene {
    replicas: Replicas,
    browser: Browser,
    session: Session,
    device: Device,
    provider: IdentityProvider,
}

impl Scene {
    async fn new() -> Self {
        let replicas = people(1).await;
        let cluster = replicas.first();
        let secret = "{kind: Secret, metadata: {name: one}, spec: {}, data: {value: x}}";
        let secret = cluster.create::<Secret>(&replicas.actor, secret).await;
        secret.unwrap();
        let provider = "{kind: IdentityProvider, metadata: {name: hub}, spec: {github: {clientID: a, clientSecret: {fromSecret: one}}}}";
        let provider = cluster.create::<IdentityProvider>(&replicas.actor, provider);
        let provider = provider.await.unwrap();
        assert!(matches!(
            provider.spec().unwrap().r#type,
            Some(ProviderType::Github(_))
        ));
        let mut browser = Browser::at(replicas.context(0));
        browser.enroll(&replicas, "john").await;
        let session = sessions(&replicas, "john").await.remove(0);
        let user = session.status().unwrap().user_ref.clone();
        let uid = Uid::random(&SystemRng);
        let mut device = Device {
            metadata: Some(Metadata {
                uid: uid.to_string(),
                name: "laptop".to_owned(),
                ..Metadata::default()
            }),
            ..Device::default()
        };
        device.spec_mut().set_state(device::spec::State::Active);
        device.status_mut().user_ref = user;
        put(&replicas, uid, &device).await;
        let (of_device, of_provider) = (device.reference(), provider.reference());
        replicas
            .edit(&session, |session: &mut Session| {
                let status = session.status_mut();
                status.device_ref = Some(of_device.clone());
                let mut info = Info {
                    details: Some(Details::IdentityProvider(info::IdentityProvider {
                        identity_provider_ref: Some(of_provider.clone()),
                        identifier: "john".to_owned(),
                        ..info::IdentityProvider::default()
                    })),
                    ..Info::default()
                };
                info.set_type(info::Type::IdentityProvider);
                let initial = status.initial_authentication.get_or_insert_default();
                initial.info = Some(info);
            })
            .await;
        replicas.settle().await;
        assert_eq!(browser.get("/sessions").await.status, 200);
        Self {
            replicas,
            browser,
            session,
            device,
            provider,
        }
    }

    async fn set(&self, against: Against) {
        let replicas = &self.replicas;
        let session = |edit: fn(&mut Session)| replicas.edit(&self.session, edit);
        match against {
            Against::Pending => session(|it| it.spec_mut().set_state(State::Pending)).await,
            Against::AuthenticationRequired => {
                let action = AuthenticatorAction::AuthenticationRequired;
                let edit = |it: &mut Session| it.status_mut().set_authenticator_action(action);
                replicas.edit(&self.session, edit).await;
            }
            Against::RegistrationRequired => {
                let action = AuthenticatorAction::RegistrationRequired;
                let edit = |it: &mut Session| it.status_mut().set_authenticator_action(action);
                replicas.edit(&self.session, edit).await;
            }
            Against::DevicePending => {
                let edit = |it: &mut Device| it.spec_mut().set_state(device::spec::State::Pending);
                replicas.edit(&self.device, edit).await;
            }
            Against::DeviceGone => replicas.delete(Kind::Device, self.device.uid()).await,
            Against::ProviderDisabled => {
                let edit = |it: &mut IdentityProvider| it.spec_mut().is_disabled = true;
                replicas.edit(&self.provider, edit).await;
            }
            Against::ProviderGone => {
                let uid = self.provider.uid();
                replicas.delete(Kind::IdentityProvider, uid).await;
            }
            Against::GroupGone | Against::UserDisabled => {
                let user = self.session.status().unwrap().user_ref.clone().unwrap();
                let user = replicas.get::<User>(user.uid.parse().unwrap()).await;
                let edit = |it: &mut User| match against {
                    Against::GroupGone => it.spec_mut().groups = vec!["gone".to_owned()],
                    _ => it.spec_mut().is_disabled = true,
                };
                replicas.edit(&user.unwrap().message, edit).await;
            }
        }
        replicas.settle().await;
    }

    /// Returns the handover code for a Service.
    async fn code(&mut self) -> Option<String> {
        let place = return_to::sign(self.replicas.context(0), PLACE, &state_of(NONCE)).unwrap();
        let path = format!("/login?return={}", place.unwrap());
        let shown = self.browser.get(&path).await;
        let prefix = "https://web.localhost:8443/.well-known/octelium/callback?code=";
        let location = shown.headers.get("location")?.to_str().unwrap();
        Some(location.strip_prefix(prefix)?.to_owned())
    }

    async fn sessions(&self) -> usize {
        sessions(&self.replicas, "john").await.len()
    }
}

async fn put<T: codec::Resource>(replicas: &Replicas, uid: Uid, message: &T) {
    let ctx = replicas.context(0);
    let mut transaction = Transaction::at(ctx.now());
    transaction.push(Operation::Put(
        codec::encode(uid, ctx.now(), message, SecretWrite::Keep),
        Expected::Absent,
    ));
    ctx.store.commit(transaction).await.unwrap();
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_session_cannot_create_another_session_s08(
    #[values(
        Against::Pending,
        Against::AuthenticationRequired,
        Against::RegistrationRequired,
        Against::DevicePending,
        Against::DeviceGone,
        Against::ProviderDisabled,
        Against::ProviderGone,
        Against::GroupGone,
        Against::UserDisabled
    )]
    against: Against,
) {
    let mut scene = Scene::new().await;
    let ctx = scene.replicas.context(0).clone();
    // Operations that started while the Session was active.
    let waiting = Machine::ask(&ctx, "").await;
    answer(&mut scene.browser, &waiting.user_code, "approve").await;
    let code = scene.code().await.unwrap();
    let asked = approval::request(34567, &code_challenge(&[7; 32]));
    let path = format!("/login?octelium_req={asked}");
    let page = scene.browser.get(&path).await;
    assert_eq!(page.status, 200);
    page.says("value=\"approve\"");
    let (token, shown) = (page.field("token"), page.field("request"));
    let later = Machine::ask(&ctx, "").await;
    let fields = [("token", &*token), ("code", &later.user_code)];
    let found = scene.browser.post("/device", &fields).await;
    let found = found.field("request");

    scene.set(against).await;

    // An approved device login.
    assert_eq!(waiting.collect().await["error"], "access_denied");
    // A handover code for a Service.
    let arrived = redeem_code(&ctx, HOST, &code, NONCE).await;
    assert_eq!(arrived.err(), Some(Refused::Invalid));
    // A command-line login that waits for an answer on the page.
    let fields = [
        ("token", &*token),
        ("request", &*shown),
        ("answer", "approve"),
    ];
    let answered = scene.browser.post("/login/answer", &fields).await;
    assert!(
        !answered
            .headers
            .get("location")
            .is_some_and(|place| place.to_str().unwrap().contains("octelium_response")),
        "{answered:#?}"
    );
    // A device login that waits for an answer on the page.
    let fields = [
        ("token", &*token),
        ("request", &*found),
        ("answer", "approve"),
    ];
    let answered = scene.browser.post("/device/answer", &fields).await;
    assert_ne!(answered.status, 200, "{answered:#?}");
    scene.replicas.advance(Duration::from_secs(5));
    assert_eq!(later.collect().await["error"], "authorization_pending");
    // Operations that start now.
    assert_eq!(scene.code().await, None);
    for path in ["/", "/sessions", "/device"] {
        let shown = scene.browser.get(path).await;
        assert_ne!(shown.status, 200, "{path} {shown:#?}");
    }
    let shown = scene.browser.get(&path).await;
    assert!(!shown.body.contains("value=\"approve\""), "{shown:#?}");
    assert!(scene.sessions().await <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_session_can_log_out_s08() {
    let mut scene = Scene::new().await;
    let token = scene.browser.get("/sessions").await.field("token");
    scene.set(Against::Pending).await;
    // It cannot end other Sessions.
    let ended = scene
        .browser
        .post("/sessions/end-all", &[("token", &token)])
        .await;
    assert_eq!(ended.status, 403);
    assert_eq!(scene.sessions().await, 1);
    let left = scene.browser.post("/logout", &[("token", &token)]).await;
    assert_eq!(left.status, 200);
    assert_eq!(scene.sessions().await, 0);
}
