//! The command `create service`.

use api::{
    core_v1::{
        self,
        service::spec::{
            Authorization, Config, Mode,
            config::{Upstream, upstream},
        },
    },
    platform_v1::Resource,
    resource::Object as _,
};
use clap::{Args, ValueEnum};

use super::named;
use crate::{failure::Failure, output::OutputArgs};

/// Create a Service
#[derive(Args)]
#[command(
    after_help = "Example:\n  octeliumctl create service --mode http --upstream http://127.0.0.1:9000 --public api"
)]
pub(crate) struct ServiceArgs {
    /// Name of the Service as NAME or NAME.NAMESPACE, such as `api` or `api.production`
    name: String,
    /// Protocol of the Service
    #[arg(long, value_enum, value_name = "MODE", default_value = "http")]
    mode: ServiceMode,
    /// URL of the upstream, such as `http://127.0.0.1:9000`
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Port of the Service, such as 8080
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Namespace, unless the name contains one [default: default]
    #[arg(short = 'n', long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Make the Service reachable through the public listener of the Cluster
    #[arg(long)]
    public: bool,
    /// Allow requests without authentication
    #[arg(long)]
    anonymous: bool,
    /// Attach Policies: repeatable, or separated by commas, such as `read-only,office-hours` [default: none]
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    policy: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServiceMode {
    Http,
    Web,
    Grpc,
    Tcp,
}

impl ServiceArgs {
    pub(super) fn resource(self) -> Result<(Resource, OutputArgs), Failure> {
        let name = match &self.namespace {
            Some(_) if self.name.contains('.') => {
                return Err(Failure::usage(format!(
                    "`{}` already contains a Namespace; leave out --namespace",
                    self.name
                )));
            }
            Some(namespace) => format!("{}.{namespace}", self.name),
            None => self.name,
        };
        let mode = match self.mode {
            ServiceMode::Http => Mode::Http,
            ServiceMode::Web => Mode::Web,
            ServiceMode::Grpc => Mode::Grpc,
            ServiceMode::Tcp => Mode::Tcp,
        };
        let upstream = Upstream {
            r#type: Some(upstream::Type::Url(self.upstream)),
            ..Upstream::default()
        };
        let authorization = (!self.policy.is_empty()).then(|| Authorization {
            policies: self.policy,
            ..Authorization::default()
        });
        let service = core_v1::Service {
            metadata: Some(named(&name)),
            spec: Some(core_v1::service::Spec {
                mode: mode.into(),
                port: self.port.map_or(0, u32::from),
                is_public: self.public,
                is_anonymous: self.anonymous,
                config: Some(Config {
                    upstream: Some(upstream),
                    ..Config::default()
                }),
                authorization,
                ..core_v1::service::Spec::default()
            }),
            ..core_v1::Service::default()
        };
        Ok((service.into_resource(), self.output))
    }
}
