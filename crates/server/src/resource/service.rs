//! Services: validation and derived status.

use api::{
    core_v1::{
        Namespace, Region, Secret, Service,
        service::{
            Spec, Status,
            spec::{Config, Mode, config},
            status::Address,
        },
    },
    meta_v1::DualStackIp,
    reflect,
    resource::Object as _,
};
use domain::{
    configuration::{self, DEFAULT},
    name,
    service::is_unreachable,
};

mod dynamic;
mod expression;
mod http;
mod limits;
mod plugin;
mod tls;
mod upstream;

use super::{attrs, authorization, draft::Draft, served, write::Managed};
use crate::{Error, document::codec::Stored};

/// Ports of the Cluster's own listeners in existing installations and clients.
const RESERVED_PORTS: &[u32] = &[49094, 49095];

impl Managed for Service {
    const NAME_PARTS: usize = 2;

    fn stored_name(name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        name::service_full_name(name)
    }

    fn warnings(&self) -> Vec<String> {
        let warning = is_unreachable(self).then(|| {
            format!(
                "The Service {} is private and no client can reach it: this Cluster has no private network. \
                 Set spec.isPublic to serve it over HTTPS",
                self.name()
            )
        });
        warning.into_iter().collect()
    }

    async fn prepare(
        draft: &mut Draft<'_>,
        new: &mut Self,
        old: Option<&Stored<Self>>,
    ) -> Result<(), Error> {
        let full_name = new.name().to_owned();
        authorization::check(draft, new, old).await?;
        let spec = new.spec_mut();
        served::check(reflect::dynamic(spec).as_ref(), served::SERVICE)?;
        check_mode(spec)?;
        attrs::check("spec.attrs", spec.attrs.as_ref())?;
        check_exposure(spec)?;
        let is_built_in = draft.author.is_cluster();
        if !is_built_in {
            check_configs(draft, spec, &named_secrets(old)).await?;
        }
        let status = derive(draft, &full_name, spec, old).await?;
        *new.status_mut() = status;
        Ok(())
    }
}

fn check_mode(spec: &Spec) -> Result<(), Error> {
    match Mode::try_from(spec.mode) {
        Ok(Mode::Http | Mode::Grpc | Mode::Web) => Ok(()),
        Ok(Mode::Unset) => Err(Error::invalid("spec.mode must be set: HTTP, GRPC or WEB")),
        Ok(mode) => Err(Error::invalid(format!(
            "spec.mode {} is not supported yet: use HTTP, GRPC or WEB",
            mode.as_str_name()
        ))),
        Err(_) => Err(Error::invalid(
            "spec.mode is unknown: use HTTP, GRPC or WEB",
        )),
    }
}

fn check_exposure(spec: &Spec) -> Result<(), Error> {
    let authorization = spec.authorization.as_ref();
    let enable_anonymous = authorization.is_some_and(|a| a.enable_anonymous);
    if enable_anonymous && !spec.is_anonymous {
        return Err(Error::invalid(
            "spec.authorization.enableAnonymous needs spec.isAnonymous",
        ));
    }
    if spec.is_anonymous {
        if !spec.is_public {
            return Err(Error::invalid("spec.isAnonymous needs spec.isPublic"));
        }
        let is_authorized =
            authorization.is_some_and(|a| !a.policies.is_empty() || !a.inline_policies.is_empty());
        if is_authorized && !enable_anonymous {
            return Err(Error::invalid(
                "spec.authorization has no effect on an anonymous Service: set \
                 spec.authorization.enableAnonymous, or leave it out",
            ));
        }
    }
    if spec.port > u32::from(u16::MAX) || RESERVED_PORTS.contains(&spec.port) {
        return Err(Error::invalid(format!(
            "spec.port {} is invalid: it must be from 1 to 65535, and not 49094 or 49095",
            spec.port
        )));
    }
    Ok(())
}

async fn check_configs(
    draft: &mut Draft<'_>,
    spec: &Spec,
    known_secrets: &[String],
) -> Result<(), Error> {
    if let Some(config) = &spec.config {
        if !config.name.is_empty() && config.name != DEFAULT {
            return Err(Error::invalid(
                "spec.config.name must be `default` or left out",
            ));
        }
        if !config.parent.is_empty() {
            return Err(Error::invalid(
                "spec.config.parent: only the configurations of spec.dynamicConfig have parents",
            ));
        }
        check_config(draft, "spec.config", config, spec, known_secrets).await?;
    }
    match &spec.dynamic_config {
        None if spec.config.is_none() => Err(Error::invalid("spec.config must be set")),
        None => Ok(()),
        Some(dynamic) => {
            dynamic::check(dynamic, spec.config.is_some())?;
            if spec.config.is_none() && (dynamic.configs.is_empty() || dynamic.rules.is_empty()) {
                return Err(Error::invalid(
                    "spec.config must be set, or spec.dynamicConfig have configs and rules",
                ));
            }
            let configs = configuration::inherited(spec.config.as_ref(), dynamic).map_err(
                |(index, error)| {
                    let path = format!("{}.configs[{index}].parent", dynamic::PATH);
                    Error::invalid(format!("{path}: {error}"))
                },
            )?;
            for (index, config) in configs.iter().enumerate() {
                let path = format!("{}.configs[{index}]", dynamic::PATH);
                check_config(draft, &path, config, spec, known_secrets).await?;
            }
            Ok(())
        }
    }
}

async fn check_config(
    draft: &mut Draft<'_>,
    path: &str,
    config: &Config,
    spec: &Spec,
    known_secrets: &[String],
) -> Result<(), Error> {
    let has_port = spec.port != 0;
    let answers_itself = match &config.r#type {
        Some(config::Type::Http(http)) => {
            http::check(&format!("{path}.http"), http, spec.mode())?;
            http.response.is_some()
        }
        // Types that are not served were refused before.
        Some(_) | None => false,
    };
    for secret in secrets(config) {
        // The Secret is not guarded, here or at its deletion. A Secret may be deleted while it is in use, and this must
        // not prevent anyone from disabling the Service.
        if !known_secrets.contains(&secret) && draft.find::<Secret>(&secret).await?.is_none() {
            return Err(Error::invalid(format!("The Secret {secret} is not found")));
        }
    }
    tls::check(path, config)?;
    if let Some(config::Type::Http(http)) = &config.r#type
        && http::signs_for_one_host(http)
        && config.upstream.as_ref().is_some_and(upstream::is_balanced)
    {
        return Err(Error::invalid(format!(
            "{path}.http.auth.sigv4 signs the host, and needs an upstream of one endpoint"
        )));
    }
    match &config.upstream {
        Some(upstream) => upstream::check(&format!("{path}.upstream"), upstream, has_port),
        None if answers_itself => Ok(()),
        None => Err(Error::invalid(format!(
            "{path}.upstream must be set, with a url or loadbalance"
        ))),
    }
}

/// Returns the Secrets that the previous revision names.
fn named_secrets(old: Option<&Stored<Service>>) -> Vec<String> {
    let spec = old.and_then(|old| old.message.spec.as_ref());
    let dynamic = spec.and_then(|spec| spec.dynamic_config.as_ref());
    let configs = spec
        .and_then(|spec| spec.config.as_ref())
        .into_iter()
        .chain(dynamic.into_iter().flat_map(|dynamic| &dynamic.configs));
    configs.flat_map(secrets).collect()
}

/// Returns the Secrets that a configuration names.
fn secrets(config: &Config) -> Vec<String> {
    let mut named = match &config.r#type {
        Some(config::Type::Http(http)) => http::secrets(http),
        Some(_) | None => Vec::new(),
    };
    named.extend(tls::secrets(config).map(|(_, name)| name.to_owned()));
    named
}

async fn derive(
    draft: &mut Draft<'_>,
    full_name: &str,
    spec: &Spec,
    old: Option<&Stored<Service>>,
) -> Result<Status, Error> {
    let (short, namespace_name) = full_name.split_once('.').unwrap_or((full_name, DEFAULT));
    let namespace = draft
        .require::<Namespace>(namespace_name)
        .await?
        .ok_or_else(|| Error::invalid(format!("The Namespace {namespace_name} does not exist")))?;
    let is_own = namespace.message.metadata().is_some_and(|m| m.is_system)
        && namespace_name != DEFAULT
        && !draft.author.is_cluster();
    if is_own {
        return Err(Error::denied(format!(
            "The Namespace {namespace_name} is reserved for the Cluster"
        )));
    }
    if namespace_name == DEFAULT
        && short != DEFAULT
        && old.is_none()
        && draft.find::<Namespace>(short).await?.is_some()
    {
        return Err(Error::invalid(format!(
            "metadata.name: there is a Namespace {short} already, which has the same host name"
        )));
    }
    let region_name = match spec.region.as_str() {
        "" => DEFAULT,
        name => name,
    };
    let region = draft
        .find::<Region>(region_name)
        .await?
        .ok_or_else(|| Error::invalid(format!("The Region {region_name} does not exist")))?;
    let primary_hostname = match (short, namespace_name) {
        (short, DEFAULT) => short.to_owned(),
        (DEFAULT, namespace) => namespace.to_owned(),
        _ => full_name.to_owned(),
    };
    let additional_hostnames = Some(full_name.to_owned())
        .filter(|full_name| *full_name != primary_hostname)
        .into_iter()
        .collect();
    Ok(Status {
        // Clients read the first entry. It has no IP address, because the gateway has no private network.
        addresses: vec![Address {
            dual_stack_ip: Some(DualStackIp::default()),
            pod_ref: None,
        }],
        namespace_ref: Some(namespace.message.reference()),
        region_ref: Some(region.message.reference()),
        primary_hostname,
        additional_hostnames,
        port: port(spec)?,
        managed_service: None,
    })
}

fn port(spec: &Spec) -> Result<u32, Error> {
    if spec.port != 0 {
        return Ok(spec.port);
    }
    let dynamic = spec.dynamic_config.iter().flat_map(|d| &d.configs);
    let mut upstreams = spec
        .config
        .iter()
        .chain(dynamic)
        .map(|c| c.upstream.as_ref());
    let upstream = upstreams.next().flatten();
    if let Some(port) = upstream.and_then(upstream::port) {
        // If the Service itself has no TLS, the TLS port of the upstream becomes port 80.
        return Ok(if port == 443 && !spec.is_tls {
            80
        } else {
            port
        });
    }
    match spec.mode() {
        Mode::Http | Mode::Web | Mode::Mcp | Mode::Llm if spec.is_tls => Ok(443),
        Mode::Http | Mode::Web | Mode::Mcp | Mode::Llm => Ok(80),
        Mode::Ssh => Ok(22),
        Mode::Dns => Ok(53),
        Mode::Postgres => Ok(5432),
        Mode::Mysql => Ok(3306),
        Mode::Socks5 => Ok(1080),
        Mode::Unset | Mode::Tcp | Mode::Udp | Mode::Kubernetes | Mode::Grpc | Mode::RdpWeb => Err(
            Error::invalid("Service port number needs to be explicitly specified"),
        ),
    }
}
