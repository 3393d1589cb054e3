//! A gateway with its whole environment.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{
    core_v1::{
        InlinePolicy, Namespace, Service, Session, User, condition, policy as policy_v1,
        service::{
            self,
            spec::{
                Authorization, Config as ServiceConfig,
                config::{Http, Type, Upstream as UpstreamSpec, upstream},
            },
        },
        user,
    },
    meta_v1::Metadata,
};
use domain::clock::{Clock, ManualClock, UnixMillis};
use futures_util::future::BoxFuture;
use gateway::{
    Caller, CallerFacts, Config, Gateway, Principal, Route, SecretValue,
    listener::{Activity, Limits, Protocol, Protocols, StreamBudget},
};
use hyper::service::service_fn;
use policy::{Subject, Target};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::ports::{FakeDirectory, FakeIdentity};

pub(crate) const HOST: &str = "app.example.com";
pub(crate) const TOKEN: &str = "AQoGb25lLXRva2Vu";

/// A Secret with its certificates.
#[derive(Clone)]
struct Key {
    data: Vec<u8>,
    certificates: Option<Vec<u8>>,
}

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Arc<FakeIdentity>,
    pub(crate) directory: Arc<FakeDirectory>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: Config,
    secrets: Mutex<HashMap<String, Key>>,
}

/// Creates a Service of mode HTTP that every caller with a token may use.
pub(crate) fn service(url: &str) -> Service {
    Service {
        metadata: Some(Metadata {
            name: "app.default".to_owned(),
            ..Metadata::default()
        }),
        spec: Some(service::Spec {
            mode: service::spec::Mode::Http.into(),
            is_public: true,
            authorization: Some(Authorization {
                inline_policies: vec![inline("allow", vec![rule("allow", matches_any(), true)])],
                ..Authorization::default()
            }),
            config: Some(ServiceConfig {
                upstream: Some(UpstreamSpec {
                    r#type: Some(upstream::Type::Url(url.to_owned())),
                    ..UpstreamSpec::default()
                }),
                ..ServiceConfig::default()
            }),
            ..service::Spec::default()
        }),
        ..Service::default()
    }
}

pub(crate) trait ServiceExt: Sized {
    fn spec_mut(&mut self) -> &mut service::Spec;

    fn with(mut self, change: impl FnOnce(&mut service::Spec)) -> Self {
        change(self.spec_mut());
        self
    }

    fn config(self, change: impl FnOnce(&mut ServiceConfig)) -> Self {
        self.with(|spec| change(spec.config.get_or_insert_default()))
    }

    fn http(self, change: impl FnOnce(&mut Http)) -> Self {
        self.config(|config| {
            let http = config.r#type.get_or_insert(Type::Http(Http::default()));
            if let Type::Http(http) = http {
                change(http);
            }
        })
    }

    fn anonymous(self) -> Self {
        self.with(|spec| {
            spec.is_anonymous = true;
            spec.authorization = None;
        })
    }

    /// Replaces the Policies of the Service by one with these rules.
    fn rules(self, rules: Vec<policy_v1::spec::Rule>) -> Self {
        self.with(|spec| {
            let authorization = spec.authorization.get_or_insert_default();
            authorization.inline_policies = vec![inline("rules", rules)];
        })
    }
}

impl ServiceExt for Service {
    fn spec_mut(&mut self) -> &mut service::Spec {
        self.spec.get_or_insert_default()
    }
}

pub(crate) fn matches_any() -> condition::Type {
    condition::Type::MatchAny(true)
}

pub(crate) fn matches(expression: &str) -> condition::Type {
    condition::Type::Match(expression.to_owned())
}

pub(crate) fn rule(name: &str, condition: condition::Type, allow: bool) -> policy_v1::spec::Rule {
    let effect = if allow {
        policy_v1::spec::rule::Effect::Allow
    } else {
        policy_v1::spec::rule::Effect::Deny
    };
    policy_v1::spec::Rule {
        name: name.to_owned(),
        condition: Some(api::core_v1::Condition {
            r#type: Some(condition),
        }),
        effect: effect.into(),
        priority: 0,
    }
}

fn inline(name: &str, rules: Vec<policy_v1::spec::Rule>) -> InlinePolicy {
    InlinePolicy {
        name: name.to_owned(),
        spec: Some(policy_v1::Spec {
            rules,
            ..policy_v1::Spec::default()
        }),
    }
}

impl World {
    /// Starts a gateway with one token and no Services.
    pub(crate) async fn start() -> Self {
        Self::with_config(Config {
            domain: "example.com".to_owned(),
            authority: "example.com:8443".to_owned(),
            ..Config::default()
        })
        .await
    }

    pub(crate) async fn with_config(config: Config) -> Self {
        let identity = Arc::new(FakeIdentity::default());
        let directory = Arc::new(FakeDirectory::default());
        let clock = Arc::new(ManualClock::at(UnixMillis(1_700_000_000_000)));
        let gateway = Gateway::new(
            Arc::clone(&directory) as _,
            Arc::clone(&identity) as _,
            Arc::clone(&clock) as _,
            config.clone(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, gateway));
        let world = Self {
            address,
            identity,
            directory,
            clock,
            config,
            secrets: Mutex::default(),
        };
        world.grant(TOKEN, Duration::from_hours(1));
        world
    }

    pub(crate) fn secret(&self, name: &str, value: &str) {
        self.key(name, value, None);
    }

    /// Adds a Secret with its certificates.
    pub(crate) fn key(&self, name: &str, value: &str, certificates: Option<&str>) {
        let certificates = certificates.map(|text| text.as_bytes().to_vec());
        let key = Key {
            data: value.as_bytes().to_vec(),
            certificates,
        };
        self.secrets.lock().unwrap().insert(name.to_owned(), key);
    }

    /// Serves `service` at [`HOST`].
    pub(crate) fn serve(&self, service: &Service) {
        self.serve_at(HOST, service);
    }

    pub(crate) fn serve_at(&self, host: &str, service: &Service) {
        let route = self.compile(service).unwrap();
        let mut routes = self.directory.0.lock().unwrap();
        routes.insert(host.to_owned(), Arc::new(route));
    }

    pub(crate) fn compile(&self, service: &Service) -> Result<Route, Vec<String>> {
        let target = Target::new(service, &Namespace::default(), None);
        let secrets = self.secrets.lock().unwrap().clone();
        let find = |name: &str| {
            let key = secrets.get(name)?;
            Some(SecretValue {
                data: key.data.clone().into(),
                certificates: key.certificates.clone(),
            })
        };
        Route::compile(service, Arc::new(target), &find, &self.config)
    }

    /// Makes `token` valid for `duration`. Cancelling the result ends its Session.
    pub(crate) fn grant(&self, token: &str, duration: Duration) -> CancellationToken {
        self.grant_scoped(token, duration, &[])
    }

    pub(crate) fn grant_scoped(
        &self,
        token: &str,
        duration: Duration,
        scopes: &[&str],
    ) -> CancellationToken {
        self.grant_to(&User::default(), token, duration, scopes)
    }

    /// Makes [`TOKEN`] a token of this User.
    pub(crate) fn grant_user(&self, name: &str, groups: &[&str]) -> CancellationToken {
        let user = User {
            metadata: Some(Metadata {
                name: name.to_owned(),
                ..Metadata::default()
            }),
            spec: Some(user::Spec {
                groups: groups.iter().map(|&group| group.to_owned()).collect(),
                ..user::Spec::default()
            }),
            ..User::default()
        };
        self.grant_to(&user, TOKEN, Duration::from_hours(1), &[])
    }

    /// Makes `token` a token of the User with this uid.
    pub(crate) fn grant_uid(&self, uid: &str, token: &str) -> CancellationToken {
        let user = User {
            metadata: Some(Metadata {
                uid: uid.to_owned(),
                ..Metadata::default()
            }),
            ..User::default()
        };
        self.grant_to(&user, token, Duration::from_hours(1), &[])
    }

    fn grant_to(
        &self,
        user: &User,
        token: &str,
        duration: Duration,
        scopes: &[&str],
    ) -> CancellationToken {
        let revoked = CancellationToken::new();
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let principal = Principal {
            subject: Arc::new(Subject::new(user, &[], &Session::default(), None)),
            revoked: revoked.clone(),
            valid_until: self.clock.now().saturating_add(duration),
            scopes: domain::scope::parse(&scopes).unwrap().into(),
            caller: Arc::new(Caller::new(facts(user))),
        };
        let mut principals = self.identity.principals.lock().unwrap();
        principals.insert(token.to_owned(), principal);
        revoked
    }
}

fn facts(user: &User) -> CallerFacts {
    let named = user.metadata.as_ref();
    CallerFacts {
        user: named.map_or("user", |metadata| &metadata.name).to_owned(),
        user_uid: named
            .map(|metadata| metadata.uid.as_str())
            .filter(|uid| !uid.is_empty())
            .unwrap_or("user-uid")
            .to_owned(),
        email: None,
        groups: user
            .spec
            .as_ref()
            .map_or_else(Vec::new, |spec| spec.groups.clone()),
        session: "session".to_owned(),
        session_uid: "session-uid".to_owned(),
        credential: None,
    }
}

async fn accept(listener: TcpListener, gateway: Arc<Gateway>) {
    let protocols = Arc::new(Protocols::new(&Limits::default()));
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            return;
        };
        stream.set_nodelay(true).unwrap();
        let gateway = Arc::clone(&gateway);
        let protocols = Arc::clone(&protocols);
        tokio::spawn(async move {
            let protocol = protocol(&stream).await;
            let service = service_fn(move |request| {
                let gateway = Arc::clone(&gateway);
                let answer = async move { Ok(gateway.handle(request, peer).await) };
                Box::pin(answer) as BoxFuture<'static, Result<_, Infallible>>
            });
            let drain = CancellationToken::new();
            let activity = Arc::new(Activity::new());
            let client = StreamBudget::new(1000, || {}).of_client();
            let _ = protocols
                .serve(
                    Box::new(stream),
                    protocol,
                    service,
                    &activity,
                    &client,
                    &drain,
                )
                .await;
        });
    }
}

/// Without TLS, the first bytes determine the protocol.
async fn protocol(stream: &TcpStream) -> Protocol {
    let preface = b"PRI * HTTP/2.0";
    let mut first = [0; 14];
    loop {
        let count = stream.peek(&mut first).await.unwrap_or(0);
        let begun = first.get(..count).unwrap_or_default();
        if count == 0 || !preface.starts_with(begun) {
            return Protocol::Http1;
        }
        if count == preface.len() {
            return Protocol::Http2;
        }
        tokio::task::yield_now().await;
    }
}
