//! An octeliumd with the measured Services, the other proxies and their upstreams.

use ::http::StatusCode;
use api::core_v1::credential::spec::Type;
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::{
    api::{Api, spec},
    http::Target,
    peer::{Proxy, Upstreams},
    replica::Replica,
    tool::Tools,
    upstream::{MESSAGE, Responder, Upstream},
};

/// All proxies, ready to serve.
pub(crate) struct Stage {
    pub(crate) tools: Tools,
    /// The measured program.
    pub(crate) octeliumd: Proxy,
    /// The earlier program named by `OCTELIUMD_BEFORE`.
    pub(crate) octeliumd_before: Option<Proxy>,
    /// nginx with only `proxy_pass`.
    pub(crate) nginx: Proxy,
    /// nginx with a checker.
    pub(crate) nginx_auth_request: Proxy,
    pub(crate) haproxy: Proxy,
    /// `None` if Envoy is not installed.
    pub(crate) envoy: Option<Proxy>,
    _servers: Servers,
}

/// The upstreams of the proxies.
pub(crate) struct Servers {
    app: Responder,
    checker: Responder,
    streams: Upstream,
}

impl Servers {
    pub(crate) fn start() -> Self {
        Self {
            app: Responder::start("200 hello"),
            checker: Responder::start("204"),
            streams: Upstream::start(),
        }
    }

    pub(crate) fn upstreams(&self) -> Upstreams {
        Upstreams {
            app: self.app.address,
            streams: self.streams.address,
            checker: self.checker.address,
        }
    }
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let servers = Servers::start();
        let upstreams = servers.upstreams();
        let octeliumd_before = match std::env::var_os("OCTELIUMD_BEFORE") {
            Some(program) => {
                let replica = Replica::start_program(&program);
                Some(with_services("octeliumd before", replica, &upstreams).await)
            }
            None => None,
        };
        let stage = Self {
            tools: Tools::new(),
            octeliumd: octeliumd(&upstreams).await,
            octeliumd_before,
            nginx: Proxy::nginx(&upstreams),
            nginx_auth_request: Proxy::nginx_auth_request(&upstreams),
            haproxy: Proxy::haproxy(&upstreams),
            envoy: Proxy::envoy(&upstreams),
            _servers: servers,
        };
        if stage.envoy.is_none() {
            println!("# envoy is not installed: name its program in ENVOY");
        }
        for proxy in stage.all() {
            check(proxy).await;
        }
        stage
    }

    /// Returns all proxies, octeliumd first.
    pub(crate) fn all(&self) -> Vec<&Proxy> {
        [
            &self.octeliumd,
            &self.nginx,
            &self.nginx_auth_request,
            &self.haproxy,
        ]
        .into_iter()
        .chain(&self.envoy)
        .chain(&self.octeliumd_before)
        .collect()
    }
}

/// Starts an octeliumd with the Services `app`, `bodies`, `grpc` and `socket`. Each is guarded by a Policy.
pub(crate) async fn octeliumd(upstreams: &Upstreams) -> Proxy {
    with_services("octeliumd", Replica::start_with_access_log(), upstreams).await
}

async fn with_services(name: &'static str, replica: Replica, upstreams: &Upstreams) -> Proxy {
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    let documents = include_str!("stage.yaml")
        .replace("{app}", &upstreams.app.to_string())
        .replace("{streams}", &upstreams.streams.to_string());
    api.apply_documents(include_str!("policy.yaml")).await;
    api.apply_documents(&documents).await;
    let token = access_token(&api).await;
    Proxy::octeliumd(name, replica, &token)
}

/// Returns an access token of User `bench`, which the Policy allows.
pub(crate) async fn access_token(api: &Api) -> String {
    let names = ["bench".to_owned()];
    api.make_workloads(&names, &spec(Type::AccessToken, 0))
        .await;
    api.secret("bench").await.secret
}

/// Checks the response of a proxy. A proxy that sends a wrong response could be fast for that reason.
async fn check(proxy: &Proxy) {
    let target = Target::new(proxy.address, &proxy.certificate);
    let mut connection = target.http1("app.localhost").await;
    let request = ::http::Request::builder()
        .uri("/")
        .header("authorization", &proxy.authorization);
    let (status, body) = connection.send(request, Bytes::new()).await;
    assert_eq!(
        (status, &body[..]),
        (StatusCode::OK, &b"hello"[..]),
        "{}",
        proxy.name
    );
    if matches!(
        proxy.name,
        "octeliumd" | "octeliumd before" | "envoy jwt_authn+rbac"
    ) {
        let request = ::http::Request::builder().uri("/");
        let (status, _) = connection.send(request, Bytes::new()).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{}", proxy.name);
    }
    let call = ::http::Request::post("https://grpc.localhost/bench.Echo/Call")
        .header("authorization", &proxy.authorization)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(http_body_util::Full::new(
            Bytes::from_static(MESSAGE),
        )))
        .unwrap();
    let mut sender = target.http2("grpc.localhost").await;
    let answer = sender.send_request(call).await.unwrap();
    let answer = answer.into_body().collect().await.unwrap();
    let status = answer
        .trailers()
        .map(|trailers| trailers["grpc-status"].clone());
    assert_eq!(status.unwrap(), "0", "{}", proxy.name);
    assert_eq!(answer.to_bytes(), MESSAGE, "{}", proxy.name);
}
