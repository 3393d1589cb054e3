//! A Service as the gateway serves it, with its configuration checked and compiled once.

use std::sync::Arc;

use api::core_v1::{Service, service::spec::Mode as SpecMode};
use policy::{Scope, Target};

use crate::{Config, mode::Mode, problems::Problems, route_metrics::RouteMetrics, secret::Secrets};

mod cors;
mod credential;
mod direct;
mod dynamic;
mod expression;
mod forwarded;
mod header_rules;
mod host_rule;
mod identity;
mod limits;
mod path_rule;
mod plan;
mod plugin;
mod retry;

pub(crate) use cors::{Cors, Preflight};
pub(crate) use credential::{Payload, TokenSource, UpstreamCredential, admit};
pub(crate) use direct::DirectResponse;
pub(crate) use dynamic::Choice;
pub(crate) use expression::Failure;
pub(crate) use forwarded::ForwardedMode;
pub(crate) use header_rules::{Computed as ComputedFields, HeaderRules};
pub(crate) use host_rule::HostRule;
pub(crate) use identity::{ASSERTION, IdentityFields, IdentityRule};
pub(crate) use limits::{Buffering, Timeouts};
pub(crate) use path_rule::PathRule;
pub(crate) use plan::{Action, Computed, Plan, Proxy};
pub(crate) use plugin::{AnswerReason, Effect, Plugin, Plugins};
pub(crate) use retry::Retry;

use dynamic::Dynamic;
use plan::Compiler;

/// A public Service with its upstreams and their pooled connections.
pub struct Route {
    pub(crate) name: Arc<str>,
    uid: Box<str>,
    pub(crate) mode: Mode,
    pub(crate) access: Access,
    pub(crate) target: Arc<Target>,
    /// Compiled from `spec.config`.
    default: Option<Plan>,
    dynamic: Option<Box<Dynamic>>,
    pub(crate) metrics: RouteMetrics,
}

/// The callers that may use a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Authenticated callers that the Policies allow.
    Authenticated,
    /// Anyone; the Policies are not evaluated.
    Anyone,
    /// Anyone, if the Policies of the Service, the Namespace and the Cluster allow it.
    AnyoneByPolicy,
}

impl Route {
    /// Compiles a Service of mode HTTP, GRPC or WEB. `secrets` finds a Secret by its name.
    ///
    /// The caller checks that the Service is public and enabled. Other Services must not get a Route. Settings that have
    /// another effect than they say are logged.
    ///
    /// # Errors
    ///
    /// Returns one message for each field that is invalid, missing or not supported, with its path and the remedy.
    pub fn compile(
        service: &Service,
        target: Arc<Target>,
        secrets: &Secrets<'_>,
        config: &Config,
    ) -> Result<Self, Vec<String>> {
        let mut problems = Problems::default();
        let route = compile(service, target, secrets, config, &mut problems);
        let name = service
            .metadata
            .as_ref()
            .map_or("", |metadata| &metadata.name);
        for warning in problems.warnings() {
            tracing::warn!(service = name, "{warning}");
        }
        match route {
            Some(route) if problems.is_empty() => Ok(route),
            _ => Err(problems.into_messages()),
        }
    }

    /// Returns the name of the Service as `service.namespace`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the uid of the Service.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Returns a configuration of the Service, or `None` if the choice is `spec.config` and the Service has none.
    pub(crate) fn plan(&self, choice: Choice) -> Option<&Plan> {
        match (choice, &self.dynamic) {
            (Choice::Default, _) => self.default.as_ref(),
            (Choice::Named(index), Some(dynamic)) => dynamic.plan(index),
            (Choice::Named(_), None) => None,
        }
    }

    /// Returns true if the configuration depends on the request.
    pub(crate) fn has_rules(&self) -> bool {
        self.dynamic.is_some()
    }

    /// Selects the configuration for a request.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] if a rule cannot be evaluated or names an unknown configuration.
    pub(crate) fn choose(&self, scope: &Scope<'_>) -> Result<Choice, Failure> {
        let choice = match &self.dynamic {
            Some(dynamic) => dynamic.choose(scope)?,
            None => None,
        };
        Ok(choice.unwrap_or(Choice::Default))
    }
}

fn compile(
    service: &Service,
    target: Arc<Target>,
    secrets: &Secrets<'_>,
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
                "{} is not supported; use HTTP, GRPC or WEB",
                other.as_str_name()
            );
            problems.add("spec.mode", &served);
            return None;
        }
    };
    let access = access(spec.is_anonymous, spec.authorization.as_ref());
    let hostname = service
        .status
        .as_ref()
        .map_or(name, |status| status.primary_hostname.as_str());
    let url = format!("https://{hostname}.{}", settings.authority);
    let compiler = Compiler {
        mode,
        access,
        url: &url,
        secrets,
        settings,
    };
    let default = match &spec.config {
        Some(config) => Some(compiler.plan(config, problems)?),
        None => None,
    };
    let dynamic = spec.dynamic_config.as_ref().map(|dynamic| {
        Box::new(Dynamic::compile(
            dynamic,
            spec.config.as_ref(),
            &compiler,
            problems,
        ))
    });
    if default.is_none() && dynamic.is_none() {
        problems.add("spec.config", "is missing");
    }
    let uid = service.metadata.as_ref().map(|metadata| &*metadata.uid);
    Some(Route {
        name: Arc::from(name),
        uid: Box::from(uid.unwrap_or_default()),
        mode,
        access,
        target,
        default,
        dynamic,
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
