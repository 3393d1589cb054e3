//! The cost of a request with many Services.

use api::{
    core_v1::{
        Service,
        service::{
            self,
            spec::{Authorization, Config, Mode, config},
        },
    },
    meta_v1::Metadata,
    platform_v1::{Resource, resource},
};

use crate::{
    api::Api,
    figures::Figures,
    http::Target,
    peer::{Proxy, Upstreams},
    replica::Replica,
    rounds::alternate,
    stage::{Servers, access_token},
    tool::Tools,
};

const FEW: usize = 10;
const MANY: usize = 10_000;

/// Requests ten Services in turn, among ten and among ten thousand.
pub(crate) async fn run(figures: &mut Figures) {
    let servers = Servers::start();
    let upstreams = servers.upstreams();
    let tools = Tools::new();
    let mut many = serving(MANY, &upstreams).await;
    many.name = "10000 Services";
    let mut few = serving(FEW, &upstreams).await;
    few.name = "10 Services";
    let rounds = alternate(&[&many, &few], |proxy| {
        let step = if proxy.name == many.name {
            MANY / FEW
        } else {
            1
        };
        let hosts: Vec<String> = (0..FEW)
            .map(|number| format!("{}.localhost", name(number * step)))
            .collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        tools.hosts(proxy, 32, &hosts).requests
    });
    let target = [(few.name, "0.9 to 1.1")];
    rounds.report(figures, "services", "requests/CPU-s", &target);
}

async fn serving(count: usize, upstreams: &Upstreams) -> Proxy {
    let replica = Replica::start_with_access_log();
    let target = Target::new(replica.address, &replica.data_dir().join("ca.pem"));
    let api = Api::administrator(&replica, &target).await;
    api.apply_documents(include_str!("../policy.yaml")).await;
    let url = format!("http://{}", upstreams.app);
    let services: Vec<Resource> = (0..count)
        .map(|number| service(name(number), url.clone()))
        .collect();
    for services in services.chunks(500) {
        api.apply(services.to_vec()).await;
    }
    let token = access_token(&api).await;
    Proxy::octeliumd("octeliumd", replica, &token)
}

fn name(number: usize) -> String {
    format!("app-{number:05}")
}

fn service(name: String, url: String) -> Resource {
    let upstream = config::Upstream {
        r#type: Some(config::upstream::Type::Url(url)),
        ..config::Upstream::default()
    };
    let spec = service::Spec {
        mode: Mode::Http.into(),
        is_public: true,
        authorization: Some(Authorization {
            policies: vec!["bench".to_owned()],
            ..Authorization::default()
        }),
        config: Some(Config {
            upstream: Some(upstream),
            ..Config::default()
        }),
        ..service::Spec::default()
    };
    let service = Service {
        metadata: Some(Metadata {
            name,
            ..Metadata::default()
        }),
        spec: Some(spec),
        ..Service::default()
    };
    Resource {
        resource: Some(resource::Resource::Service(service)),
    }
}
