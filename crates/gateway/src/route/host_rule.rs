//! The host that is sent to the upstream.

use api::core_v1::service::spec::config::http::header::{Host as HostSpec, host};
use http::{HeaderValue, uri::Authority};
use policy::Scope;

use crate::{
    problems::Problems,
    route::expression::{Expression, Failure, FailureKind},
};

/// The source of `Host` or `:authority` in a request to an upstream.
pub(crate) enum HostRule {
    /// The host of the upstream's URL.
    Upstream,
    /// The host that the client requested.
    Preserve,
    /// A fixed host.
    Fixed(HeaderValue),
    /// The result of an expression, for each request.
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
                    problems.add(&format!("{PATH}.value"), "is not a host");
                    Self::Upstream
                }
            }
            Some(host::Type::Eval(source)) => {
                Expression::compile(source, &format!("{PATH}.eval"), problems)
                    .map_or(Self::Upstream, Self::Computed)
            }
        }
    }

    /// Evaluates the expression. Returns `None` if the rule has no expression.
    ///
    /// # Errors
    ///
    /// Returns a [`Failure`] if the expression fails or its result is not a valid host.
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

/// Parses host and port. Returns `None` if there is user information.
fn authority(text: &str) -> Option<HeaderValue> {
    let authority = text.parse::<Authority>().ok()?;
    if authority.host().is_empty() || text.contains('@') {
        return None;
    }
    HeaderValue::from_str(text).ok()
}
