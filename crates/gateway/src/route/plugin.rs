//! Plugins of a configuration: conditional responses, rate limits and path changes.

use std::time::Duration;

use api::core_v1::service::spec::config::http::{
    Path,
    plugin::{self, Phase, Type, direct, rate_limit},
};
use bytes::Bytes;
use domain::duration;
use http::{HeaderMap, HeaderValue, StatusCode};
use policy::{Condition, Scope};

use crate::{
    CallerFacts,
    problems::Problems,
    route::{
        PathRule,
        expression::{Expression, Failure},
        header_rules::field_name,
    },
};

mod limiter;

use limiter::Limiter;

/// The plugins of a configuration, by phase.
#[derive(Default)]
pub(crate) struct Plugins {
    /// Run before authentication.
    pub(crate) before: Vec<Plugin>,
    /// Run after the Policies allowed the request.
    pub(crate) after: Vec<Plugin>,
}

/// A plugin that is not disabled.
pub(crate) struct Plugin {
    condition: Condition,
    path: Box<str>,
    kind: Kind,
}

enum Kind {
    Direct(Canned),
    RateLimit(Box<RateLimit>),
    Path(PathRule),
}

/// A response from the configuration.
struct Canned {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

struct RateLimit {
    key: Key,
    limiter: Limiter,
    answer: Canned,
}

enum Key {
    Session,
    User,
    Computed(Expression),
}

/// The effect of a plugin on a request.
pub(crate) enum Effect<'a> {
    None,
    /// Later steps use another path.
    Path(&'a PathRule),
    /// The request is answered locally.
    Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
        /// Selects the log entry and the gRPC status.
        reason: AnswerReason,
    },
}

/// The reason why a plugin answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerReason {
    /// The plugin answers directly.
    Direct,
    /// The rate limit was exceeded.
    RateLimited {
        /// The time until the next request passes, in whole seconds.
        retry_after: u64,
    },
}

impl Plugins {
    pub(super) fn compile(
        specs: &[api::core_v1::service::spec::config::http::Plugin],
        problems: &mut Problems,
    ) -> Self {
        let mut plugins = Self::default();
        for (index, spec) in specs.iter().enumerate() {
            let path = format!("spec.config.http.plugins[{index}]");
            let before = spec.phase() == Phase::PreAuth;
            let condition = spec.condition.clone().unwrap_or_else(always);
            let condition = match Condition::compile(&condition) {
                Ok(condition) => condition,
                Err(found) => {
                    for problem in found {
                        problems.add(&path, &problem.to_string());
                    }
                    continue;
                }
            };
            let kind = match &spec.r#type {
                Some(Type::Direct(spec)) => {
                    Canned::direct(spec, &format!("{path}.direct"), problems).map(Kind::Direct)
                }
                Some(Type::RateLimit(spec)) => {
                    RateLimit::compile(spec, before, &format!("{path}.rateLimit"), problems)
                        .map(|limit| Kind::RateLimit(Box::new(limit)))
                }
                Some(Type::Path(spec)) => {
                    let spec = Path {
                        add_prefix: spec.add_prefix.clone(),
                        remove_prefix: spec.remove_prefix.clone(),
                    };
                    Some(Kind::Path(PathRule::compile_at(
                        &spec,
                        &format!("{path}.path"),
                        problems,
                    )))
                }
                Some(Type::ExtProc(_) | Type::Lua(_) | Type::Cache(_) | Type::JsonSchema(_))
                | None => {
                    problems.add(
                        &path,
                        "must have a supported type: direct, rateLimit or path",
                    );
                    None
                }
            };
            let Some(kind) = kind.filter(|_| !spec.is_disabled) else {
                continue;
            };
            let plugin = Plugin {
                condition,
                path: problems.path(&path).into(),
                kind,
            };
            if before {
                plugins.before.push(plugin);
            } else {
                plugins.after.push(plugin);
            }
        }
        plugins
    }
}

impl Plugin {
    /// Runs the plugin. `caller` is `None` for an anonymous request.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] if an expression cannot be evaluated.
    pub(crate) fn act(
        &self,
        scope: &Scope<'_>,
        caller: Option<&CallerFacts>,
    ) -> Result<Effect<'_>, Failure> {
        let applies = self.condition.holds(scope).map_err(|error| Failure {
            path: self.path.clone(),
            error: error.into(),
        })?;
        if !applies {
            return Ok(Effect::None);
        }
        match &self.kind {
            Kind::Direct(canned) => Ok(canned.effect(AnswerReason::Direct)),
            Kind::Path(rule) => Ok(Effect::Path(rule)),
            Kind::RateLimit(limit) => {
                let wait = match (&limit.key, caller) {
                    (Key::Session, Some(caller)) => limit.limiter.check(&caller.session_uid),
                    (Key::User, Some(caller)) => limit.limiter.check(&caller.user_uid),
                    // Anonymous callers at one address share a limit.
                    (Key::Session | Key::User, None) => limit.limiter.check(scope.request.ip),
                    (Key::Computed(expression), _) => {
                        limit.limiter.check(&expression.evaluate(scope)?)
                    }
                };
                Ok(match wait {
                    Ok(()) => Effect::None,
                    Err(wait) => limit.answer.limited(wait),
                })
            }
        }
    }
}

impl Canned {
    fn direct(spec: &plugin::Direct, path: &str, problems: &mut Problems) -> Option<Self> {
        let body = spec.body.as_ref().and_then(|body| body.r#type.as_ref());
        let headers = spec
            .headers
            .iter()
            .map(|field| (field.key.as_str(), field.value.as_str()));
        Some(Self {
            status: status(spec.status_code, StatusCode::OK, path, problems)?,
            headers: fields(headers, path, problems),
            body: match body {
                None => Bytes::new(),
                Some(direct::body::Type::Inline(text)) => Bytes::from(text.clone()),
                Some(direct::body::Type::InlineBytes(bytes)) => Bytes::from(bytes.clone()),
            },
        })
    }

    fn effect(&self, reason: AnswerReason) -> Effect<'_> {
        Effect::Answer {
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.clone(),
            reason,
        }
    }

    fn limited(&self, wait: Duration) -> Effect<'_> {
        let retry_after = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let mut headers = self.headers.clone();
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from(retry_after));
        Effect::Answer {
            status: self.status,
            headers,
            body: self.body.clone(),
            reason: AnswerReason::RateLimited { retry_after },
        }
    }
}

impl RateLimit {
    fn compile(
        spec: &plugin::RateLimit,
        before: bool,
        path: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        use rate_limit::{body, key};
        let key = match spec.key.as_ref().and_then(|key| key.r#type.as_ref()) {
            // The default key is the Session.
            Some(key::Type::PerSession(true)) | None if !before => Key::Session,
            Some(key::Type::PerUser(true)) if !before => Key::User,
            Some(key::Type::PerSession(true) | key::Type::PerUser(true)) | None => {
                problems.add(
                    &format!("{path}.key"),
                    "is not available in phase PRE_AUTH; use eval",
                );
                return None;
            }
            Some(key::Type::Eval(source)) => Key::Computed(Expression::compile(
                source,
                &format!("{path}.key.eval"),
                problems,
            )?),
            Some(key::Type::PerSession(false) | key::Type::PerUser(false)) => {
                problems.add(
                    &format!("{path}.key"),
                    "must have eval, perSession or perUser",
                );
                return None;
            }
        };
        let window = spec.window.as_ref().and_then(duration::from_proto);
        let limiter = window.and_then(|window| Limiter::new(spec.limit, window));
        if limiter.is_none() {
            problems.add(
                path,
                "needs a limit from 1 to 1000000 and a window from 1 second to 30 days",
            );
        }
        let body = spec.body.as_ref().and_then(|body| body.r#type.as_ref());
        let headers = spec
            .headers
            .iter()
            .map(|field| (field.key.as_str(), field.value.as_str()));
        Some(Self {
            key,
            limiter: limiter?,
            answer: Canned {
                status: status(
                    spec.status_code,
                    StatusCode::TOO_MANY_REQUESTS,
                    path,
                    problems,
                )?,
                headers: fields(headers, path, problems),
                body: match body {
                    None => Bytes::from_static(b"too many requests\n"),
                    Some(body::Type::Inline(text)) => Bytes::from(text.clone()),
                    Some(body::Type::InlineBytes(bytes)) => Bytes::from(bytes.clone()),
                },
            },
        })
    }
}

/// Returns the condition of a plugin that does not set one.
fn always() -> api::core_v1::Condition {
    api::core_v1::Condition {
        r#type: Some(api::core_v1::condition::Type::MatchAny(true)),
    }
}

fn status(
    code: i32,
    default: StatusCode,
    path: &str,
    problems: &mut Problems,
) -> Option<StatusCode> {
    if code == 0 {
        return Some(default);
    }
    let status = u16::try_from(code)
        .ok()
        .filter(|code| (200..=599).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok());
    if status.is_none() {
        problems.add(&format!("{path}.statusCode"), "must be from 200 to 599");
    }
    status
}

fn fields<'a>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
    path: &str,
    problems: &mut Problems,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (index, (name, value)) in given.enumerate() {
        let path = format!("{path}.headers[{index}]");
        let name = field_name(name, &format!("{path}.key"), problems);
        match (name, HeaderValue::from_str(value)) {
            (Some(name), Ok(value)) => {
                headers.append(name, value);
            }
            (_, Err(_)) => problems.add(&format!("{path}.value"), "is not a header value"),
            (None, Ok(_)) => {}
        }
    }
    headers
}
