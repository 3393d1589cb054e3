//! The cost of the gateway for each request: `cargo bench -p gateway`.
//!
//! `handle` measures everything except the sockets: parsing, routing, authentication, the decision and the response.
//! `proxied` adds one kept connection to an upstream in the same process and thread.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::{net::SocketAddr, sync::Arc};

use api::{
    core_v1::{
        Condition, InlinePolicy, Namespace, Service, Session, User, condition, policy as policy_v1,
        service::{
            self,
            spec::{
                Authorization, Config as ServiceConfig,
                config::{
                    Http, Type, Upstream,
                    http::{Response as ResponseSpec, response},
                    upstream,
                },
            },
        },
    },
    meta_v1::Metadata,
};
use async_trait::async_trait;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use domain::clock::{SystemClock, UnixMillis};
use gateway::{
    Assertion, Caller, CallerFacts, CodeError, Config, Directory, Gateway, Identity, Principal,
    RedeemedCode, Rejection, Renewal, Route,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use policy::{PolicySet, StepUp, Subject, Target};
use tokio::{net::TcpListener, runtime::Builder};
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "AQoGb25lLXRva2Vu";

struct OneIdentity(Principal);

#[async_trait]
impl Identity for OneIdentity {
    async fn authenticate(&self, token: &str) -> Result<Principal, Rejection> {
        match token {
            TOKEN => Ok(self.0.clone()),
            _ => Err(Rejection::Unauthenticated { reason: "unknown" }),
        }
    }

    async fn authenticate_cookie(
        &self,
        _: &str,
        _: &str,
    ) -> Result<(Principal, Option<Renewal>), Rejection> {
        Err(Rejection::Unavailable)
    }

    async fn redeem_code(&self, _: &str, _: &str, _: &str) -> Result<RedeemedCode, CodeError> {
        Err(CodeError::Unavailable)
    }

    fn policies(&self) -> PolicySet {
        PolicySet::default()
    }

    fn is_fresh(&self) -> bool {
        true
    }

    fn assertion(&self, _: &CallerFacts, _: &str, _: UnixMillis) -> Option<Assertion> {
        None
    }

    async fn step_up(
        &self,
        _: &Principal,
        _: &(dyn for<'s> Fn(&'s Subject) -> bool + Send + Sync),
    ) -> Option<StepUp> {
        None
    }

    fn proof(&self, _: &str, _: &str, _: &StepUp) -> Option<String> {
        None
    }

    fn login(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

struct OneRoute(Arc<Route>);

impl Directory for OneRoute {
    fn route(&self, host: &str) -> Option<Arc<Route>> {
        (host == "app.example.com").then(|| Arc::clone(&self.0))
    }
}

/// Creates ten Policies of three rules each. The last rule of the last Policy matches.
fn policies() -> Vec<InlinePolicy> {
    (0..10)
        .map(|policy| InlinePolicy {
            name: format!("policy-{policy}"),
            spec: Some(policy_v1::Spec {
                rules: (0..3)
                    .map(|rule| {
                        let name = match (policy, rule) {
                            (9, 2) => "root".to_owned(),
                            _ => format!("user-{policy}-{rule}"),
                        };
                        policy_v1::spec::Rule {
                            condition: Some(Condition {
                                r#type: Some(condition::Type::Match(format!(
                                    "ctx.user.metadata.name == {name:?}"
                                ))),
                            }),
                            effect: policy_v1::spec::rule::Effect::Allow.into(),
                            ..policy_v1::spec::Rule::default()
                        }
                    })
                    .collect(),
                ..policy_v1::Spec::default()
            }),
        })
        .collect()
}

fn gateway(url: Option<String>, anonymous: bool) -> Arc<Gateway> {
    let http = Http {
        response: url.is_none().then(|| ResponseSpec {
            r#type: Some(response::Type::Direct(response::Direct::default())),
        }),
        ..Http::default()
    };
    let service = Service {
        metadata: Some(Metadata {
            name: "app.default".to_owned(),
            ..Metadata::default()
        }),
        spec: Some(service::Spec {
            mode: service::spec::Mode::Http.into(),
            is_public: true,
            is_anonymous: anonymous,
            authorization: Some(Authorization {
                inline_policies: policies(),
                ..Authorization::default()
            }),
            config: Some(ServiceConfig {
                upstream: url.map(|url| Upstream {
                    r#type: Some(upstream::Type::Url(url)),
                    ..Upstream::default()
                }),
                r#type: Some(Type::Http(http)),
                ..ServiceConfig::default()
            }),
            ..service::Spec::default()
        }),
        ..Service::default()
    };
    let user = User {
        metadata: Some(Metadata {
            name: "root".to_owned(),
            ..Metadata::default()
        }),
        ..User::default()
    };
    let target = Arc::new(Target::new(&service, &Namespace::default(), None));
    let config = Config::default();
    let route = Route::compile(&service, target, &|_| None, &config).unwrap();
    let principal = Principal {
        subject: Arc::new(Subject::new(&user, &[], &Session::default(), None)),
        revoked: CancellationToken::new(),
        valid_until: UnixMillis(i64::MAX),
        scopes: Arc::from([]),
        caller: Arc::new(Caller::new(CallerFacts::default())),
    };
    Gateway::new(
        Arc::new(OneRoute(Arc::new(route))),
        Arc::new(OneIdentity(principal)),
        Arc::new(SystemClock),
        config,
    )
}

fn request() -> Request<Empty<Bytes>> {
    Request::builder()
        .uri("/things/42?page=1")
        .header("host", "app.example.com")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("user-agent", "benchmark/1.0")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip")
        .body(Empty::new())
        .unwrap()
}

async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).unwrap();
            let service = service_fn(|_| async {
                let body = Full::new(Bytes::from_static(b"hello"));
                Ok::<_, std::convert::Infallible>(Response::new(body))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}")
}

fn measure(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let peer = SocketAddr::from(([127, 0, 0, 1], 1));
    let url = runtime.block_on(upstream());
    let cases = [
        ("handle/anonymous", gateway(None, true)),
        ("handle/token and 30 rules", gateway(None, false)),
        ("proxied/anonymous", gateway(Some(url.clone()), true)),
        ("proxied/token and 30 rules", gateway(Some(url), false)),
    ];
    for (name, gateway) in cases {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let response = gateway.handle(request(), peer).await;
                    assert_eq!(response.status(), 200);
                    response.into_body().collect().await.unwrap()
                })
            });
        });
    }
}

criterion_group!(benches, measure);
criterion_main!(benches);
