//! `octeliumd quickstart`: a Cluster on one machine with a demo of an allowed and a denied request.

mod administrator;
mod connection;
mod upstream;
mod walkthrough;

use std::{
    io::{Write as _, stdout},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use api::{
    core_v1::{Service, service::spec::config::upstream::Type},
    platform_v1::{Resource, resource},
};
use domain::kind::Kind;
use http::Uri;
use prost::Message as _;
use store::Store;

use self::{administrator::Administrator, connection::Connector, walkthrough::Walkthrough};
use crate::{
    arguments::Serving,
    files::{DEFAULT_DATA_DIR, write_secret},
    running::{Instance, ROOT_TOKEN_FILE},
    telemetry::Telemetry,
};

/// The curl configuration with the id and the secret of the demo's OAuth2 client.
const CLIENT_FILE: &str = "quickstart-client.curl";
const CREDENTIAL: &str = "quickstart-client";
/// The stored name of the demo's Service.
const SERVICE: &str = "demo.default";

/// Serves until the process is asked to shut down.
///
/// # Errors
///
/// Returns an error if the Cluster cannot be served. If only the demo fails, the error is printed and the Cluster is
/// served.
pub(crate) async fn run(mut serving: Serving) -> anyhow::Result<()> {
    serving.logs.log.get_or_insert_with(|| "warn".to_owned());
    let telemetry = Telemetry::start(serving.listen.otlp_endpoint.as_deref())?;
    let _logging = crate::logging::start_exporting(&serving.logs, &telemetry)?;
    serving
        .store
        .data_dir
        .get_or_insert_with(|| PathBuf::from(DEFAULT_DATA_DIR));
    let Serving {
        store,
        listen,
        proxies,
        outbound,
        ..
    } = serving;
    let proxies = proxies.open(&listen)?;
    let instance = Instance::start(store, listen, proxies, &outbound, &telemetry).await?;
    let demo = Demo::open(&instance).await?;
    let mut out = stdout().lock();
    match demo.play().await {
        Ok(walkthrough) => walkthrough.write(&mut out)?,
        Err(error) => writeln!(
            out,
            "The demo could not be set up: {error:#}\n\
             The Cluster is running nevertheless. To start over, stop it and use an empty --data-dir."
        )?,
    }
    out.flush()?;
    drop(out);
    let ended = instance.wait().await;
    telemetry.finish().await;
    ended
}

/// The demo on a running Cluster.
struct Demo<'a> {
    instance: &'a Instance,
    connector: Connector,
    upstream_port: u16,
}

impl<'a> Demo<'a> {
    async fn open(instance: &'a Instance) -> anyhow::Result<Self> {
        let store = instance.store();
        let (socket, upstream_port) = upstream::bind(service_port(store, instance).await?).await?;
        tokio::spawn(upstream::serve(socket, instance.ending()));
        Ok(Self {
            instance,
            connector: Connector::new(loopback(instance.address()), instance.authority())?,
            upstream_port,
        })
    }

    async fn play(&self) -> anyhow::Result<Walkthrough<'_>> {
        let client_file = self.instance.data_dir().join(CLIENT_FILE);
        let missing = self.missing().await?;
        if !missing.is_empty() || !client_file.exists() {
            self.set_up(missing, &client_file).await?;
        }
        walkthrough::run(self.instance, &self.connector, client_file).await
    }

    /// Creates the missing resources as User `root`.
    async fn set_up(&self, missing: Vec<Resource>, client_file: &Path) -> anyhow::Result<()> {
        let token_file = self.instance.data_dir().join(ROOT_TOKEN_FILE);
        let token = std::fs::read_to_string(&token_file)
            .with_context(|| token_file.display().to_string())?;
        let names = self.instance.names();
        let administrator = Administrator::log_in(&self.connector, names, token.trim()).await?;
        if !missing.is_empty() {
            administrator.apply(missing).await?;
        }
        if !client_file.exists() {
            let client = administrator.generate_client(CREDENTIAL).await?;
            // In the format of `curl --config`, so that the secret does not appear on a command line.
            let content = format!("user = \"{}:{}\"\n", client.id, client.secret);
            write_secret(client_file, &content)?;
        }
        administrator.log_out().await
    }

    /// Returns the resources that do not exist, and the Service if its upstream has another port.
    async fn missing(&self) -> anyhow::Result<Vec<Resource>> {
        let port = self.upstream_port.to_string();
        let text = include_str!("quickstart/demo.yaml").replace("{port}", &port);
        let resources = api::document::parse("demo.yaml", text.as_bytes())
            .map_err(|problems| anyhow::anyhow!("demo.yaml: {problems:?}"))?;
        let mut missing = Vec::new();
        for (_, resource) in resources {
            let (kind, name) = match &resource.resource {
                Some(resource::Resource::Service(_)) => (Kind::Service, SERVICE),
                Some(resource::Resource::Policy(_)) => (Kind::Policy, resource.name()),
                Some(resource::Resource::Credential(_)) => (Kind::Credential, resource.name()),
                _ => (Kind::User, resource.name()),
            };
            let store = self.instance.store();
            let found = store.get_by_name(kind, name, self.instance.now()).await?;
            let moved = kind == Kind::Service
                && service_port(store, self.instance).await? != Some(self.upstream_port);
            if found.is_none() || moved {
                missing.push(resource);
            }
        }
        Ok(missing)
    }
}

/// Returns the upstream port of the last run.
async fn service_port(store: &Arc<dyn Store>, instance: &Instance) -> anyhow::Result<Option<u16>> {
    let document = store
        .get_by_name(Kind::Service, SERVICE, instance.now())
        .await?;
    let Some(document) = document else {
        return Ok(None);
    };
    let service = Service::decode(document.body.as_slice())?;
    let upstream = service
        .spec
        .and_then(|spec| spec.config)
        .and_then(|config| config.upstream);
    let Some(Type::Url(url)) = upstream.and_then(|upstream| upstream.r#type) else {
        return Ok(None);
    };
    Ok(url.parse::<Uri>().ok().and_then(|url| url.port_u16()))
}

/// Returns the address at which this machine reaches the listener.
fn loopback(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
