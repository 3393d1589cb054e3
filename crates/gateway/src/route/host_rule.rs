//! Which host an upstream is asked for.

use api::core_v1::service::spec::config::http::header::{Host as HostSpec, host};
use http::{HeaderValue, uri::Authority};
use policy::Scope;

use crate::route::{
    Problems,
    expression::{Expression, Failure, FailureKind},
};

/// The `Host` or `:authority` of a request to an upstream.
pub(crate) enum HostRule {
    /// That of the upstream's URL.
    Upstream,
    /// That which the client asked for.
    Preserve,
    /// A fixed one.
    Fixed(HeaderValue),
    /// Another for each request.
    Computed(Expression),
}

impl HostRule {
    pub(super) fn compile(spec: Option<&HostSpec>, problems: &mut Problems) -> Self {
        const PATH: &str = "spec.config.http.header.host";
        match spec.and_then(|spec| spec.r#type.as_ref()) {
            None | Some(host::Type::Preserve(false)) => Self::Upstream,
            Some(host::Type::Preserve(true)) => Self::Preserve,
            Some(host::Type::Value(text)) => {
                if let Some(value) = authority(text) {
                    Self::Fixed(value)
                } else {
                    problems.add(&format!("{PATH}.value"), "is no host");
                    Self::Upstream
                }
            }
            Some(host::Type::Eval(source)) => {
                Expression::compile(source, &format!("{PATH}.eval"), problems)
                    .map_or(Self::Upstream, Self::Computed)
            }
        }
    }

    /// The host that an expression yields; `None` where there is none.
    ///
    /// # Errors
    /// Where it has no value, or one that is no host.
    pub(crate) fn compute(&self, scope: &Scope<'_>) -> Result<Option<HeaderValue>, Failure> {
        let Self::Computed(expression) = self else {
            return Ok(None);
        };
        let text = expression.evaluate(scope)?;
        match authority(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(expression.failure(FailureKind::NoHost)),
        }
    }
}

/// Host and port, without user information.
fn authority(text: &str) -> Option<HeaderValue> {
    let authority = text.parse::<Authority>().ok()?;
    if authority.host().is_empty() || text.contains('@') {
        return None;
    }
    HeaderValue::from_str(text).ok()
}
