//! A compiled configuration of a Service.

use std::sync::Arc;

use api::core_v1::service::spec::{
    Config as ServiceConfig,
    config::{
        Http, Type,
        http::{Header, header::AuthorizationMode},
    },
};
use http::HeaderValue;
use policy::Scope;

use crate::{
    Config,
    canonical::Names,
    mode::Mode,
    problems::Problems,
    route::{
        Access, Buffering, Cors, DirectResponse, Failure, ForwardedMode, HeaderRules, HostRule,
        IdentityFields, IdentityRule, PathRule, Plugins, Retry, Timeouts, UpstreamCredential,
        header_rules,
    },
    secret::Secrets,
    upstream::Upstream,
};

/// A compiled `spec.config`, or another configuration that rules can select.
pub(crate) struct Plan {
    /// True if the client's own `Authorization` goes to the upstream.
    pub(crate) passes_authorization: bool,
    pub(crate) cors: Option<Cors>,
    /// In bytes.
    pub(crate) body_limit: Option<u64>,
    pub(crate) timeouts: Timeouts,
    pub(crate) buffering: Option<Buffering>,
    pub(crate) plugins: Plugins,
    pub(crate) action: Action,
}

/// The action for a permitted request.
pub(crate) enum Action {
    /// Answer locally.
    Direct(DirectResponse),
    /// Forward to the upstream.
    Proxy(Box<Proxy>),
}

/// The rules for forwarding a request.
pub(crate) struct Proxy {
    pub(crate) upstream: Upstream,
    pub(crate) path: PathRule,
    pub(crate) host: HostRule,
    pub(crate) forwarded: ForwardedMode,
    pub(crate) request_headers: HeaderRules,
    pub(crate) response_headers: HeaderRules,
    /// Names of request fields that the Service removes or sets itself. Trailers of a client must not contain them.
    pub(crate) own_names: Arc<Names>,
    pub(crate) credential: Option<UpstreamCredential>,
    pub(crate) identity: IdentityRule,
    pub(crate) retry: Option<Retry>,
}

/// The values that a configuration adds to one request: the results of its expressions, and the identity fields.
#[derive(Default)]
pub(crate) struct Computed {
    pub(crate) request_headers: header_rules::Computed,
    pub(crate) response_headers: header_rules::Computed,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) identity: IdentityFields,
}

impl Plan {
    /// Returns the rule for sending the caller's identity, or `None` if nothing is sent.
    pub(crate) fn identity(&self) -> Option<&IdentityRule> {
        match &self.action {
            Action::Proxy(proxy) if proxy.identity.is_configured() => Some(&proxy.identity),
            Action::Direct(_) | Action::Proxy(_) => None,
        }
    }

    /// Returns true if a step after the Policies depends on the request.
    pub(crate) fn has_expressions(&self) -> bool {
        if !self.plugins.after.is_empty() {
            return true;
        }
        match &self.action {
            Action::Direct(_) => false,
            Action::Proxy(proxy) => {
                proxy.request_headers.has_expressions()
                    || proxy.response_headers.has_expressions()
                    || matches!(proxy.host, HostRule::Computed(_))
            }
        }
    }

    /// Evaluates the expressions.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] if an expression has no usable value.
    pub(crate) fn compute(&self, scope: &Scope<'_>) -> Result<Computed, Failure> {
        match &self.action {
            Action::Direct(_) => Ok(Computed::default()),
            Action::Proxy(proxy) => Ok(Computed {
                request_headers: proxy.request_headers.compute(scope)?,
                response_headers: proxy.response_headers.compute(scope)?,
                host: proxy.host.compute(scope)?,
                identity: IdentityFields::new(),
            }),
        }
    }
}

/// The common inputs of all configurations of a Service.
pub(super) struct Compiler<'a> {
    pub(super) mode: Mode,
    pub(super) access: Access,
    /// The URL of the Service.
    pub(super) url: &'a str,
    pub(super) secrets: &'a Secrets<'a>,
    pub(super) settings: &'a Config,
}

impl Compiler<'_> {
    /// Compiles a configuration. Returns `None` only after it added a problem.
    pub(super) fn plan(&self, config: &ServiceConfig, problems: &mut Problems) -> Option<Plan> {
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
        let default_header = Header::default();
        let header = http.header.as_ref().unwrap_or(&default_header);
        let timeouts = Timeouts::compile(http, self.settings, problems);
        let limit = http.body.as_ref().map_or(0, |body| body.max_request_size);
        Some(Plan {
            passes_authorization: match header.authorization_mode() {
                AuthorizationMode::Unset => self.access != Access::Authenticated,
                AuthorizationMode::Pass => true,
                AuthorizationMode::Delete => false,
            },
            cors: http
                .cors
                .as_ref()
                .map(|cors| Cors::compile(cors, &self.settings.domain, problems)),
            body_limit: (limit > 0).then_some(u64::from(limit)),
            timeouts,
            buffering: Buffering::compile(http, self.mode, timeouts, problems),
            plugins: Plugins::compile(&http.plugins, problems),
            action: self.action(config, http, header, timeouts, problems)?,
        })
    }

    fn action(
        &self,
        config: &ServiceConfig,
        http: &Http,
        header: &Header,
        timeouts: Timeouts,
        problems: &mut Problems,
    ) -> Option<Action> {
        if let Some(response) = &http.response {
            return DirectResponse::compile(response, problems).map(Action::Direct);
        }
        let settings = Config {
            connect_timeout: timeouts.connect,
            ..self.settings.clone()
        };
        let credential = http
            .auth
            .as_ref()
            .and_then(|auth| UpstreamCredential::compile(auth, self.secrets, &settings, problems));
        let upstream =
            Upstream::compile(config, http, self.mode, self.secrets, &settings, problems)?;
        if matches!(credential, Some(UpstreamCredential::Signature(_))) && upstream.only().is_none()
        {
            problems.add(
                "spec.config.http.auth.sigv4",
                "signs the host, and needs an upstream of one endpoint",
            );
        }
        let request_headers = HeaderRules::for_requests(header, problems);
        let mut own_names = request_headers
            .names()
            .as_deref()
            .cloned()
            .unwrap_or_default();
        if let Some(UpstreamCredential::Field { name, .. }) = &credential {
            own_names.insert(name);
        }
        Some(Action::Proxy(Box::new(Proxy {
            path: PathRule::compile(http.path.as_ref(), problems),
            host: HostRule::compile(header.host.as_ref(), problems),
            forwarded: ForwardedMode::from(header.forwarded_mode()),
            request_headers,
            own_names: Arc::new(own_names),
            response_headers: HeaderRules::for_responses(header, problems),
            credential,
            identity: IdentityRule::compile(http.identity.as_ref(), self.url, problems),
            retry: http
                .retry
                .as_ref()
                .map(|retry| Retry::compile(retry, problems)),
            upstream,
        })))
    }
}

/// Rejects fields that are not supported, instead of ignoring them.
fn refuse_unserved(config: &ServiceConfig, http: &Http, problems: &mut Problems) {
    let body = http.body.as_ref();
    let unserved = [
        // `dynamicConfig` resolves the parents of its configurations before this check.
        (!config.parent.is_empty(), "spec.config.parent"),
        (http.visibility.is_some(), "spec.config.http.visibility"),
        (
            body.is_some_and(|body| body.validation.is_some()),
            "spec.config.http.body.validation",
        ),
    ];
    for (_, path) in unserved.iter().filter(|(set, _)| *set) {
        problems.add(path, "is not supported yet; leave it out");
    }
}
