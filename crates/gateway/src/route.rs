//! A Service as the gateway serves it: everything of its configuration checked and compiled once.

use std::sync::Arc;

use api::core_v1::{
    Service,
    service::spec::{
        Config as ServiceConfig, Mode as SpecMode,
        config::{Http, Type, http::header::AuthorizationMode},
    },
};
use policy::Target;

use crate::{Config, record::RouteMetrics, upstream::Upstream};

mod cors;
mod credential;
mod direct;
mod forwarded;
mod header_rules;
mod host_rule;
mod path_rule;
mod problems;

pub(crate) use cors::{Cors, Preflight};
pub(crate) use direct::DirectResponse;
pub(crate) use forwarded::ForwardedMode;
pub(crate) use header_rules::HeaderRules;
pub(crate) use host_rule::HostRule;
pub(crate) use path_rule::PathRule;
pub(crate) use problems::Problems;

use credential::UpstreamCredential;

/// A public Service with its upstreams and their pooled connections.
pub struct Route {
    pub(crate) name: Arc<str>,
    pub(crate) mode: Mode,
    pub(crate) access: Access,
    pub(crate) target: Arc<Target>,
    /// Whether the client's own `Authorization` goes to the upstream.
    pub(crate) passes_authorization: bool,
    pub(crate) cors: Option<Cors>,
    /// In bytes.
    pub(crate) body_limit: Option<u64>,
    pub(crate) action: Action,
    pub(crate) metrics: RouteMetrics,
}

/// What a Service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Anything over HTTP, gRPC included.
    Http,
    /// gRPC and nothing else.
    Grpc,
    /// The same as HTTP, used by browsers.
    Web,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whom the Policies let.
    Authenticated,
    /// Anyone; no Policy is asked.
    Anyone,
    /// Anyone whom the Policies of Service, Namespace and Cluster let.
    AnyoneByPolicy,
}

/// What is done with a permitted request.
pub(crate) enum Action {
    /// Answered from here.
    Direct(DirectResponse),
    /// Sent on.
    Proxy(Box<Proxy>),
}

/// How a request is sent on.
pub(crate) struct Proxy {
    pub(crate) upstream: Upstream,
    pub(crate) path: PathRule,
    pub(crate) host: HostRule,
    pub(crate) forwarded: ForwardedMode,
    pub(crate) request_headers: HeaderRules,
    pub(crate) response_headers: HeaderRules,
    pub(crate) credential: Option<UpstreamCredential>,
}

impl Route {
    /// Compiles a Service of mode HTTP, GRPC or WEB. `secrets` gives the value of a Secret by its name.
    ///
    /// Whether the Service is public and enabled is the caller's to check: what is not, has no route.
    ///
    /// # Errors
    /// Every field that is wrong, missing or not served, each with its path and what to do.
    pub fn compile(
        service: &Service,
        target: Arc<Target>,
        secrets: &dyn Fn(&str) -> Option<Vec<u8>>,
        config: &Config,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Problems::default();
        let route = compile(service, target, secrets, config, &mut problems);
        match route {
            Some(route) if problems.is_empty() => Ok(route),
            _ => Err(problems.into_messages()),
        }
    }

    /// `service.namespace`
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn compile(
    service: &Service,
    target: Arc<Target>,
    secrets: &dyn Fn(&str) -> Option<Vec<u8>>,
    settings: &Config,
    problems: &mut Problems,
) -> Option<Route> {
    let name = service
        .metadata
        .as_ref()
        .map_or("", |metadata| &metadata.name);
    let Some(spec) = &service.spec else {
        problems.add("spec", "is missing");
        return None;
    };
    let mode = match spec.mode() {
        SpecMode::Http => Mode::Http,
        SpecMode::Grpc => Mode::Grpc,
        SpecMode::Web => Mode::Web,
        other => {
            let served = format!(
                "{} is not served; use HTTP, GRPC or WEB",
                other.as_str_name()
            );
            problems.add("spec.mode", &served);
            return None;
        }
    };
    if spec.dynamic_config.is_some() {
        problems.add("spec.dynamicConfig", "is not served yet; use spec.config");
    }
    let default_config = ServiceConfig::default();
    let config = spec.config.as_ref().unwrap_or(&default_config);
    let default_http = Http::default();
    let http = match &config.r#type {
        None => &default_http,
        Some(Type::Http(http)) => http,
        Some(_) => {
            problems.add("spec.config", "must be of type http for this mode");
            return None;
        }
    };
    refuse_unserved(config, http, problems);

    let access = access(spec.is_anonymous, spec.authorization.as_ref());
    let header = http.header.clone().unwrap_or_default();
    let passes_authorization = match header.authorization_mode() {
        AuthorizationMode::Unset => access != Access::Authenticated,
        AuthorizationMode::Pass => true,
        AuthorizationMode::Delete => false,
    };
    let limit = http.body.as_ref().map_or(0, |body| body.max_request_size);
    let action = match &http.response {
        Some(response) => Action::Direct(DirectResponse::compile(response, problems)?),
        None => Action::Proxy(Box::new(Proxy {
            path: PathRule::compile(http.path.as_ref(), problems),
            host: HostRule::compile(header.host.as_ref(), problems),
            forwarded: ForwardedMode::from(header.forwarded_mode()),
            request_headers: HeaderRules::for_requests(&header, problems),
            response_headers: HeaderRules::for_responses(&header, problems),
            credential: http
                .auth
                .as_ref()
                .and_then(|auth| UpstreamCredential::compile(auth, secrets, problems)),
            upstream: Upstream::compile(config, http, mode, settings, problems)?,
        })),
    };
    Some(Route {
        name: Arc::from(name),
        mode,
        access,
        target,
        passes_authorization,
        cors: http
            .cors
            .as_ref()
            .map(|cors| Cors::compile(cors, &settings.domain, problems)),
        body_limit: (limit > 0).then_some(u64::from(limit)),
        action,
        metrics: RouteMetrics::new(name),
    })
}

fn access(
    is_anonymous: bool,
    authorization: Option<&api::core_v1::service::spec::Authorization>,
) -> Access {
    let by_policy = authorization.is_some_and(|authorization| authorization.enable_anonymous);
    match (is_anonymous, by_policy) {
        (false, _) => Access::Authenticated,
        (true, false) => Access::Anyone,
        (true, true) => Access::AnyoneByPolicy,
    }
}

/// A field that would be ignored is refused instead.
fn refuse_unserved(config: &ServiceConfig, http: &Http, problems: &mut Problems) {
    let body = http.body.as_ref();
    let unserved = [
        (!config.parent.is_empty(), "spec.config.parent"),
        (
            config.client_certificate.is_some(),
            "spec.config.clientCertificate",
        ),
        (!http.plugins.is_empty(), "spec.config.http.plugins"),
        (http.retry.is_some(), "spec.config.http.retry"),
        (
            http.enable_request_buffering,
            "spec.config.http.enableRequestBuffering",
        ),
        (http.visibility.is_some(), "spec.config.http.visibility"),
        (
            body.is_some_and(|body| body.mode != 0),
            "spec.config.http.body.mode",
        ),
        (
            body.is_some_and(|body| body.validation.is_some()),
            "spec.config.http.body.validation",
        ),
    ];
    for (_, path) in unserved.iter().filter(|(set, _)| *set) {
        problems.add(path, "is not served yet; leave it out");
    }
}
